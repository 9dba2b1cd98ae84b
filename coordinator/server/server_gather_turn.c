#include "common/check.h"
#include "common/log.h"
#include "coordinator/server/server_gather_state.h"

#include <inttypes.h>

enum {
    WORK_PER_TURN = 16, /* chunks */
    MOVED_MS = 10 * 60 * 1000
};

static struct session *session_of(const struct server *self, uint32_t number)
{
    const struct route_peer *peer = routes_by_number(server_routes(self), number);
    struct session *session = peer != NULL ? &self->sessions->items[routes_index(peer)] : NULL;
    return session != NULL && session->used && !session->away ? session : NULL;
}

static const struct owner *owner_of(const struct server_gather *state, uint32_t number)
{
    for (uint32_t i = 0; i < state->owner_count; i++) {
        if (state->owners[i].number == number) {
            return &state->owners[i];
        }
    }
    return NULL;
}

static void send_set(struct server *self, struct session *session,
                     const struct gather_action *action)
{
    struct server_gather *state = self->gather;
    uint32_t count = gather_set(state->gather, state->serials);
    wire_serials_write(state->serials, count, self->body);
    self->message.type = WIRE_SET;
    self->message.as.set = (struct wire_set){.step = core_current_step(self->core),
                                             .epoch = action->epoch,
                                             .plan_id = state->plan_id,
                                             .first_chunk = action->first_chunk,
                                             .chunk_count = action->chunk_count,
                                             .step_tokens = server_step_tokens(self),
                                             .serial_count = count};
    server_send(self, session, self->body, (size_t)count * sizeof *state->serials);
}

static void send_grant(struct server *self, struct session *session, enum blob_kind kind,
                       uint64_t id, const struct gather_action *action)
{
    self->message.type = WIRE_GRANT;
    self->message.as.grant = (struct wire_grant){.kind = kind,
                                                 .id = id,
                                                 .first_chunk = action->first_chunk,
                                                 .chunk_count = action->chunk_count};
    server_send(self, session, NULL, 0);
}

static const char *reason_text(enum gather_reason reason)
{
    switch (reason) {
    case GATHER_LOST:
        return "lost";
    case GATHER_SLOW:
        return "slow";
    case GATHER_BAD:
        return "bad";
    case GATHER_WRONG:
        return "wrong";
    case GATHER_LIAR:
        return "liar";
    case GATHER_MOVED:
        return "moved";
    default:
        return "dropped";
    }
}

static void owner_out(struct server *self, const struct gather_action *action, uint64_t now_ms)
{
    const struct owner *owner = owner_of(self->gather, action->peer);
    const struct session *session = session_of(self, action->peer);
    bool lied = action->reason == GATHER_LIAR || action->reason == GATHER_WRONG ||
                action->reason == GATHER_BAD;
    log_warn("gather", "taken_over",
             "step=%" PRIu64 " peer=%s reason=%s first_chunk=%" PRIu32 " chunks=%" PRIu32,
             core_current_step(self->core), session != NULL ? session->id : "gone",
             reason_text(action->reason), owner != NULL ? owner->first_chunk : 0,
             owner != NULL ? owner->chunk_count : 0);
    server_routes_owner_out(self, action->peer, lied, now_ms);
}

static void entry_out(struct server *self, const struct gather_action *action, uint64_t now_ms)
{
    struct session *session = session_of(self, action->peer);
    struct server_gather *state = self->gather;
    struct route_peer *peer = routes_by_number(server_routes(self), action->peer);
    uint32_t index = session != NULL ? sessions_index(self->sessions, session) : 0;
    if (session == NULL || state->entries[index] != action->entry) {
        return; /* dropped by ourselves */
    }
    (void)server_gather_take_entry(state, index);
    if (action->reason == GATHER_MOVED) { /* what kept it from an owner, who has no room for it or
                                             is not reached, would do so in every step */
        peer->route_ms = now_ms + MOVED_MS;
    }
    log_warn("gather", "entry_out", "step=%" PRIu64 " peer=%s reason=%s",
             core_current_step(self->core), session->id, reason_text(action->reason));
    if (action->reason == GATHER_BAD || action->reason == GATHER_SLOW) {
        server_push(self, &(struct core_event){.type = CORE_RECEIVED, .peer = index, .ok = false});
    } else {
        server_upload_start(self, session, now_ms);
    }
}

static void act(struct server *self, const struct gather_action *action, uint64_t now_ms)
{
    struct session *session = session_of(self, action->peer);
    switch (action->type) {
    case GATHER_SEND_SET:
        if (session != NULL) {
            send_set(self, session, action);
        }
        return;
    case GATHER_GRANT_SUMS:
        if (session != NULL) {
            send_grant(self, session, BLOB_SUM, action->epoch, action);
        }
        return;
    case GATHER_GRANT_PARTS:
        if (session != NULL) {
            send_grant(self, session, BLOB_CONTRIBUTION, action->blob_id, action);
        }
        return;
    case GATHER_OWNER_OUT:
        owner_out(self, action, now_ms);
        return;
    case GATHER_ENTRY_OUT:
        entry_out(self, action, now_ms);
        return;
    default:
        CHECK(false);
    }
}

/* No more contributions can come to this round: those who were asked have handed in or are lost,
 * and what is computed again comes later, for the others wait for their verdicts. A round that
 * nobody was asked for as a whole, as when each hands in by itself, goes on as long as somebody
 * computes. */
static void close_round(struct server *self)
{
    struct server_gather *state = self->gather;
    struct core_outlook outlook;
    core_outlook(self->core, &outlook);
    if (gather_is_open(state->gather) && state->live > 0 && outlook.awaited == 0 &&
        (outlook.collects > state->collects || !outlook.computing)) {
        gather_close(state->gather);
    }
}

static void note_set(struct server *self)
{
    struct server_gather *state = self->gather;
    if (!state->closed && !gather_is_open(state->gather)) {
        struct core_outlook outlook;
        core_outlook(self->core, &outlook);
        state->collects = outlook.collects;
        state->closed = true;
    }
}

static void merge_slice(const void *context, uint32_t first_chunk, uint32_t chunk_count,
                        int64_t *sums)
{
    gather_merge(context, first_chunk, chunk_count, sums);
}

/* All sums are here: they go into the aggregate's, and every contribution of the set is counted
 * before anything else happens. What the step lacks comes in another round. */
static enum status count_round(struct server *self, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    struct gather_progress progress;
    uint64_t step = core_current_step(self->core);
    gather_progress(state->gather, &progress);
    log_info("gather", "complete",
             "step=%" PRIu64 " owners=%" PRIu32 " of=%" PRIu32 " entries=%" PRIu32 " epoch=%" PRIu64
             " checks=%" PRIu32 " central_tokens=%" PRIu64 " repaired=%" PRIu32
             " fetched_bytes=%" PRIu64 " sum_bytes=%" PRIu64 " round=%" PRIu32,
             step, progress.owners, state->owner_count, progress.entries,
             progress.epoch - state->epoch, progress.checks, aggregate_tokens(self->aggregate),
             progress.repaired, progress.fetched_bytes, progress.sum_bytes, state->rounds + 1);
    aggregate_merge(self->aggregate, merge_slice, state->gather);
    state->merged = true;
    enum status status = STATUS_OK;
    uint32_t end = self->sessions->end;
    for (uint32_t i = 0; i < end && status == STATUS_OK; i++) {
        if (state->entries[i] != ENTRY_NONE) {
            server_push(self, &(struct core_event){.type = CORE_RECEIVED, .peer = i, .ok = true});
            status = server_pump(self, now_ms);
        }
    }
    if (status == STATUS_OK && core_current_step(self->core) == step) {
        server_gather_next_round(self, now_ms);
    }
    return status;
}

enum status server_gather_turn(struct server *self, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    struct gather_action action;
    bool more = false;
    if (!state->begun) {
        return STATUS_OK;
    }
    state->busy = false;
    for (int i = 0; i < WORK_PER_TURN && (i == 0 || more); i++) {
        enum status status = gather_work(state->gather, &more);
        if (status != STATUS_OK) {
            return status;
        }
    }
    state->busy = more;
    close_round(self);
    note_set(self);
    while (gather_next(state->gather, now_ms, &action)) {
        act(self, &action, now_ms);
        enum status status = server_pump(self, now_ms);
        if (status != STATUS_OK || !state->begun) {
            return status;
        }
        note_set(self);
    }
    if (gather_is_open(state->gather) || !gather_complete(state->gather)) {
        return STATUS_OK;
    }
    if (state->live > 0) {
        return count_round(self, now_ms);
    }
    server_gather_next_round(self, now_ms); /* all of this one left */
    return STATUS_OK;
}
