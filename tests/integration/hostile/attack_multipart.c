/* One message that never ends: MORE, and again MORE.
 *
 *   stranger-tiny, stranger-large  after READY, before any hello
 *   member-tiny, member-large      after the welcome
 *   plain                          before the handshake, without a box */
#include "common/clock.h"
#include "tests/integration/hostile/raw_member.h"

#include <stdlib.h>
#include <string.h>

enum { TINY_BYTES = 1, TINY_AT_ONCE = 1000, FRAMES_ALLOWED = 2 };

struct stream {
    uint8_t *out; /* sealed frames that go out together */
    uint64_t frames;
    uint64_t sent_bytes;
    uint64_t
        broken_ms; /* when the first frame went out that makes it more than a head and a body */
};

static enum raw_result send_frames(struct stream *self, struct raw_member *member, bool tiny,
                                   bool plain, uint64_t deadline_ms)
{
    static const uint8_t zeros[WIRE_BODY_MAX];
    size_t size_bytes = 0;
    unsigned count = tiny ? TINY_AT_ONCE : 1;
    /* What is right about the message goes alone, so that the time is taken from what is not. */
    count = self->frames < FRAMES_ALLOWED ? 1 : count;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *at = self->out + size_bytes;
        if (plain) {
            size_bytes += raw_header(RAW_MORE, 1, at) + 1;
            self->out[size_bytes - 1] = 0;
        } else {
            size_bytes += raw_curve_seal(&member->curve, RAW_MORE, zeros,
                                         tiny ? TINY_BYTES : sizeof zeros, at);
        }
    }
    if (self->frames >= FRAMES_ALLOWED && self->broken_ms == 0) {
        self->broken_ms = clock_now_ms();
    }
    self->frames += count;
    size_t sent = 0;
    enum raw_result result =
        raw_send(&member->curve.socket, self->out, size_bytes, deadline_ms, &sent);
    self->sent_bytes += sent;
    return result;
}

bool attack_multipart(struct attack *attack)
{
    bool plain = strcmp(attack->mode, "plain") == 0;
    bool enrolled = strncmp(attack->mode, "member", 6) == 0;
    bool tiny = strstr(attack->mode, "large") == NULL;
    struct stream stream = {.out = malloc(WIRE_BODY_MAX + TINY_AT_ONCE * 64)};
    struct raw_member member;
    uint64_t tried = 0;
    uint64_t uncut = 0;
    uint64_t sent_bytes_max = 0;
    uint64_t cut_ms_max = 0;
    bool memory = stream.out != NULL && raw_member_new(&member);
    for (uint64_t i = 0; memory && i < attack->count; i++) {
        unsigned source = attack_source(attack, i);
        enum raw_result result = plain ? raw_curve_begin(&member.curve, &attack->address, source)
                                 : enrolled ? raw_member_join(&member, attack, source)
                                            : raw_member_connect(&member, attack, source);
        uint64_t deadline_ms = clock_now_ms() + attack->duration_ms;
        stream.frames = stream.sent_bytes = stream.broken_ms = 0;
        tried += result == RAW_OK ? 1 : 0;
        bool reached = result == RAW_OK;
        while (result == RAW_OK && clock_now_ms() < deadline_ms) {
            result = send_frames(&stream, &member, tiny, plain, deadline_ms);
        }
        if (reached && result != RAW_CUT) {
            uncut += raw_await_cut(&member.curve.socket, deadline_ms) == RAW_CUT ? 0 : 1;
        }
        uint64_t cut_ms = stream.broken_ms == 0 ? 0 : clock_now_ms() - stream.broken_ms;
        cut_ms_max = cut_ms > cut_ms_max ? cut_ms : cut_ms_max;
        sent_bytes_max = stream.sent_bytes > sent_bytes_max ? stream.sent_bytes : sent_bytes_max;
        raw_curve_end(&member.curve);
    }
    report_begin(attack);
    report_number("tried", tried);
    report_number("uncut", uncut);
    report_number("taken_bytes_max", sent_bytes_max);
    report_number("cut_ms_max", uncut > 0 ? ATTACK_NEVER_MS : cut_ms_max);
    report_end();
    if (memory) {
        raw_member_free(&member);
    }
    free(stream.out);
    return tried > 0;
}
