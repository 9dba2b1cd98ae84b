/* The coordinator's and the owners' side of one step against each other, on fake time: messages
 * arrive in any order, twice or not at all, peers die, come back, stand still and lie. Whatever
 * happens, the merged sums are those of adding the contributions that count centrally. */
#include "coordinator/gather/gather.h"
#include "peer/aggregator/fraction.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/contribution_fixture.h"

enum {
    CHUNKS = 7,
    VALUES = (CHUNKS - 1) * CODEC_CHUNK_VALUES + 1024,
    SHARES_MAX = 10, /* of the step's samples, one contribution each */
    PEERS_MAX = SHARES_MAX + 3,
    POOL = 2 * SHARES_MAX,
    TOKENS = 50,
    MESSAGES_MAX = 8192,
    TURNS_MAX = 60000,
    RETRY_MS = 400,
    STALL_MS = 3000,
    SEEDS = 400
};

enum mood { GOOD, DIES, MUTE, LIES, SPOILT, TWO_FACED, ACCUSES, GARBLES, TIGHT };

enum kind { OPEN, OWNER_GRANT, PART, SET, GRANT_SUMS, SUM, GRANT_PARTS, HOLDS };

struct message {
    enum kind kind;
    uint32_t from; /* PEERS_MAX: the coordinator */
    uint32_t to;
    uint32_t share;
    uint32_t chunk;
    uint32_t count;
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
    struct fraction *fraction;
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
};

struct sim {
    struct random random;
    uint64_t now_ms;
    struct gather *gather;
    uint32_t peer_count;
    struct peer peers[PEERS_MAX];
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
static int64_t expected[VALUES];
static uint8_t packed[CODEC_CHUNK_VALUES * 10];
static struct sim sim;
/* What the seeds went through, so that none of it is tested by nobody. */
static unsigned seen_out[GATHER_MOVED + 1];
static unsigned seen_left[GATHER_MOVED + 1];
static unsigned seen_epochs;

static uint64_t below(struct sim *self, uint64_t bound)
{
    return random_below(&self->random, bound);
}

static struct exact_grid grid_of(const struct sim *self)
{
    return exact_grid_for((uint64_t)self->share_count * TOKENS);
}

/* For every step size that is used, so that the encoder's grid is fine enough for all. */
static void contributions_are_made(void)
{
    struct random random;
    struct exact_grid grid = exact_grid_for((uint64_t)SHARES_MAX * TOKENS * 2);
    static const enum codec codecs[] = {CODEC_MX8, CODEC_FP32, CODEC_BF16, CODEC_MX4};
    random_init(&random, 1, 0);
    for (uint32_t i = 0; i < POOL; i++) {
        pool[i] = contribution_make(&random, codecs[i % 4], &grid, VALUES, TOKENS);
    }
}

static void post(struct sim *self, const struct message *message)
{
    CU_ASSERT_FATAL(self->message_count < MESSAGES_MAX);
    self->messages[self->message_count++] = *message;
}

/* Everything that is under way to or from a peer. */
static void cut(struct sim *self, uint32_t peer)
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

static void add_centrally(struct sim *self, struct share *share)
{
    const struct contribution *item = &pool[share->item];
    struct exact_grid grid = grid_of(self);
    exact_sum_add(&grid, item->codec, item->data, VALUES, merged);
    share->central = true;
    gather_count_central(self->gather, TOKENS);
}

/* A contributor opens its contribution at the owners; `peer` alone is new to the other side, or
 * everybody (PEERS_MAX). */
static void open_at_owners(struct sim *self, uint32_t share, uint32_t peer)
{
    for (uint32_t i = 0; i < self->peer_count; i++) {
        if (self->peers[i].fraction != NULL && !self->peers[i].dead &&
            (peer == PEERS_MAX || peer == i || peer == share)) {
            post(self, &(struct message){.kind = OPEN, .from = share, .to = i, .share = share});
        }
    }
}

static void route(struct sim *self, uint32_t i)
{
    struct share *share = &self->shares[i];
    const struct gather_entry entry = {.serial = 100U + i,
                                       .peer = i,
                                       .codec = pool[share->item].codec,
                                       .tokens = TOKENS,
                                       .blob_id = 7U + i};
    CU_ASSERT_EQUAL_FATAL(gather_add_entry(self->gather, &entry, &share->entry), STATUS_OK);
    share->routed = true;
    share->entry_item = share->item;
    open_at_owners(self, i, PEERS_MAX);
}

static void kill_peer(struct sim *self, uint32_t peer)
{
    self->peers[peer].dead = true;
    cut(self, peer);
    gather_peer_lost(self->gather, peer);
}

static void reconnect(struct sim *self, uint32_t peer)
{
    cut(self, peer);
    gather_peer_back(self->gather, peer);
    for (uint32_t i = 0; i < self->peer_count; i++) {
        for (uint32_t j = 0; self->peers[i].fraction != NULL && j < self->share_count; j++) {
            if (i == peer || j == peer) {
                fraction_reset_grants(self->peers[i].fraction, 100U + j);
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
static void send_parts(struct sim *self, const struct message *grant)
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

static enum status deliver_part(struct sim *self, const struct message *message)
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
               : fraction_add(self->peers[message->to].fraction, 100U + message->share,
                              message->chunk, data, size_bytes);
}

/* Every sum of a liar is off by one unit somewhere; a garbler's are not sums at all. */
static void send_sums(struct sim *self, uint32_t index)
{
    struct peer *peer = &self->peers[index];
    uint32_t chunk = 0;
    struct fraction_holds holds;
    fraction_holds(peer->fraction, &holds);
    while (fraction_next_sum(peer->fraction, &chunk)) {
        size_t count = chunks_values(VALUES, chunk);
        struct message sum = {.kind = SUM,
                              .from = index,
                              .to = PEERS_MAX,
                              .chunk = chunk,
                              .epoch = holds.epoch,
                              .size_bytes = fraction_pack(peer->fraction, chunk, packed)};
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
        fraction_sum_sent(peer->fraction, chunk);
    }
}

static void deliver_to_owner(struct sim *self, const struct message *message)
{
    struct peer *peer = &self->peers[message->to];
    enum status status = STATUS_OK;
    if (message->kind == OPEN) {
        const struct contribution *item = &pool[self->shares[message->share].entry_item];
        const struct fraction_part part = {
            .serial = 100U + message->share, .codec = item->codec, .tokens = TOKENS};
        status = fraction_open(peer->fraction, &part);
        CU_ASSERT_TRUE(status == STATUS_OK || (status == STATUS_FULL && peer->mood == TIGHT));
    } else if (message->kind == SET) {
        status = fraction_set(peer->fraction, message->epoch, message->serials, message->count);
        CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_STALE);
    } else {
        status =
            fraction_grant_sums(peer->fraction, message->epoch, message->chunk, message->count);
        CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_STALE);
    }
}

static void deliver(struct sim *self, const struct message *message)
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
static void tick_owner(struct sim *self, uint32_t index)
{
    struct peer *peer = &self->peers[index];
    struct fraction_holds holds;
    struct fraction_run run;
    if (peer->fraction == NULL || peer->dead || peer->mood == MUTE) {
        return;
    }
    for (uint32_t i = 0; i < self->share_count; i++) {
        while (!self->peers[i].dead &&
               fraction_grant(peer->fraction, 100U + i, 2, self->now_ms, RETRY_MS, &run)) {
            post(self, &(struct message){.kind = OWNER_GRANT,
                                         .from = index,
                                         .to = i,
                                         .share = i,
                                         .chunk = run.first_chunk,
                                         .count = run.chunk_count});
        }
    }
    send_sums(self, index);
    fraction_holds(peer->fraction, &holds);
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
static void entry_out(struct sim *self, const struct gather_action *action)
{
    struct share *share = &self->shares[action->peer];
    CU_ASSERT_TRUE(share->routed && !share->central && share->entry == action->entry);
    CU_ASSERT_PTR_NULL(gather_entry_at(self->gather, action->entry));
    share->routed = false;
    share->due_ms = self->now_ms + below(self, 1500);
    if (action->reason != GATHER_MOVED || self->peers[action->peer].dead ||
        self->peers[action->peer].mood == SPOILT) {
        share->item = self->item_count++;
    }
    seen_left[action->reason]++;
}

static void act(struct sim *self, const struct gather_action *action)
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

static void run_coordinator(struct sim *self)
{
    struct gather_action action;
    struct gather_progress progress;
    bool more = true;
    for (uint32_t i = 0; i < self->share_count; i++) {
        struct share *share = &self->shares[i];
        if (!share->routed && !share->central && self->now_ms >= share->due_ms) {
            if (share->to_route && !self->peers[i].dead) {
                share->to_route = false;
                route(self, i);
            } else {
                add_centrally(self, share);
            }
        }
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
static void deliver_any(struct sim *self)
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

static void turn(struct sim *self)
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

/* Cuts the vector at random over owners and the coordinator. */
static uint32_t make_owners(struct sim *self, struct gather_owner *owners)
{
    uint32_t count = 0;
    uint32_t first = 0;
    while (first < CHUNKS) {
        uint32_t chunks = 1 + (uint32_t)below(self, 3);
        uint32_t index = (uint32_t)below(self, self->peer_count);
        struct peer *peer = &self->peers[index];
        chunks = chunks < CHUNKS - first ? chunks : CHUNKS - first;
        if (peer->fraction == NULL && below(self, 6) > 0) {
            uint64_t limit = peer->mood == TIGHT ? 1600000 : UINT64_MAX;
            peer->task = (struct fraction_task){.step = 3,
                                                .plan_id = 1,
                                                .step_tokens = (uint64_t)self->share_count * TOKENS,
                                                .value_count = VALUES,
                                                .first_chunk = first,
                                                .chunk_count = chunks};
            CU_ASSERT_EQUAL_FATAL(fraction_new(limit, &peer->fraction), STATUS_OK);
            CU_ASSERT_EQUAL_FATAL(fraction_begin(peer->fraction, &peer->task), STATUS_OK);
            owners[count++] =
                (struct gather_owner){.peer = index,
                                      .first_chunk = first,
                                      .chunk_count = chunks,
                                      .trusted = peer->mood != LIES && below(self, 2) == 0};
        }
        first += chunks;
    }
    return count;
}

static void make_peers(struct sim *self)
{
    static const enum mood moods[] = {GOOD,      GOOD,    GOOD,    GOOD, DIES,  DIES,  MUTE,
                                      TWO_FACED, ACCUSES, GARBLES, LIES, TIGHT, SPOILT};
    self->share_count = 2 + (uint32_t)below(self, SHARES_MAX - 1);
    self->peer_count = self->share_count + (uint32_t)below(self, 4);
    self->item_count = self->share_count;
    for (uint32_t i = 0; i < self->peer_count; i++) {
        enum mood mood = moods[below(self, sizeof moods / sizeof *moods)];
        bool shuns = !self->calm && below(self, 8) == 0;
        self->peers[i] =
            (struct peer){.mood = self->calm || below(self, 3) == 0 ? GOOD : mood,
                          .dies_ms = below(self, 4000),
                          .shuns = shuns ? (uint32_t)below(self, self->peer_count) : PEERS_MAX};
    }
    for (uint32_t i = 0; i < self->share_count; i++) {
        self->shares[i] =
            (struct share){.item = i, .to_route = below(self, 8) > 0, .due_ms = below(self, 600)};
    }
}

static void begin_step(struct sim *self, uint64_t seed, struct gather *gather)
{
    struct gather_owner owners[PEERS_MAX];
    memset(self, 0, sizeof *self);
    memset(merged, 0, sizeof merged);
    random_init(&self->random, seed, 2);
    self->calm = seed % 8 == 0;
    self->gather = gather;
    make_peers(self);
    bool liars = false;
    for (uint32_t i = 0; i < self->peer_count; i++) {
        liars = liars || self->peers[i].mood == LIES;
    }
    const struct gather_plan plan = {.step_tokens = (uint64_t)self->share_count * TOKENS,
                                     .value_count = VALUES,
                                     .owner_count = make_owners(self, owners),
                                     .owners = owners,
                                     .entries_expected = self->share_count,
                                     .bytes_max = below(self, 3) > 0 ? UINT64_MAX : 1 << 20,
                                     .check_share = liars ? 1.0 : 0.3,
                                     .check_traffic = liars ? 1e9 : 0.5,
                                     .check_seed = random_next(&self->random),
                                     .window = 1 + (uint32_t)below(self, 8),
                                     .retry_ms = RETRY_MS,
                                     .stall_ms = STALL_MS,
                                     .deadline_ms = 6000};
    CU_ASSERT_EQUAL_FATAL(gather_begin(gather, &plan), STATUS_OK);
}

/* Every share of the samples counts once, by the contribution that covers it now. */
static void check_sums(struct sim *self, uint64_t seed)
{
    struct exact_grid grid = grid_of(self);
    uint32_t cut_at = (uint32_t)below(self, CHUNKS + 1);
    memset(expected, 0, sizeof expected);
    for (uint32_t i = 0; i < self->share_count; i++) {
        const struct share *share = &self->shares[i];
        const struct contribution *item = &pool[share->item];
        CU_ASSERT_TRUE(share->routed != share->central);
        CU_ASSERT_TRUE(!share->routed || gather_entry_at(self->gather, share->entry)->peer == i);
        exact_sum_add(&grid, item->codec, item->data, VALUES, expected);
    }
    gather_merge(self->gather, 0, cut_at, merged);
    gather_merge(self->gather, cut_at, CHUNKS - cut_at, merged);
    if (memcmp(merged, expected, sizeof merged) != 0) {
        (void)fprintf(stderr, "seed %lu: the sums differ\n", (unsigned long)seed);
        CU_FAIL("the sums differ");
    }
}

static void end_step(struct sim *self)
{
    for (uint32_t i = 0; i < self->message_count; i++) {
        free(self->messages[i].data);
    }
    for (uint32_t i = 0; i < self->peer_count; i++) {
        fraction_free(self->peers[i].fraction);
    }
}

static void every_seed_gives_the_central_sums(void)
{
    struct gather *gather = NULL;
    CU_ASSERT_EQUAL_FATAL(gather_new(&gather), STATUS_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint32_t turns = 0;
        begin_step(&sim, seed, gather);
        run_coordinator(&sim);
        while (!gather_complete(gather) && turns < TURNS_MAX) {
            turn(&sim);
            turns++;
        }
        if (turns == TURNS_MAX) {
            (void)fprintf(stderr, "seed %lu: the step does not end\n", (unsigned long)seed);
            CU_FAIL("the step does not end");
        } else {
            check_sums(&sim, seed);
        }
        CU_ASSERT_FALSE(sim.calm && sim.taken_over);
        end_step(&sim);
    }
    gather_free(gather);
}

static void seeds_meet_every_kind_of_trouble(void)
{
    CU_ASSERT_TRUE(seen_epochs >= 4);
    for (int reason = GATHER_LOST; reason <= GATHER_LIAR; reason++) {
        CU_ASSERT_TRUE(seen_out[reason] > 0);
    }
    CU_ASSERT_TRUE(seen_left[GATHER_LOST] > 0);
    CU_ASSERT_TRUE(seen_left[GATHER_SLOW] > 0);
    CU_ASSERT_TRUE(seen_left[GATHER_BAD] > 0);
    CU_ASSERT_TRUE(seen_left[GATHER_MOVED] > 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(contributions_are_made),
        SUITE_TEST(every_seed_gives_the_central_sums),
        SUITE_TEST(seeds_meet_every_kind_of_trouble),
    };
    int failed = suite_run("gather_together", tests, sizeof tests / sizeof *tests);
    for (uint32_t i = 0; i < POOL; i++) {
        free(pool[i].data);
    }
    return failed;
}
