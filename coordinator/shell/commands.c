#include "coordinator/shell/commands.h"

#include "common/fault.h"
#include "common/slices.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum status command_threads(const char *text, size_t *out)
{
    char *end = NULL;
    unsigned long count = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || count < 1 || count > SLICES_THREADS_MAX) {
        return fault(STATUS_USAGE, "--threads takes a number from 1 to %d, not %s",
                     SLICES_THREADS_MAX, text);
    }
    *out = count;
    return STATUS_OK;
}

enum status command_dir(int argc, char **argv, const char *help, const char **out_path,
                        bool *out_helped)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    *out_path = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'd') {
            *out_path = optarg;
        } else if (option == 'h') {
            (void)fputs(help, stdout);
            *out_helped = true;
            return STATUS_OK;
        } else {
            return fault(STATUS_USAGE, "see 'dugnad-coordinator %s --help'", argv[0]);
        }
    }
    return *out_path != NULL && optind == argc ? STATUS_OK
                                               : fault(STATUS_USAGE, "%s needs --dir RUN", argv[0]);
}
