#include "coordinator/shell/members_ask.h"

#include "common/clock.h"
#include "common/fault.h"
#include "coordinator/shell/control_socket.h"
#include "coordinator/store/run_dir.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { TRY_MS = 100, TRIES_MAX = 50 };

/* Holding the run's lock, so that nobody begins to serve it meanwhile. */
static enum status ask_file(struct run_dir *run, const struct members_request *request, char *reply)
{
    struct members *members = NULL;
    struct members_outcome outcome;
    enum status status = members_open(run->path, &members);
    if (status == STATUS_OK) {
        status = members_command(members, request, NULL, clock_unix_ms(), &outcome, reply);
    }
    members_close(members);
    return status;
}

/* A coordinator that starts or ends holds the lock and answers nobody, for a while. */
static enum status ask_somebody(struct run_dir *run, const struct control_request *request,
                                char *reply)
{
    enum status status = STATUS_UNAVAILABLE;
    for (int i = 0; i < TRIES_MAX; i++) {
        status = control_socket_ask(run->path, request, reply);
        if (status != STATUS_UNAVAILABLE) {
            return status;
        }
        status = run_dir_lock(run);
        if (status == STATUS_OK) {
            return ask_file(run, &request->members, reply);
        }
        if (status != STATUS_UNAVAILABLE) {
            return status;
        }
        clock_sleep_ms(TRY_MS);
    }
    return fault(
        STATUS_UNAVAILABLE,
        "another dugnad-coordinator holds %s and does not answer; try again when it serves "
        "the run or has ended",
        run->path);
}

enum status members_ask(const char *run_path, const struct members_request *request,
                        char reply[CONTROL_REPLY_BYTES_MAX])
{
    const struct control_request wrapped = {.command = CONTROL_MEMBERS, .members = *request};
    struct run_dir run;
    enum status status = run_dir_open(run_path, &run);
    if (status == STATUS_OK) {
        status = ask_somebody(&run, &wrapped, reply);
        run_dir_close(&run);
    }
    return status;
}

static enum status cannot_read(void)
{
    return fault(STATUS_BAD_DATA, "the coordinator's answer cannot be read; use a "
                                  "dugnad-coordinator of the same release");
}

/* Moves the rows of one page over; *out_more: request->from says where the next one begins. */
static enum status take_page(const char *reply, json_t *rows, struct members_request *request,
                             bool *out_more)
{
    json_t *page = json_loads(reply, 0, NULL);
    const char *next = json_string_value(json_object_get(page, "next"));
    bool fine = json_is_array(json_object_get(page, "rows")) &&
                json_array_extend(rows, json_object_get(page, "rows")) == 0 &&
                (next == NULL || strlen(next) < sizeof request->from);
    *out_more = fine && next != NULL;
    if (*out_more) {
        (void)snprintf(request->from, sizeof request->from, "%s", next);
    }
    json_decref(page);
    return fine ? STATUS_OK : cannot_read();
}

enum status members_ask_all(const char *run_path, enum members_wish wish, json_t **out_rows)
{
    static char reply[CONTROL_REPLY_BYTES_MAX];
    struct members_request request = {.wish = wish};
    bool more = true;
    enum status status = STATUS_OK;
    *out_rows = json_array();
    while (status == STATUS_OK && more) {
        status = members_ask(run_path, &request, reply);
        if (status == STATUS_OK) {
            status = take_page(reply, *out_rows, &request, &more);
        }
    }
    if (status != STATUS_OK) {
        json_decref(*out_rows);
        *out_rows = NULL;
    }
    return status;
}
