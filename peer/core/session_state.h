/* session_state - what the files of the session share; nobody else includes it. */
#ifndef DUGNAD_PEER_CORE_SESSION_STATE_H
#define DUGNAD_PEER_CORE_SESSION_STATE_H

#include "peer/core/session.h"

/* Appends an action, zeroed otherwise. */
struct session_action *session_add(struct session_actions *actions, enum session_action_type type);

/* Appends a message to send. */
struct session_action *session_say(struct session *self, uint64_t now_ms,
                                   struct session_actions *actions, enum wire_type type);

/* The last action of all. */
void session_end(struct session *self, struct session_actions *actions, enum status status,
                 const char *text);

/* Gives up all leases and what is held; samples already begun end first. */
void session_drain(struct session *self);

/* Gives up all work for these parameters, kept contributions too. */
void session_give_up(struct session *self, struct session_actions *actions);

/* Back to the start, keeping the parameters of `version_kept` and, if these are those in hand, the
 * work for them; hello is said at hello_at_ms. */
void session_restart(struct session *self, uint64_t hello_at_ms, uint64_t version_kept,
                     struct session_actions *actions);

/* How the parameters follow the coordinator's (session_sync.c). */
void sync_welcome(struct session *self, uint64_t now_ms, const struct wire_welcome *welcome,
                  struct session_actions *actions);
void sync_committed(struct session *self, uint64_t now_ms, const struct wire_committed *committed,
                    struct session_actions *actions);
void sync_fetched(struct session *self, uint64_t now_ms, bool ok, struct session_actions *actions);
void sync_applied(struct session *self, uint64_t now_ms, const struct digest *digest,
                  struct session_actions *actions);

/* What is claimed, offered and kept (session_claim.c). */
void claim_begin(struct session *self, uint64_t now_ms, struct session_actions *actions);
void claim_repeat(struct session *self, uint64_t now_ms, struct session_actions *actions);
void claim_answered(struct session *self, const struct wire_claimed *claimed);
void claim_hand_in(struct session *self, struct session_actions *actions);
void claim_offer_again(struct session *self, struct session_actions *actions);
void claim_verdict(struct session *self, const struct wire_verdict *verdict,
                   struct session_actions *actions);

/* The step is over, or its parameters are given up: nothing of it is worth keeping. */
void claim_forget(struct session *self, struct session_actions *actions);

/* Goes on with a transfer that waited for the workers, or starts the next. */
void sync_advance(struct session *self, struct session_actions *actions);

#endif
