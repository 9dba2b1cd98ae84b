#include "proto/channel/door_framing.h"
#include "tests/unit/suite.h"

#include <string.h>

enum { BODY_MAX = 1000, BYTES_MAX = 4096 };

static void put_size(uint8_t *out, uint64_t size)
{
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(size >> (56 - 8 * i));
    }
}

/* A frame's header and its body of the letter a; its length. */
static size_t put_frame(uint8_t *out, uint8_t flags, size_t body_bytes)
{
    size_t header_bytes = (flags & 2) != 0 ? 9 : 2;
    out[0] = flags;
    if (header_bytes == 2) {
        out[1] = (uint8_t)body_bytes;
    } else {
        put_size(out + 1, body_bytes);
    }
    memset(out + header_bytes, 'a', body_bytes);
    return header_bytes + body_bytes;
}

static size_t put_opening(uint8_t *out)
{
    memcpy(out, door_greeting, DOOR_GREETING_BYTES);
    out[32] = 0; /* a client */
    size_t at = DOOR_GREETING_BYTES;
    at += put_frame(out + at, 4, 200);
    memcpy(out + DOOR_GREETING_BYTES + 2, "\5HELLO", 6);
    return at;
}

static void check_opening_of_a_client_any_start_is_fine(void)
{
    uint8_t bytes[DOOR_OPENING_BYTES];
    CU_ASSERT_EQUAL(put_opening(bytes), DOOR_OPENING_BYTES);
    for (size_t have = 0; have <= DOOR_OPENING_BYTES; have++) {
        CU_ASSERT_EQUAL(door_opening_check(bytes, have), STATUS_OK);
    }
}

static void check_opening_with_a_wrong_byte_is_refused_as_soon_as_it_is_there(void)
{
    /* signature, version, mechanism, as-server, and of HELLO flags, size and name */
    static const size_t places[] = {0, 9, 10, 12, 16, 31, 32, 64, 65, 66, 71};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint8_t bytes[DOOR_OPENING_BYTES];
        (void)put_opening(bytes);
        bytes[places[i]] ^= 0x20;
        CU_ASSERT_EQUAL(door_opening_check(bytes, places[i]), STATUS_OK);
        CU_ASSERT_EQUAL(door_opening_check(bytes, places[i] + 1), STATUS_PROTOCOL);
        CU_ASSERT_EQUAL(door_opening_check(bytes, sizeof bytes), STATUS_PROTOCOL);
    }
}

static void read_frames_in_any_pieces_costs_the_same(void)
{
    uint8_t bytes[BYTES_MAX];
    size_t size = put_frame(bytes, 0, 33);
    size += put_frame(bytes + size, 0, 255);
    size += put_frame(bytes + size, 2, 256);
    size += put_frame(bytes + size, 3, BODY_MAX);
    size += put_frame(bytes + size, 4, 40);
    for (size_t piece = 1; piece <= size; piece += piece < 20 ? 1 : 37) {
        struct door_framing framing = {0};
        uint64_t cost = 0;
        uint64_t begun = 0;
        for (size_t at = 0; at < size; at += piece) {
            struct door_frames frames;
            size_t here = size - at < piece ? size - at : piece;
            CU_ASSERT_EQUAL_FATAL(door_framing_read(&framing, bytes + at, here, BODY_MAX, &frames),
                                  STATUS_OK);
            cost += frames.cost_bytes;
            begun += frames.begun;
        }
        CU_ASSERT_EQUAL(begun, 5);
        CU_ASSERT_EQUAL(cost, size + 5 * DOOR_FRAME_COST);
        CU_ASSERT_FALSE(framing.inside);
    }
}

/* A message with 33 bytes and this number. */
static size_t put_numbered(uint8_t *out, uint64_t number)
{
    size_t size = put_frame(out, 0, DOOR_FRAME_MIN);
    memcpy(out + 2, "\7MESSAGE", 8);
    put_size(out + 10, number);
    return size;
}

static void read_messages_out_of_number_are_refused_in_any_pieces(void)
{
    static const struct {
        uint64_t numbers[3];
        enum status status;
    } cases[] = {
        {{3, 4, 5}, STATUS_OK},       {{3, 4, 4}, STATUS_PROTOCOL},
        {{3, 5, 4}, STATUS_PROTOCOL}, {{3, 4, 6}, STATUS_PROTOCOL},
        {{4, 5, 6}, STATUS_PROTOCOL}, {{3, 4, 3}, STATUS_PROTOCOL},
        {{1, 2, 3}, STATUS_PROTOCOL}, {{3, 4, 5 + (UINT64_C(1) << 32U)}, STATUS_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[BYTES_MAX];
        size_t size = 0;
        for (size_t j = 0; j < 3; j++) {
            size += put_numbered(bytes + size, cases[i].numbers[j]);
        }
        for (size_t piece = 1; piece <= size; piece++) {
            struct door_framing framing = {.counts = true};
            enum status status = STATUS_OK;
            for (size_t at = 0; at < size && status == STATUS_OK; at += piece) {
                struct door_frames frames;
                size_t here = size - at < piece ? size - at : piece;
                status = door_framing_read(&framing, bytes + at, here, BODY_MAX, &frames);
            }
            CU_ASSERT_EQUAL(status, cases[i].status);
        }
    }
}

static void read_message_of_another_name_is_refused(void)
{
    uint8_t bytes[BYTES_MAX];
    struct door_framing framing = {.counts = true};
    struct door_frames frames;
    size_t size = put_numbered(bytes, 3);
    bytes[4] ^= 1;
    CU_ASSERT_EQUAL(door_framing_read(&framing, bytes, size, BODY_MAX, &frames), STATUS_PROTOCOL);
}

static void read_bad_frame_is_refused_before_its_body(void)
{
    static const struct {
        uint64_t body_bytes;
        enum status status;
        uint8_t flags;
    } cases[] = {
        {BODY_MAX, STATUS_OK, 2},
        {BODY_MAX + 1, STATUS_OUT_OF_RANGE, 2},
        {UINT64_MAX, STATUS_OUT_OF_RANGE, 2},
        {UINT64_C(1) << 63U, STATUS_OUT_OF_RANGE, 2},
        {32, STATUS_PROTOCOL, 2},
        {32, STATUS_PROTOCOL, 0},
        {0, STATUS_PROTOCOL, 0},
        {33, STATUS_OK, 0},
        {33, STATUS_PROTOCOL, 8},
        {33, STATUS_PROTOCOL, 0x80},
        {33, STATUS_PROTOCOL, 0xff},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t header[9] = {cases[i].flags, (uint8_t)cases[i].body_bytes};
        size_t size = 2;
        if ((cases[i].flags & 2) != 0) {
            put_size(header + 1, cases[i].body_bytes);
            size = 9;
        }
        struct door_framing framing = {0};
        struct door_frames frames;
        CU_ASSERT_EQUAL(door_framing_read(&framing, header, size, BODY_MAX, &frames),
                        cases[i].status);
    }
}

static void frame_bytes_are_those_of_curve(void)
{
    CU_ASSERT_EQUAL(door_frame_bytes(0), 2 + 33);
    CU_ASSERT_EQUAL(door_frame_bytes(222), 2 + 255);
    CU_ASSERT_EQUAL(door_frame_bytes(223), 9 + 256);
    CU_ASSERT_EQUAL(door_frame_bytes(1048576), 9 + 1048609);
}

static void read_command_in_pieces_is_known_by_its_name(void)
{
    uint8_t bytes[BYTES_MAX];
    size_t size = put_frame(bytes, 6, 300);
    memcpy(bytes + 9, "\x08INITIATE", 9);
    for (size_t piece = 1; piece <= size; piece++) {
        struct door_command command = {0};
        for (size_t at = 0; at < size; at += piece) {
            size_t used = 0;
            size_t here = size - at < piece ? size - at : piece;
            CU_ASSERT_FALSE(door_command_whole(&command));
            CU_ASSERT_EQUAL(door_command_read(&command, bytes + at, here, BODY_MAX, &used),
                            STATUS_OK);
            CU_ASSERT_EQUAL(used, here);
        }
        CU_ASSERT_TRUE(door_command_is(&command, "INITIATE"));
        CU_ASSERT_FALSE(door_command_is(&command, "INITIAT"));
        CU_ASSERT_FALSE(door_command_is(&command, "READY"));
        CU_ASSERT_EQUAL(command.total_bytes, 309);
    }
}

static void read_command_stops_at_its_end(void)
{
    uint8_t bytes[BYTES_MAX];
    size_t size = put_frame(bytes, 4, 30);
    memcpy(bytes + 2, "\5READY", 6);
    struct door_command command = {0};
    size_t used = 0;
    CU_ASSERT_EQUAL(door_command_read(&command, bytes, sizeof bytes, BODY_MAX, &used), STATUS_OK);
    CU_ASSERT_EQUAL(used, size);
    CU_ASSERT_TRUE(door_command_is(&command, "READY"));
}

static void read_command_that_is_none_is_refused(void)
{
    uint8_t bytes[BYTES_MAX];
    size_t used = 0;
    size_t size = put_frame(bytes, 0, 100); /* a message */
    struct door_command message = {0};
    CU_ASSERT_EQUAL(door_command_read(&message, bytes, size, BODY_MAX, &used), STATUS_PROTOCOL);
    size = put_frame(bytes, 6, BODY_MAX + 1);
    struct door_command large = {0};
    CU_ASSERT_EQUAL(door_command_read(&large, bytes, size, BODY_MAX, &used), STATUS_OUT_OF_RANGE);
    size = put_frame(bytes, 4, 5);
    struct door_command small = {0};
    CU_ASSERT_EQUAL(door_command_read(&small, bytes, size, BODY_MAX, &used), STATUS_PROTOCOL);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(check_opening_of_a_client_any_start_is_fine),
        SUITE_TEST(check_opening_with_a_wrong_byte_is_refused_as_soon_as_it_is_there),
        SUITE_TEST(read_frames_in_any_pieces_costs_the_same),
        SUITE_TEST(read_messages_out_of_number_are_refused_in_any_pieces),
        SUITE_TEST(read_message_of_another_name_is_refused),
        SUITE_TEST(read_bad_frame_is_refused_before_its_body),
        SUITE_TEST(frame_bytes_are_those_of_curve),
        SUITE_TEST(read_command_in_pieces_is_known_by_its_name),
        SUITE_TEST(read_command_stops_at_its_end),
        SUITE_TEST(read_command_that_is_none_is_refused),
    };
    return suite_run("door_framing", tests, sizeof tests / sizeof tests[0]);
}
