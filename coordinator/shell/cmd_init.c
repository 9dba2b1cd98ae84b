#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/run_dir.h"
#include "coordinator/store/status_file.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

static const char help[] =
    "dugnad-coordinator init --config RUN.yaml --dir RUN\n"
    "\n"
    "Makes the folder of a new run: checks the settings and the data, and writes the first\n"
    "checkpoint. docs/run-config.md lists the settings.\n";

static enum status make_run(const char *config_path, const char *path)
{
    struct run_dir run;
    enum status status = run_dir_create(config_path, path);
    if (status == STATUS_OK) {
        status = run_dir_open(path, &run);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct run_status facts = {.step_count = run.config.step_count};
    (void)snprintf(facts.name, sizeof facts.name, "%s", run.config.name);
    (void)snprintf(facts.state, sizeof facts.state, "created");
    status = status_file_write(path, &facts);
    if (status == STATUS_OK) {
        (void)printf("run %s: %zu parameters, %" PRIu64 " steps of %" PRIu64 " tokens, in %s\n"
                     "next: dugnad-coordinator serve --dir %s\n",
                     run.config.name, layout_parameter_count(run.layout), run.config.step_count,
                     run_config_step_tokens(&run.config), path, path);
    }
    run_dir_close(&run);
    return status;
}

enum status cmd_init(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *config_path = NULL;
    const char *path = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            config_path = optarg;
            break;
        case 'd':
            path = optarg;
            break;
        case 'h':
            (void)fputs(help, stdout);
            return STATUS_OK;
        default:
            return fault(STATUS_USAGE, "see 'dugnad-coordinator init --help'");
        }
    }
    if (config_path == NULL || path == NULL) {
        return fault(STATUS_USAGE, "init needs --config RUN.yaml and --dir RUN");
    }
    enum status status = command_end(argc, argv, optind);
    return status == STATUS_OK ? make_run(config_path, path) : status;
}
