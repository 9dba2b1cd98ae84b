#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/shell/control_socket.h"

#include <jansson.h>
#include <stdio.h>

static const char help[] = "dugnad-coordinator plan --dir RUN [--json]\n"
                           "\n"
                           "Asks the coordinator that serves the run who sums what, what links "
                           "were measured, and how long\n"
                           "steps take against what was predicted.\n";

static double number(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL ? text : "?";
}

static void print_row(const json_t *row)
{
    const double mbit = 8e-6;
    (void)printf("%-12s  %-16s  %8.1f  %8.1f  %9.2f  %-5s  ", text_of(row, "peer"),
                 text_of(row, "name"), number(row, "up") * mbit, number(row, "down") * mbit,
                 number(row, "samples_per_s"), text_of(row, "codec"));
    if (json_object_get(row, "chunks") != NULL) {
        (void)printf("sums %.0f chunks from %.0f, key %s", number(row, "chunks"),
                     number(row, "first_chunk"), text_of(row, "key"));
    } else {
        (void)printf("%s", json_is_true(json_object_get(row, "rests")) ? "rests" : "");
    }
    (void)puts("");
}

static void print_text(const json_t *json)
{
    const json_t *predicted = json_object_get(json, "predicted");
    const json_t *measured = json_object_get(json, "measured");
    const json_t *rows = json_object_get(json, "links");
    (void)printf("step %.0f, plan %.0f: %.0f of %.0f peers sum, updates in %s\n",
                 number(json, "step"), number(json, "plan"), number(json, "owners"),
                 number(json, "peers"), text_of(json, "updates"));
    (void)printf("predicted: a step %.3f s (compute %.3f, gather %.3f, spread %.3f)\n",
                 number(predicted, "step_s"), number(predicted, "compute_s"),
                 number(predicted, "gather_s"), number(predicted, "spread_s"));
    (void)printf("measured:  a step %.3f s (gather %.3f, spread %.3f)\n\n",
                 number(measured, "step_s"), number(measured, "gather_s"),
                 number(measured, "spread_s"));
    (void)printf("%-12s  %-16s  %8s  %8s  %9s  %-5s\n", "peer", "name", "up", "down", "samples/s",
                 "codec");
    (void)printf("%-12s  %-16s  %8s  %8s\n", "", "", "Mbit/s", "Mbit/s");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        print_row(json_array_get(rows, i));
    }
}

enum status cmd_plan(int argc, char **argv)
{
    const struct control_request request = {.command = CONTROL_PLAN};
    static char reply[CONTROL_REPLY_BYTES_MAX];
    struct command_dir options;
    enum status status = command_dir(argc, argv, help, "json", &options);
    if (status != STATUS_OK || options.helped) {
        return status;
    }
    status = control_socket_ask(options.path, &request, reply);
    if (status != STATUS_OK) {
        return status;
    }
    if (options.flagged) {
        (void)puts(reply);
        return STATUS_OK;
    }
    json_t *json = json_loads(reply, 0, NULL);
    if (json == NULL) {
        return fault(STATUS_BAD_DATA, "the coordinator's answer cannot be read; use a "
                                      "dugnad-coordinator of the same release");
    }
    print_text(json);
    json_decref(json);
    return STATUS_OK;
}
