/* session_state - what the files of the session share; nobody else includes it. */
#ifndef DUGNAD_PEER_CORE_SESSION_STATE_H
#define DUGNAD_PEER_CORE_SESSION_STATE_H

#include "peer/core/session.h"

/* Appends an action, zeroed otherwise. */
struct session_action *session_add(struct session_actions *actions, enum session_action_type type);

/* The same for one that changes accumulator or P: nothing is begun before the next event. */
struct session_action *session_touch(struct session *self, struct session_actions *actions,
                                     enum session_action_type type);

/* Appends a message to send. */
struct session_action *session_say(struct session *self, uint64_t now_ms,
                                   struct session_actions *actions, enum wire_type type);

/* The last action of all. */
void session_end(struct session *self, struct session_actions *actions, enum status status,
                 const char *text);

/* The step that the coordinator is at, as far as is known: all before it are committed. */
uint64_t session_step_of(const struct session *self);

/* Gives up all leases and what is held; samples already begun end first. */
void session_drain(struct session *self);

/* The same of this step and those before, which are over, and of what is kept of them. */
void session_step_over(struct session *self, uint64_t step, struct session_actions *actions);

/* What is lent, held or to be computed and worth a claim. */
bool session_has_work(const struct session *self);

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
void claim_set_aside(struct session *self, struct session_actions *actions);
bool claim_offers_due(const struct session *self, uint64_t step);
void claim_offer_again(struct session *self, struct session_actions *actions);
void claim_verdict(struct session *self, const struct wire_verdict *verdict,
                   struct session_actions *actions);

/* Nothing of this step and those before is worth keeping. */
void claim_forget(struct session *self, uint64_t last_step, struct session_actions *actions);

/* Which samples may be begun (session_steer.c): those of one step at a time, with the weights for
 * it; none while an update waits. */
void steer(struct session *self, struct session_actions *actions);
void steer_opened(struct session *self);

/* Goes on with a transfer that waited for the workers, or starts the next. */
void sync_advance(struct session *self, struct session_actions *actions);

#endif
