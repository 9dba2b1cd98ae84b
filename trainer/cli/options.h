/* options - command-line options from a table, each checked for type and range.
 *
 * Every error leaves a sentence that names the option. Not thread-safe (getopt). */
#ifndef DUGNAD_TRAINER_CLI_OPTIONS_H
#define DUGNAD_TRAINER_CLI_OPTIONS_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLI_OPTIONS_MAX = 20, CLI_TEXTS_MAX = 64 };

struct cli_texts {
    const char *items[CLI_TEXTS_MAX];
    size_t count;
};

enum cli_option_kind {
    CLI_TEXT,  /* const char * */
    CLI_TEXTS, /* struct cli_texts: the option may be repeated */
    CLI_COUNT, /* uint64_t */
    CLI_REAL,  /* double */
    CLI_FLAG   /* bool */
};

struct cli_option {
    const char *name; /* without the dashes */
    void *target;     /* of the kind's type; keeps its value when the option is not given */
    uint64_t count_min, count_max;
    double real_min, real_max;
    enum cli_option_kind kind;
    bool required; /* CLI_TEXT only: the target may not stay NULL */
};

/* Parses argv[1...]; `command` is for the sentences. *out_rest is the index of the first argument
 * that is no option. Errors: USAGE. */
MUST_CHECK enum status cli_options_parse(const char *command, const struct cli_option *options,
                                         size_t count, int argc, char **argv, int *out_rest);

/* USAGE with a sentence when arguments are left over. */
MUST_CHECK enum status cli_options_expect_end(const char *command, int rest, int argc, char **argv);

#endif
