/* Messages that were right once, sent where or when they are not.
 *
 *   session    a captured connection again, from its greeting on
 *   initiate   the captured proof of a key behind a handshake of our own
 *   spliced    captured messages in a connection of our own
 *   shuffled   the same in no order
 *   flipped    messages of our own, with a bit of each flipped
 *   again      a message of our own, again and again
 *   reordered  messages of our own, the later one first
 *   gap        a message of our own whose predecessor never came
 *
 * Counted are the messages that went out and the answers that came: to the first of `again` there
 * is one answer, and nothing else may have any. */
#include "common/clock.h"
#include "tests/integration/hostile/capture.h"
#include "tests/integration/hostile/raw_member.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    PER_CONNECTION = 250,
    BATCH_MAX = 64 * 1024 * 1024,
    SEALED_MAX = 128,
    OWN_BYTES = 1, /* an alive: its type alone */
    CUT_MS = 3000,
    ANSWER_MS = 50,
    RETRY_MS = 20,
    TRIES_MAX = 500
};

struct replay {
    const struct attack *attack;
    struct capture capture;
    uint8_t *batch;
    size_t batch_bytes;
    size_t first_bytes; /* of it, what goes out alone and is given time to be answered */
    uint64_t sent;
    uint64_t connections;
    uint64_t not_let_in;
    uint64_t answered;
    uint64_t accepted; /* answered, and should not have been */
    uint64_t uncut;
    uint64_t cut_ms_max;
};

static bool is(const struct replay *self, const char *mode)
{
    return strcmp(self->attack->mode, mode) == 0;
}

static void append(struct replay *self, const uint8_t *data, size_t size_bytes)
{
    if (size_bytes <= BATCH_MAX - self->batch_bytes) {
        memcpy(self->batch + self->batch_bytes, data, size_bytes);
        self->batch_bytes += size_bytes;
    }
}

/* An alive with its empty body, sealed with the next numbers. */
static void append_own(struct replay *self, struct raw_curve *curve)
{
    static const uint8_t alive[OWN_BYTES] = {WIRE_ALIVE};
    uint8_t sealed[SEALED_MAX];
    append(self, sealed, raw_curve_seal(curve, RAW_MORE, alive, sizeof alive, sealed));
    append(self, sealed, raw_curve_seal(curve, 0, alive, 0, sealed));
}

/* Captured messages, from a place that differs from connection to connection. */
static uint64_t append_captured(struct replay *self, bool shuffled)
{
    const struct capture *capture = &self->capture;
    uint64_t count = 0;
    size_t at = shuffled ? 0 : randombytes_uniform((uint32_t)capture->frame_count);
    for (size_t i = 0; i < capture->frame_count * 4 && count < PER_CONNECTION; i++) {
        size_t next = shuffled ? randombytes_uniform((uint32_t)capture->frame_count)
                               : (at + i) % capture->frame_count;
        const struct captured *frame = &capture->frames[next];
        if (capture_is(frame, "\x07MESSAGE") && frame->size_bytes < BATCH_MAX / PER_CONNECTION) {
            append(self, frame->data, frame->size_bytes);
            count++;
        }
    }
    return count;
}

static void flip(uint8_t *message, size_t size_bytes)
{
    message[2 + randombytes_uniform((uint32_t)size_bytes - 2)] ^=
        (uint8_t)(1U << randombytes_uniform(8));
}

/* Fills the batch for a connection whose key is proved; returns its messages. */
static uint64_t prepare(struct replay *self, struct raw_curve *curve, uint64_t *out_answers)
{
    *out_answers = 0;
    if (is(self, "spliced") || is(self, "shuffled")) {
        return append_captured(self, is(self, "shuffled"));
    }
    append_own(self, curve);
    size_t one = self->batch_bytes;
    self->first_bytes = is(self, "flipped") ? 0 : one;
    if (is(self, "gap")) {
        self->batch_bytes = 0;
        append_own(self, curve);
        return 1;
    }
    if (is(self, "reordered")) {
        append_own(self, curve);
        uint8_t first[2 * SEALED_MAX];
        memcpy(first, self->batch, one);
        memmove(self->batch, self->batch + one, one);
        memcpy(self->batch + one, first, one);
        return 2;
    }
    *out_answers = is(self, "again") ? 1 : 0;
    for (unsigned i = 1; i < PER_CONNECTION; i++) {
        if (is(self, "again")) {
            append(self, self->batch, one);
        } else {
            append_own(self, curve);
        }
    }
    for (size_t at = 0; is(self, "flipped") && at < self->batch_bytes; at += one) {
        flip(self->batch + at, 2 + RAW_SEAL_BYTES + OWN_BYTES); /* the head of each */
    }
    return PER_CONNECTION;
}

/* Counts what comes back until the connection ends, or the time is over. */
static enum raw_result hear_all(struct raw_curve *curve, uint64_t deadline_ms, uint64_t *heard)
{
    struct raw_frame frame;
    enum raw_result result = RAW_OK;
    while (result == RAW_OK) {
        result = raw_read_frame(&curve->socket, deadline_ms, &frame);
        if (result == RAW_OK && frame.size_bytes > 8 &&
            (memcmp(frame.data, "\x07MESSAGE", 8) == 0 ||
             memcmp(frame.data, "\x05READY", 6) == 0)) {
            (*heard)++;
        }
    }
    return result;
}

/* Sends the batch and counts the answers, of which `answers` are right. */
static void fire(struct replay *self, struct raw_curve *curve, uint64_t answers)
{
    uint64_t heard = 0;
    size_t first = self->first_bytes;
    uint64_t began_ms = clock_now_ms();
    (void)raw_send(&curve->socket, self->batch, first, began_ms + CUT_MS, NULL);
    enum raw_result result = first == 0 ? RAW_LATE : hear_all(curve, began_ms + ANSWER_MS, &heard);
    if (result == RAW_LATE) {
        began_ms = clock_now_ms();
        (void)raw_send(&curve->socket, self->batch + first, self->batch_bytes - first,
                       began_ms + CUT_MS, NULL);
        result = hear_all(curve, began_ms + CUT_MS, &heard);
    }
    heard /= is(self, "session") || is(self, "initiate") ? 1 : 2; /* an answer has two frames */
    uint64_t cut_ms = clock_now_ms() - began_ms;
    self->accepted += heard > answers ? heard - answers : 0;
    self->answered += heard;
    self->uncut += result == RAW_CUT ? 0 : 1;
    self->cut_ms_max = cut_ms > self->cut_ms_max ? cut_ms : self->cut_ms_max;
}

static bool again_from_the_start(struct replay *self, struct raw_curve *curve, unsigned source)
{
    const struct captured *hello = capture_find(&self->capture, "\x05HELLO");
    const struct captured *initiate = capture_find(&self->capture, "\x08INITIATE");
    uint64_t deadline_ms = clock_now_ms() + RAW_HANDSHAKE_MS;
    uint8_t own[RAW_HEADER_MAX + RAW_HELLO_BYTES];
    if (hello == NULL || initiate == NULL) {
        return false;
    }
    if (raw_curve_begin(curve, &self->attack->address, source) != RAW_OK) {
        self->not_let_in++;
        return true;
    }
    if (is(self, "session")) {
        append(self, hello->data, hello->size_bytes);
    } else {
        size_t own_bytes = raw_curve_hello(curve, self->attack->server_key, own);
        (void)raw_send(&curve->socket, own, own_bytes, deadline_ms, NULL);
        (void)raw_curve_welcome(curve, self->attack->server_key, deadline_ms);
    }
    append(self, initiate->data, initiate->size_bytes);
    self->sent += 2 + append_captured(self, false);
    self->connections++;
    fire(self, curve, 0);
    return true;
}

static void in_our_own(struct replay *self, struct raw_curve *curve, unsigned source)
{
    struct raw_keys keys;
    uint64_t answers = 0;
    raw_curve_new_keys(&keys);
    if (raw_curve_connect(curve, &self->attack->address, source, self->attack->server_key, &keys,
                          NULL, 0) != RAW_OK) {
        self->not_let_in++;
        return;
    }
    self->sent += prepare(self, curve, &answers);
    self->connections++;
    fire(self, curve, answers);
}

bool attack_replay(struct attack *attack)
{
    struct replay self = {.attack = attack, .batch = malloc(BATCH_MAX)};
    bool from_start = is(&self, "session") || is(&self, "initiate");
    bool captured = from_start || is(&self, "spliced") || is(&self, "shuffled");
    bool good = self.batch != NULL && (!captured || capture_read(attack->file, &self.capture));
    unsigned shut_out = 0;
    uint64_t end_ms = clock_now_ms() + attack->duration_ms;
    for (uint64_t i = 0; good && self.sent < attack->count && clock_now_ms() < end_ms; i++) {
        struct raw_curve curve = {.socket.fd = -1};
        uint64_t before = self.not_let_in;
        unsigned source = attack_source(attack, i);
        self.batch_bytes = 0;
        self.first_bytes = 0;
        if (from_start) {
            good = again_from_the_start(&self, &curve, source);
        } else {
            in_our_own(&self, &curve, source);
        }
        raw_curve_end(&curve);
        shut_out = self.not_let_in > before ? shut_out + 1 : 0;
        if (shut_out > 0) {
            good = shut_out < TRIES_MAX; /* nobody is there any more */
            clock_sleep_ms(RETRY_MS);
        }
    }
    report_begin(attack);
    report_number("sent", self.sent);
    report_number("connections", self.connections);
    report_number("not_let_in", self.not_let_in);
    report_number("answered", self.answered);
    report_number("accepted", self.accepted);
    report_number("uncut", self.uncut);
    report_number("cut_ms_max", self.cut_ms_max);
    report_end();
    capture_free(&self.capture);
    free(self.batch);
    return good && self.sent >= attack->count;
}
