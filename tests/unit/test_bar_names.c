/* Whose barred keys are: many, more often than once, and more than may be barred. */
#include "coordinator/server/bar_names.h"
#include "proto/channel.h"
#include "tests/unit/suite.h"

#include <string.h>

struct keys {
    uint8_t curve[IDENTITY_KEY_BYTES];
    uint8_t public_key[IDENTITY_KEY_BYTES];
};

/* Not in the order of the numbers. */
static struct keys keys_of(uint32_t number)
{
    struct keys keys = {{0}, {1}};
    memcpy(keys.curve, &number, sizeof number);
    memcpy(keys.public_key + 1, &number, sizeof number);
    return keys;
}

static void put(struct bar_names *names, uint32_t number)
{
    const struct keys keys = keys_of(number);
    bar_names_put(names, keys.curve, keys.public_key);
}

static bool is_found(struct bar_names *names, uint32_t number)
{
    const struct keys keys = keys_of(number);
    const uint8_t *found = bar_names_find(names, keys.curve);
    return found != NULL && memcmp(found, keys.public_key, IDENTITY_KEY_BYTES) == 0;
}

static void find_among_many_gives_each_its_own(void)
{
    enum { COUNT = 1000 };
    struct bar_names names = {.count = 0};
    CU_ASSERT_FALSE(is_found(&names, 0));
    for (uint32_t i = 0; i < COUNT; i++) {
        put(&names, i);
        CU_ASSERT_TRUE(i % 7 != 0 || is_found(&names, i / 2));
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_TRUE(is_found(&names, i));
    }
    CU_ASSERT_FALSE(is_found(&names, COUNT));
    bar_names_deinit(&names);
    CU_ASSERT_FALSE(is_found(&names, 0));
}

static void put_of_the_same_keys_takes_no_more_room(void)
{
    enum { COUNT = 20, TIMES = 1000 };
    struct bar_names names = {.count = 0};
    for (uint32_t i = 0; i < COUNT * TIMES; i++) {
        put(&names, i % COUNT);
    }
    CU_ASSERT_TRUE(names.room < 2 * (2 * COUNT) + 64);
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_TRUE(is_found(&names, i));
    }
    CU_ASSERT_EQUAL(names.count, COUNT);
    bar_names_deinit(&names);
}

static void put_of_more_than_can_be_barred_is_bounded(void)
{
    struct bar_names names = {.count = 0};
    for (uint32_t i = 0; i < 3 * CHANNEL_BARRED_MAX; i++) {
        put(&names, i);
    }
    CU_ASSERT_TRUE(names.room <= 2 * CHANNEL_BARRED_MAX);
    for (uint32_t i = 0; i < CHANNEL_BARRED_MAX; i++) {
        CU_ASSERT_TRUE_FATAL(is_found(&names, i));
    }
    bar_names_deinit(&names);
}

int main(void)
{
    const struct suite_test tests[] = {
        SUITE_TEST(find_among_many_gives_each_its_own),
        SUITE_TEST(put_of_the_same_keys_takes_no_more_room),
        SUITE_TEST(put_of_more_than_can_be_barred_is_bounded),
    };
    return suite_run("bar_names", tests, sizeof tests / sizeof tests[0]);
}
