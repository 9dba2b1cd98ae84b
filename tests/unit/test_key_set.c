#include "proto/key_set.h"
#include "tests/unit/suite.h"

#include <string.h>

enum { KEYS = 1000 };

static void make_key(uint32_t number, uint8_t out[IDENTITY_KEY_BYTES])
{
    memset(out, 0, IDENTITY_KEY_BYTES);
    memcpy(out, &number, sizeof number);
}

static bool has(const struct key_set *set, uint32_t number)
{
    uint8_t key[IDENTITY_KEY_BYTES];
    make_key(number, key);
    return key_set_has(set, key);
}

static enum status add(struct key_set *set, uint32_t number)
{
    uint8_t key[IDENTITY_KEY_BYTES];
    make_key(number, key);
    return key_set_add(set, key);
}

static void take_out(struct key_set *set, uint32_t number)
{
    uint8_t key[IDENTITY_KEY_BYTES];
    make_key(number, key);
    key_set_remove(set, key);
}

static void set_holds_what_was_added_and_no_more_than_its_limit(void)
{
    struct key_set *set = NULL;
    CU_ASSERT_EQUAL_FATAL(key_set_new(KEYS, &set), STATUS_OK);
    for (uint32_t i = 0; i < KEYS; i++) {
        CU_ASSERT_FALSE(has(set, i));
        CU_ASSERT_EQUAL(add(set, i), STATUS_OK);
        CU_ASSERT_EQUAL(add(set, i), STATUS_OK); /* twice is once */
        CU_ASSERT_TRUE(has(set, i));
    }
    CU_ASSERT_EQUAL(key_set_count(set), KEYS);
    CU_ASSERT_EQUAL(add(set, KEYS), STATUS_FULL);
    CU_ASSERT_EQUAL(add(set, 0), STATUS_OK);
    CU_ASSERT_FALSE(has(set, KEYS));
    key_set_free(set);
}

/* Chains of keys whose homes collide stay whole, whichever of them goes. */
static void removed_keys_are_gone_and_others_are_found(void)
{
    bool inside[KEYS] = {false};
    uint32_t state = 1;
    struct key_set *set = NULL;
    CU_ASSERT_EQUAL_FATAL(key_set_new(KEYS, &set), STATUS_OK);
    for (uint32_t round = 0; round < 20 * KEYS; round++) {
        state = state * 1664525U + 1013904223U;
        uint32_t number = (state >> 8) % KEYS;
        if (inside[number]) {
            take_out(set, number);
        } else {
            CU_ASSERT_EQUAL(add(set, number), STATUS_OK);
        }
        inside[number] = !inside[number];
    }
    size_t count = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        CU_ASSERT_EQUAL(has(set, i), inside[i]);
        count += inside[i];
    }
    CU_ASSERT_EQUAL(key_set_count(set), count);
    take_out(set, KEYS); /* never was in it */
    size_t cursor = 0;
    const uint8_t *key = NULL;
    while ((key = key_set_next(set, &cursor)) != NULL) {
        uint32_t number = 0;
        memcpy(&number, key, sizeof number);
        CU_ASSERT_TRUE_FATAL(number < KEYS);
        CU_ASSERT_TRUE(inside[number]);
        inside[number] = false; /* each comes once */
        count--;
    }
    CU_ASSERT_EQUAL(count, 0);
    key_set_free(set);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(set_holds_what_was_added_and_no_more_than_its_limit),
        SUITE_TEST(removed_keys_are_gone_and_others_are_found),
    };
    return suite_run("key_set", tests, sizeof tests / sizeof tests[0]);
}
