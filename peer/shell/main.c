/* dugnad-peer - lends this machine's compute to a run. */
#include "common/fault.h"
#include "common/process.h"
#include "peer/shell/cmd_join.h"
#include "peer/shell/cmd_key.h"
#include "trainer/backend/blas_kernel.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "dugnad-peer join LINK [OPTIONS]\n"
    "\n"
    "Joins a run and computes for it.\n"
    "\n"
    "dugnad-peer key [--state DIR]\n"
    "\n"
    "Prints the key that coordinators know this peer by.\n"
    "\n"
    "'dugnad-peer COMMAND --help' tells more; --version prints the version.\n";

static enum status dispatch(int argc, char **argv)
{
    if (argc < 2) {
        (void)fputs(help, stderr);
        return fault(STATUS_USAGE, "a command is missing");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        (void)fputs(help, stdout);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("dugnad-peer " DUGNAD_VERSION);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "join") == 0) {
        return cmd_join(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "key") == 0) {
        return cmd_key(argc - 1, argv + 1);
    }
    if (strncmp(argv[1], "dugnad:", 7) == 0) { /* a secret, which no message may repeat */
        process_hide_argument(argv[1]);
        return fault(STATUS_USAGE, "a link alone is no command; run: dugnad-peer join LINK");
    }
    return fault(STATUS_USAGE, "there is no command '%s'; see 'dugnad-peer --help'", argv[1]);
}

int main(int argc, char **argv)
{
    blas_kernel_choose(argv); /* may start the program again: what follows does not outlast that */
    enum status status = process_protect();
    if (status != STATUS_OK) {
        return fault_report("dugnad-peer", status);
    }
    if (sodium_init() < 0) {
        return fault_report("dugnad-peer",
                            fault(STATUS_OS, "libsodium found no source of random numbers"));
    }
    status = dispatch(argc, argv);
    return status == STATUS_OK ? 0 : fault_report("dugnad-peer", status);
}
