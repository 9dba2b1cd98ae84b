#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/status_file.h"

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
    struct command_dir options;
    enum status status = command_dir(argc, argv, help, "json", &options);
    return status != STATUS_OK || options.helped ? status
                                                 : print_status(options.path, options.flagged);
}
