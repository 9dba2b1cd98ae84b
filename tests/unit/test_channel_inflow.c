#include "proto/channel/channel_inflow.h"
#include "tests/unit/suite.h"

enum { HEAD = 100, BODY = 1000, MESSAGE = (2 + 33 + HEAD) + (9 + 33 + BODY), MS = 1000 };

static void messages_that_are_taken_leave_nothing(void)
{
    struct channel_inflow self = {0};
    uint64_t read_bytes = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        read_bytes += MESSAGE;
        channel_inflow_take(&self, HEAD, BODY);
    }
    CU_ASSERT_EQUAL(channel_inflow_message_bytes(HEAD, BODY), MESSAGE);
    CU_ASSERT_EQUAL(self.taken_bytes, read_bytes);
    CU_ASSERT_FALSE(
        channel_inflow_exceeds(&self, read_bytes + CHANNEL_INFLOW_FREE_BYTES, MESSAGE, 0, MS));
    CU_ASSERT_TRUE(
        channel_inflow_exceeds(&self, read_bytes + CHANNEL_INFLOW_FREE_BYTES + 1, MESSAGE, 0, MS));
}

static void messages_under_way_are_waited_for(void)
{
    struct channel_inflow self = {0};
    uint64_t most = CHANNEL_INFLOW_FREE_BYTES + 3 * MESSAGE;
    CU_ASSERT_FALSE(channel_inflow_exceeds(&self, most, MESSAGE, 3, MS));
    CU_ASSERT_TRUE(channel_inflow_exceeds(&self, most + 1, MESSAGE, 3, MS));
}

static void frames_at_the_border_of_sizes_are_counted_right(void)
{
    struct channel_inflow self = {0};
    channel_inflow_take(&self, 222, 223); /* sealed: 255 and 256 */
    CU_ASSERT_EQUAL(self.taken_bytes, 2 + 255 + 9 + 256);
}

static void heartbeats_of_a_year_are_forgiven(void)
{
    struct channel_inflow self = {0};
    uint64_t read_bytes = 0;
    bool exceeds = false;
    for (uint64_t s = 1; s < UINT64_C(365) * 24 * 3600; s += 10) {
        read_bytes += 90; /* a PING and a PONG */
        exceeds = exceeds || channel_inflow_exceeds(&self, read_bytes, MESSAGE, 0, s * MS);
    }
    CU_ASSERT_FALSE(exceeds);
    uint64_t now_ms = UINT64_C(365) * 24 * 3600 * MS;
    read_bytes += CHANNEL_INFLOW_FREE_BYTES + MS; /* and no more for that: nothing is saved up */
    CU_ASSERT_TRUE(channel_inflow_exceeds(&self, read_bytes, MESSAGE, 0, now_ms));
}

static void bytes_that_drip_are_too_many_in_the_end(void)
{
    struct channel_inflow self = {0};
    uint64_t s = 1;
    while (!channel_inflow_exceeds(&self, 1000 * s, MESSAGE, 0, s * MS)) {
        CU_ASSERT_TRUE_FATAL(s < 100);
        s++;
    }
    CU_ASSERT_TRUE(s > 60);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(messages_that_are_taken_leave_nothing),
        SUITE_TEST(messages_under_way_are_waited_for),
        SUITE_TEST(frames_at_the_border_of_sizes_are_counted_right),
        SUITE_TEST(heartbeats_of_a_year_are_forgiven),
        SUITE_TEST(bytes_that_drip_are_too_many_in_the_end),
    };
    return suite_run("channel_inflow", tests, sizeof tests / sizeof tests[0]);
}
