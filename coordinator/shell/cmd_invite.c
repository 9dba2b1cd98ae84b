#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/invites.h"
#include "coordinator/store/run_dir.h"
#include "coordinator/store/status_file.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "dugnad-coordinator invite --dir RUN [--address HOST:PORT]\n"
    "\n"
    "Prints one link with which peers join: dugnad-peer join LINK. HOST:PORT is how the peers\n"
    "reach this machine; without it the link works on this machine only.\n"
    "The link is a secret: whoever has it can join.\n";

static enum status print_link(const char *path, const char *address)
{
    struct run_dir run;
    struct join_link link = {.address = ""};
    char text[LINK_TEXT_MAX];
    char local[64];
    enum status status = run_dir_open(path, &run);
    if (status != STATUS_OK) {
        return status;
    }
    if (address == NULL) {
        uint16_t port = status_file_port(path);
        (void)snprintf(local, sizeof local, "127.0.0.1:%d",
                       port != 0 ? (int)port : (int)COORDINATOR_PORT_DEFAULT);
        address = local;
        (void)fputs("this link works on this machine only; for other machines give "
                    "--address HOST:PORT\n",
                    stderr);
    }
    (void)snprintf(link.address, sizeof link.address, "%s", address);
    memcpy(link.coordinator_key, run.identity.public_key, sizeof link.coordinator_key);
    /* The address is checked first: a wrong one must not leave an invite behind. */
    status = link_format(&link, text);
    if (status == STATUS_OK) {
        status = invites_create(path, link.token);
    }
    if (status == STATUS_OK) {
        status = link_format(&link, text);
    }
    if (status == STATUS_OK) {
        (void)puts(text);
    }
    sodium_memzero(&link, sizeof link);
    sodium_memzero(text, sizeof text);
    run_dir_close(&run);
    return status;
}

enum status cmd_invite(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"address", required_argument, NULL, 'a'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = NULL;
    const char *address = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            path = optarg;
            break;
        case 'a':
            address = optarg;
            break;
        case 'h':
            (void)fputs(help, stdout);
            return STATUS_OK;
        default:
            return fault(STATUS_USAGE, "see 'dugnad-coordinator invite --help'");
        }
    }
    if (path == NULL || optind != argc) {
        return fault(STATUS_USAGE, "invite needs --dir RUN");
    }
    return print_link(path, address);
}
