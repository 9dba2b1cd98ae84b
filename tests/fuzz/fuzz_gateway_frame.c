/* Frames between the coordinator and its gateway, as either side reads the other: in pieces of any
 * size they are the same as in one, and what is read is written the same. */
#include "coordinator/gateway/gateway_check.h"
#include "coordinator/gateway/gateway_facts.h"
#include "proto/little_endian.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { OUT_BYTES = GATEWAY_READY_BYTES_MIN + GATEWAY_TEXT_MAX };

/* A reader's buffer is of one size, whatever comes. */
enum { BASE_BYTES = GATEWAY_BUFFER_BYTES + 16 * 1024 };

static bool is_line_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\') {
            return false;
        }
    }
    return true;
}

static void read_orders(const struct gateway_frame *frame)
{
    uint8_t out[GATEWAY_DIAL_BYTES_MAX];
    struct gateway_bar bar;
    struct gateway_dial dial;
    if (frame->type == GATEWAY_BAR && gateway_bar_read(frame, &bar) == STATUS_OK) {
        gateway_bar_write(&bar, out);
        CHECK(memcmp(out, frame->head, GATEWAY_BAR_BYTES) == 0);
    } else if (frame->type == GATEWAY_DIAL && gateway_dial_read(frame, &dial) == STATUS_OK) {
        CHECK(gateway_dial_write(&dial, out) == frame->head_size_bytes);
        CHECK(memcmp(out, frame->head, frame->head_size_bytes) == 0);
    }
}

static void read_reports(const struct gateway_frame *frame)
{
    uint8_t out[GATEWAY_INCIDENT_BYTES];
    struct channel_incident incident;
    struct gateway_line line;
    if (frame->type == GATEWAY_INCIDENT && gateway_incident_read(frame, &incident) == STATUS_OK) {
        CHECK(incident.connection == frame->number && strlen(incident.host) < CHANNEL_HOST_MAX);
        gateway_incident_write(&incident, out);
        CHECK(!incident.has_key || memcmp(out, frame->head, sizeof out) == 0);
    } else if (frame->type == GATEWAY_LINE && gateway_line_read(frame, &line) == STATUS_OK) {
        gateway_line_write(&line, out);
        CHECK(memcmp(out, frame->head, GATEWAY_LINE_BYTES) == 0);
    } else if (frame->type == GATEWAY_TAKEN || frame->type == GATEWAY_TOLD) {
        struct gateway_taken taken = gateway_taken_read(frame);
        gateway_taken_write(&taken, out);
        CHECK(memcmp(out, frame->head, GATEWAY_TAKEN_BYTES) == 0);
    } else if (frame->type == GATEWAY_TRAFFIC) {
        const struct gateway_traffic traffic = gateway_traffic_read(frame);
        gateway_traffic_write(&traffic, out);
        CHECK(memcmp(out, frame->head, GATEWAY_TRAFFIC_BYTES) == 0);
    }
}

static bool passes(struct wire_message *scratch, enum gateway_port port,
                   const struct gateway_frame *frame)
{
    return gateway_check_heard(scratch, port, frame->head + GATEWAY_SENDER_BYTES,
                               frame->head_size_bytes - GATEWAY_SENDER_BYTES,
                               frame->body_size_bytes);
}

static void read_messages(const struct gateway_frame *frame)
{
    static struct wire_message scratch;
    uint8_t out[OUT_BYTES];
    char text[GATEWAY_TEXT_MAX + 1];
    struct gateway_sender sender;
    struct gateway_ready ready;
    if (frame->type == GATEWAY_HEARD && gateway_sender_read(frame, &sender) == STATUS_OK) {
        gateway_sender_write(&sender, out);
        CHECK(memcmp(out, frame->head, GATEWAY_SENDER_BYTES) == 0);
        bool at_bulk = passes(&scratch, GATEWAY_BULK_PORT, frame);
        CHECK(passes(&scratch, GATEWAY_CONTROL_PORT, frame) || !at_bulk);
    } else if (frame->type == GATEWAY_ANSWERED) {
        if (gateway_check_answer(&scratch, frame->head, frame->head_size_bytes)) {
            CHECK(scratch.type == WIRE_PROBE && scratch.as.probe.answer);
        }
    } else if (frame->type == GATEWAY_READY && gateway_ready_read(frame, &ready) == STATUS_OK) {
        CHECK(is_line_text(ready.missing));
        CHECK(gateway_ready_write(&ready, out) == frame->head_size_bytes);
    } else if (frame->type == GATEWAY_FAILED) {
        gateway_text_read(frame->head, frame->head_size_bytes, text);
        CHECK(is_line_text(text) && strlen(text) == frame->head_size_bytes);
    }
}

/* The bytes that were read are those that a writer makes. */
static void read_frame(const struct gateway_frame *frame)
{
    uint8_t header[GATEWAY_HEADER_BYTES];
    gateway_frame_header(frame, header);
    CHECK(memcmp(header, frame->head - GATEWAY_HEADER_BYTES, sizeof header) == 0);
    CHECK(frame->body == frame->head + frame->head_size_bytes);
    read_orders(frame);
    read_reports(frame);
    read_messages(frame);
}

/* Returns how many frames there are; *out_end: how it ends. */
static size_t read_stream(enum gateway_side from, struct fuzz_bytes in, size_t piece,
                          enum status *out_end)
{
    struct gateway_reader *reader = NULL;
    size_t count = 0;
    *out_end = gateway_reader_new(from, &reader);
    while (*out_end == STATUS_OK) {
        struct gateway_frame frame;
        *out_end = gateway_reader_next(reader, &frame);
        if (*out_end == STATUS_OK) {
            read_frame(&frame);
            count++;
        } else if (*out_end == STATUS_AGAIN && in.size_bytes > 0) {
            uint8_t *place = NULL;
            size_t space = gateway_reader_space(reader, &place);
            CHECK(space > 0);
            struct fuzz_bytes part = fuzz_take(&in, piece < space ? piece : space);
            memcpy(place, part.data, part.size_bytes);
            gateway_reader_filled(reader, part.size_bytes);
            *out_end = STATUS_OK;
        }
    }
    if (reader != NULL) {
        gateway_reader_wipe(reader);
    }
    gateway_reader_free(reader);
    return count;
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    enum status end = STATUS_OK;
    enum status end_of_one = STATUS_OK;
    uint8_t what = fuzz_take_u8(&in);
    size_t piece = 1U + fuzz_take_u8(&in);
    enum gateway_side from = what % 2 == 0 ? GATEWAY_CORE : GATEWAY_OUTSIDE;
    fuzz_memory_begin();
    size_t count = read_stream(from, in, piece, &end);
    fuzz_memory_end(size_bytes, BASE_BYTES);
    size_t count_of_one = read_stream(from, in, GATEWAY_BUFFER_BYTES, &end_of_one);
    CHECK(!fuzz_is_calm() || (count == count_of_one && end == end_of_one));
}
