#include "trainer/cli/options.h"

#include "common/check.h"
#include "common/fault.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>

enum { FIRST_VALUE = 256 }; /* of getopt's results: above every character */

static enum status take_count(const struct cli_option *option, const char *text)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < option->count_min ||
        value > option->count_max) {
        return fault(STATUS_USAGE, "--%s must be a whole number from %llu to %llu, not '%.100s'",
                     option->name, (unsigned long long)option->count_min,
                     (unsigned long long)option->count_max, text);
    }
    *(uint64_t *)option->target = value;
    return STATUS_OK;
}

static enum status take_real(const struct cli_option *option, const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (text[0] == '\0' || *end != '\0' || !isfinite(value) || value < option->real_min ||
        value > option->real_max) {
        return fault(STATUS_USAGE, "--%s must be a number from %g to %g, not '%.100s'",
                     option->name, option->real_min, option->real_max, text);
    }
    *(double *)option->target = value;
    return STATUS_OK;
}

static enum status take_another(const struct cli_option *option, const char *text)
{
    struct cli_texts *texts = option->target;
    if (texts->count == CLI_TEXTS_MAX) {
        return fault(STATUS_USAGE, "--%s can be given %d times at most", option->name,
                     CLI_TEXTS_MAX);
    }
    texts->items[texts->count++] = text;
    return STATUS_OK;
}

static enum status take(const struct cli_option *option, const char *text)
{
    switch (option->kind) {
    case CLI_TEXT:
        *(const char **)option->target = text;
        return STATUS_OK;
    case CLI_TEXTS:
        return take_another(option, text);
    case CLI_COUNT:
        return take_count(option, text);
    case CLI_REAL:
        return take_real(option, text);
    case CLI_FLAG:
        *(bool *)option->target = true;
        return STATUS_OK;
    }
    return STATUS_OK;
}

static enum status check_required(const char *command, const struct cli_option *options,
                                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (options[i].required && *(const char **)options[i].target == NULL) {
            return fault(STATUS_USAGE, "%s needs --%s; 'dugnad %s --help' lists the options",
                         command, options[i].name, command);
        }
    }
    return STATUS_OK;
}

enum status cli_options_parse(const char *command, const struct cli_option *options, size_t count,
                              int argc, char **argv, int *out_rest)
{
    struct option table[CLI_OPTIONS_MAX + 1] = {{0}};
    CHECK(count <= CLI_OPTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        table[i].name = options[i].name;
        table[i].has_arg = options[i].kind == CLI_FLAG ? no_argument : required_argument;
        table[i].val = FIRST_VALUE + (int)i;
    }
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    for (;;) {
        int found = getopt_long(argc, argv, ":", table, NULL);
        if (found == -1) {
            break;
        }
        if (found == ':') {
            return fault(STATUS_USAGE, "%.100s needs a value", argv[optind - 1]);
        }
        if (found < FIRST_VALUE) {
            return fault(STATUS_USAGE,
                         "unknown option %.100s; 'dugnad %s --help' lists the options",
                         argv[optind - 1], command);
        }
        enum status status = take(&options[found - FIRST_VALUE], optarg);
        if (status != STATUS_OK) {
            return status;
        }
    }
    *out_rest = optind;
    return check_required(command, options, count);
}

enum status cli_options_expect_end(const char *command, int rest, int argc, char **argv)
{
    if (rest < argc) {
        return fault(STATUS_USAGE, "'%.100s' is not an option of %s; 'dugnad %s --help' lists them",
                     argv[rest], command, command);
    }
    return STATUS_OK;
}
