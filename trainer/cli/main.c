/* The `dugnad` tool: finds the command, runs it, and says in one sentence what went wrong. */
#include "common/fault.h"
#include "trainer/backend/blas_kernel.h"
#include "trainer/cli/bench.h"
#include "trainer/cli/data.h"
#include "trainer/cli/eval.h"
#include "trainer/cli/export.h"
#include "trainer/cli/help.h"
#include "trainer/cli/import.h"
#include "trainer/cli/oracle.h"
#include "trainer/cli/sample.h"
#include "trainer/cli/tokenizer.h"
#include "trainer/cli/train.h"
#include "trainer/cli/trial.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    enum status (*run)(int argc, char **argv);
    const char *summary;
    const char *help;
};

static const struct command COMMANDS[] = {
    {"data", cli_data, "text files to token shards", HELP_DATA},
    {"tokenizer", cli_tokenizer, "train a tokenizer; text to token ids and back", HELP_TOKENIZER},
    {"train", cli_train, "train a run on this machine, without network", HELP_TRAIN},
    {"trial", cli_trial, "what codecs and stale samples cost a run's loss", HELP_TRIAL},
    {"eval", cli_eval, "the loss of a model on data", HELP_EVAL},
    {"sample", cli_sample, "continue a text with a model", HELP_SAMPLE},
    {"bench", cli_bench, "how fast a model trains on this machine", HELP_BENCH},
    {"import", cli_import, "take over a model from elsewhere", HELP_IMPORT},
    {"export", cli_export, "write a model for transformers or llama.cpp", HELP_EXPORT},
    {"oracle", cli_oracle, "losses and gradients for other programs to check", HELP_ORACLE},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        if (strcmp(COMMANDS[i].name, name) == 0) {
            return &COMMANDS[i];
        }
    }
    return NULL;
}

static enum status unknown_command(const char *name)
{
    return fault(STATUS_USAGE, "unknown command '%.100s'; 'dugnad help' lists the commands", name);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static enum status print_help(const char *name)
{
    if (name != NULL) {
        const struct command *command = find_command(name);
        if (command == NULL) {
            return unknown_command(name);
        }
        (void)fputs(command->help, stdout);
        return STATUS_OK;
    }
    (void)printf("use: dugnad COMMAND [options]\n\n");
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        (void)printf("  %-9s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    }
    (void)printf("\n'dugnad COMMAND --help' says more; 'dugnad --version' prints the version.\n");
    return STATUS_OK;
}

static enum status run(int argc, char **argv)
{
    if (argc < 2) {
        return fault(STATUS_USAGE, "name a command; 'dugnad help' lists them");
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        (void)printf("dugnad %s\n", DUGNAD_VERSION);
        return STATUS_OK;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return print_help(argc > 2 ? argv[2] : NULL);
    }
    const struct command *command = find_command(name);
    if (command == NULL) {
        return unknown_command(name);
    }
    return wants_help(argc - 1, argv + 1) ? print_help(name) : command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    blas_kernel_choose(argv);
    enum status status = run(argc, argv);
    if (fflush(stdout) != 0 && status == STATUS_OK) {
        status = fault(STATUS_IO, "writing the output failed: %s", strerror(errno));
    }
    return status == STATUS_OK ? 0 : fault_report("dugnad", status);
}
