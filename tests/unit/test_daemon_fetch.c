#include "common/random.h"
#include "peer/daemon/fetch.h"
#include "peer/daemon/pace.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 100, CHUNKS = 40, BYTES = CHUNKS * CHUNK - 30 };

struct fixture {
    uint8_t data[BYTES];
    struct blob_ref ref;
    struct digest hashes[CHUNKS];
    struct fetch *fetch;
    uint32_t asked[4][CHUNKS]; /* how often each source was asked for each chunk */
    uint32_t lists;            /* and the coordinator for the list */
    uint64_t now_ms;
};

static struct fixture fixture;

/* Chunks 10..19 have an owner, 20..29 another one; the others are the coordinator's. */
static struct fetch_plan two_owners(void)
{
    return (struct fetch_plan){.owner_count = 2, .owners = {{10, 10}, {20, 10}}};
}

static void begin(struct fixture *self, struct fetch_range part, const struct fetch_plan *plan)
{
    struct random random;
    memset(self, 0, sizeof *self);
    random_init(&random, 3, 0);
    for (size_t i = 0; i < BYTES; i++) {
        self->data[i] = (uint8_t)random_next(&random);
    }
    self->now_ms = 1000;
    self->ref = blob_describe(BLOB_UPDATE, 7, self->data, BYTES, CHUNK, self->hashes);
    CU_ASSERT_EQUAL_FATAL(fetch_new(&self->ref, &part, plan, &self->fetch), STATUS_OK);
}

/* Takes all grants there are now; returns how many chunks. */
static uint32_t take_grants(struct fixture *self)
{
    uint32_t source = 0;
    uint32_t count = 0;
    struct wire_grant grant;
    while (fetch_grant(self->fetch, self->now_ms, UINT64_MAX, &source, &grant)) {
        CU_ASSERT_FATAL(source < 4);
        if (grant.kind == BLOB_HASHES) {
            CU_ASSERT_EQUAL(source, FETCH_COORDINATOR);
            self->lists++;
            continue;
        }
        CU_ASSERT_EQUAL(grant.id, 7);
        for (uint32_t i = 0; i < grant.chunk_count; i++) {
            self->asked[source][grant.first_chunk + i]++;
        }
        count += grant.chunk_count;
    }
    return count;
}

static enum status deliver(struct fixture *self, uint32_t source, uint32_t index, bool damaged)
{
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    uint8_t copy[CHUNK];
    CU_ASSERT_EQUAL_FATAL(blob_chunk(&self->ref, self->data, NULL, index, &header, &chunk),
                          STATUS_OK);
    memcpy(copy, chunk, header.size_bytes);
    copy[3] ^= damaged ? 1 : 0;
    header.hash = digest_of(copy, header.size_bytes);
    return fetch_take(self->fetch, source, &header, copy, header.size_bytes, self->now_ms);
}

static enum status deliver_list(struct fixture *self, uint32_t source, bool damaged)
{
    struct blob_ref ref = blob_hashes_ref(&self->ref);
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    struct digest copy[CHUNKS];
    memcpy(copy, self->hashes, sizeof copy);
    copy[5].bytes[0] ^= damaged ? 1 : 0;
    CU_ASSERT_EQUAL_FATAL(blob_chunk(&ref, copy[0].bytes, NULL, 0, &header, &chunk), STATUS_OK);
    return fetch_take(self->fetch, source, &header, chunk, header.size_bytes, self->now_ms);
}

static void expect_asked(const struct fixture *self, uint32_t source, uint32_t first,
                         uint32_t count)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL(self->asked[source][i], i >= first && i - first < count ? 1 : 0);
    }
}

static void expect_whole(struct fixture *self)
{
    CU_ASSERT_TRUE_FATAL(fetch_complete(self->fetch));
    CU_ASSERT_EQUAL(fetch_verify(self->fetch), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(fetch_data(self->fetch), self->data, BYTES), 0);
    fetch_free(self->fetch);
}

static void chunks_come_from_their_owners_and_the_rest_from_the_coordinator(void)
{
    struct fixture *self = &fixture;
    struct fetch_plan plan = two_owners();
    begin(self, (struct fetch_range){0, 0}, &plan);
    CU_ASSERT_EQUAL(take_grants(self), CHUNKS);
    CU_ASSERT_EQUAL(self->lists, 1);
    expect_asked(self, 1, 10, 10);
    expect_asked(self, 2, 20, 10);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL(self->asked[0][i], i < 10 || i >= 30 ? 1 : 0);
    }
    CU_ASSERT_EQUAL(fetch_waits_for(self->fetch), 3);
    CU_ASSERT_EQUAL(deliver_list(self, 1, false), STATUS_PROTOCOL); /* an owner's word is none */
    CU_ASSERT_EQUAL(deliver_list(self, 0, false), STATUS_OK);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint32_t source = i >= 10 && i < 30 ? i / 10 : 0;
        CU_ASSERT_EQUAL(deliver(self, source, i, false), STATUS_OK);
    }
    CU_ASSERT_EQUAL(fetch_waits_for(self->fetch), 0);
    expect_whole(self);
}

static void without_owners_the_root_decides_and_no_list_is_asked_for(void)
{
    struct fixture *self = &fixture;
    static const struct fetch_plan plan = {.owner_count = 0};
    struct blob_chunk_header header;
    const uint8_t *data = NULL;
    begin(self, (struct fetch_range){0, 0}, &plan);
    CU_ASSERT_EQUAL(take_grants(self), CHUNKS);
    CU_ASSERT_EQUAL(self->lists, 0);
    expect_asked(self, 0, 0, CHUNKS);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL(deliver(self, 0, i, false), STATUS_OK);
        CU_ASSERT_FALSE(fetch_chunk(self->fetch, i, &header, &data)); /* nothing vouches for it */
    }
    CU_ASSERT_EQUAL(fetch_verify(self->fetch), STATUS_OK);
    CU_ASSERT_TRUE(fetch_chunk(self->fetch, 3, &header, &data));
    CU_ASSERT_TRUE(digest_equal(&header.hash, &self->hashes[3]));
    expect_whole(self);
}

static void own_part_is_passed_on_once_the_list_vouches_for_it(void)
{
    struct fixture *self = &fixture;
    const struct fetch_range own = {12, 5};
    struct fetch_plan plan = {.own = own};
    struct blob_chunk_header header;
    const uint8_t *data = NULL;
    begin(self, own, &plan);
    CU_ASSERT_EQUAL(take_grants(self), 5);
    expect_asked(self, 0, 12, 5);
    CU_ASSERT_EQUAL(deliver(self, 0, 13, false), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(self, 0, 14, true), STATUS_OK);
    CU_ASSERT_FALSE(fetch_chunk(self->fetch, 13, &header, &data));
    CU_ASSERT_EQUAL(deliver_list(self, 0, false), STATUS_OK);
    CU_ASSERT_TRUE(fetch_chunk(self->fetch, 13, &header, &data));
    CU_ASSERT_EQUAL(header.index, 13);
    CU_ASSERT_EQUAL(memcmp(data, self->data + (size_t)13 * CHUNK, CHUNK), 0);
    CU_ASSERT_FALSE(fetch_chunk(self->fetch, 14, &header, &data)); /* the list does not know it */
    CU_ASSERT_EQUAL(take_grants(self), 1);
    CU_ASSERT_EQUAL(self->asked[0][14], 2);
    for (uint32_t i = 12; i < 17; i++) {
        CU_ASSERT_EQUAL(deliver(self, 0, i, false), STATUS_OK);
    }
    CU_ASSERT_TRUE(fetch_complete(self->fetch));
    CU_ASSERT_EQUAL(fetch_verify(self->fetch), STATUS_OK);
    fetch_free(self->fetch);
}

static void owner_that_sends_a_wrong_chunk_is_out(void)
{
    struct fixture *self = &fixture;
    struct fetch_plan plan = two_owners();
    begin(self, (struct fetch_range){0, 0}, &plan);
    (void)take_grants(self);
    CU_ASSERT_EQUAL(deliver_list(self, 0, false), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(self, 1, 10, false), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(self, 1, 11, true), STATUS_CORRUPT);
    CU_ASSERT_EQUAL(take_grants(self), 9);
    for (uint32_t i = 11; i < 20; i++) {
        CU_ASSERT_EQUAL(self->asked[0][i], 1);
        CU_ASSERT_EQUAL(self->asked[1][i], 1);
    }
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL(deliver(self, 0, i, false), STATUS_OK);
    }
    expect_whole(self);
}

static void owner_that_is_silent_or_idle_is_out(void)
{
    struct fixture *self = &fixture;
    struct fetch_plan plan = two_owners();
    uint32_t source = 0;
    begin(self, (struct fetch_range){0, 0}, &plan);
    (void)take_grants(self);
    CU_ASSERT_EQUAL(deliver_list(self, 0, false), STATUS_OK);
    for (uint32_t i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(deliver(self, 0, i, false), STATUS_OK);
        CU_ASSERT_EQUAL(deliver(self, 0, 30 + i, false), STATUS_OK);
    }
    self->now_ms += FETCH_SILENT_MS_MAX;
    fetch_heard(self->fetch, 2, self->now_ms);
    CU_ASSERT_FALSE(fetch_judge(self->fetch, self->now_ms, &source));
    self->now_ms++;
    CU_ASSERT_TRUE(fetch_judge(self->fetch, self->now_ms, &source));
    CU_ASSERT_EQUAL(source, 1);
    CU_ASSERT_FALSE(fetch_judge(self->fetch, self->now_ms, &source));
    CU_ASSERT_EQUAL(take_grants(self), 10);
    for (uint32_t i = 10; i < 20; i++) {
        CU_ASSERT_EQUAL(self->asked[0][i], 1);
    }
    for (uint32_t i = 0; i < 5; i++) { /* the other one says that it lives, and that is all */
        self->now_ms += (FETCH_IDLE_MS_MAX - FETCH_SILENT_MS_MAX) / 5 - 1;
        fetch_heard(self->fetch, 2, self->now_ms);
        CU_ASSERT_FALSE(fetch_judge(self->fetch, self->now_ms, &source));
    }
    self->now_ms += 5;
    fetch_heard(self->fetch, 2, self->now_ms);
    CU_ASSERT_TRUE(fetch_judge(self->fetch, self->now_ms, &source));
    CU_ASSERT_EQUAL(source, 2);
    (void)take_grants(self);
    for (uint32_t i = 10; i < 30; i++) {
        CU_ASSERT_EQUAL(deliver(self, 0, i, false), STATUS_OK);
    }
    expect_whole(self);
}

/* It is no reason to wait for the rest. */
static void owner_that_repeats_a_chunk_is_silent(void)
{
    struct fixture *self = &fixture;
    struct fetch_plan plan = two_owners();
    uint32_t source = 0;
    begin(self, (struct fetch_range){0, 0}, &plan);
    (void)take_grants(self);
    CU_ASSERT_EQUAL(deliver_list(self, 0, false), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(self, 1, 10, false), STATUS_OK);
    for (uint32_t i = 20; i < 30; i++) {
        CU_ASSERT_EQUAL(deliver(self, 2, i, false), STATUS_OK);
    }
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT_FALSE(fetch_judge(self->fetch, self->now_ms, &source));
        self->now_ms += FETCH_SILENT_MS_MAX / 4;
        CU_ASSERT_EQUAL(deliver(self, 1, 10, i == 2), STATUS_OK); /* not even looked at */
    }
    self->now_ms++;
    CU_ASSERT_TRUE(fetch_judge(self->fetch, self->now_ms, &source));
    CU_ASSERT_EQUAL(source, 1);
    CU_ASSERT_EQUAL(take_grants(self), 9);
    fetch_free(self->fetch);
}

static void coordinator_that_is_back_owes_all_again_and_owners_that_are_out_stay_out(void)
{
    struct fixture *self = &fixture;
    struct fetch_plan plan = two_owners();
    begin(self, (struct fetch_range){0, 0}, &plan);
    (void)take_grants(self);
    CU_ASSERT_EQUAL(deliver_list(self, 0, false), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(self, 0, 3, false), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(self, 1, 12, true), STATUS_CORRUPT);
    CU_ASSERT_EQUAL(take_grants(self), 10);
    memset(self->asked, 0, sizeof self->asked);
    fetch_coordinator_lost(self->fetch);
    CU_ASSERT_EQUAL(take_grants(self), 29);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL(self->asked[0][i], i == 3 || (i >= 20 && i < 30) ? 0 : 1);
        CU_ASSERT_EQUAL(self->asked[1][i] + self->asked[2][i], 0);
    }
    fetch_free(self->fetch);
}

static void list_is_asked_for_again_when_the_coordinator_is_back(void)
{
    struct fixture *self = &fixture;
    struct fetch_plan plan = two_owners();
    begin(self, (struct fetch_range){0, 0}, &plan);
    (void)take_grants(self);
    fetch_coordinator_lost(self->fetch);
    (void)take_grants(self);
    CU_ASSERT_EQUAL(self->lists, 2);
    fetch_free(self->fetch);
}

/* A blob whose owners send at a pace. */
struct slow {
    struct fetch *fetch;
    uint8_t *data;
    struct blob_ref ref;
    uint32_t next[3]; /* chunk of each source */
    uint64_t began_ms;
    uint64_t now_ms;
};

static void slow_ask(struct slow *self)
{
    struct wire_grant grant;
    uint32_t source = 0;
    while (fetch_grant(self->fetch, self->now_ms, UINT64_MAX, &source, &grant)) {
    }
}

/* Owners have `each` chunks, one after the other; the coordinator has the rest. */
static void slow_begin(struct slow *self, uint32_t chunk_bytes, uint32_t chunks, uint32_t owners,
                       uint32_t each)
{
    static const struct fetch_range all = {0, 0};
    struct fetch_plan plan = {.owner_count = owners, .owners = {{0, each}, {each, each}}};
    size_t bytes = (size_t)chunk_bytes * chunks;
    *self = (struct slow){.next = {owners * each, 0, each}, .began_ms = 1000, .now_ms = 1000};
    self->data = calloc(1, bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(self->data);
    self->ref = blob_describe(BLOB_UPDATE, 7, self->data, bytes, chunk_bytes, NULL);
    CU_ASSERT_EQUAL_FATAL(fetch_new(&self->ref, &all, &plan, &self->fetch), STATUS_OK);
    slow_ask(self);
}

static void slow_end(struct slow *self)
{
    fetch_free(self->fetch);
    free(self->data);
}

/* After wait_ms the source sends its next chunk. */
static void slow_send(struct slow *self, uint32_t source, uint64_t wait_ms)
{
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    self->now_ms += wait_ms;
    CU_ASSERT_EQUAL_FATAL(
        blob_chunk(&self->ref, self->data, NULL, self->next[source]++, &header, &chunk), STATUS_OK);
    CU_ASSERT_EQUAL(
        fetch_take(self->fetch, source, &header, chunk, header.size_bytes, self->now_ms),
        STATUS_OK);
    slow_ask(self);
}

/* When source 1 is out while a chunk comes each wait_ms; 0: all chunks came before. */
static uint64_t slow_out_ms(struct slow *self, uint32_t chunks, uint64_t wait_ms)
{
    uint32_t source = 0;
    for (uint32_t i = 0; i < chunks; i++) {
        slow_send(self, 1, wait_ms);
        if (fetch_judge(self->fetch, self->now_ms, &source)) {
            CU_ASSERT_EQUAL(source, 1);
            return self->now_ms - self->began_ms;
        }
    }
    return 0;
}

enum { SLOW_CHUNK = 32 * 1024, LARGE_CHUNK = 128 * 1024 };

static void owner_that_trickles_is_out(void)
{
    struct slow slow;
    slow_begin(&slow, SLOW_CHUNK, 128, 1, 128);
    CU_ASSERT_EQUAL(slow_out_ms(&slow, 128, 500), 0); /* just enough, for a minute */
    slow_end(&slow);
    slow_begin(&slow, SLOW_CHUNK, 128, 1, 128);
    uint64_t out_ms = slow_out_ms(&slow, 128, 1000);
    CU_ASSERT_TRUE(out_ms >= 2 * FETCH_BEHIND_MS_MAX && out_ms < 2 * FETCH_BEHIND_MS_MAX + 3000);
    slow_end(&slow);
    slow_begin(&slow, SLOW_CHUNK, 128, 1, 128);
    out_ms = slow_out_ms(&slow, 128, 7900); /* never silent, never idle */
    CU_ASSERT_TRUE(out_ms > FETCH_BEHIND_MS_MAX && out_ms < FETCH_BEHIND_MS_MAX + 2 * 7900);
    slow_end(&slow);
}

/* A slow line here, or owners that many fetch from: no one of them is to blame. */
static void owners_that_are_slow_together_stay(void)
{
    struct slow slow;
    uint32_t source = 0;
    slow_begin(&slow, SLOW_CHUNK, 128, 2, 64);
    for (uint32_t i = 0; i < 64; i++) {
        slow_send(&slow, 1, 450);
        slow_send(&slow, 2, 450);
        CU_ASSERT_FALSE(fetch_judge(slow.fetch, slow.now_ms, &source));
    }
    slow_end(&slow);
}

static void owner_that_is_much_slower_than_all_before_is_out(void)
{
    for (int i = 0; i < 2; i++) {
        struct slow slow;
        slow_begin(&slow, LARGE_CHUNK, 256, 1, 128);
        for (uint32_t j = 0; j < 128; j++) {
            slow_send(&slow, 0, j % 8 == 0 ? 60 : 0); /* 16 MiB within a second */
        }
        uint64_t out_ms = slow_out_ms(&slow, 128, i == 0 ? 640 : 180);
        CU_ASSERT_TRUE(i == 0 ? out_ms > FETCH_BEHIND_MS_MAX && out_ms < 30000 : out_ms == 0);
        slow_end(&slow);
    }
}

static void damaged_list_is_asked_for_again_but_not_for_ever(void)
{
    struct fixture *self = &fixture;
    struct fetch_plan plan = two_owners();
    begin(self, (struct fetch_range){0, 0}, &plan);
    for (uint32_t i = 1; i <= 3; i++) {
        (void)take_grants(self);
        CU_ASSERT_EQUAL(self->lists, i);
        CU_ASSERT_EQUAL(deliver_list(self, 0, true), STATUS_CORRUPT);
    }
    (void)take_grants(self);
    CU_ASSERT_EQUAL(self->lists, 3);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL(deliver(self, 0, i, false), STATUS_OK);
    }
    expect_whole(self); /* by the root */
}

static void other_plan_asks_others_for_what_is_missing(void)
{
    struct fixture *self = &fixture;
    struct fetch_plan plan = two_owners();
    begin(self, (struct fetch_range){0, 0}, &plan);
    (void)take_grants(self);
    CU_ASSERT_EQUAL(deliver_list(self, 0, false), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(self, 1, 12, false), STATUS_OK);
    memset(self->asked, 0, sizeof self->asked);
    struct fetch_plan other = {.owner_count = 1, .owners = {{5, 20}}};
    fetch_restart(self->fetch, &other);
    CU_ASSERT_EQUAL(take_grants(self), CHUNKS - 1);
    CU_ASSERT_EQUAL(self->asked[1][5], 1);
    CU_ASSERT_EQUAL(self->asked[1][12], 0);
    CU_ASSERT_EQUAL(self->asked[0][25], 1);
    fetch_free(self->fetch);
}

/* Under a cap little is asked for at a time. */
static void no_more_is_asked_for_than_may_come(void)
{
    struct fixture *self = &fixture;
    static const struct fetch_plan plan = {.owner_count = 0};
    struct wire_grant grant;
    uint32_t source = 0;
    begin(self, (struct fetch_range){0, 0}, &plan);
    CU_ASSERT_TRUE(fetch_grant(self->fetch, 0, 1, &source, &grant));
    CU_ASSERT_EQUAL(grant.chunk_count, 1);
    CU_ASSERT_TRUE(fetch_grant(self->fetch, 0, 3 * CHUNK, &source, &grant));
    CU_ASSERT_EQUAL(grant.first_chunk, 1);
    CU_ASSERT_EQUAL(grant.chunk_count, 4);
    fetch_free(self->fetch);
}

static void flow_knows_what_was_handed_over_and_not_delivered(void)
{
    struct pace_flow flow = {.backlog_bytes = 0};
    pace_flow_add(&flow, 1000);
    CU_ASSERT_EQUAL(pace_flow_look(&flow, 300), 300);
    CU_ASSERT_EQUAL(flow.backlog_bytes, 700);
    CU_ASSERT_EQUAL(pace_flow_look(&flow, 300), 0);
    CU_ASSERT_EQUAL(flow.backlog_bytes, 700);
    CU_ASSERT_EQUAL(pace_flow_look(&flow, 1200), 900); /* with what the transport adds */
    CU_ASSERT_EQUAL(flow.backlog_bytes, 0);
    pace_flow_add(&flow, 5000);
    CU_ASSERT_EQUAL(pace_flow_look(&flow, 100), 100); /* another connection */
    CU_ASSERT_EQUAL(flow.backlog_bytes, 0);
    pace_flow_add(&flow, 5000);
    CU_ASSERT_EQUAL(pace_flow_look(&flow, 0), 0); /* and none */
    CU_ASSERT_EQUAL(flow.backlog_bytes, 0);
}

static void rates_are_measured_while_something_waits_and_told_once_a_second(void)
{
    static struct wire_rates rates;
    struct pace pace;
    pace_init(&pace, 0, 0, 0);
    CU_ASSERT_FALSE(pace_tell(&pace, 5000, &rates));
    const struct pace_look busy = {.delivered_bytes = 20000, .senders = 4, .receivers = 2};
    for (uint64_t now_ms = 20; now_ms <= 4000; now_ms += 20) { /* 1 MB/s up, 0.5 down */
        CU_ASSERT_TRUE(pace_look_is_due(&pace, now_ms));
        pace_came(&pace, 10000);
        pace_look(&pace, now_ms, &busy);
        CU_ASSERT_FALSE(pace_look_is_due(&pace, now_ms + 19));
    }
    CU_ASSERT_TRUE_FATAL(pace_tell(&pace, 4000, &rates));
    CU_ASSERT_TRUE(rates.up_bytes_per_s > 900000 && rates.up_bytes_per_s < 1100000);
    CU_ASSERT_TRUE(rates.down_bytes_per_s > 450000 && rates.down_bytes_per_s < 550000);
    CU_ASSERT_FALSE(pace_tell(&pace, 9000, &rates)); /* nothing new */
    const struct pace_look idle = {.delivered_bytes = 0};
    for (uint64_t now_ms = 4020; now_ms <= 60000; now_ms += 20) {
        pace_look(&pace, now_ms, &idle);
    }
    pace_look(&pace, 60020, &busy);
    pace_look(&pace, 60040, &busy);
    CU_ASSERT_TRUE(pace_tell(&pace, 61000, &rates));
    CU_ASSERT_TRUE(rates.up_bytes_per_s > 900000); /* an idle line is no slow one */
    CU_ASSERT_FALSE(pace_tell(&pace, 61500, &rates));
}

/* The last flow of four goes at the pace of whoever receives it. */
static void slow_line_of_another_is_not_taken_for_its_own(void)
{
    static struct wire_rates rates;
    struct pace pace;
    uint64_t now_ms = 20;
    pace_init(&pace, 0, 0, 0);
    for (int step = 0; step < 10; step++) {
        struct pace_look look = {.delivered_bytes = 20000, .senders = 4};
        for (uint64_t end_ms = now_ms + 2000; now_ms < end_ms; now_ms += 20) {
            pace_look(&pace, now_ms, &look);
        }
        look = (struct pace_look){.delivered_bytes = 2000, .senders = 1};
        for (uint64_t end_ms = now_ms + 8000; now_ms < end_ms; now_ms += 20) {
            pace_look(&pace, now_ms, &look);
        }
        look = (struct pace_look){.delivered_bytes = 0};
        pace_look(&pace, now_ms += 20, &look);
    }
    CU_ASSERT_TRUE_FATAL(pace_tell(&pace, now_ms, &rates));
    CU_ASSERT_TRUE(rates.up_bytes_per_s > 900000 && rates.up_bytes_per_s < 1100000);
}

static void cap_holds_over_all_that_is_sent(void)
{
    struct pace pace;
    uint64_t sent = 0;
    pace_init(&pace, 1000000, 500000, 0);
    for (uint64_t now_ms = 0; now_ms <= 10000; now_ms++) {
        while (pace_may_send(&pace, now_ms)) {
            pace_sent(&pace, 33792, now_ms);
            sent += 33792;
        }
        CU_ASSERT_TRUE(pace_wait_ms(&pace, now_ms) > 0);
    }
    CU_ASSERT_TRUE(sent > 9900000 && sent < 10200000);
    CU_ASSERT_TRUE(pace_may_ask(&pace, 10000) > 0);
    pace_asked(&pace, 1000000, 10000);
    CU_ASSERT_EQUAL(pace_may_ask(&pace, 11000), 0);
    CU_ASSERT_TRUE(pace_may_ask(&pace, 12100) > 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(chunks_come_from_their_owners_and_the_rest_from_the_coordinator),
        SUITE_TEST(without_owners_the_root_decides_and_no_list_is_asked_for),
        SUITE_TEST(own_part_is_passed_on_once_the_list_vouches_for_it),
        SUITE_TEST(owner_that_sends_a_wrong_chunk_is_out),
        SUITE_TEST(owner_that_is_silent_or_idle_is_out),
        SUITE_TEST(owner_that_repeats_a_chunk_is_silent),
        SUITE_TEST(owner_that_trickles_is_out),
        SUITE_TEST(owners_that_are_slow_together_stay),
        SUITE_TEST(owner_that_is_much_slower_than_all_before_is_out),
        SUITE_TEST(coordinator_that_is_back_owes_all_again_and_owners_that_are_out_stay_out),
        SUITE_TEST(list_is_asked_for_again_when_the_coordinator_is_back),
        SUITE_TEST(damaged_list_is_asked_for_again_but_not_for_ever),
        SUITE_TEST(other_plan_asks_others_for_what_is_missing),
        SUITE_TEST(no_more_is_asked_for_than_may_come),
        SUITE_TEST(flow_knows_what_was_handed_over_and_not_delivered),
        SUITE_TEST(rates_are_measured_while_something_waits_and_told_once_a_second),
        SUITE_TEST(slow_line_of_another_is_not_taken_for_its_own),
        SUITE_TEST(cap_holds_over_all_that_is_sent),
    };
    return suite_run("daemon_fetch", tests, sizeof tests / sizeof tests[0]);
}
