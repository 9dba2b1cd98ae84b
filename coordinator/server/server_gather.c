#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/server/server_gather_state.h"
#include "proto/blob_tree.h"
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
    ALONE_MAX = 4 /* contributions of one step that are fetched rather than summed as a round */
};
static const uint64_t kept_bytes_max = UINT64_C(512) << 20;
/* Contributions that the coordinator fetches for checks, in a step at most; who asks for many
 * checks gets them all. */
static const double check_traffic = 1.0;
static const double check_share_many = 0.1;
static const double check_traffic_many = 1e9;

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
    state->epoch = state->serial;
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

/* What a link is good for as an owner's: chunks come in and go out again. */
static uint64_t weight_of(const struct route_peer *peer)
{
    double up = routes_up(peer);
    double down = routes_down(peer);
    double least = up < down ? up : down;
    return least >= 1.0 ? (uint64_t)least : 1;
}

/* Owners of the plan that are there and were fine so far. */
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
                                                          .trusted = peer->trusted,
                                                          .weight = weight_of(peer)};
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

static void note_uplinks(struct server *self)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        const struct route_peer *peer = routes_peer(server_routes(self), i);
        if (peer != NULL) {
            core_set_uplink(self->core, i, routes_up(peer));
        }
    }
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
                               .epoch_before = state->epoch,
                               .entries_expected = self->sessions->count,
                               .bytes_max = kept_bytes_max,
                               .check_share = share,
                               .check_traffic =
                                   share > check_share_many ? check_traffic_many : check_traffic,
                               .window = WINDOW,
                               .retry_ms = RETRY_MS,
                               .stall_ms = STALL_MS,
                               .deadline_ms = deadline_ms(self)};
    routes_own_share(server_routes(self), &plan.own_first_chunk, &plan.own_chunk_count);
    randombytes_buf(&plan.check_seed, sizeof plan.check_seed);
    if (plan.owner_count == 0 || gather_begin(state->gather, &plan) != STATUS_OK) {
        return false;
    }
    note_uplinks(self);
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

/* Before all are asked to hand in, who does while samples are free is to go on with these, and a
 * peer whose contribution waits for the others' cannot. */
static bool may_route(const struct server *self, const struct session *session, uint64_t now_ms)
{
    const struct server_gather *state = self->gather;
    const struct wire_contribution *offer = session->offer;
    const struct route_peer *peer =
        routes_peer(server_routes(self), sessions_index(self->sessions, session));
    struct core_outlook outlook;
    core_outlook(self->core, &outlook);
    return offer != NULL && !offer->again && !offer->leaving && peer != NULL &&
           (core_free_samples(self->core) == 0 || outlook.collects > state->collects) &&
           now_ms >= peer->route_ms && peer->told_plan == routes_plan_id(server_routes(self)) &&
           routes_takes_codec(peer, store_state(self->store)->settings.codec, offer->codec) &&
           fits(self, offer) &&
           self->contributions.count + state->live + state->waiting + 1 < JOURNAL_CONTRIBUTIONS_MAX;
}

/* What was computed again is not worth a round of its own when the sums of that would take more
 * than the contributions themselves. */
static bool is_alone(struct server *self, enum codec codec)
{
    struct server_gather *state = self->gather;
    struct core_outlook outlook;
    bool again = state->rounds > 0 || (state->begun && !gather_is_open(state->gather));
    core_outlook(self->core, &outlook);
    double chunk_bytes = (double)codec_encoded_bytes(codec, CODEC_CHUNK_VALUES);
    double bytes = chunk_bytes / CODEC_CHUNK_VALUES * (outlook.awaited + state->waiting + 1);
    if (!again || bytes > state->sum_bytes || state->alone == ALONE_MAX) {
        return false;
    }
    state->alone++;
    return true;
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
                            .root = offer->blob.root,
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
    if (!may_route(self, session, now_ms) ||
        ((!state->begun || !gather_is_open(state->gather)) &&
         is_alone(self, session->offer->codec)) ||
        (!state->begun && !begin(self))) {
        return false;
    }
    if (!gather_is_open(state->gather)) {
        state->waits[index] = true;
        state->waiting++;
        return true;
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

uint32_t server_gather_take_entry(struct server_gather *self, uint32_t index)
{
    uint32_t entry = self->entries[index];
    self->entries[index] = ENTRY_NONE;
    self->live -= entry != ENTRY_NONE ? 1 : 0;
    return entry;
}

static bool take_waiting(struct server_gather *self, uint32_t index)
{
    bool waits = self->waits[index];
    self->waiting -= waits ? 1 : 0;
    self->waits[index] = false;
    return waits;
}

void server_gather_drop(struct server *self, const struct session *session)
{
    struct server_gather *state = self->gather;
    uint32_t index = sessions_index(self->sessions, session);
    uint32_t entry = server_gather_take_entry(state, index);
    (void)take_waiting(state, index);
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

static void end_round(struct server_gather *state)
{
    CHECK(state->live == 0);
    if (state->begun) {
        struct gather_progress progress;
        gather_progress(state->gather, &progress);
        state->epoch = progress.epoch > state->epoch ? progress.epoch : state->epoch;
        gather_end(state->gather);
    }
    state->begun = false;
    state->closed = false;
    state->merged = false;
    state->busy = false;
}

void server_gather_end(struct server *self)
{
    struct server_gather *state = self->gather;
    CHECK(state->waiting == 0); /* their samples are of the step */
    struct core_outlook outlook;
    core_outlook(self->core, &outlook);
    end_round(state);
    state->collects = outlook.collects;
    state->rounds = 0;
    state->alone = 0;
}

void server_gather_next_round(struct server *self, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    uint32_t end = self->sessions->end;
    end_round(state);
    state->rounds++;
    for (uint32_t i = 0; i < end; i++) {
        struct session *session = &self->sessions->items[i];
        if (take_waiting(state, i) && !server_gather_fetch(self, session, now_ms)) {
            server_upload_start(self, session, now_ms);
        }
    }
}

static void take_sum(struct server *self, struct session *session, uint32_t number,
                     const struct blob_chunk_header *header, const struct channel_message *incoming,
                     uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    size_t size_bytes = incoming->body_size_bytes;
    bool awaited = gather_waits_for_sum(state->gather, number, header->id, header->index);
    enum status status = gather_take_sum(state->gather, number, header->id, header->index,
                                         incoming->body, size_bytes, now_ms);
    if (status == STATUS_PROTOCOL) {
        server_breach(self, session, "sent a sum that is not its own");
    } else if (!awaited) {
        server_unasked(self, incoming);
    } else if (status == STATUS_OK) {
        double bytes = (double)size_bytes / (double)chunks_values(value_count(self), header->index);
        state->sum_bytes += 0.05 * (bytes - state->sum_bytes);
    }
}

/* The owner of the chunk took it by the same root, or did not take it. */
static void take_part(struct server *self, struct session *session, uint32_t entry,
                      const struct blob_chunk_header *header,
                      const struct channel_message *incoming, uint64_t now_ms)
{
    struct gather *gather = self->gather->gather;
    bool awaited = gather_waits_for_part(gather, entry, header->index);
    enum status status = STATUS_CORRUPT;
    if (blob_tree_proves(&session->offer->blob.root, chunks_count(value_count(self)),
                         incoming->head, incoming->head_size_bytes)) {
        status = gather_take_part(gather, entry, header->index, incoming->body,
                                  incoming->body_size_bytes, now_ms);
    } else {
        gather_refuse_part(gather, entry);
    }
    if (!awaited) {
        server_unasked(self, incoming);
    } else if (status != STATUS_OK && server_may_tell(self)) { /* gather does what follows */
        log_warn("gather", "part_refused", "peer=%s chunk=%" PRIu32 " reason=\"%s\"", session->id,
                 header->index, status_text(status));
    }
    if (awaited && status == STATUS_CORRUPT) {
        (void)server_offend(self, session, CONDUCT_WRONG_BYTES, "sent a chunk without its proof");
    }
}

bool server_gather_chunk(struct server *self, struct session *session,
                         const struct blob_chunk_header *header,
                         const struct channel_message *incoming, uint64_t now_ms)
{
    struct server_gather *state = self->gather;
    const uint8_t *data = incoming->body;
    size_t size_bytes = incoming->body_size_bytes;
    uint32_t index = sessions_index(self->sessions, session);
    const struct route_peer *peer = routes_peer(server_routes(self), index);
    uint32_t entry = state->entries[index];
    bool of_entry = header->kind == BLOB_CONTRIBUTION && entry != ENTRY_NONE &&
                    session->offer->blob.id == header->id;
    if (header->kind != BLOB_SUM && !of_entry) {
        return false;
    }
    if (!state->begun || state->merged || peer == NULL || header->size_bytes != size_bytes) {
        server_unasked(self, incoming); /* late, or torn: what is wanted is granted again */
        return true;
    }
    struct digest hash = digest_of(data, size_bytes);
    if (!digest_equal(&hash, &header->hash)) {
        (void)server_offend(self, session, CONDUCT_WRONG_BYTES, "sent a chunk of another hash");
        return true;
    }
    state->busy = true;
    if (of_entry) {
        take_part(self, session, entry, header, incoming, now_ms);
    } else {
        take_sum(self, session, peer->number, header, incoming, now_ms);
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
                                       .bad_chunk = holds->bad_chunk,
                                       .torn_serial = holds->torn_serial};
    gather_take_holds(state->gather, peer->number, &facts, now_ms);
    state->busy = true;
}
