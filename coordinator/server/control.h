/* control - what the owner of a run can ask of the coordinator that serves it, as one line of JSON.
 *
 *   {"command":"pause"}   {"command":"resume"}   {"command":"stop","wait_ms":60000}
 *   {"command":"plan"}   and those of members_command.h
 *   {"command":"set","learning_rate":1e-3,"target_batch":64,"codec":"mx8","journal":"bf16"}
 *
 * Pure, but for server_control (server_control.c). */
#ifndef DUGNAD_COORDINATOR_SERVER_CONTROL_H
#define DUGNAD_COORDINATOR_SERVER_CONTROL_H

#include "coordinator/server/members_command.h"
#include "coordinator/store/journal.h"

enum {
    CONTROL_REQUEST_BYTES_MAX = 4096,
    CONTROL_REPLY_BYTES_MAX = 64 * 1024,
    CONTROL_WAIT_MS_MAX = 24 * 3600 * 1000
};

enum control_command {
    CONTROL_PAUSE,  /* the step in progress ends; no new one begins */
    CONTROL_RESUME, /* again */
    CONTROL_STOP, /* the step in progress ends, or after wait_ms is left to the next serve; then the
                     coordinator ends */
    CONTROL_SET,  /* other settings from the next step on */
    CONTROL_PLAN, /* the reply is JSON: the plan, predictions, what was measured */
    CONTROL_MEMBERS, /* one of members_command.h, by its own word */
    CONTROL_COMMAND_COUNT
};

struct control_request {
    enum control_command command;
    uint64_t wait_ms; /* CONTROL_STOP */
    bool has_learning_rate;
    bool has_target_batch;
    bool has_codec;
    bool has_mean_codec;
    struct live_settings settings;  /* CONTROL_SET: those that it has */
    struct members_request members; /* CONTROL_MEMBERS */
};

/* The text of a request, at most CONTROL_REQUEST_BYTES_MAX with its NUL. The caller owns *out:
 * free(). Errors: NO_MEMORY. */
MUST_CHECK enum status control_encode(const struct control_request *request, char **out);

/* Reads and checks a request. Errors: BAD_DATA with a sentence. */
MUST_CHECK enum status control_decode(const char *text, size_t size_bytes,
                                      struct control_request *out);

struct server;

/* Does what is asked; `reply` says in words what will happen. Errors: AGAIN (CONTROL_SET: the step
 * in progress keeps its settings; ask again after the next turn), BAD_CONFIG, UNAVAILABLE (not now)
 * with a sentence, and nothing changed; IO, NO_MEMORY: the run must stop. */
MUST_CHECK enum status server_control(struct server *self, const struct control_request *request,
                                      uint64_t now_ms, char reply[CONTROL_REPLY_BYTES_MAX]);

#endif
