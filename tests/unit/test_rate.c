#include "common/fault.h"
#include "proto/rate.h"
#include "tests/unit/suite.h"

#include <math.h>
#include <string.h>

enum { CHUNK_BYTES = 33792, MB = 1000000 };

/* A link as a token bucket shapes it, walked a millisecond at a time. */
struct link {
    struct rate_meter meter;
    uint64_t now_ms;
    double rate;   /* bytes/s */
    double burst;  /* bytes that go at once after a rest */
    double others; /* bytes/s that the other side can send; 0: no limit */
    double noise;  /* the rate of each 50 ms is off by up to this share */
    uint32_t seed;
    double factor;
    double tokens;
    double pending;
    double arriving;
};

static void start_link(struct link *self, double rate)
{
    *self = (struct link){.now_ms = 5000, .rate = rate, .burst = RATE_BURST_BYTES, .factor = 1.0};
    self->tokens = self->burst;
    rate_meter_init(&self->meter);
}

static void pass_ms(struct link *self)
{
    self->now_ms++;
    if (self->noise > 0.0 && self->now_ms % 50 == 0) {
        self->seed = self->seed * 1664525U + 1013904223U;
        self->factor = 1.0 + self->noise * ((double)self->seed / 2147483648.0 - 1.0);
    }
    double fresh = self->rate * self->factor / 1000.0;
    self->tokens = fmin(self->tokens + fresh, fmax(self->burst, fresh));
}

static void rest(struct link *self, uint64_t duration_ms)
{
    for (uint64_t i = 0; i < duration_ms; i++) {
        pass_ms(self);
    }
}

/* One transfer in chunks; its duration in milliseconds. */
static uint64_t transfer(struct link *self, double bytes)
{
    uint64_t began_ms = self->now_ms;
    double arrived = 0.0;
    rate_meter_add(&self->meter, 0, self->now_ms, false);
    self->pending = 0.0;
    self->arriving = 0.0;
    while (arrived < bytes) {
        pass_ms(self);
        self->pending += self->others > 0.0 ? self->others / 1000.0 : bytes;
        double moved = fmin(self->tokens, fmin(self->pending, bytes - arrived - self->arriving));
        self->tokens -= moved;
        self->pending -= moved;
        self->arriving += moved;
        double left = bytes - arrived;
        while (self->arriving >= fmin(CHUNK_BYTES, left) - 0.5 && left > 0.5) {
            double chunk = fmin(CHUNK_BYTES, left);
            self->arriving -= chunk;
            arrived += chunk;
            left = bytes - arrived;
            rate_meter_add(&self->meter, (uint64_t)chunk, self->now_ms, true);
        }
        if (left <= 0.5) {
            break;
        }
    }
    return self->now_ms - began_ms;
}

static double estimate_of(const struct link *self)
{
    return (double)rate_meter_bytes_per_s(&self->meter);
}

static void assert_near(double value, double wanted, double tolerance)
{
    bool near = fabs(value / wanted - 1.0) <= tolerance;
    CU_ASSERT(near);
    if (!near) {
        (void)printf("  %.0f instead of %.0f\n", value, wanted);
    }
}

static void measure_constant_link_finds_its_rate(void)
{
    static const double rates[] = {50e3, 0.5e6, 1e6, 5e6, 25e6, 100e6};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct link link;
        start_link(&link, rates[i]);
        for (int j = 0; j < 3; j++) {
            (void)transfer(&link, fmax(4.0 * MB, rates[i] / 3.0));
            rest(&link, 500);
        }
        assert_near(estimate_of(&link), rates[i], 0.05);
    }
}

/* A small model over a fast link: none of its transfers lasts as long as a usual window. */
static void measure_quick_transfer_is_enough(void)
{
    struct link link;
    start_link(&link, 250e6);
    (void)transfer(&link, 12e6);
    assert_near(estimate_of(&link), 250e6, 0.1);
}

static void measure_nothing_is_unknown(void)
{
    struct rate_meter meter;
    rate_meter_init(&meter);
    CU_ASSERT_EQUAL(rate_meter_bytes_per_s(&meter), 0);
    CU_ASSERT_EQUAL(rate_meter_measured_bytes(&meter), 0);
    rate_meter_add(&meter, 0, 100, false);
    rate_meter_add(&meter, 100000, 110, true);
    CU_ASSERT_EQUAL(rate_meter_bytes_per_s(&meter), 0);
    CU_ASSERT_EQUAL(rate_meter_measured_bytes(&meter), 100000);
}

/* What a shaper saved up while the link rested goes at once in each of these transfers: counted
 * as the link's own it would make half as much again. */
static void measure_short_transfers_leaves_bursts_out(void)
{
    struct link link;
    start_link(&link, 1e6);
    for (int i = 0; i < 60; i++) {
        (void)transfer(&link, 200e3);
        rest(&link, 1000);
    }
    assert_near(estimate_of(&link), 1e6, 0.1);
}

static void measure_one_surge_changes_little(void)
{
    struct link link;
    start_link(&link, 1e6);
    (void)transfer(&link, 8e6);
    double before = estimate_of(&link);
    link.rate = 50e6; /* for one window's bytes */
    (void)transfer(&link, 600e3);
    link.rate = 1e6;
    (void)transfer(&link, 2e6);
    assert_near(estimate_of(&link), before, 0.1);
}

static void measure_limited_by_the_other_side_keeps_the_estimate(void)
{
    struct link link;
    start_link(&link, 4e6);
    (void)transfer(&link, 12e6);
    link.others = 1e6;
    (void)transfer(&link, 3e6);
    assert_near(estimate_of(&link), 4e6, 0.05);
    (void)transfer(&link, 4e6);
    CU_ASSERT(estimate_of(&link) >= 0.8 * 4e6);
}

/* Every step, most of the transfers wait for slower links. */
static void measure_mostly_limited_keeps_the_estimate(void)
{
    struct link link;
    start_link(&link, 4e6);
    for (int i = 0; i < 20; i++) {
        link.others = 0.0;
        (void)transfer(&link, 4e6);
        link.others = 1e6;
        (void)transfer(&link, 4e6);
        CU_ASSERT(estimate_of(&link) >= 0.9 * 4e6);
        CU_ASSERT(estimate_of(&link) <= 1.1 * 4e6);
    }
}

/* Busy milliseconds until the estimate is within a tenth of `rate`. */
static uint64_t time_to_follow(struct link *self, double rate)
{
    uint64_t busy_ms = 0;
    self->rate = rate;
    while (fabs(estimate_of(self) / rate - 1.0) > 0.1 && busy_ms < 600000) {
        busy_ms += transfer(self, 256e3);
    }
    return busy_ms;
}

static void measure_faster_link_follows_in_seconds(void)
{
    struct link link;
    start_link(&link, 1e6);
    (void)transfer(&link, 20e6);
    uint64_t busy_ms = time_to_follow(&link, 4e6);
    (void)printf("\n  up 4x: %llu ms of busy time\n", (unsigned long long)busy_ms);
    CU_ASSERT(busy_ms <= 2000);
}

static void measure_slower_link_follows_in_half_a_minute(void)
{
    struct link link;
    start_link(&link, 4e6);
    (void)transfer(&link, 40e6);
    uint64_t busy_ms = time_to_follow(&link, 2e6);
    (void)printf("\n  down 2x: %llu ms of busy time\n", (unsigned long long)busy_ms);
    CU_ASSERT(busy_ms <= 15000);
    busy_ms = time_to_follow(&link, 0.5e6);
    (void)printf("  down 4x: %llu ms of busy time\n", (unsigned long long)busy_ms);
    CU_ASSERT(busy_ms <= 30000);
}

static void measure_noisy_link_stays_near_its_rate(void)
{
    struct link link;
    start_link(&link, 2e6);
    link.noise = 0.5;
    link.seed = 7;
    double least = 1e18;
    double most = 0.0;
    for (int i = 0; i < 40; i++) {
        (void)transfer(&link, 4e6);
        rest(&link, 300);
        if (i > 2) {
            least = fmin(least, estimate_of(&link));
            most = fmax(most, estimate_of(&link));
        }
    }
    (void)printf("\n  noise of 50%%: %.2f to %.2f of the rate\n", least / 2e6, most / 2e6);
    CU_ASSERT(least > 0.92 * 2e6);
    CU_ASSERT(most < 1.18 * 2e6);
}

static void measure_stalled_link_becomes_slow_not_unknown(void)
{
    struct rate_meter meter;
    rate_meter_init(&meter);
    uint64_t now_ms = 1;
    rate_meter_add(&meter, 0, now_ms, false);
    for (int i = 0; i < 40; i++) {
        now_ms += 3000;
        rate_meter_add(&meter, 0, now_ms, true);
    }
    CU_ASSERT_EQUAL(rate_meter_bytes_per_s(&meter), 1);
}

/* Whoever was to send is gone for a while, or the chunk that was asked for was lost. */
static void measure_silence_says_nothing_of_the_link(void)
{
    struct rate_meter meter;
    rate_meter_init(&meter);
    uint64_t now_ms = 1;
    rate_meter_add(&meter, 0, now_ms, false);
    for (int i = 0; i < 6; i++) { /* all of it is within a burst */
        rate_meter_add(&meter, 2000, now_ms += 100, true);
        rate_meter_add(&meter, 0, now_ms += 15000, true);
        CU_ASSERT_EQUAL(rate_meter_bytes_per_s(&meter), 0);
    }
    rate_meter_add(&meter, 64 * 1024, now_ms += 100, true);
    for (int i = 0; i < 10; i++) {
        rate_meter_add(&meter, MB / 10, now_ms += 100, true);
    }
    CU_ASSERT_TRUE((double)rate_meter_bytes_per_s(&meter) > 0.8 * MB);
}

static void measure_clock_running_backwards_takes_no_harm(void)
{
    struct rate_meter meter;
    rate_meter_init(&meter);
    rate_meter_add(&meter, 0, 100000, false);
    for (uint64_t i = 0; i < 200; i++) {
        rate_meter_add(&meter, 10000, 100000 - i, true);
    }
    CU_ASSERT_EQUAL(rate_meter_bytes_per_s(&meter), 0);
    for (uint64_t i = 1; i <= 30; i++) {
        rate_meter_add(&meter, 100000, 100000 + i * 100, true);
    }
    CU_ASSERT(rate_meter_bytes_per_s(&meter) <= 4 * MB);
    rate_meter_add(&meter, UINT64_MAX, UINT64_MAX, true);
    rate_meter_add(&meter, UINT64_MAX, UINT64_MAX, true);
    CU_ASSERT_EQUAL(rate_meter_measured_bytes(&meter), UINT64_MAX);
}

static void probe_unknown_link_is_believed(void)
{
    struct rate_meter meter;
    rate_meter_init(&meter);
    rate_meter_probe(&meter, RATE_BURST_BYTES, 100);
    rate_meter_probe(&meter, 1 << 20, 0);
    CU_ASSERT_EQUAL(rate_meter_bytes_per_s(&meter), 0);
    rate_meter_probe(&meter, (1 << 20) + RATE_BURST_BYTES, 1000);
    CU_ASSERT_EQUAL(rate_meter_bytes_per_s(&meter), 1 << 20);
}

/* A probe is held back by nobody else, so a slow one weighs more than slow transfers. */
static void probe_slower_link_lowers_the_estimate_at_once(void)
{
    struct link link;
    start_link(&link, 4e6);
    (void)transfer(&link, 12e6);
    double before = estimate_of(&link);
    rate_meter_probe(&link.meter, MB + RATE_BURST_BYTES, 1000);
    assert_near(estimate_of(&link), 0.5 * (before + 1e6), 0.01);
    rate_meter_probe(&link.meter, 100 * MB, 1000);
    CU_ASSERT(estimate_of(&link) < before);
}

static void compare_rates_beyond_the_factor_differ(void)
{
    CU_ASSERT(!rate_differs(0, 0, 1.2));
    CU_ASSERT(rate_differs(0, 1, 1.2));
    CU_ASSERT(rate_differs(1, 0, 1.2));
    CU_ASSERT(!rate_differs(1000, 1190, 1.2));
    CU_ASSERT(!rate_differs(1190, 1000, 1.2));
    CU_ASSERT(rate_differs(1000, 1210, 1.2));
    CU_ASSERT(rate_differs(1210, 1000, 1.2));
}

/* Lets `users` that always want to send messages of message_bytes do so for a minute, asking every
 * poll_ms; sent(users) gets their bytes. */
static uint64_t use_bucket(struct token_bucket *bucket, uint32_t users, uint64_t message_bytes,
                           uint64_t poll_ms, uint64_t *sent)
{
    uint64_t total = 0;
    for (uint64_t now_ms = 0; now_ms < 60000; now_ms += poll_ms) {
        for (uint32_t tries = 0; tries < 1000; tries++) {
            uint32_t before = (uint32_t)(total / message_bytes);
            for (uint32_t i = 0; i < users; i++) {
                if (token_bucket_ask(bucket, i, now_ms) > 0) {
                    token_bucket_take(bucket, i, message_bytes, now_ms);
                    sent[i] += message_bytes;
                    total += message_bytes;
                }
            }
            if (total / message_bytes == before) {
                break;
            }
        }
    }
    return total;
}

static void cap_long_run_keeps_the_average(void)
{
    static const uint64_t rates[] = {20000, 125000, 2500000, 100000000};
    static const uint64_t messages[] = {1000, CHUNK_BYTES, 1 << 20};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        for (size_t j = 0; j < sizeof messages / sizeof messages[0]; j++) {
            struct token_bucket bucket;
            token_bucket_init(&bucket, rates[i], 0);
            uint64_t sent = 0;
            double total = (double)use_bucket(&bucket, 1, messages[j], 7, &sent);
            double wanted = 60.0 * (double)rates[i];
            double slack = (double)messages[j] + fmax(4096.0, (double)rates[i] / 10.0);
            CU_ASSERT(total <= wanted + slack);
            CU_ASSERT(total >= 0.99 * wanted - (double)messages[j]);
        }
    }
}

static void cap_after_a_rest_bounds_the_burst(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, 1000000, 0);
    uint64_t sent = 0;
    for (uint64_t start_ms = 0; start_ms <= 3600000; start_ms += 3600000) {
        sent = 0;
        while (token_bucket_ask(&bucket, 1, start_ms) > 0) {
            token_bucket_take(&bucket, 1, 1000, start_ms);
            sent += 1000;
        }
        CU_ASSERT_EQUAL(sent, 100000);
    }
}

static void cap_overdrawn_says_when_next(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, 100000, 1000);
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 1, 1000), 10000);
    token_bucket_take(&bucket, 1, 1 << 20, 1000);
    uint64_t wait_ms = token_bucket_wait_ms(&bucket, 1000);
    CU_ASSERT(wait_ms > 10380 && wait_ms < 10400);
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 1, 1000 + wait_ms - 1), 0);
    CU_ASSERT(token_bucket_ask(&bucket, 1, 1000 + wait_ms) > 0);
    CU_ASSERT_EQUAL(token_bucket_wait_ms(&bucket, 1000 + wait_ms), 0);
}

static void cap_several_users_share_alike(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, 2500000, 0);
    uint64_t sent[7] = {0};
    uint64_t total = use_bucket(&bucket, 7, CHUNK_BYTES, 5, sent);
    for (int i = 0; i < 7; i++) {
        CU_ASSERT(sent[i] + CHUNK_BYTES >= total / 7 && sent[i] <= total / 7 + CHUNK_BYTES);
    }
}

static void cap_absent_user_does_not_hold_up_others(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, 100000, 0);
    token_bucket_take(&bucket, 9, 20000, 0);
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 1, 0), 0);
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 2, 0), 0);
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 2, 110), 0); /* free, but 1 was first */
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 2, 110 + TOKEN_PATIENCE_MS), 0);
    CU_ASSERT(token_bucket_ask(&bucket, 2, 111 + TOKEN_PATIENCE_MS) > 0);
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 1, 111 + TOKEN_PATIENCE_MS), 0);
    token_bucket_leave(&bucket, 2);
    CU_ASSERT(token_bucket_ask(&bucket, 1, 111 + TOKEN_PATIENCE_MS) > 0);
}

static void cap_more_users_than_the_line_holds_all_get_turns(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, 10000000, 0);
    uint64_t sent[3 * TOKEN_USERS_MAX] = {0};
    (void)use_bucket(&bucket, 3 * TOKEN_USERS_MAX, CHUNK_BYTES, 5, sent);
    CU_ASSERT(bucket.line_count <= TOKEN_USERS_MAX);
    uint32_t served = 0;
    for (int i = 0; i < 3 * TOKEN_USERS_MAX; i++) {
        served += sent[i] > 0 ? 1 : 0;
    }
    CU_ASSERT_EQUAL(served, 3 * TOKEN_USERS_MAX);
}

static void cap_extreme_sizes_do_not_overflow(void)
{
    struct token_bucket bucket;
    token_bucket_init(&bucket, UINT64_MAX, 5);
    for (int i = 0; i < 10000; i++) {
        token_bucket_take(&bucket, 1, UINT64_MAX, 5);
    }
    CU_ASSERT(token_bucket_wait_ms(&bucket, 5) > 0);
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 1, 4), 0);
    CU_ASSERT(token_bucket_ask(&bucket, 1, UINT64_MAX) > 0);
    token_bucket_init(&bucket, 0, 5);
    token_bucket_take(&bucket, 1, UINT64_MAX, 5);
    CU_ASSERT_EQUAL(token_bucket_ask(&bucket, 2, 5), UINT64_MAX);
    CU_ASSERT_EQUAL(token_bucket_wait_ms(&bucket, 5), 0);
}

static void read_rates_in_their_units_gives_bytes(void)
{
    static const struct {
        const char *text;
        uint64_t rate;
    } good[] = {{"20mbit", 2500000},         {"2.5MB", 2500000},      {"8kbit", 1000},
                {"1gbit", 125000000},        {"300kB/s", 300000},     {"300KB", 300000},
                {"0.5Mbit/s", 62500},        {"1.125GB", 1125000000}, {"1000GB", 1000000000000},
                {"999999mbit", 124999875000}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t rate = 0;
        CU_ASSERT_EQUAL(rate_from_text("--max-up", good[i].text, &rate), STATUS_OK);
        CU_ASSERT_EQUAL(rate, good[i].rate);
    }
}

static void read_bad_rates_is_refused_in_one_sentence(void)
{
    static const char *const bad[] = {"",
                                      "20",
                                      "mbit",
                                      "20mb",
                                      "20Mb",
                                      "20 mbit",
                                      "-1mbit",
                                      "0mbit",
                                      "1.mbit",
                                      ".5mbit",
                                      "1.2345MB",
                                      "1e3MB",
                                      "0x10MB",
                                      "nanMB",
                                      "1MBit/",
                                      "1MiB",
                                      "1001GB",
                                      "0.9kB",
                                      "1234567kbit",
                                      "1mbit/s/s",
                                      "1bit",
                                      "1MBMBMBMBMBMB",
                                      "/s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t rate = 77;
        CU_ASSERT_EQUAL(rate_from_text("--max-up", bad[i], &rate), STATUS_USAGE);
        CU_ASSERT_EQUAL(rate, 77);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--max-up"));
        CU_ASSERT_PTR_NULL(strchr(fault_text(), '\n'));
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(measure_constant_link_finds_its_rate),
        SUITE_TEST(measure_quick_transfer_is_enough),
        SUITE_TEST(measure_nothing_is_unknown),
        SUITE_TEST(measure_short_transfers_leaves_bursts_out),
        SUITE_TEST(measure_one_surge_changes_little),
        SUITE_TEST(measure_limited_by_the_other_side_keeps_the_estimate),
        SUITE_TEST(measure_mostly_limited_keeps_the_estimate),
        SUITE_TEST(measure_faster_link_follows_in_seconds),
        SUITE_TEST(measure_slower_link_follows_in_half_a_minute),
        SUITE_TEST(measure_noisy_link_stays_near_its_rate),
        SUITE_TEST(measure_stalled_link_becomes_slow_not_unknown),
        SUITE_TEST(measure_silence_says_nothing_of_the_link),
        SUITE_TEST(measure_clock_running_backwards_takes_no_harm),
        SUITE_TEST(probe_unknown_link_is_believed),
        SUITE_TEST(probe_slower_link_lowers_the_estimate_at_once),
        SUITE_TEST(compare_rates_beyond_the_factor_differ),
        SUITE_TEST(cap_long_run_keeps_the_average),
        SUITE_TEST(cap_after_a_rest_bounds_the_burst),
        SUITE_TEST(cap_overdrawn_says_when_next),
        SUITE_TEST(cap_several_users_share_alike),
        SUITE_TEST(cap_absent_user_does_not_hold_up_others),
        SUITE_TEST(cap_more_users_than_the_line_holds_all_get_turns),
        SUITE_TEST(cap_extreme_sizes_do_not_overflow),
        SUITE_TEST(read_rates_in_their_units_gives_bytes),
        SUITE_TEST(read_bad_rates_is_refused_in_one_sentence),
    };
    return suite_run("rate", tests, sizeof tests / sizeof tests[0]);
}
