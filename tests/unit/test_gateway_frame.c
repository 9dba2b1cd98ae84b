/* What the core and the gateway say to each other, and bytes that neither would. */
#include "common/random.h"
#include "coordinator/gateway/gateway_facts.h"
#include "proto/little_endian.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM_BYTES = 4 * 1024 * 1024, ROUNDS = 20000 };

static struct gateway_reader *reader_of(enum gateway_side from)
{
    struct gateway_reader *reader = NULL;
    CU_ASSERT_EQUAL_FATAL(gateway_reader_new(from, &reader), STATUS_OK);
    return reader;
}

/* A frame as bytes; the caller frees them. */
static uint8_t *bytes_of(const struct gateway_frame *frame, size_t *out_size_bytes)
{
    *out_size_bytes = GATEWAY_HEADER_BYTES + frame->head_size_bytes + frame->body_size_bytes;
    uint8_t *bytes = malloc(*out_size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    gateway_frame_header(frame, bytes);
    memcpy(bytes + GATEWAY_HEADER_BYTES, frame->head, frame->head_size_bytes);
    memcpy(bytes + GATEWAY_HEADER_BYTES + frame->head_size_bytes, frame->body,
           frame->body_size_bytes);
    return bytes;
}

/* Hands in some bytes; how many it took. */
static size_t feed(struct gateway_reader *reader, const uint8_t *bytes, size_t size_bytes)
{
    uint8_t *space = NULL;
    size_t room = gateway_reader_space(reader, &space);
    size_t taken = size_bytes < room ? size_bytes : room;
    memcpy(space, bytes, taken);
    gateway_reader_filled(reader, taken);
    return taken;
}

static enum status read_header(enum gateway_side from, const uint8_t header[GATEWAY_HEADER_BYTES])
{
    struct gateway_frame frame;
    struct gateway_reader *reader = reader_of(from);
    CU_ASSERT_EQUAL(feed(reader, header, GATEWAY_HEADER_BYTES), GATEWAY_HEADER_BYTES);
    enum status status = gateway_reader_next(reader, &frame);
    gateway_reader_free(reader);
    return status;
}

static void header_of(uint8_t out[GATEWAY_HEADER_BYTES], uint8_t type, uint32_t head, uint32_t body,
                      uint64_t number)
{
    memset(out, 0, GATEWAY_HEADER_BYTES);
    out[0] = type;
    little_endian_put(out + 4, head, 4);
    little_endian_put(out + 8, body, 4);
    little_endian_put(out + 16, number, 8);
}

static enum status read_of(enum gateway_side from, uint8_t type, uint32_t head, uint32_t body,
                           uint64_t number)
{
    uint8_t header[GATEWAY_HEADER_BYTES];
    header_of(header, type, head, body, number);
    return read_header(from, header);
}

static void read_frames_in_pieces_gives_them_whole(void)
{
    static uint8_t head[WIRE_HEAD_MAX];
    static uint8_t body[WIRE_BODY_MAX];
    struct random random;
    random_init(&random, 11, 0);
    struct gateway_reader *reader = reader_of(GATEWAY_CORE);
    for (int round = 0; round < 40; round++) {
        struct gateway_frame sent = {.type = GATEWAY_SEND,
                                     .number = 1 + random_below(&random, UINT32_MAX),
                                     .head = head,
                                     .head_size_bytes = 1 + random_below(&random, WIRE_HEAD_MAX),
                                     .body = body,
                                     .body_size_bytes = random_below(&random, WIRE_BODY_MAX + 1)};
        size_t size_bytes = 0;
        memset(head, round, sizeof head);
        memset(body, 255 - round, sizeof body);
        uint8_t *bytes = bytes_of(&sent, &size_bytes);
        struct gateway_frame frame;
        for (size_t at = 0; at < size_bytes;) {
            CU_ASSERT_EQUAL_FATAL(gateway_reader_next(reader, &frame), STATUS_AGAIN);
            size_t piece = 1 + random_below(&random, 200000);
            size_t taken =
                feed(reader, bytes + at, piece < size_bytes - at ? piece : size_bytes - at);
            CU_ASSERT_FATAL(taken > 0);
            at += taken;
        }
        CU_ASSERT_EQUAL_FATAL(gateway_reader_next(reader, &frame), STATUS_OK);
        CU_ASSERT_EQUAL(frame.type, GATEWAY_SEND);
        CU_ASSERT_EQUAL(frame.number, sent.number);
        CU_ASSERT_EQUAL_FATAL(frame.head_size_bytes, sent.head_size_bytes);
        CU_ASSERT_EQUAL_FATAL(frame.body_size_bytes, sent.body_size_bytes);
        CU_ASSERT_EQUAL(memcmp(frame.head, head, frame.head_size_bytes), 0);
        CU_ASSERT_EQUAL(memcmp(frame.body, body, frame.body_size_bytes), 0);
        free(bytes);
    }
    gateway_reader_free(reader);
}

/* Many small ones at once go through a buffer that is smaller than they are together. */
static void read_many_frames_at_once_gives_each(void)
{
    uint8_t *stream = malloc(STREAM_BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
    size_t count = STREAM_BYTES / GATEWAY_HEADER_BYTES;
    for (size_t i = 0; i < count; i++) {
        header_of(stream + i * GATEWAY_HEADER_BYTES, GATEWAY_PONG, 0, 0, i + 1);
    }
    struct gateway_reader *reader = reader_of(GATEWAY_OUTSIDE);
    struct gateway_frame frame;
    uint64_t next = 1;
    for (size_t at = 0; at < count * GATEWAY_HEADER_BYTES;) {
        at += feed(reader, stream + at, count * GATEWAY_HEADER_BYTES - at);
        while (gateway_reader_next(reader, &frame) == STATUS_OK) {
            CU_ASSERT_EQUAL_FATAL(frame.number, next++);
        }
    }
    CU_ASSERT_EQUAL(next, count + 1);
    gateway_reader_free(reader);
    free(stream);
}

static void read_sizes_beyond_limits_is_refused(void)
{
    CU_ASSERT_EQUAL(read_of(GATEWAY_CORE, GATEWAY_SEND, 1, 0, 1), STATUS_AGAIN);
    CU_ASSERT_EQUAL(read_of(GATEWAY_CORE, GATEWAY_SEND, WIRE_HEAD_MAX, WIRE_BODY_MAX, 1),
                    STATUS_AGAIN);
    CU_ASSERT_EQUAL(read_of(GATEWAY_CORE, GATEWAY_SEND, 0, 0, 1), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_CORE, GATEWAY_SEND, WIRE_HEAD_MAX + 1, 0, 1), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_CORE, GATEWAY_SEND, 1, WIRE_BODY_MAX + 1, 1), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_CORE, GATEWAY_SEND, UINT32_MAX, UINT32_MAX, 1),
                    STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_HEARD, GATEWAY_SENDER_BYTES, 0, 1),
                    STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_HEARD, GATEWAY_HEAD_MAX, WIRE_BODY_MAX, 1),
                    STATUS_AGAIN);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_HEARD, GATEWAY_HEAD_MAX + 1, 0, 1),
                    STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_TAKEN, GATEWAY_TAKEN_BYTES, 1, 1),
                    STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_FAILED, GATEWAY_TEXT_MAX + 1, 0, 0),
                    STATUS_PROTOCOL);
}

static void read_numbers_that_cannot_be_is_refused(void)
{
    uint64_t end = UINT64_C(1) << GATEWAY_NUMBER_BITS;
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_GONE, 0, 0, 0), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_GONE, 0, 0, end - 1), STATUS_OK);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_GONE, 0, 0, end), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_GONE, 0, 0, UINT64_MAX), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_READY, 3, 0, 1), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_INCIDENT, GATEWAY_INCIDENT_BYTES, 0, 0),
                    STATUS_AGAIN);
    CU_ASSERT_EQUAL(read_of(GATEWAY_OUTSIDE, GATEWAY_INCIDENT, GATEWAY_INCIDENT_BYTES, 0, end),
                    STATUS_PROTOCOL);
}

/* Each side hears what the other one may say, and nothing else. */
static void read_types_of_the_other_side_is_refused(void)
{
    static const uint32_t sizes[] = {0,
                                     1,
                                     GATEWAY_START_BYTES,
                                     GATEWAY_BAR_BYTES,
                                     GATEWAY_DIAL_BYTES_MIN,
                                     GATEWAY_READY_BYTES_MIN,
                                     GATEWAY_SENDER_BYTES + 1,
                                     GATEWAY_TAKEN_BYTES,
                                     GATEWAY_TRAFFIC_BYTES,
                                     GATEWAY_INCIDENT_BYTES,
                                     GATEWAY_LINE_BYTES};
    int cores = 0;
    int outsides = 0;
    for (unsigned type = 0; type < 256; type++) {
        bool core = false;
        bool outside = false;
        for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
            core = core ||
                   read_of(GATEWAY_CORE, (uint8_t)type, sizes[i / 2], 0, i % 2) != STATUS_PROTOCOL;
            outside = outside || read_of(GATEWAY_OUTSIDE, (uint8_t)type, sizes[i / 2], 0, i % 2) !=
                                     STATUS_PROTOCOL;
        }
        CU_ASSERT_FALSE(core && outside);
        cores += core ? 1 : 0;
        outsides += outside ? 1 : 0;
    }
    CU_ASSERT_EQUAL(cores, GATEWAY_CORE_END - GATEWAY_START);
    CU_ASSERT_EQUAL(outsides, GATEWAY_OUTSIDE_END - GATEWAY_READY);
}

static void read_unnamed_bytes_that_are_not_zero_is_refused(void)
{
    uint8_t header[GATEWAY_HEADER_BYTES];
    for (int i = 0; i < GATEWAY_HEADER_BYTES; i++) {
        header_of(header, GATEWAY_PONG, 0, 0, 1);
        header[i] ^= 0x80;
        enum status expected = i >= 16 && i < 21 ? STATUS_OK : STATUS_PROTOCOL;
        CU_ASSERT_EQUAL(read_header(GATEWAY_OUTSIDE, header), expected);
    }
}

static void read_after_a_broken_frame_stays_refused(void)
{
    uint8_t header[GATEWAY_HEADER_BYTES];
    struct gateway_frame frame;
    struct gateway_reader *reader = reader_of(GATEWAY_OUTSIDE);
    header_of(header, 0, 0, 0, 1);
    (void)feed(reader, header, sizeof header);
    CU_ASSERT_EQUAL(gateway_reader_next(reader, &frame), STATUS_PROTOCOL);
    header_of(header, GATEWAY_PONG, 0, 0, 1);
    (void)feed(reader, header, sizeof header);
    CU_ASSERT_EQUAL(gateway_reader_next(reader, &frame), STATUS_PROTOCOL);
    gateway_reader_free(reader);
}

/* Whatever comes: a frame within its limits, or the end. Sanitizers see the rest. */
static void read_random_bytes_never_leaves_the_buffer(void)
{
    struct random random;
    random_init(&random, 12, 0);
    struct gateway_reader *reader = NULL;
    size_t frames = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t bytes[64];
        struct gateway_frame frame = {.number = 0};
        if (reader == NULL) {
            reader = reader_of(round % 2 == 0 ? GATEWAY_CORE : GATEWAY_OUTSIDE);
        }
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)(random_below(&random, 8) == 0 ? random_next(&random) : 0);
        }
        uint8_t type = (uint8_t)(1 + random_below(&random, GATEWAY_OUTSIDE_END));
        header_of(bytes, type, bytes[30], bytes[31], bytes[32] + 1U);
        (void)feed(reader, bytes, 1 + random_below(&random, sizeof bytes));
        enum status status = STATUS_OK;
        while ((status = gateway_reader_next(reader, &frame)) == STATUS_OK) {
            frames++;
            CU_ASSERT_FATAL(frame.head_size_bytes <= GATEWAY_HEAD_MAX);
            CU_ASSERT_FATAL(frame.body_size_bytes <= WIRE_BODY_MAX);
        }
        if (status == STATUS_PROTOCOL) {
            gateway_reader_free(reader);
            reader = NULL;
        }
    }
    CU_ASSERT(frames > 100);
    gateway_reader_free(reader);
}

static struct gateway_frame frame_of(const uint8_t *head, size_t head_size_bytes)
{
    return (struct gateway_frame){.number = 7, .head = head, .head_size_bytes = head_size_bytes};
}

static void facts_written_are_read_again(void)
{
    uint8_t head[1024];
    struct gateway_bar bar = {.curve_key = {1, 2, 3}, .barred = true};
    struct gateway_bar bar_read;
    gateway_bar_write(&bar, head);
    struct gateway_frame frame = frame_of(head, GATEWAY_BAR_BYTES);
    CU_ASSERT_EQUAL(gateway_bar_read(&frame, &bar_read), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(&bar, &bar_read, sizeof bar), 0);

    struct gateway_dial dial = {.use = CHANNEL_BULK, .public_key = {9}, .address = "[::1]:7701"};
    struct gateway_dial dial_read;
    frame = frame_of(head, gateway_dial_write(&dial, head));
    CU_ASSERT_EQUAL(gateway_dial_read(&frame, &dial_read), STATUS_OK);
    CU_ASSERT_EQUAL(dial_read.use, CHANNEL_BULK);
    CU_ASSERT_STRING_EQUAL(dial_read.address, dial.address);

    struct gateway_taken taken = {.messages = 3, .bytes = UINT64_C(1) << 40};
    gateway_taken_write(&taken, head);
    frame = frame_of(head, GATEWAY_TAKEN_BYTES);
    struct gateway_taken taken_read = gateway_taken_read(&frame);
    CU_ASSERT_EQUAL(taken_read.messages, taken.messages);
    CU_ASSERT_EQUAL(taken_read.bytes, taken.bytes);

    struct channel_incident incident = {.reason = CHANNEL_SLOW_READER,
                                        .has_key = true,
                                        .curve_key = {5},
                                        .connection = 7,
                                        .host = "192.0.2.1",
                                        .count = 12};
    struct channel_incident incident_read;
    gateway_incident_write(&incident, head);
    frame = frame_of(head, GATEWAY_INCIDENT_BYTES);
    CU_ASSERT_EQUAL(gateway_incident_read(&frame, &incident_read), STATUS_OK);
    CU_ASSERT_EQUAL(incident_read.reason, incident.reason);
    CU_ASSERT_EQUAL(incident_read.connection, 7);
    CU_ASSERT_EQUAL(incident_read.count, 12);
    CU_ASSERT_STRING_EQUAL(incident_read.host, "192.0.2.1");

    struct gateway_line line = {
        .trouble = CHANNEL_WRONG_KEY, .connections = 4, .delivered_bytes = 99};
    struct gateway_line line_read;
    gateway_line_write(&line, head);
    frame = frame_of(head, GATEWAY_LINE_BYTES);
    CU_ASSERT_EQUAL(gateway_line_read(&frame, &line_read), STATUS_OK);
    CU_ASSERT_EQUAL(line_read.trouble, line.trouble);
    CU_ASSERT_EQUAL(line_read.connections, 4);
    CU_ASSERT_EQUAL(line_read.delivered_bytes, 99);
}

static enum status read_host(const char *host, size_t size_bytes)
{
    uint8_t head[GATEWAY_SENDER_BYTES] = {0};
    struct gateway_sender sender;
    struct gateway_frame frame = frame_of(head, sizeof head);
    memcpy(head + IDENTITY_KEY_BYTES, host, size_bytes);
    return gateway_sender_read(&frame, &sender);
}

static void facts_that_nobody_means_are_refused(void)
{
    char long_host[CHANNEL_HOST_MAX];
    uint8_t head[GATEWAY_INCIDENT_BYTES];
    struct gateway_bar bar;
    struct gateway_dial dial;
    struct gateway_ready ready;
    struct gateway_line line;
    struct channel_incident incident = {.reason = CHANNEL_CROWDED, .count = 1};
    CU_ASSERT_EQUAL(read_host("[2001:db8::1]", 13), STATUS_OK);
    CU_ASSERT_EQUAL(read_host("", 0), STATUS_OK);
    CU_ASSERT_EQUAL(read_host("1\" level=error", 14), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(read_host("1.2.3.4\0x", 9), STATUS_PROTOCOL);
    memset(long_host, '1', sizeof long_host);
    CU_ASSERT_EQUAL(read_host(long_host, sizeof long_host), STATUS_PROTOCOL);

    memset(head, 2, sizeof head);
    struct gateway_frame frame = frame_of(head, GATEWAY_BAR_BYTES);
    CU_ASSERT_EQUAL(gateway_bar_read(&frame, &bar), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(gateway_ready_read(&frame, &ready), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(gateway_dial_read(&frame, &dial), STATUS_PROTOCOL);
    head[0] = CHANNEL_SHUT_OUT + 1;
    CU_ASSERT_EQUAL(gateway_line_read(&frame, &line), STATUS_PROTOCOL);
    head[0] = 1;
    head[GATEWAY_BAR_BYTES + 1] = '\0';
    frame.head_size_bytes = sizeof head;
    CU_ASSERT_EQUAL(gateway_dial_read(&frame, &dial), STATUS_PROTOCOL);

    frame = frame_of(head, sizeof head);
    gateway_incident_write(&incident, head);
    CU_ASSERT_EQUAL(gateway_incident_read(&frame, &incident), STATUS_OK);
    head[0] = 0;
    CU_ASSERT_EQUAL(gateway_incident_read(&frame, &incident), STATUS_PROTOCOL);
    head[0] = CHANNEL_REASON_END;
    CU_ASSERT_EQUAL(gateway_incident_read(&frame, &incident), STATUS_PROTOCOL);
    incident.reason = CHANNEL_CROWDED;
    incident.count = 0;
    gateway_incident_write(&incident, head);
    CU_ASSERT_EQUAL(gateway_incident_read(&frame, &incident), STATUS_PROTOCOL);
}

static void texts_for_a_log_are_made_harmless(void)
{
    static const char hostile[] = "gone\nlevel=info \"x\" \x1b[2J\\";
    char text[GATEWAY_TEXT_MAX + 1];
    uint8_t endless[GATEWAY_TEXT_MAX + 100];
    gateway_text_read((const uint8_t *)hostile, sizeof hostile - 1, text);
    CU_ASSERT_STRING_EQUAL(text, "gone?level=info ?x? ?[2J?");
    memset(endless, 'a', sizeof endless);
    gateway_text_read(endless, sizeof endless, text);
    CU_ASSERT_EQUAL(strlen(text), GATEWAY_TEXT_MAX);
}

int main(void)
{
    const struct suite_test tests[] = {
        SUITE_TEST(read_frames_in_pieces_gives_them_whole),
        SUITE_TEST(read_many_frames_at_once_gives_each),
        SUITE_TEST(read_sizes_beyond_limits_is_refused),
        SUITE_TEST(read_numbers_that_cannot_be_is_refused),
        SUITE_TEST(read_types_of_the_other_side_is_refused),
        SUITE_TEST(read_unnamed_bytes_that_are_not_zero_is_refused),
        SUITE_TEST(read_after_a_broken_frame_stays_refused),
        SUITE_TEST(read_random_bytes_never_leaves_the_buffer),
        SUITE_TEST(facts_written_are_read_again),
        SUITE_TEST(facts_that_nobody_means_are_refused),
        SUITE_TEST(texts_for_a_log_are_made_harmless),
    };
    return suite_run("gateway_frame", tests, sizeof tests / sizeof tests[0]);
}
