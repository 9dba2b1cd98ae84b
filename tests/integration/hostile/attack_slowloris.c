/* Handshakes that never end: every connection says one byte at a time from a given stage on.
 *
 *   greeting   the greeting itself          hello     after the greeting
 *   initiate   after HELLO and WELCOME      message   after READY, a message that never ends
 *   ready      after READY, nothing more is said at all */
#include "common/clock.h"
#include "tests/integration/hostile/attack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { DRIP_MS = 50, DRIP_MAX = 4096, SLOW_MAX = 256 };

struct slow {
    struct raw_curve curve;
    uint64_t began_ms;
    uint64_t held_ms; /* 0: it stands */
    uint8_t drip[RAW_HEADER_MAX + RAW_INITIATE_MAX];
    size_t drip_bytes;
    size_t dripped;
};

static bool is(const struct attack *attack, const char *stage)
{
    return strcmp(attack->mode, stage) == 0;
}

/* What is said before, and what is then said slowly. */
static enum raw_result prepare(const struct attack *attack, struct slow *slow, unsigned source)
{
    static const uint8_t message[DRIP_MAX - RAW_SEAL_BYTES - RAW_HEADER_MAX];
    struct raw_keys keys;
    struct raw_curve *curve = &slow->curve;
    slow->began_ms = clock_now_ms();
    if (is(attack, "greeting")) {
        *curve = (struct raw_curve){.nonce = 1};
        raw_greeting("CURVE", false, slow->drip);
        slow->drip_bytes = RAW_GREETING_BYTES;
        return raw_open(&attack->address, source, &curve->socket) ? RAW_OK : RAW_CUT;
    }
    raw_curve_new_keys(&keys);
    if (is(attack, "hello") || is(attack, "initiate")) {
        uint64_t deadline_ms = slow->began_ms + RAW_HANDSHAKE_MS;
        enum raw_result result = raw_curve_begin(curve, &attack->address, source);
        slow->drip_bytes = raw_curve_hello(curve, attack->server_key, slow->drip);
        if (result != RAW_OK || is(attack, "hello")) {
            return result;
        }
        result = raw_send(&curve->socket, slow->drip, slow->drip_bytes, deadline_ms, NULL);
        if (result == RAW_OK) {
            result = raw_curve_welcome(curve, attack->server_key, deadline_ms);
        }
        slow->drip_bytes = raw_curve_initiate(curve, attack->server_key, &keys, (const uint8_t *)"",
                                              0, slow->drip);
        return result;
    }
    enum raw_result result =
        raw_curve_connect(curve, &attack->address, source, attack->server_key, &keys, NULL, 0);
    slow->began_ms = clock_now_ms();
    slow->drip_bytes = 0;
    if (result == RAW_OK && is(attack, "message")) {
        slow->drip_bytes = raw_curve_seal(curve, RAW_MORE, message, sizeof message, slow->drip);
    }
    return result;
}

static bool is_cut(struct slow *slow)
{
    uint8_t bytes[256];
    ssize_t got = recv(slow->curve.socket.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

static void drip(struct slow *slow)
{
    if (slow->dripped < slow->drip_bytes) {
        ssize_t sent =
            send(slow->curve.socket.fd, slow->drip + slow->dripped, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        slow->dripped += sent == 1 ? 1 : 0;
    }
    if (is_cut(slow)) {
        slow->held_ms = clock_now_ms() - slow->began_ms;
        slow->held_ms += slow->held_ms == 0 ? 1 : 0;
    }
}

bool attack_slowloris(struct attack *attack)
{
    const struct timespec pause = {.tv_nsec = (long)DRIP_MS * 1000000L};
    size_t count = attack->count < SLOW_MAX ? (size_t)attack->count : SLOW_MAX;
    struct slow *slows = calloc(count, sizeof *slows);
    if (slows == NULL) {
        return false;
    }
    size_t connected = 0;
    for (size_t i = 0; i < count; i++) {
        if (prepare(attack, &slows[connected], attack_source(attack, i)) == RAW_OK) {
            connected++;
        } else {
            raw_curve_end(&slows[connected].curve);
        }
    }
    uint64_t end_ms = clock_now_ms() + attack->duration_ms;
    size_t standing = connected;
    while (standing > 0 && clock_now_ms() < end_ms) {
        standing = 0;
        for (size_t i = 0; i < connected; i++) {
            if (slows[i].held_ms == 0) {
                drip(&slows[i]);
                standing += slows[i].held_ms == 0 ? 1 : 0;
            }
        }
        (void)nanosleep(&pause, NULL);
    }
    uint64_t held_ms_max = standing > 0 ? ATTACK_NEVER_MS : 0;
    for (size_t i = 0; i < connected; i++) {
        held_ms_max = slows[i].held_ms > held_ms_max ? slows[i].held_ms : held_ms_max;
        raw_curve_end(&slows[i].curve);
    }
    report_begin(attack);
    report_number("started", count);
    report_number("connected", connected);
    report_number("uncut", standing);
    report_number("held_ms_max", held_ms_max);
    report_end();
    free(slows);
    return connected > 0;
}
