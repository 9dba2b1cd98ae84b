#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/status_file.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] = "dugnad-coordinator status --dir RUN [--json]\n"
                           "\n"
                           "Prints where a run stands: step, loss, speed, peers.\n";

static double number(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL ? text : "?";
}

static enum status print_status(const char *path, bool as_json)
{
    char *text = NULL;
    enum status status = status_file_read(path, &text);
    if (status != STATUS_OK) {
        return status;
    }
    if (as_json) {
        (void)puts(text);
    } else {
        json_t *json = json_loads(text, 0, NULL);
        (void)printf("run %s is %s: step %.0f of %.0f, loss %.4f, %.0f tokens/s, %.0f peers\n",
                     text_of(json, "name"), text_of(json, "state"), number(json, "step"),
                     number(json, "steps"), number(json, "loss"), number(json, "tokens_per_s"),
                     number(json, "peers"));
        (void)printf("newest checkpoint: %s\n", text_of(json, "checkpoint"));
        json_decref(json);
    }
    free(text);
    return STATUS_OK;
}

enum status cmd_status(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = NULL;
    bool as_json = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            path = optarg;
            break;
        case 'j':
            as_json = true;
            break;
        case 'h':
            (void)fputs(help, stdout);
            return STATUS_OK;
        default:
            return fault(STATUS_USAGE, "see 'dugnad-coordinator status --help'");
        }
    }
    if (path == NULL || optind != argc) {
        return fault(STATUS_USAGE, "status needs --dir RUN");
    }
    return print_status(path, as_json);
}
