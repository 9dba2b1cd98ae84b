/* What passes between the door, the gateway and the coordinator's core, for door_framing,
 * gateway_frame and relay. */
#include "coordinator/gateway/gateway_facts.h"
#include "proto/channel/door_framing.h"
#include "tests/fuzz/seeds.h"

#include <stdio.h>
#include <string.h>

enum {
    LONG_FRAME = 2, /* ZMTP's flag */
    PAYLOAD_BYTES = 40,
    LONG_PAYLOAD_BYTES = 300,
    PIECES = 3,
    ORDINARY = 20, /* bytes of a body: fits a relay's seed, where sizes are one byte */
    LARGE_BODY = 1000,
    STREAM_FRAMES = 8,
    NAME_BYTES = 64
};

static const uint8_t pieces[PIECES] = {0, 6, 255};

static void put_big_endian(struct seed *self, uint64_t value)
{
    for (unsigned shift = 64; shift > 0; shift -= 8) {
        seed_u8(self, (uint8_t)(value >> (shift - 8)));
    }
}

/* A MESSAGE of RFC 26 with this number. */
static void put_message(struct seed *self, uint64_t number, size_t payload_bytes)
{
    static const uint8_t zero[LONG_PAYLOAD_BYTES + DOOR_FRAME_MIN];
    static const uint8_t name[] = {7, 'M', 'E', 'S', 'S', 'A', 'G', 'E'};
    size_t body_bytes = payload_bytes + DOOR_FRAME_MIN;
    if (body_bytes > UINT8_MAX) {
        seed_u8(self, LONG_FRAME);
        put_big_endian(self, body_bytes);
    } else {
        seed_u8(self, 0);
        seed_u8(self, (uint8_t)body_bytes);
    }
    seed_bytes(self, name, sizeof name);
    put_big_endian(self, number);
    seed_bytes(self, zero, body_bytes - DOOR_MESSAGE_BEGIN_BYTES);
}

/* `skipped`: the number of the last is higher by so many than it should be. */
static void write_messages(const char *name, uint8_t piece, uint64_t skipped, bool renamed)
{
    struct seed seed = {.size_bytes = 0};
    char numbered[NAME_BYTES];
    seed_u8(&seed, 3);
    seed_u8(&seed, piece);
    seed_u32(&seed, 2 * LONG_PAYLOAD_BYTES);
    put_message(&seed, DOOR_NUMBER_FIRST, PAYLOAD_BYTES);
    put_message(&seed, DOOR_NUMBER_FIRST + 1, LONG_PAYLOAD_BYTES);
    size_t last = seed.size_bytes;
    put_message(&seed, DOOR_NUMBER_FIRST + 2 + skipped, 0);
    if (renamed) {
        seed.bytes[last + 3] ^= 1; /* flags, size, length of the name, the name */
    }
    (void)snprintf(numbered, sizeof numbered, "messages-%s-%u", name, piece);
    seed_write("door_framing", numbered, seed.bytes, seed.size_bytes);
}

static void door(void)
{
    for (size_t i = 0; i < PIECES; i++) {
        write_messages("good", pieces[i], 0, false);
        write_messages("skipped", pieces[i], 1, false);
        write_messages("renamed", pieces[i], 0, true);
    }
}

/* One frame as both gateway_frame and relay take it. */
static void write_frame(const char *name, const struct gateway_frame *frame)
{
    struct seed stream = {.size_bytes = 0};
    struct seed told = {.size_bytes = 0};
    uint8_t header[GATEWAY_HEADER_BYTES];
    bool of_core = frame->type < GATEWAY_CORE_END;
    gateway_frame_header(frame, header);
    seed_u8(&stream, of_core ? 0 : 1);
    seed_u8(&stream, UINT8_MAX);
    seed_bytes(&stream, header, sizeof header);
    seed_bytes(&stream, frame->head, frame->head_size_bytes);
    seed_bytes(&stream, frame->body, frame->body_size_bytes);
    seed_write("gateway_frame", name, stream.bytes, stream.size_bytes);
    if (of_core) {
        return;
    }
    /* Before it a message, so that there is a connection of this number; the relay's target puts
     * the sender before a message's head itself. */
    bool heard = frame->type == GATEWAY_HEARD;
    size_t sender_bytes = heard ? GATEWAY_SENDER_BYTES : 0;
    const uint8_t first[] = {0, GATEWAY_HEARD, (uint8_t)frame->number, 2, 1, 1, 0};
    const uint8_t begin[] = {0, (uint8_t)frame->type, (uint8_t)frame->number,
                             (uint8_t)(frame->head_size_bytes - sender_bytes)};
    const uint8_t after[] = {4, 6, 7, 9}; /* receive, use clients, admit, incidents */
    seed_bytes(&told, first, sizeof first);
    seed_bytes(&told, begin, sizeof begin);
    seed_bytes(&told, frame->head + sender_bytes, frame->head_size_bytes - sender_bytes);
    seed_u8(&told, (uint8_t)frame->body_size_bytes);
    seed_bytes(&told, frame->body, frame->body_size_bytes);
    seed_bytes(&told, after, sizeof after);
    seed_write("relay", name, told.bytes, told.size_bytes);
}

static void write_head(const char *name, enum gateway_frame_type type, const uint8_t *head,
                       size_t head_size_bytes)
{
    static const uint8_t none[1];
    bool numbered = type != GATEWAY_BAR && type != GATEWAY_READY && type != GATEWAY_FAILED &&
                    type != GATEWAY_START;
    write_frame(name, &(struct gateway_frame){.type = type,
                                              .number = numbered ? 1 : 0,
                                              .head = head,
                                              .head_size_bytes = head_size_bytes,
                                              .body = none});
}

static void orders(void)
{
    uint8_t head[GATEWAY_DIAL_BYTES_MAX] = {0};
    const struct gateway_bar bar = {.curve_key = {1}, .barred = true};
    const struct gateway_dial dial = {
        .use = CHANNEL_BULK, .public_key = {2}, .address = "127.0.0.1:7700"};
    write_head("start", GATEWAY_START, head, GATEWAY_START_BYTES);
    write_head("admit", GATEWAY_ADMIT, head, 0);
    write_head("cut", GATEWAY_CUT, head, 0);
    write_head("hang-up", GATEWAY_HANG_UP, head, GATEWAY_HANG_UP_BYTES);
    write_head("ping", GATEWAY_PING, head, 0);
    write_head("send", GATEWAY_SEND, head, 1);
    write_head("tell", GATEWAY_TELL, head, 1);
    gateway_bar_write(&bar, head);
    write_head("bar", GATEWAY_BAR, head, GATEWAY_BAR_BYTES);
    head[GATEWAY_BAR_BYTES - 1] = 2;
    write_head("bar-maybe", GATEWAY_BAR, head, GATEWAY_BAR_BYTES);
    size_t size_bytes = gateway_dial_write(&dial, head);
    write_head("dial", GATEWAY_DIAL, head, size_bytes);
    head[size_bytes - 1] = 0;
    write_head("dial-zero", GATEWAY_DIAL, head, size_bytes);
}

static void counts(void)
{
    uint8_t head[GATEWAY_LINE_BYTES] = {0};
    const struct gateway_taken taken = {.messages = 1, .bytes = 2};
    const struct gateway_traffic traffic = {.delivered_bytes = 1000, .received_bytes = 2000};
    const struct gateway_line line = {
        .trouble = CHANNEL_WRONG_KEY, .connections = 1, .delivered_bytes = 3};
    gateway_taken_write(&taken, head);
    write_head("taken", GATEWAY_TAKEN, head, GATEWAY_TAKEN_BYTES);
    write_head("told", GATEWAY_TOLD, head, GATEWAY_TAKEN_BYTES);
    gateway_traffic_write(&traffic, head);
    write_head("traffic", GATEWAY_TRAFFIC, head, GATEWAY_TRAFFIC_BYTES);
    gateway_line_write(&line, head);
    write_head("line", GATEWAY_LINE, head, GATEWAY_LINE_BYTES);
    head[0] = CHANNEL_SHUT_OUT + 1;
    write_head("line-unknown", GATEWAY_LINE, head, GATEWAY_LINE_BYTES);
    write_head("gone", GATEWAY_GONE, head, 0);
    write_head("pong", GATEWAY_PONG, head, 0);
}

static void reports(void)
{
    uint8_t head[GATEWAY_READY_BYTES_MIN + GATEWAY_TEXT_MAX];
    const struct gateway_ready ready = {.files = true, .missing = "no \"landlock\""};
    struct channel_incident incident = {.reason = CHANNEL_TOO_FAST,
                                        .has_key = true,
                                        .curve_key = {1},
                                        .host = "10.0.0.1",
                                        .count = 2};
    static const char why[] = "the port is taken";
    write_head("ready", GATEWAY_READY, head, gateway_ready_write(&ready, head));
    write_head("failed", GATEWAY_FAILED, (const uint8_t *)why, sizeof why - 1);
    gateway_incident_write(&incident, head);
    write_head("incident", GATEWAY_INCIDENT, head, GATEWAY_INCIDENT_BYTES);
    incident.has_key = false;
    gateway_incident_write(&incident, head);
    write_head("incident-no-key", GATEWAY_INCIDENT, head, GATEWAY_INCIDENT_BYTES);
    head[0] = CHANNEL_REASON_END;
    write_head("incident-unknown", GATEWAY_INCIDENT, head, GATEWAY_INCIDENT_BYTES);
}

/* A stream that is longer than a reader's buffer in the fuzzers, in which frames end anywhere. */
static void messages(void)
{
    static const uint8_t body[LARGE_BODY];
    uint8_t head[GATEWAY_SENDER_BYTES + 2] = {0};
    const struct gateway_sender sender = {.curve_key = {1}, .host = "[fd00::1]"};
    struct gateway_frame frame = {.type = GATEWAY_HEARD,
                                  .number = 1,
                                  .head = head,
                                  .head_size_bytes = sizeof head,
                                  .body = body,
                                  .body_size_bytes = ORDINARY};
    struct seed stream = {.size_bytes = 0};
    uint8_t header[GATEWAY_HEADER_BYTES];
    gateway_sender_write(&sender, head);
    write_frame("heard", &frame);
    seed_u8(&stream, 1);
    seed_u8(&stream, UINT8_MAX);
    frame.body_size_bytes = sizeof body;
    gateway_frame_header(&frame, header);
    for (int i = 0; i < STREAM_FRAMES; i++) {
        seed_bytes(&stream, header, sizeof header);
        seed_bytes(&stream, head, sizeof head);
        seed_bytes(&stream, body, sizeof body);
    }
    seed_write("gateway_frame", "stream", stream.bytes, stream.size_bytes);
    head[IDENTITY_KEY_BYTES] = '!'; /* no address has it */
    frame.body_size_bytes = ORDINARY;
    write_frame("heard-nowhere", &frame);
    head[0] = 1;
    frame.type = GATEWAY_ANSWERED;
    frame.head_size_bytes = 2;
    write_frame("answered", &frame);
}

static void relay_ends(void)
{
    static const uint8_t ended[] = {238, 4, 10, 11, 6, 250, 5, 6, 10};
    seed_write("relay", "ended", ended, sizeof ended);
}

void seeds_gateway(void)
{
    door();
    orders();
    counts();
    reports();
    messages();
    relay_ends();
}
