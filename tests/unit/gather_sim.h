/* gather_sim - the coordinator's and the owners' side of one step on fake time: messages arrive in
 * any order, twice or not at all; peers die, come back, stand still and lie. */
#ifndef DUGNAD_TESTS_UNIT_GATHER_SIM_H
#define DUGNAD_TESTS_UNIT_GATHER_SIM_H

#include "coordinator/gather/gather.h"
#include "peer/aggregator/fractions.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/contribution_fixture.h"

enum {
    CHUNKS = 7,
    VALUES = (CHUNKS - 1) * CODEC_CHUNK_VALUES + 1024,
    SHARES_MAX = 10, /* of the step's samples, one contribution each */
    PEERS_MAX = SHARES_MAX + 3,
    POOL = 3 * SHARES_MAX,
    TOKENS = 50,
    MESSAGES_MAX = 8192,
    RETRY_MS = 400,
    STALL_MS = 3000
};

enum mood { GOOD, DIES, MUTE, LIES, SPOILT, TWO_FACED, ACCUSES, GARBLES, TIGHT };

enum kind { OPEN, OWNER_GRANT, PART, SET, GRANT_SUMS, SUM, GRANT_PARTS, HOLDS };

struct message {
    enum kind kind;
    uint32_t from; /* PEERS_MAX: the coordinator */
    uint32_t to;
    uint32_t share;
    uint32_t chunk;
    uint32_t count;       /* of chunks, or of a set's serials */
    uint32_t chunk_count; /* of a set */
    uint64_t epoch;
    uint8_t *data; /* of a sum, owned */
    size_t size_bytes;
    uint64_t serials[SHARES_MAX];
    struct gather_holds holds;
};

struct peer {
    enum mood mood;
    bool dead;
    uint64_t dies_ms;
    uint32_t shuns; /* an owner that never gets anything from it; PEERS_MAX: none */
    struct fractions *fractions;
    struct fraction_task task;
};

/* One part of the step's samples. */
struct share {
    uint32_t item; /* of the pool: the contribution that covers it now */
    bool to_route; /* as soon as it is due, otherwise it is added centrally */
    uint64_t due_ms;
    bool routed; /* an entry of this number, its bytes those of entry_item */
    uint32_t entry;
    uint32_t entry_item;
    bool central; /* added */
    bool counted; /* of a round that is complete */
    uint64_t serial;
};

struct sim {
    struct random random;
    uint64_t now_ms;
    struct gather *gather;
    uint32_t peer_count;
    struct peer peers[PEERS_MAX];
    struct gather_owner owners[PEERS_MAX];
    struct gather_plan plan;
    uint32_t round;
    uint32_t share_count;
    struct share shares[SHARES_MAX];
    uint32_t item_count;
    uint32_t message_count;
    struct message messages[MESSAGES_MAX];
    bool calm;
    bool taken_over;
    bool liar_out;
};

static struct contribution pool[POOL];
static int64_t merged[VALUES];
static uint8_t packed[CODEC_CHUNK_VALUES * 10];
static struct sim sim;
/* What the seeds went through, so that none of it is tested by nobody. */
static unsigned seen_out[GATHER_MOVED + 1];
static unsigned seen_left[GATHER_MOVED + 1];
static unsigned seen_epochs;
static unsigned seen_repaired;
static unsigned seen_rounds;

static inline uint64_t below(struct sim *self, uint64_t bound)
{
    return random_below(&self->random, bound);
}

static inline struct exact_grid grid_of(const struct sim *self)
{
    return exact_grid_for((uint64_t)self->share_count * TOKENS);
}

static inline void post(struct sim *self, const struct message *message)
{
    CU_ASSERT_FATAL(self->message_count < MESSAGES_MAX);
    self->messages[self->message_count++] = *message;
}

/* Everything that is under way to or from a peer. */
static inline void cut(struct sim *self, uint32_t peer)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < self->message_count; i++) {
        struct message *message = &self->messages[i];
        if (message->from == peer || message->to == peer) {
            free(message->data);
        } else {
            self->messages[kept++] = *message;
        }
    }
    self->message_count = kept;
}

static inline void add_centrally(struct sim *self, struct share *share)
{
    const struct contribution *item = &pool[share->item];
    struct exact_grid grid = grid_of(self);
    exact_sum_add(&grid, item->codec, item->data, VALUES, merged);
    share->central = true;
    gather_count_central(self->gather, TOKENS);
}

/* A contributor opens its contribution at the owners; `peer` alone is new to the other side, or
 * everybody (PEERS_MAX). */
static inline void open_at_owners(struct sim *self, uint32_t share, uint32_t peer)
{
    for (uint32_t i = 0; i < self->peer_count; i++) {
        if (self->peers[i].fractions != NULL && !self->peers[i].dead &&
            (peer == PEERS_MAX || peer == i || peer == share)) {
            post(self, &(struct message){.kind = OPEN, .from = share, .to = i, .share = share});
        }
    }
}

static inline void route(struct sim *self, uint32_t i)
{
    struct share *share = &self->shares[i];
    share->serial = 100U + i + (uint64_t)self->round * SHARES_MAX;
    const struct gather_entry entry = {.serial = share->serial,
                                       .peer = i,
                                       .codec = pool[share->item].codec,
                                       .tokens = TOKENS,
                                       .blob_id = 7U + i};
    CU_ASSERT_EQUAL_FATAL(gather_add_entry(self->gather, &entry, &share->entry), STATUS_OK);
    share->routed = true;
    share->entry_item = share->item;
    open_at_owners(self, i, PEERS_MAX);
}

static inline void kill_peer(struct sim *self, uint32_t peer)
{
    self->peers[peer].dead = true;
    cut(self, peer);
    gather_peer_lost(self->gather, peer);
}

static inline void reconnect(struct sim *self, uint32_t peer)
{
    cut(self, peer);
    gather_peer_back(self->gather, peer);
    for (uint32_t i = 0; i < self->peer_count; i++) {
        for (uint32_t j = 0; self->peers[i].fractions != NULL && j < self->share_count; j++) {
            if (i == peer || j == peer) {
                fractions_reset_grants(self->peers[i].fractions, self->shares[j].serial);
            }
        }
    }
    for (uint32_t j = 0; j < self->share_count; j++) {
        if (self->shares[j].routed && !self->peers[j].dead) {
            open_at_owners(self, j, peer);
        }
    }
}

/* A contributor sends chunks to whoever granted them. */
static inline void send_parts(struct sim *self, const struct message *grant)
{
    const struct peer *peer = &self->peers[grant->share];
    if (peer->mood == MUTE || peer->shuns == grant->from) {
        return;
    }
    for (uint32_t i = 0; i < grant->count; i++) {
        post(self, &(struct message){.kind = PART,
                                     .from = grant->share,
                                     .to = grant->from,
                                     .share = grant->share,
                                     .chunk = grant->chunk + i});
    }
}

static inline enum status deliver_part(struct sim *self, const struct message *message)
{
    const struct share *share = &self->shares[message->share];
    struct contribution *item = &pool[share->entry_item];
    enum mood mood = self->peers[message->from].mood;
    size_t size_bytes = 0;
    const uint8_t *data = contribution_chunk(item, VALUES, message->chunk, &size_bytes);
    bool spoilt = message->chunk == CHUNKS / 2 &&
                  (mood == SPOILT || (mood == TWO_FACED && message->to < PEERS_MAX));
    if (spoilt) {
        memcpy(packed, data, size_bytes);
        memset(packed, 0xff, 4);
        data = packed;
    }
    return message->to == PEERS_MAX
               ? gather_take_part(self->gather, share->entry, message->chunk, data, size_bytes,
                                  self->now_ms)
               : fractions_add(self->peers[message->to].fractions, share->serial, message->chunk,
                               data, size_bytes);
}

/* Every sum of a liar is off by one unit somewhere; a garbler's are not sums at all. */
static inline void send_sums(struct sim *self, uint32_t index)
{
    struct peer *peer = &self->peers[index];
    uint32_t chunk = 0;
    struct fraction_holds holds;
    fractions_holds(peer->fractions, &holds);
    while (fractions_next_sum(peer->fractions, &chunk)) {
        size_t count = chunks_values(VALUES, chunk);
        struct message sum = {.kind = SUM,
                              .from = index,
                              .to = PEERS_MAX,
                              .chunk = chunk,
                              .epoch = holds.epoch,
                              .size_bytes = fractions_pack(peer->fractions, chunk, packed)};
        if (peer->mood == LIES) {
            static int64_t sums[CODEC_CHUNK_VALUES];
            memset(sums, 0, sizeof sums);
            CU_ASSERT_EQUAL(sum_unpack_add(packed, sum.size_bytes, count, sums), STATUS_OK);
            sums[below(self, count)] ^= INT64_C(1) << 20;
            sum.size_bytes = sum_pack(sums, count, packed);
        }
        if (peer->mood == GARBLES) {
            memset(packed, (int)below(self, 256), sum.size_bytes);
        }
        sum.data = malloc(sum.size_bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(sum.data);
        memcpy(sum.data, packed, sum.size_bytes);
        post(self, &sum);
        fractions_sum_sent(peer->fractions, chunk);
    }
}

static inline void deliver_to_owner(struct sim *self, const struct message *message)
{
    struct peer *peer = &self->peers[message->to];
    enum status status = STATUS_OK;
    if (message->kind == OPEN) {
        const struct contribution *item = &pool[self->shares[message->share].entry_item];
        const struct fraction_part part = {
            .serial = self->shares[message->share].serial, .codec = item->codec, .tokens = TOKENS};
        status = fractions_open(peer->fractions, &part);
        CU_ASSERT_TRUE(status == STATUS_OK || (status == STATUS_FULL && peer->mood == TIGHT));
    } else if (message->kind == SET) {
        struct fraction_task task = peer->task;
        task.first_chunk = message->chunk;
        task.chunk_count = message->chunk_count;
        status = fractions_begin(peer->fractions, &task);
        CU_ASSERT_TRUE(status == STATUS_OK || (status == STATUS_FULL && peer->mood == TIGHT));
        status = fractions_set(peer->fractions, message->chunk, message->epoch, message->serials,
                               message->count);
        CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_STALE);
    } else {
        status =
            fractions_grant_sums(peer->fractions, message->epoch, message->chunk, message->count);
        CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_STALE ||
                       status == STATUS_OUT_OF_RANGE); /* it does not know the range */
    }
}

static inline void deliver(struct sim *self, const struct message *message)
{
    switch (message->kind) {
    case PART:
        (void)deliver_part(self, message);
        break;
    case OWNER_GRANT:
    case GRANT_PARTS:
        send_parts(self, message);
        break;
    case OPEN:
    case SET:
    case GRANT_SUMS:
        deliver_to_owner(self, message);
        break;
    case SUM: {
        enum status status =
            gather_take_sum(self->gather, message->from, message->epoch, message->chunk,
                            message->data, message->size_bytes, self->now_ms);
        CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_STALE || status == STATUS_BAD_DATA);
        break;
    }
    case HOLDS:
        gather_take_holds(self->gather, message->from, &message->holds, self->now_ms);
        break;
    default:
        CU_FAIL("no such message");
    }
}

/* What an owner does on its timer. */
static inline void tick_owner(struct sim *self, uint32_t index)
{
    struct peer *peer = &self->peers[index];
    struct fraction_holds holds;
    struct fraction_run run;
    if (peer->fractions == NULL || peer->dead || peer->mood == MUTE) {
        return;
    }
    for (uint32_t i = 0; i < self->share_count; i++) {
        while (!self->peers[i].dead && fractions_grant(peer->fractions, self->shares[i].serial, 2,
                                                       self->now_ms, RETRY_MS, &run)) {
            post(self, &(struct message){.kind = OWNER_GRANT,
                                         .from = index,
                                         .to = i,
                                         .share = i,
                                         .chunk = run.first_chunk,
                                         .count = run.chunk_count});
        }
    }
    send_sums(self, index);
    fractions_holds(peer->fractions, &holds);
    if (peer->mood == ACCUSES) {
        holds.bad_serial = 100;
        holds.bad_chunk = peer->task.first_chunk;
    }
    if (below(self, 4) == 0) {
        post(self, &(struct message){.kind = HOLDS,
                                     .from = index,
                                     .to = PEERS_MAX,
                                     .holds = {.epoch = holds.epoch,
                                               .parts_held = holds.parts_held,
                                               .parts_missing = holds.parts_missing,
                                               .sums_ready = holds.sums_ready,
                                               .lacking_count = holds.lacking_count,
                                               .lacking_serial = holds.lacking_serial,
                                               .bad_serial = holds.bad_serial,
                                               .bad_chunk = holds.bad_chunk}});
    }
}

/* The core leases the samples again, or has the same contribution fetched as a whole. */
static inline void entry_out(struct sim *self, const struct gather_action *action)
{
    struct share *share = &self->shares[action->peer];
    CU_ASSERT_TRUE(share->routed && !share->central && share->entry == action->entry);
    CU_ASSERT_PTR_NULL(gather_entry_at(self->gather, action->entry));
    share->routed = false;
    share->due_ms = self->now_ms + below(self, 1500);
    if (self->item_count < POOL &&
        (action->reason != GATHER_MOVED || self->peers[action->peer].dead ||
         self->peers[action->peer].mood == SPOILT)) {
        share->item = self->item_count++;
    }
    seen_left[action->reason]++;
}

static inline void act(struct sim *self, const struct gather_action *action)
{
    struct message message = {.from = PEERS_MAX,
                              .to = action->peer,
                              .share = action->peer,
                              .chunk = action->first_chunk,
                              .count = action->chunk_count,
                              .epoch = action->epoch};
    switch (action->type) {
    case GATHER_SEND_SET:
        message.kind = SET;
        message.chunk_count = action->chunk_count;
        message.count = gather_set(self->gather, message.serials);
        break;
    case GATHER_GRANT_SUMS:
        message.kind = GRANT_SUMS;
        break;
    case GATHER_GRANT_PARTS:
        message.kind = GRANT_PARTS;
        CU_ASSERT_EQUAL(action->blob_id, 7U + action->peer);
        break;
    case GATHER_OWNER_OUT:
        self->taken_over = true;
        self->liar_out = self->liar_out || action->reason == GATHER_LIAR;
        CU_ASSERT_TRUE(action->reason != GATHER_LIAR || self->peers[action->peer].mood == LIES);
        seen_out[action->reason]++;
        return;
    case GATHER_ENTRY_OUT:
        entry_out(self, action);
        return;
    default:
        CU_FAIL("no such action");
    }
    if (!self->peers[action->peer].dead) {
        post(self, &message);
    }
}

static inline bool any_routed(const struct sim *self)
{
    bool any = false;
    for (uint32_t i = 0; i < self->share_count; i++) {
        any = any || self->shares[i].routed;
    }
    return any;
}

static inline void begin_round(struct sim *self)
{
    struct gather_owner here[PEERS_MAX];
    uint64_t tokens = 0;
    struct gather_plan plan = self->plan;
    plan.owners = here;
    plan.owner_count = 0;
    for (uint32_t i = 0; i < self->plan.owner_count; i++) {
        if (!self->peers[self->owners[i].peer].dead) {
            here[plan.owner_count++] = self->owners[i];
        }
    }
    for (uint32_t i = 0; i < self->share_count; i++) {
        struct share *share = &self->shares[i];
        tokens += share->central || share->counted ? TOKENS : 0;
        share->to_route = share->to_route || (self->round > 0 && below(self, 2) == 0);
    }
    CU_ASSERT_EQUAL_FATAL(gather_begin(self->gather, &plan), STATUS_OK);
    gather_count_central(self->gather, tokens);
    self->round++;
}

/* What is complete counts, and never again. True: that is all. */
static inline bool end_round(struct sim *self)
{
    uint32_t cut_at = (uint32_t)below(self, CHUNKS + 1);
    struct gather_progress progress;
    bool all = true;
    gather_merge(self->gather, 0, cut_at, merged);
    gather_merge(self->gather, cut_at, CHUNKS - cut_at, merged);
    for (uint32_t i = 0; i < self->share_count; i++) {
        struct share *share = &self->shares[i];
        CU_ASSERT_TRUE(!share->routed || gather_entry_at(self->gather, share->entry)->peer == i);
        share->counted = share->counted || share->routed;
        share->routed = false;
        all = all && share->counted != share->central;
    }
    gather_progress(self->gather, &progress);
    seen_repaired += progress.repaired;
    seen_rounds = self->round > seen_rounds ? self->round : seen_rounds;
    self->plan.epoch_before = progress.epoch > 0 ? progress.epoch : self->plan.epoch_before;
    if (!all) {
        begin_round(self);
    }
    return all;
}

static inline void run_coordinator(struct sim *self)
{
    struct gather_action action;
    struct gather_progress progress;
    bool more = true;
    for (uint32_t i = 0; i < self->share_count; i++) {
        struct share *share = &self->shares[i];
        bool due =
            !share->routed && !share->central && !share->counted && self->now_ms >= share->due_ms;
        if (due && (!share->to_route || self->peers[i].dead)) {
            add_centrally(self, share);
        } else if (due && gather_is_open(self->gather)) { /* or in the next round */
            share->to_route = false;
            route(self, i);
        }
    }
    if (gather_is_open(self->gather) && below(self, 60) == 0 && any_routed(self)) {
        gather_close(self->gather);
    }
    while (more) {
        CU_ASSERT_EQUAL(gather_work(self->gather, &more), STATUS_OK);
    }
    while (gather_next(self->gather, self->now_ms, &action)) {
        act(self, &action);
    }
    gather_progress(self->gather, &progress);
    seen_epochs = progress.epoch > seen_epochs ? (unsigned)progress.epoch : seen_epochs;
}

/* A message at random; sometimes twice. Orders and reports are never lost on a connection. */
static inline void deliver_any(struct sim *self)
{
    if (self->message_count == 0) {
        return;
    }
    uint32_t place = (uint32_t)below(self, self->message_count);
    struct message message = self->messages[place];
    bool twice = !self->calm && message.data == NULL && below(self, 16) == 0;
    bool losable = message.kind != SET && message.kind != OPEN;
    if (!twice) {
        self->messages[place] = self->messages[--self->message_count];
    }
    if (self->calm || !losable || below(self, 24) > 0) {
        deliver(self, &message);
    }
    if (!twice) {
        free(message.data);
    }
}

static inline void turn(struct sim *self)
{
    self->now_ms += below(self, 12);
    for (uint32_t i = 0; i < self->peer_count; i++) {
        struct peer *peer = &self->peers[i];
        if (!peer->dead && peer->mood == DIES && self->now_ms >= peer->dies_ms) {
            kill_peer(self, i);
        }
    }
    if (!self->calm && below(self, 400) == 0) {
        uint32_t peer = (uint32_t)below(self, self->peer_count);
        if (!self->peers[peer].dead) {
            reconnect(self, peer);
        }
    }
    deliver_any(self);
    deliver_any(self);
    tick_owner(self, (uint32_t)below(self, self->peer_count));
    run_coordinator(self);
}

#endif
