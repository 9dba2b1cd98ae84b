#include "tests/unit/wire_samples.h"

/* Each case changes one thing about a valid message and says whether it may pass. */
#define EXPECT(type, expected, field, ...)                                                         \
    do {                                                                                           \
        struct wire_message message = make_valid(type);                                            \
        message.as.field = __VA_ARGS__;                                                            \
        CU_ASSERT_EQUAL(travel(&message), expected);                                               \
    } while (0)

#define GOOD(type, field, ...) EXPECT(type, STATUS_OK, field, __VA_ARGS__)
#define BAD(type, field, ...) EXPECT(type, STATUS_PROTOCOL, field, __VA_ARGS__)

static void route_arrives_in_its_places(void)
{
    struct wire_message message = make_valid(WIRE_ROUTE);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    const struct wire_route *route = &decoded.as.route;
    CU_ASSERT_EQUAL(route->plan_id, UINT64_MAX - 9);
    CU_ASSERT_EQUAL(route->codec, CODEC_MX8);
    CU_ASSERT_TRUE(route->computes);
    CU_ASSERT_EQUAL_FATAL(route->owner_count, 3);
    CU_ASSERT_EQUAL(route->owners[2].public_key[31], 0x32);
    CU_ASSERT_STRING_EQUAL(route->owners[0].address, "owner-0.example.org:7700");
    CU_ASSERT_STRING_EQUAL(route->owners[2].address, "owner-2.example.org:7702");
    CU_ASSERT_EQUAL(route->owners[2].first_chunk, 14);
    CU_ASSERT_EQUAL(route->owners[2].chunk_count, 7);
    CU_ASSERT_EQUAL(route->pass[TICKET_BYTES - 1], 0x70);
    message.as.route.owner_count = 0;
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.route.owner_count, 0);
}

static void other_messages_arrive_in_their_places(void)
{
    struct wire_message message = make_valid(WIRE_DELIVER);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.deliver.blob_id, 11);
    CU_ASSERT_EQUAL(decoded.as.deliver.plan_id, 12);
    CU_ASSERT_EQUAL(decoded.as.deliver.ticket[TICKET_BYTES - 1], 0xd1);
    message = make_valid(WIRE_OPEN);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.open.blob_id, UINT64_MAX);
    CU_ASSERT_EQUAL(decoded.as.open.ticket[0], 0xd2);
    message = make_valid(WIRE_SET);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    const struct wire_set *set = &decoded.as.set;
    CU_ASSERT_EQUAL(set->step, 21);
    CU_ASSERT_EQUAL(set->epoch, 22);
    CU_ASSERT_EQUAL(set->plan_id, 23);
    CU_ASSERT_EQUAL(set->first_chunk, BLOB_CHUNKS_MAX - 24);
    CU_ASSERT_EQUAL(set->chunk_count, 24);
    CU_ASSERT_EQUAL(set->step_tokens, WIRE_TOKENS_MAX);
    CU_ASSERT_EQUAL(set->serial_count, WIRE_SET_MAX);
    message = make_valid(WIRE_HOLDS);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.holds.step, 31);
    CU_ASSERT_EQUAL(decoded.as.holds.epoch, 32);
    CU_ASSERT_EQUAL(decoded.as.holds.parts_held, UINT64_MAX);
    CU_ASSERT_EQUAL(decoded.as.holds.parts_missing, 33);
    CU_ASSERT_EQUAL(decoded.as.holds.sums_ready, BLOB_CHUNKS_MAX);
    CU_ASSERT_EQUAL(decoded.as.holds.bad_serial, UINT64_MAX - 34);
    CU_ASSERT_EQUAL(decoded.as.holds.bad_chunk, BLOB_CHUNKS_MAX - 1);
    CU_ASSERT_EQUAL(decoded.as.holds.lacking_count, WIRE_SET_MAX);
    CU_ASSERT_EQUAL(decoded.as.holds.lacking_serial, UINT64_MAX - 35);
    message = make_valid(WIRE_RATES);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.rates.up_bytes_per_s, WIRE_RATE_MAX);
    CU_ASSERT_EQUAL(decoded.as.rates.down_bytes_per_s, 0);
    CU_ASSERT_EQUAL_FATAL(decoded.as.rates.count, 2);
    CU_ASSERT_EQUAL(decoded.as.rates.items[1].public_key[0], 0x41);
    CU_ASSERT_EQUAL(decoded.as.rates.items[1].bytes_per_s, WIRE_RATE_MAX - 1);
    message = make_valid(WIRE_PROBE);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.probe.nonce, UINT64_MAX - 1);
    CU_ASSERT_TRUE(decoded.as.probe.answer);
}

static void values_at_and_beyond_their_limits(void)
{
    BAD(WIRE_ROUTE, route.codec, (enum codec)0);
    GOOD(WIRE_ROUTE, route.computes, false);
    GOOD(WIRE_ROUTE, route.owners[0].chunk_count, 7); /* touches the next */
    BAD(WIRE_ROUTE, route.owners[0].chunk_count, 8);  /* overlaps */
    BAD(WIRE_ROUTE, route.owners[1].first_chunk, 4);
    BAD(WIRE_ROUTE, route.owners[1].first_chunk, 100); /* not sorted */
    GOOD(WIRE_ROUTE, route.owners[2].first_chunk, BLOB_CHUNKS_MAX - 7);
    BAD(WIRE_SET, set.step_tokens, 0);
    BAD(WIRE_SET, set.step_tokens, WIRE_TOKENS_MAX + 1);
    BAD(WIRE_SET, set.chunk_count, 0);
    BAD(WIRE_SET, set.chunk_count, 25);
    BAD(WIRE_SET, set.first_chunk, UINT32_MAX);
    GOOD(WIRE_SET, set.serial_count, 0);
    BAD(WIRE_HOLDS, holds.sums_ready, BLOB_CHUNKS_MAX + 1);
    BAD(WIRE_HOLDS, holds.bad_chunk, BLOB_CHUNKS_MAX);
    BAD(WIRE_HOLDS, holds.lacking_count, WIRE_SET_MAX + 1);
    BAD(WIRE_RATES, rates.up_bytes_per_s, WIRE_RATE_MAX + 1);
    BAD(WIRE_RATES, rates.down_bytes_per_s, WIRE_RATE_MAX + 1);
    BAD(WIRE_RATES, rates.items[0].bytes_per_s, WIRE_RATE_MAX + 1);
    GOOD(WIRE_RATES, rates.count, 0);
    GOOD(WIRE_PROBE, probe.answer, false);
}

static enum status travel_owner(const char *address)
{
    struct wire_message message = make_valid(WIRE_ROUTE);
    struct wire_owner *owner = &message.as.route.owners[1];
    (void)snprintf(owner->address, sizeof owner->address, "%s", address);
    return travel(&message);
}

static enum status travel_bulk(const char *address, bool aggregates)
{
    struct wire_message message = make_valid(WIRE_HELLO);
    struct wire_hello *hello = &message.as.hello;
    (void)snprintf(hello->bulk_address, sizeof hello->bulk_address, "%s", address);
    hello->aggregates = aggregates;
    return travel(&message);
}

static void addresses_are_host_and_port_or_a_port(void)
{
    static const char *const good[] = {"a:1", "192.0.2.7:65535", "[::1]:7700", ":1", ":7701"};
    static const char *const bad[] = {"",      ":",         "a:",      "a",      "a:0",
                                      ":0",    ":65536",    "a b:1",   "a:1\n",  "a\nb:1",
                                      "::1:2", "[::1:7700", "x\x7f:1", "\":1",   ":-1",
                                      "a:1/",  ":+1",       ": 1",     "a:1:2x", "\xc3\xb8:1"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CU_ASSERT_EQUAL(travel_owner(good[i]), STATUS_OK);
        CU_ASSERT_EQUAL(travel_bulk(good[i], true), STATUS_OK);
        CU_ASSERT_STRING_EQUAL(decoded.as.hello.bulk_address, good[i]);
        CU_ASSERT_EQUAL(travel_bulk(good[i], false), STATUS_PROTOCOL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_EQUAL(travel_owner(bad[i]), STATUS_PROTOCOL);
        CU_ASSERT_EQUAL(travel_bulk(bad[i], true), STATUS_PROTOCOL);
    }
    CU_ASSERT_EQUAL(travel_bulk("", false), STATUS_OK);
    char longest[WIRE_ADDRESS_MAX];
    memset(longest, 'h', sizeof longest);
    memcpy(longest + sizeof longest - 6, ":7700", 6);
    CU_ASSERT_EQUAL(travel_owner(longest), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(decoded.as.route.owners[1].address, longest);
}

/* As large as each can be: a head holds it, and decoding stays within the budget. */
static void largest_routes_and_rates_fit_a_head(void)
{
    static uint8_t head[HEAD_MAX];
    size_t size_bytes = 0;
    size_t used_bytes = 0;
    struct wire_message message = make_valid(WIRE_ROUTE);
    fill_route(&message.as.route, WIRE_OWNERS_MAX);
    for (size_t i = 0; i < WIRE_OWNERS_MAX; i++) {
        struct wire_owner *owner = &message.as.route.owners[i];
        memset(owner->address, 'h', sizeof owner->address);
        memcpy(owner->address + sizeof owner->address - 7, ":65535", 7);
        owner->first_chunk = (uint32_t)(BLOB_CHUNKS_MAX - (WIRE_OWNERS_MAX - i) * 2048);
        owner->chunk_count = 2048;
    }
    CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
    CU_ASSERT_TRUE(size_bytes > 40000 && size_bytes < HEAD_MAX);
    CU_ASSERT_EQUAL_FATAL(wire_decode_measured(head, size_bytes, &decoded, &used_bytes), STATUS_OK);
    CU_ASSERT_TRUE(same(&message, &decoded));
    CU_ASSERT_TRUE(used_bytes > 40000 && used_bytes <= 4 * size_bytes + 16384);
    (void)printf("[route %zu bytes, %zu used] ", size_bytes, used_bytes);
    message = make_valid(WIRE_RATES);
    fill_rates(&message.as.rates, WIRE_RATES_MAX);
    CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(wire_decode_measured(head, size_bytes, &decoded, &used_bytes), STATUS_OK);
    CU_ASSERT_TRUE(same(&message, &decoded));
    CU_ASSERT_TRUE(used_bytes <= 4 * size_bytes + 16384);
}

/* protobuf bytes by hand, for columns of different lengths. */
struct craft {
    uint8_t bytes[HEAD_MAX];
    size_t size_bytes;
};

static void craft_field(struct craft *self, unsigned field, const void *data, size_t size_bytes)
{
    self->bytes[self->size_bytes++] = (uint8_t)(field << 3U | 2U);
    size_t left = size_bytes;
    for (; left >= 0x80; left >>= 7U) {
        self->bytes[self->size_bytes++] = (uint8_t)(left | 0x80U);
    }
    self->bytes[self->size_bytes++] = (uint8_t)left;
    memcpy(self->bytes + self->size_bytes, data, size_bytes);
    self->size_bytes += size_bytes;
}

/* A route with this many of each. */
static enum status decode_route(size_t keys_bytes, const char *addresses, size_t firsts,
                                size_t counts)
{
    static struct craft craft;
    static uint8_t zeros[(WIRE_OWNERS_MAX + 1) * IDENTITY_KEY_BYTES];
    uint8_t ones[2 * WIRE_OWNERS_MAX];
    uint8_t numbers[2 * (WIRE_OWNERS_MAX + 1)];
    memset(ones, 1, sizeof ones);
    for (size_t i = 0; i < firsts; i++) {
        numbers[2 * i] = (uint8_t)(0x80U | (2 * i & 0x7fU));
        numbers[2 * i + 1] = (uint8_t)(2 * i >> 7U);
    }
    craft.size_bytes = 0;
    craft.bytes[craft.size_bytes++] = WIRE_ROUTE;
    craft.bytes[craft.size_bytes++] = 2U << 3U;
    craft.bytes[craft.size_bytes++] = CODEC_FP32;
    craft_field(&craft, 4, zeros, keys_bytes);
    craft_field(&craft, 5, addresses, strlen(addresses));
    craft_field(&craft, 6, numbers, 2 * firsts);
    craft_field(&craft, 7, ones, counts);
    craft_field(&craft, 8, zeros, TICKET_BYTES);
    return wire_decode(craft.bytes, craft.size_bytes, &decoded);
}

static void columns_of_a_route_pair_up(void)
{
    static char many[4 * (WIRE_OWNERS_MAX + 1)];
    CU_ASSERT_EQUAL(decode_route(0, "", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(decode_route(64, "a:1\n:2", 2, 2), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(decoded.as.route.owners[0].address, "a:1");
    CU_ASSERT_STRING_EQUAL(decoded.as.route.owners[1].address, ":2");
    CU_ASSERT_EQUAL(decode_route(0, "a:1", 0, 0), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(32, "", 0, 0), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(63, "a:1\n:2", 2, 2), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(96, "a:1\n:2", 2, 2), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(64, "a:1", 2, 2), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(64, "a:1\n:2\n", 2, 2), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(64, "a:1\n:2\n:3", 2, 2), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(64, "a:1\n\n", 2, 2), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(64, "a:1\n:2", 1, 2), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_route(64, "a:1\n:2", 2, 1), STATUS_PROTOCOL);
    size_t length = 0;
    for (size_t i = 0; i < WIRE_OWNERS_MAX; i++) {
        length += (size_t)snprintf(many + length, sizeof many - length, "%s:1", i > 0 ? "\n" : "");
    }
    CU_ASSERT_EQUAL(decode_route((size_t)WIRE_OWNERS_MAX * IDENTITY_KEY_BYTES, many,
                                 WIRE_OWNERS_MAX, WIRE_OWNERS_MAX),
                    STATUS_OK);
    memcpy(many + length, "\n:1", 4);
    CU_ASSERT_EQUAL(decode_route((size_t)(WIRE_OWNERS_MAX + 1) * IDENTITY_KEY_BYTES, many,
                                 WIRE_OWNERS_MAX + 1, WIRE_OWNERS_MAX + 1),
                    STATUS_PROTOCOL);
}

static void serials_of_a_set_travel_in_the_body(void)
{
    static uint64_t serials[WIRE_SET_MAX];
    static uint64_t back[WIRE_SET_MAX];
    static uint8_t body[8 * WIRE_SET_MAX + 8];
    struct wire_set set = {.serial_count = WIRE_SET_MAX};
    for (size_t i = 0; i < WIRE_SET_MAX; i++) {
        serials[i] = (UINT64_C(5) << 32) + 3 * i;
    }
    serials[WIRE_SET_MAX - 1] = UINT64_MAX;
    wire_serials_write(serials, WIRE_SET_MAX, body);
    CU_ASSERT_EQUAL(body[4], 5); /* little-endian */
    CU_ASSERT_EQUAL(wire_serials_read(&set, body, 8 * WIRE_SET_MAX, back), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(back, serials, sizeof back), 0);
    CU_ASSERT_EQUAL(wire_serials_read(&set, body, 8 * WIRE_SET_MAX - 1, back), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(wire_serials_read(&set, body, sizeof body, back), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(wire_serials_read(&set, NULL, 0, back), STATUS_PROTOCOL);
    set.serial_count = 0;
    CU_ASSERT_EQUAL(wire_serials_read(&set, NULL, 0, back), STATUS_OK);
    CU_ASSERT_EQUAL(wire_serials_read(&set, body, 8, back), STATUS_PROTOCOL);
    set.serial_count = 2;
    memcpy(body + 8, body, 8); /* twice the same */
    CU_ASSERT_EQUAL(wire_serials_read(&set, body, 16, back), STATUS_PROTOCOL);
    body[8]++;
    CU_ASSERT_EQUAL(wire_serials_read(&set, body, 16, back), STATUS_OK);
    body[0] += 2;
    CU_ASSERT_EQUAL(wire_serials_read(&set, body, 16, back), STATUS_PROTOCOL);
    memset(body, 0, 8); /* a serial is never 0 */
    CU_ASSERT_EQUAL(wire_serials_read(&set, body, 16, back), STATUS_PROTOCOL);
}

static void every_type_has_a_name_of_its_own(void)
{
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        CU_ASSERT_STRING_NOT_EQUAL(wire_type_name((enum wire_type)type), "unknown");
        for (int other = WIRE_HELLO; other < type; other++) {
            CU_ASSERT_STRING_NOT_EQUAL(wire_type_name((enum wire_type)type),
                                       wire_type_name((enum wire_type)other));
        }
    }
    CU_ASSERT_STRING_EQUAL(wire_type_name(WIRE_TYPE_END), "unknown");
    CU_ASSERT_STRING_EQUAL(wire_type_name((enum wire_type)0), "unknown");
    CU_ASSERT_STRING_EQUAL(wire_type_name(WIRE_PROBE), "probe");
    CU_ASSERT_EQUAL(WIRE_ROUTE, 20); /* numbers on the wire */
    CU_ASSERT_EQUAL(WIRE_PROBE, 26);
    CU_ASSERT_TRUE(sizeof(struct wire_message) < 48000);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(route_arrives_in_its_places),
        SUITE_TEST(other_messages_arrive_in_their_places),
        SUITE_TEST(values_at_and_beyond_their_limits),
        SUITE_TEST(addresses_are_host_and_port_or_a_port),
        SUITE_TEST(largest_routes_and_rates_fit_a_head),
        SUITE_TEST(columns_of_a_route_pair_up),
        SUITE_TEST(serials_of_a_set_travel_in_the_body),
        SUITE_TEST(every_type_has_a_name_of_its_own),
    };
    return suite_run("wire_owners", tests, sizeof tests / sizeof tests[0]);
}
