/* Handshakes that must not succeed: with a wrong key of the server, with mechanisms that prove
 * nothing, with another role or protocol, with noise. */
#include "common/clock.h"
#include "tests/integration/hostile/raw_member.h"

#include <sodium.h>
#include <string.h>

enum { PATIENCE_MS = 4000, NOISE_BYTES = 65536 };

/* Whether the server was ready to talk, which is what must not happen. */
static bool tries_key(const struct attack *attack, unsigned source, struct raw_curve *curve)
{
    struct raw_keys keys;
    struct raw_keys other;
    raw_curve_new_keys(&keys);
    raw_curve_new_keys(&other);
    return raw_curve_connect(curve, &attack->address, source, other.public_key, &keys, NULL, 0) ==
           RAW_OK;
}

/* The client's whole handshake and a message in one go, as the mechanism has it (RFC 23, 24). */
static bool tries_mechanism(const struct attack *attack, const char *mechanism, bool as_server,
                            unsigned source, struct raw_socket *socket)
{
    static const uint8_t null_ready[] = "\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x06"
                                        "DEALER";
    static const uint8_t plain_hello[] = "\x04\x0c\x05HELLO\x02me\x02me";
    static const uint8_t message[] = "\x01\x01\x0f\x00";
    uint8_t greeting[RAW_GREETING_BYTES];
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    struct raw_frame frame;
    bool plain = strcmp(mechanism, "PLAIN") == 0;
    if (!raw_open(&attack->address, source, socket)) {
        return false;
    }
    raw_greeting(mechanism, as_server, greeting);
    (void)raw_send(socket, greeting, sizeof greeting, deadline_ms, NULL);
    (void)raw_send(socket, plain ? plain_hello : null_ready,
                   plain ? sizeof plain_hello - 1 : sizeof null_ready - 1, deadline_ms, NULL);
    (void)raw_send(socket, message, sizeof message - 1, deadline_ms, NULL);
    return raw_read(socket, greeting, sizeof greeting, deadline_ms) == RAW_OK &&
           raw_read_frame(socket, deadline_ms, &frame) == RAW_OK && frame.size_bytes > 6 &&
           (memcmp(frame.data, "\x05READY", 6) == 0 || memcmp(frame.data, "\x07WELCOME", 8) == 0);
}

static void says(const struct attack *attack, unsigned source, const void *bytes, size_t size_bytes,
                 struct raw_socket *socket)
{
    if (raw_open(&attack->address, source, socket)) {
        (void)raw_send(socket, bytes, size_bytes, clock_now_ms() + PATIENCE_MS, NULL);
    }
}

static bool tries(const struct attack *attack, unsigned kind, unsigned source,
                  struct raw_curve *curve)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const uint8_t zmtp2[] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 1, 5, 0, 0};
    static const uint8_t zmtp1[] = {1, 0, 2, 0, 'x'};
    uint8_t noise[NOISE_BYTES];
    randombytes_buf(noise, sizeof noise);
    switch (kind) {
    case 0:
        return tries_key(attack, source, curve);
    case 1:
        return tries_mechanism(attack, "NULL", false, source, &curve->socket);
    case 2:
        return tries_mechanism(attack, "PLAIN", false, source, &curve->socket);
    case 3:
        return tries_mechanism(attack, "CURVE", true, source, &curve->socket);
    case 4:
        return tries_mechanism(attack, "GSSAPI", false, source, &curve->socket);
    case 5:
        says(attack, source, request, sizeof request - 1, &curve->socket);
        return false;
    case 6:
        says(attack, source, zmtp2, sizeof zmtp2, &curve->socket);
        return false;
    case 7:
        says(attack, source, zmtp1, sizeof zmtp1, &curve->socket);
        return false;
    case 8:
        says(attack, source, noise, sizeof noise, &curve->socket);
        return false;
    default: /* noise behind a right greeting */
        raw_greeting("CURVE", false, noise);
        noise[RAW_GREETING_BYTES] = RAW_COMMAND;
        says(attack, source, noise, sizeof noise, &curve->socket);
        return false;
    }
}

bool attack_handshake(struct attack *attack)
{
    enum { KINDS = 10 };
    uint64_t uncut = 0;
    uint64_t accepted = 0;
    uint64_t cut_ms_max = 0;
    for (uint64_t i = 0; i < attack->count * KINDS; i++) {
        struct raw_curve curve = {.socket.fd = -1};
        uint64_t began_ms = clock_now_ms();
        accepted += tries(attack, (unsigned)(i % KINDS), attack_source(attack, i), &curve) ? 1 : 0;
        if (curve.socket.fd >= 0 &&
            raw_await_cut(&curve.socket, clock_now_ms() + PATIENCE_MS) != RAW_CUT) {
            uncut++;
        }
        uint64_t cut_ms = clock_now_ms() - began_ms;
        cut_ms_max = cut_ms > cut_ms_max ? cut_ms : cut_ms_max;
        raw_curve_end(&curve);
    }
    report_begin(attack);
    report_number("tried", attack->count * KINDS);
    report_number("accepted", accepted);
    report_number("uncut", uncut);
    report_number("cut_ms_max", uncut > 0 ? ATTACK_NEVER_MS : cut_ms_max);
    report_end();
    return true;
}
