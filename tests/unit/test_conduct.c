#include "coordinator/server/conduct.h"
#include "tests/unit/suite.h"

#include <string.h>

static struct conduct *conduct;
static uint64_t now_ms;

static void begin(void)
{
    now_ms = 1000000;
    CU_ASSERT_EQUAL_FATAL(conduct_new(42, &conduct), STATUS_OK);
}

static void end(void)
{
    conduct_free(conduct);
}

static const uint8_t *key_of(uint32_t number)
{
    static uint8_t keys[2][IDENTITY_KEY_BYTES];
    static unsigned next;
    uint8_t *key = keys[next++ % 2];
    memset(key, 0, IDENTITY_KEY_BYTES);
    memcpy(key, &number, sizeof number);
    return key;
}

static enum conduct_verdict offend(uint32_t number, enum conduct_offence offence)
{
    return conduct_offend(conduct, key_of(number), offence, now_ms);
}

static void grave_offence_is_cut_at_once(void)
{
    static const enum conduct_offence grave[] = {CONDUCT_FORBIDDEN, CONDUCT_STALLED,
                                                 CONDUCT_UNASKED};
    begin();
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_FALSE(conduct_is_out(conduct, key_of(i), now_ms));
        CU_ASSERT_EQUAL(offend(i, grave[i]), CONDUCT_CUT);
        CU_ASSERT_TRUE(conduct_is_out(conduct, key_of(i), now_ms));
    }
    CU_ASSERT_FALSE(conduct_is_out(conduct, key_of(9), now_ms)); /* nobody else */
    end();
}

static uint32_t count_until_cut(uint32_t number, enum conduct_offence offence, uint64_t every_ms)
{
    for (uint32_t count = 1; count < 10000; count++) {
        if (offend(number, offence) != CONDUCT_FINE) {
            return count;
        }
        now_ms += every_ms;
    }
    return 0;
}

static void small_offences_add_up_when_they_come_fast(void)
{
    begin();
    CU_ASSERT_EQUAL(count_until_cut(1, CONDUCT_WRONG_BYTES, 0), 3);
    CU_ASSERT_EQUAL(count_until_cut(2, CONDUCT_REFUSED_WORK, 0), 4);
    CU_ASSERT_EQUAL(count_until_cut(3, CONDUCT_FALSE_WORD, 0), 10);
    CU_ASSERT_EQUAL(count_until_cut(4, CONDUCT_TOO_OFTEN, 0), 50);
    CU_ASSERT_EQUAL(count_until_cut(5, CONDUCT_UNKNOWN_BLOB, 0), 100);
    end();
}

static void small_offences_are_forgiven_with_time(void)
{
    begin();
    CU_ASSERT_EQUAL(count_until_cut(1, CONDUCT_UNKNOWN_BLOB, 1000), 0);
    CU_ASSERT_EQUAL(count_until_cut(2, CONDUCT_FALSE_WORD, 10000), 0);
    CU_ASSERT_EQUAL(count_until_cut(3, CONDUCT_WRONG_BYTES, 34000), 0);
    CU_ASSERT_TRUE(count_until_cut(4, CONDUCT_WRONG_BYTES, 30000) > 3); /* a little too often */
    end();
}

static void time_out_doubles_with_each_cut_and_ends_in_a_bar(void)
{
    uint8_t pardoned[IDENTITY_KEY_BYTES];
    begin();
    for (uint64_t i = 0; i < CONDUCT_CUTS_MAX; i++) {
        bool last = i + 1 == CONDUCT_CUTS_MAX;
        CU_ASSERT_EQUAL(offend(1, CONDUCT_FORBIDDEN), last ? CONDUCT_BAR : CONDUCT_CUT);
        now_ms += (UINT64_C(1000) << i) - 1;
        CU_ASSERT_TRUE(conduct_is_out(conduct, key_of(1), now_ms));
        now_ms++;
        CU_ASSERT_EQUAL(conduct_is_out(conduct, key_of(1), now_ms), last);
    }
    CU_ASSERT_FALSE(conduct_next_pardon(conduct, now_ms, pardoned));
    now_ms += CONDUCT_CUTS_MS;
    CU_ASSERT_TRUE(conduct_next_pardon(conduct, now_ms, pardoned));
    CU_ASSERT_EQUAL(memcmp(pardoned, key_of(1), sizeof pardoned), 0);
    CU_ASSERT_FALSE(conduct_next_pardon(conduct, now_ms, pardoned));
    CU_ASSERT_FALSE(conduct_is_out(conduct, key_of(1), now_ms));
    CU_ASSERT_EQUAL(offend(1, CONDUCT_FORBIDDEN), CONDUCT_CUT); /* it begins anew */
    end();
}

static void cuts_that_lie_far_apart_are_no_bar(void)
{
    begin();
    for (uint64_t i = 0; i < 5 * CONDUCT_CUTS_MAX; i++) {
        CU_ASSERT_EQUAL(offend(1, CONDUCT_FORBIDDEN), CONDUCT_CUT);
        now_ms += CONDUCT_CUTS_MS / (CONDUCT_CUTS_MAX - 1) + 1;
    }
    end();
}

static uint32_t allowed_of(enum conduct_rate rate, uint32_t tries)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tries; i++) {
        count += conduct_allows(conduct, key_of(1), rate, now_ms) ? 1 : 0;
    }
    return count;
}

static void each_kind_has_its_rate(void)
{
    begin();
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_HELLO, 10000), 20);
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_CLAIM, 10000), 20);
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_OFFER, 10000), 200);
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_GRANT, 10000), 600);
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_RATES, 10000), 20);
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_ALIVE, 10000), 30);
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_OTHER, 10000), 2000);
    now_ms += 1000;
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_HELLO, 100), 2);
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_ALIVE, 100), 5);
    now_ms += UINT64_C(1) << 40;
    CU_ASSERT_EQUAL(allowed_of(CONDUCT_HELLO, 10000), 20); /* no more than that is saved up */
    CU_ASSERT_TRUE(conduct_allows(conduct, key_of(2), CONDUCT_HELLO, now_ms));
    end();
}

static void unasked_bytes_are_bounded(void)
{
    const uint64_t chunk = 1 << 20;
    begin();
    for (int i = 0; i < 32; i++) {
        CU_ASSERT_TRUE(conduct_allows_unasked(conduct, key_of(1), chunk, now_ms));
    }
    CU_ASSERT_FALSE(conduct_allows_unasked(conduct, key_of(1), chunk, now_ms));
    CU_ASSERT_FALSE(conduct_allows_unasked(conduct, key_of(2), UINT64_MAX, now_ms));
    now_ms += 1000;
    CU_ASSERT_TRUE(conduct_allows_unasked(conduct, key_of(1), chunk, now_ms));
    CU_ASSERT_FALSE(conduct_allows_unasked(conduct, key_of(1), chunk, now_ms));
    end();
}

static void wasted_work_rests_until_something_is_counted(void)
{
    begin();
    for (int i = 0; i < CONDUCT_WASTED_MAX - 1; i++) {
        CU_ASSERT_FALSE(conduct_waste(conduct, key_of(1), CONDUCT_WASTED_LEFT, now_ms));
    }
    conduct_count(conduct, key_of(1), now_ms);
    CU_ASSERT_FALSE(conduct_waste(conduct, key_of(1), CONDUCT_WASTED_HELD, now_ms));
    CU_ASSERT_FALSE(conduct_rests(conduct, key_of(1), now_ms));
    uint64_t rest_ms = CONDUCT_REST_MS_MIN;
    for (int i = 0; i < 12; i++) {
        CU_ASSERT_TRUE(conduct_waste(conduct, key_of(1), CONDUCT_WASTED_HELD, now_ms));
        CU_ASSERT_TRUE(conduct_rests(conduct, key_of(1), now_ms + rest_ms - 1));
        CU_ASSERT_FALSE(conduct_rests(conduct, key_of(1), now_ms + rest_ms));
        now_ms += rest_ms;
        rest_ms = 2 * rest_ms < CONDUCT_REST_MS_MAX ? 2 * rest_ms : (uint64_t)CONDUCT_REST_MS_MAX;
    }
    CU_ASSERT_EQUAL(rest_ms, CONDUCT_REST_MS_MAX);
    conduct_count(conduct, key_of(1), now_ms);
    CU_ASSERT_FALSE(conduct_rests(conduct, key_of(1), now_ms));
    CU_ASSERT_FALSE(conduct_waste(conduct, key_of(1), CONDUCT_WASTED_HELD, now_ms));
    end();
}

static void flood_of_keys_makes_nobody_forget_who_is_out(void)
{
    begin();
    CU_ASSERT_EQUAL(count_until_cut(1, CONDUCT_FORBIDDEN, 0), 1);
    for (int i = 1; i < 5; i++) {
        CU_ASSERT_EQUAL(offend(1, CONDUCT_FORBIDDEN), CONDUCT_CUT);
    }
    CU_ASSERT_EQUAL(offend(2, CONDUCT_FALSE_WORD), CONDUCT_FINE);
    for (uint32_t i = 10; i < 10 + 4 * CONDUCT_KEYS_MAX; i++) {
        CU_ASSERT_TRUE_FATAL(conduct_allows(conduct, key_of(i), CONDUCT_HELLO, now_ms));
    }
    CU_ASSERT_TRUE(conduct_is_out(conduct, key_of(1), now_ms));
    CU_ASSERT_EQUAL(count_until_cut(2, CONDUCT_FALSE_WORD, 0), 10); /* forgotten */
    end();
}

/* Also with a table in which everybody is out. */
static void table_full_of_punished_keys_still_works(void)
{
    uint32_t barred = 0;
    uint8_t pardoned[IDENTITY_KEY_BYTES];
    begin();
    for (uint32_t i = 0; i < CONDUCT_KEYS_MAX + 1000; i++) {
        for (int j = 0; j < CONDUCT_CUTS_MAX; j++) {
            barred += offend(i, CONDUCT_FORBIDDEN) == CONDUCT_BAR ? 1 : 0;
        }
    }
    CU_ASSERT_EQUAL(barred, CONDUCT_KEYS_MAX / 2);
    CU_ASSERT_TRUE(conduct_is_out(conduct, key_of(0), now_ms));
    now_ms += CONDUCT_CUTS_MS;
    while (conduct_next_pardon(conduct, now_ms, pardoned)) {
        CU_ASSERT_FALSE(conduct_is_out(conduct, pardoned, now_ms));
        barred--;
    }
    CU_ASSERT_EQUAL(barred, 0);
    end();
}

static void who_is_forgiven_begins_anew(void)
{
    begin();
    conduct_forgive(conduct, key_of(1)); /* whom nobody knows */
    for (int i = 0; i < CONDUCT_CUTS_MAX; i++) {
        CU_ASSERT_NOT_EQUAL(offend(1, CONDUCT_FORBIDDEN), CONDUCT_FINE);
        CU_ASSERT_NOT_EQUAL(offend(2, CONDUCT_FORBIDDEN), CONDUCT_FINE);
    }
    conduct_forgive(conduct, key_of(1));
    CU_ASSERT_FALSE(conduct_is_out(conduct, key_of(1), now_ms));
    CU_ASSERT_TRUE(conduct_is_out(conduct, key_of(2), now_ms));
    CU_ASSERT_EQUAL(offend(1, CONDUCT_FORBIDDEN), CONDUCT_CUT);
    uint8_t pardoned[IDENTITY_KEY_BYTES];
    now_ms += CONDUCT_CUTS_MS;
    CU_ASSERT_TRUE(conduct_next_pardon(conduct, now_ms, pardoned));
    CU_ASSERT_EQUAL(memcmp(pardoned, key_of(2), sizeof pardoned), 0);
    CU_ASSERT_FALSE(conduct_next_pardon(conduct, now_ms, pardoned));
    end();
}

static void every_offence_has_a_name(void)
{
    for (enum conduct_offence i = 0; i < CONDUCT_OFFENCE_END; i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(conduct_offence_name(i));
        CU_ASSERT_STRING_NOT_EQUAL(conduct_offence_name(i), "unknown");
    }
    CU_ASSERT_STRING_EQUAL(conduct_offence_name(CONDUCT_OFFENCE_END), "unknown");
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(grave_offence_is_cut_at_once),
        SUITE_TEST(small_offences_add_up_when_they_come_fast),
        SUITE_TEST(small_offences_are_forgiven_with_time),
        SUITE_TEST(time_out_doubles_with_each_cut_and_ends_in_a_bar),
        SUITE_TEST(cuts_that_lie_far_apart_are_no_bar),
        SUITE_TEST(each_kind_has_its_rate),
        SUITE_TEST(unasked_bytes_are_bounded),
        SUITE_TEST(wasted_work_rests_until_something_is_counted),
        SUITE_TEST(flood_of_keys_makes_nobody_forget_who_is_out),
        SUITE_TEST(table_full_of_punished_keys_still_works),
        SUITE_TEST(who_is_forgiven_begins_anew),
        SUITE_TEST(every_offence_has_a_name),
    };
    return suite_run("conduct", tests, sizeof tests / sizeof tests[0]);
}
