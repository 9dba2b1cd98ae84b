#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/run_dir.h"
#include "coordinator/store/trusted.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "dugnad-coordinator trust --dir RUN KEY\n"
    "dugnad-coordinator untrust --dir RUN KEY\n"
    "\n"
    "Believes the sums of the peer with this key without checking them, or no longer. KEY is the\n"
    "peer's whole key, 64 hexadecimal digits: 'dugnad-coordinator plan' shows it, and the log "
    "where\n"
    "it says event=aggregator. It counts from the peer's next connection on.\n";

static enum status change(const char *path, const char *text, bool trusted)
{
    uint8_t key[IDENTITY_KEY_BYTES];
    struct run_dir run;
    bool changed = false;
    enum status status = trusted_parse(text, key);
    if (status == STATUS_OK) {
        status = run_dir_open(path, &run); /* a slip in the path must not leave a file there */
    }
    if (status != STATUS_OK) {
        return status;
    }
    run_dir_close(&run);
    status = trusted_set(path, key, trusted, &changed);
    if (status == STATUS_OK) {
        (void)printf("%s is %s%s\n", text, trusted ? "trusted" : "not trusted",
                     changed ? "" : " already");
    }
    return status;
}

static enum status run(int argc, char **argv, bool trusted)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'h') {
            (void)fputs(help, stdout);
            return STATUS_OK;
        }
        if (option != 'd') {
            return fault(STATUS_USAGE, "see 'dugnad-coordinator %s --help'", argv[0]);
        }
        path = optarg;
    }
    if (path == NULL || optind == argc) {
        return fault(STATUS_USAGE, "%s needs --dir RUN and a key", argv[0]);
    }
    enum status status = command_end(argc, argv, optind + 1);
    return status == STATUS_OK ? change(path, argv[optind], trusted) : status;
}

enum status cmd_trust(int argc, char **argv)
{
    return run(argc, argv, true);
}

enum status cmd_untrust(int argc, char **argv)
{
    return run(argc, argv, false);
}
