#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/fork.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] = "dugnad-coordinator fork --dir RUN --step N --to NEW [--name NAME]\n"
                           "\n"
                           "Makes the folder of a new run that begins where RUN stood after N "
                           "steps: parameters, optimizer\n"
                           "state, settings and the samples that follow are those of RUN; key, "
                           "invites and journal are its\n"
                           "own. RUN must not be served meanwhile, and does not change. N may be "
                           "any step from the oldest\n"
                           "kept checkpoint on.\n";

struct fork_options {
    const char *from;
    const char *to;
    const char *name;
    uint64_t step;
    bool has_step;
};

static enum status parse_step(const char *text, struct fork_options *out)
{
    char *end = NULL;
    errno = 0;
    out->step = strtoull(text, &end, 10);
    out->has_step = end != text && *end == '\0' && errno == 0 && text[0] != '-';
    return out->has_step ? STATUS_OK
                         : fault(STATUS_USAGE, "--step takes the number of a step, not %s", text);
}

static enum status parse(int argc, char **argv, struct fork_options *out, bool *out_help)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'}, {"step", required_argument, NULL, 's'},
        {"to", required_argument, NULL, 't'},  {"name", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},      {NULL, 0, NULL, 0}};
    enum status status = STATUS_OK;
    for (int option;
         status == STATUS_OK && (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            out->from = optarg;
            break;
        case 's':
            status = parse_step(optarg, out);
            break;
        case 't':
            out->to = optarg;
            break;
        case 'n':
            out->name = optarg;
            break;
        case 'h':
            (void)fputs(help, stdout);
            *out_help = true;
            return STATUS_OK;
        default:
            return fault(STATUS_USAGE, "see 'dugnad-coordinator fork --help'");
        }
    }
    if (status == STATUS_OK && (out->from == NULL || out->to == NULL || !out->has_step)) {
        status = fault(STATUS_USAGE, "fork needs --dir RUN, --step N and --to NEW");
    }
    return status == STATUS_OK ? command_end(argc, argv, optind) : status;
}

enum status cmd_fork(int argc, char **argv)
{
    struct fork_options options = {.from = NULL};
    struct run_dir run;
    bool helped = false;
    enum status status = parse(argc, argv, &options, &helped);
    if (status != STATUS_OK || helped) {
        return status;
    }
    status = run_dir_open(options.from, &run);
    if (status != STATUS_OK) {
        return status;
    }
    const char *name = options.name != NULL ? options.name : run.config.name;
    status = run_dir_lock(&run);
    if (status == STATUS_OK) {
        status = run_fork(&run, options.step, name, options.to);
    }
    if (status == STATUS_OK) {
        (void)printf("run %s: goes on from step %" PRIu64 " of %s, in %s\n"
                     "next: dugnad-coordinator serve --dir %s\n",
                     name, options.step, options.from, options.to, options.to);
    }
    run_dir_close(&run);
    return status;
}
