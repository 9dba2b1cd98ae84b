#include "peer/shell/cmd_key.h"

#include "common/digest.h"
#include "common/fault.h"
#include "peer/daemon/state_dir.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "dugnad-peer key [--state DIR]\n"
    "\n"
    "Prints the key that coordinators know this peer by: 64 hexadecimal digits, no secret. A run\n"
    "whose owner names each peer takes it after 'dugnad-coordinator allow' with this key. Makes "
    "the\n"
    "key when there is none yet.\n"
    "  --state DIR  where the identity is kept (~/.local/state/dugnad)\n";

static enum status print_key(const char *state)
{
    struct digest key; /* as many bytes */
    char hex[DIGEST_HEX_BYTES];
    _Static_assert((int)IDENTITY_KEY_BYTES == (int)DIGEST_BYTES, "a key is written as a digest is");
    enum status status = state_dir_key(state, key.bytes);
    if (status == STATUS_OK) {
        digest_to_hex(&key, hex);
        (void)puts(hex);
    }
    return status;
}

enum status cmd_key(int argc, char **argv)
{
    static const struct option options[] = {{"state", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *state = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'h') {
            (void)fputs(help, stdout);
            return STATUS_OK;
        }
        if (option != 's') {
            return fault(STATUS_USAGE, "see 'dugnad-peer key --help'");
        }
        state = optarg;
    }
    return optind == argc ? print_key(state)
                          : fault(STATUS_USAGE, "key takes --state DIR and nothing else");
}
