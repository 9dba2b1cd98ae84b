#include "coordinator/server/server_gather.h"

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/gather/gather.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"
#include "proto/codec/chunks.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    SERIAL_SHIFT = 32,
    TICKET_MS = 24 * 3600 * 1000,
    WINDOW = 64,
    RETRY_MS = 3000,
    STALL_MS = 12000,
    DEADLINE_MS_MIN = 15000,
    DEADLINE_SHARE = 4, /* times the gathering that was predicted */
    WORK_PER_TURN = 16, /* chunks */
    MOVES_PER_TURN = 16,
    MOVE_WORK_MS = 5000 /* how long the lost samples may take those who are freed for them */
};
static const uint64_t kept_bytes_max = UINT64_C(512) << 20;
/* Contributions that the coordinator fetches for checks, in a step at most; who asks for many
 * checks gets them all. */
static const double check_traffic = 1.0;
static const double check_share_many = 0.1;
static const double check_traffic_many = 1e9;

#define ENTRY_NONE UINT32_MAX

struct owner {
    uint32_t number;
    uint32_t first_chunk, chunk_count;
};

struct server_gather {
    struct gather *gather;
    bool begun; /* for the step in progress */
    bool merged;
    bool busy;
    uint64_t serial; /* the newest that was given */
    uint64_t plan_id;
    uint32_t live; /* entries of sessions */
    uint32_t owner_count;
    struct owner owners[GATHER_OWNERS_MAX];
    struct gather_owner facts[GATHER_OWNERS_MAX]; /* scratch */
    uint32_t entries[SESSIONS_MAX];               /* of each session's offer */
    uint64_t serials[GATHER_ENTRIES_MAX];         /* scratch */
    double sum_bytes;                             /* a value */
};

/* Guesses until sums were seen: mx8 sums pack to two bytes a value. */
static double first_guess(enum codec codec)
{
    return codec == CODEC_FP32 ? 6.0 : codec == CODEC_BF16 ? 4.0 : 2.0;
}

enum status server_gather_open(struct server *self)
{
    struct server_gather *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to serve the run");
    }
    self->gather = state;
    state->serial = store_state(self->store)->serial << SERIAL_SHIFT;
    state->sum_bytes = first_guess(store_state(self->store)->settings.codec);
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        state->entries[i] = ENTRY_NONE;
    }
    return gather_new(&state->gather);
}

void server_gather_close(struct server *self)
{
    if (self->gather != NULL) {
        gather_free(self->gather->gather);
    }
    free(self->gather);
    self->gather = NULL;
}

bool server_gather_is_routing(const struct server *self)
{
    return self->gather->live > 0;
}

bool server_gather_is_busy(const struct server *self)
{
    return self->gather->busy;
}

double server_gather_sum_bytes(const struct server *self)
{
    return self->gather->sum_bytes;
}

static size_t value_count(const struct server *self)
{
    return layout_value_count(self->run->layout);
}

/* Owners of the plan that are there and were fine so far. What the others own is the coordinator's
 * in this step. */
static uint32_t find_owners(struct server *self, struct gather_owner *out)
{
    struct server_gather *state = self->gather;
    state->owner_count = 0;
    for (uint32_t i = 0; i < self->sessions->end && state->owner_count < GATHER_OWNERS_MAX; i++) {
        const struct session *session = &self->sessions->items[i];
        const struct route_peer *peer = routes_peer(server_routes(self), i);
        if (!session->used || session->away || peer == NULL || peer->share.chunk_count == 0 ||
            !peer->believed || !peer->reachable) {
            continue;
        }
        state->owners[state->owner_count] = (struct owner){.number = peer->number,
                                                           .first_chunk = peer->share.first_chunk,
                                                           .chunk_count = peer->share.chunk_count};
        out[state->owner_count++] = (struct gather_owner){.peer = peer->number,
                                                          .first_chunk = peer->share.first_chunk,
                                                          .chunk_count = peer->share.chunk_count,
                                                          .trusted = peer->trusted};
    }
    return state->owner_count;
}

static uint64_t deadline_ms(const struct server *self)
{
    double bound_s = 0.0;
    const struct plan_times *predicted = routes_predicted(server_routes(self), &bound_s);
    double wanted_ms = predicted->gather_s * 1000.0 * DEADLINE_SHARE;
    return wanted_ms > DEADLINE_MS_MIN && wanted_ms < (double)(3600 * 1000)
               ? (uint64_t)wanted_ms
               : (uint64_t)DEADLINE_MS_MIN;
}

/* Begins to gather the step in progress; false: nobody owns anything. */
static bool begin(struct server *self)
{
    struct server_gather *state = self->gather;
    double share = self->run->config.aggregation.check_share;
    struct gather_plan plan = {.step_tokens = server_step_tokens(self),
                               .value_count = value_count(self),
                               .owner_count = find_owners(self, state->facts),
                               .owners = state->facts,
                               .entries_expected = self->sessions->count,
                               .bytes_max = kept_bytes_max,
                               .check_share = share,
                               .check_traffic =
                                   share > check_share_many ? check_traffic_many : check_traffic,
                               .window = WINDOW,
                               .retry_ms = RETRY_MS,
                               .stall_ms = STALL_MS,
                               .deadline_ms = deadline_ms(self)};
    randombytes_buf(&plan.check_seed, sizeof plan.check_seed);
    if (plan.owner_count == 0 || gather_begin(state->gather, &plan) != STATUS_OK) {
        return false;
    }
    state->begun = true;
    state->merged = false;
    state->plan_id = routes_plan_id(server_routes(self));
    gather_count_central(state->gather, aggregate_tokens(self->aggregate));
    return true;
}

/* What can be judged before a byte is there. What does not fit is refused where it would be
 * fetched. */
static bool fits(const struct server *self, const struct wire_contribution *offer)
{
    return aggregate_takes(self->aggregate, offer->tokens, offer->loss_sum) &&
           offer->blob.size_bytes == codec_encoded_bytes(offer->codec, value_count(self)) &&
           offer->blob.chunk_bytes == codec_encoded_bytes(offer->codec, CODEC_CHUNK_VALUES);
}

/* While samples are free, somebody has to compute them, and a peer whose contribution waits for the
 * whole step cannot. */
static bool may_route(const struct server *self, const struct session *session)
{
    const struct server_gather *state = self->gather;
    const struct wire_contribution *offer = session->offer;
    const struct route_peer *peer =
        routes_peer(server_routes(self), sessions_index(self->sessions, session));
    return offer != NULL && !offer->again && !offer->leaving && peer != NULL &&
           core_free_samples(self->core) == 0 &&
           peer->told_plan == routes_plan_id(server_routes(self)) &&
           routes_takes_codec(peer, store_state(self->store)->settings.codec, offer->codec) &&
           fits(self, offer) &&
           self->contributions.count + state->live + 1 < JOURNAL_CONTRIBUTIONS_MAX;
}

static void send_deliver(struct server *self, struct session *session, uint64_t serial)
{
    const struct wire_contribution *offer = session->offer;
    struct wire_deliver *deliver = &self->message.as.deliver;
    struct ticket ticket = {.run_id = self->run->run_id,
                            .kind = TICKET_CONTRIBUTION,
                            .codec = offer->codec,
                            .plan_id = self->gather->plan_id,
                            .step = offer->step,
                            .serial = serial,
                            .tokens = offer->tokens,
                            .expires_unix_ms = clock_unix_ms() + TICKET_MS};
    memcpy(ticket.peer_key, session->public_key, sizeof ticket.peer_key);
    self->message.type = WIRE_DELIVER;
    deliver->blob_id = offer->blob.id;
    deliver->plan_id = self->gather->plan_id;
    ticket_sign(&self->run->identity, &ticket, deliver->ticket);
    server_send(self, session, NULL, 0);
}

bool server_gather_fetch(struct server *self, struct session *session, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    uint32_t index = sessions_index(self->sessions, session);
    (void)now_ms;
    if (!may_route(self, session) || (!state->begun && !begin(self)) ||
        !gather_is_open(state->gather)) {
        return false;
    }
    const struct gather_entry entry = {.serial = state->serial + 1,
                                       .peer = routes_peer(server_routes(self), index)->number,
                                       .codec = session->offer->codec,
                                       .tokens = session->offer->tokens,
                                       .blob_id = session->offer->blob.id};
    CHECK(state->entries[index] == ENTRY_NONE);
    if (gather_add_entry(state->gather, &entry, &state->entries[index]) != STATUS_OK) {
        state->entries[index] = ENTRY_NONE;
        return false;
    }
    state->serial++;
    state->live++;
    state->busy = true;
    send_deliver(self, session, entry.serial);
    return true;
}

bool server_gather_is_merged(const struct server *self, const struct session *session)
{
    return self->gather->merged &&
           self->gather->entries[sessions_index(self->sessions, session)] != ENTRY_NONE;
}

void server_gather_count(struct server *self, uint64_t tokens)
{
    if (self->gather->begun) {
        gather_count_central(self->gather->gather, tokens);
        self->gather->busy = true;
    }
}

/* The session's entry, which is no longer in anybody's hands here. */
static uint32_t take_entry(struct server_gather *state, uint32_t index)
{
    uint32_t entry = state->entries[index];
    state->entries[index] = ENTRY_NONE;
    state->live -= entry != ENTRY_NONE ? 1 : 0;
    return entry;
}

void server_gather_drop(struct server *self, const struct session *session)
{
    struct server_gather *state = self->gather;
    uint32_t entry = take_entry(state, sessions_index(self->sessions, session));
    if (entry != ENTRY_NONE && !state->merged) {
        gather_drop_entry(state->gather, entry);
        state->busy = true;
    }
}

void server_gather_lost(struct server *self, uint32_t number)
{
    if (self->gather->begun && !self->gather->merged) {
        gather_peer_lost(self->gather->gather, number);
        self->gather->busy = true;
    }
}

void server_gather_back(struct server *self, uint32_t number)
{
    if (self->gather->begun && !self->gather->merged) {
        gather_peer_back(self->gather->gather, number);
        self->gather->busy = true;
    }
}

void server_gather_end(struct server *self)
{
    struct server_gather *state = self->gather;
    CHECK(state->live == 0);
    if (state->begun) {
        gather_end(state->gather);
    }
    state->begun = false;
    state->merged = false;
    state->busy = false;
}

static void take_sum(struct server *self, struct session *session, uint32_t number,
                     const struct blob_chunk_header *header, const uint8_t *data, size_t size_bytes,
                     uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    enum status status =
        gather_take_sum(state->gather, number, header->id, header->index, data, size_bytes, now_ms);
    if (status == STATUS_PROTOCOL) {
        server_drop(self, session, "sent a sum that is not its own");
    } else if (status == STATUS_OK) {
        double bytes = (double)size_bytes / (double)chunks_values(value_count(self), header->index);
        state->sum_bytes += 0.05 * (bytes - state->sum_bytes);
    }
}

bool server_gather_chunk(struct server *self, struct session *session,
                         const struct blob_chunk_header *header, const uint8_t *data,
                         size_t size_bytes, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    uint32_t index = sessions_index(self->sessions, session);
    const struct route_peer *peer = routes_peer(server_routes(self), index);
    uint32_t entry = state->entries[index];
    bool of_entry = header->kind == BLOB_CONTRIBUTION && entry != ENTRY_NONE &&
                    session->offer->blob.id == header->id;
    if (header->kind != BLOB_SUM && !of_entry) {
        return false;
    }
    if (!state->begun || state->merged || peer == NULL || header->size_bytes != size_bytes) {
        return true; /* late, or torn: what is wanted is granted again */
    }
    struct digest hash = digest_of(data, size_bytes);
    if (!digest_equal(&hash, &header->hash)) {
        log_warn("gather", "chunk_refused", "peer=%s chunk=%" PRIu32, session->id, header->index);
        return true;
    }
    state->busy = true;
    if (of_entry) {
        enum status status =
            gather_take_part(state->gather, entry, header->index, data, size_bytes, now_ms);
        if (status != STATUS_OK) { /* gather does what follows from it */
            log_warn("gather", "part_refused", "peer=%s chunk=%" PRIu32 " reason=\"%s\"",
                     session->id, header->index, status_text(status));
        }
    } else {
        take_sum(self, session, peer->number, header, data, size_bytes, now_ms);
    }
    return true;
}

void server_gather_holds(struct server *self, const struct session *session,
                         const struct wire_holds *holds, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    const struct route_peer *peer =
        routes_peer(server_routes(self), sessions_index(self->sessions, session));
    if (peer == NULL || !state->begun || state->merged ||
        holds->step != core_current_step(self->core)) {
        return;
    }
    const struct gather_holds facts = {.epoch = holds->epoch,
                                       .parts_held = holds->parts_held,
                                       .parts_missing = holds->parts_missing,
                                       .sums_ready = holds->sums_ready,
                                       .lacking_count = holds->lacking_count,
                                       .lacking_serial = holds->lacking_serial,
                                       .bad_serial = holds->bad_serial,
                                       .bad_chunk = holds->bad_chunk};
    gather_take_holds(state->gather, peer->number, &facts, now_ms);
    state->busy = true;
}

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
    const struct owner *owner = owner_of(state, action->peer);
    CHECK(owner != NULL);
    uint32_t count = gather_set(state->gather, state->serials);
    wire_serials_write(state->serials, count, self->body);
    self->message.type = WIRE_SET;
    self->message.as.set = (struct wire_set){.step = core_current_step(self->core),
                                             .epoch = action->epoch,
                                             .plan_id = state->plan_id,
                                             .first_chunk = owner->first_chunk,
                                             .chunk_count = owner->chunk_count,
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
    uint32_t index = session != NULL ? sessions_index(self->sessions, session) : 0;
    if (session == NULL || state->entries[index] != action->entry) {
        return; /* dropped by ourselves */
    }
    (void)take_entry(state, index);
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

/* Samples that nobody holds any more, of peers that were lost: those whose contributions wait for
 * the whole step are freed to compute them, the fastest first, by fetching what they have handed
 * in. */
static void free_workers(struct server *self, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    double work = (double)core_free_samples(self->core);
    double speed = 0.0;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        const struct session *session = &self->sessions->items[i];
        if (session->used && session->upload != UPLOAD_NONE) {
            speed += core_peer_speed(self->core, i); /* is freed already */
        }
    }
    for (int moves = 0; moves < MOVES_PER_TURN && state->live > 0 &&
                        (speed <= 0.0 || work > speed * MOVE_WORK_MS / 1000.0);
         moves++) {
        uint32_t best = ENTRY_NONE;
        for (uint32_t i = 0; i < self->sessions->end; i++) {
            bool better = state->entries[i] != ENTRY_NONE &&
                          (best == ENTRY_NONE ||
                           core_peer_speed(self->core, i) > core_peer_speed(self->core, best));
            best = better ? i : best;
        }
        double gained = core_peer_speed(self->core, best);
        gather_drop_entry(state->gather, take_entry(state, best));
        log_info("gather", "freed", "step=%" PRIu64 " peer=%s reason=\"%.0f samples are free\"",
                 core_current_step(self->core), self->sessions->items[best].id, work);
        server_upload_start(self, &self->sessions->items[best], now_ms);
        speed += gained;
        if (gained <= 0.0) {
            return;
        }
    }
}

static void merge_slice(const void *context, uint32_t first_chunk, uint32_t chunk_count,
                        int64_t *sums)
{
    gather_merge(context, first_chunk, chunk_count, sums);
}

/* All sums are here: they go into the aggregate's, and every contribution of the set is counted
 * before anything else happens. */
static enum status count_step(struct server *self, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    struct gather_progress progress;
    uint64_t step = core_current_step(self->core);
    gather_progress(state->gather, &progress);
    log_info("gather", "complete",
             "step=%" PRIu64 " owners=%" PRIu32 " of=%" PRIu32 " entries=%" PRIu32 " epoch=%" PRIu64
             " checks=%" PRIu32 " central_tokens=%" PRIu64,
             step, progress.owners, state->owner_count, progress.entries, progress.epoch,
             progress.checks, aggregate_tokens(self->aggregate));
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
    CHECK(status != STATUS_OK || core_current_step(self->core) > step);
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
    if (core_free_samples(self->core) > 0) {
        free_workers(self, now_ms);
    }
    while (gather_next(state->gather, now_ms, &action)) {
        act(self, &action, now_ms);
        enum status status = server_pump(self, now_ms);
        if (status != STATUS_OK || !state->begun) {
            return status;
        }
    }
    return state->live > 0 && gather_complete(state->gather) ? count_step(self, now_ms) : STATUS_OK;
}
