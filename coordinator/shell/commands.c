#include "coordinator/shell/commands.h"

#include "common/fault.h"
#include "common/slices.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum status command_text(const char *option, const char *text, char *out, size_t size_max)
{
    size_t length = strlen(text);
    bool fine = length < size_max;
    for (size_t i = 0; i < length && fine; i++) {
        fine = text[i] >= ' ' && text[i] <= '~' && text[i] != '"' && text[i] != '\\';
    }
    if (!fine) {
        return fault(STATUS_USAGE, "%s takes at most %zu printable ASCII letters without \" and \\",
                     option, size_max - 1);
    }
    memcpy(out, text, length + 1);
    return STATUS_OK;
}

enum status command_end(int argc, char **argv, int index)
{
    return index >= argc ? STATUS_OK
                         : fault(STATUS_USAGE,
                                 "'%.80s' is one argument too many; see 'dugnad-coordinator %s "
                                 "--help'",
                                 argv[index], argv[0]);
}

enum status command_dir(int argc, char **argv, const char *help, const char *flag,
                        struct command_dir *out)
{
    const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                     {"help", no_argument, NULL, 'h'},
                                     {flag, no_argument, NULL, 'f'}, /* NULL ends the list here */
                                     {NULL, 0, NULL, 0}};
    *out = (struct command_dir){.path = NULL};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            out->path = optarg;
            break;
        case 'f':
            out->flagged = true;
            break;
        case 'h':
            (void)fputs(help, stdout);
            out->helped = true;
            return STATUS_OK;
        default:
            return fault(STATUS_USAGE, "see 'dugnad-coordinator %s --help'", argv[0]);
        }
    }
    return out->path != NULL ? command_end(argc, argv, optind)
                             : fault(STATUS_USAGE, "%s needs --dir RUN", argv[0]);
}
