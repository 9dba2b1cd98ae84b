/* The server's handshake of raw_curve. */
#include "common/clock.h"
#include "tests/integration/hostile/raw_boxes.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HELLO_KEY_AT = 80,
    WELCOME_BOX_AT = 24,
    WELCOME_PLAIN_BYTES = RAW_KEY_BYTES + RAW_COOKIE_BYTES,
    READY_BOX_AT = 14
};

bool raw_curve_take(struct raw_curve *self, int fd)
{
    *self = (struct raw_curve){.socket.fd = fd, .serves = true, .nonce = 1};
    self->plain = malloc(RAW_FRAME_MAX);
    self->socket.in = malloc(RAW_FRAME_MAX + RAW_HEADER_MAX);
    (void)crypto_box_keypair(self->transient.public_key, self->transient.secret_key);
    if (self->plain == NULL || self->socket.in == NULL) {
        raw_curve_end(self);
        return false;
    }
    return true;
}

enum raw_result raw_curve_greet(struct raw_curve *self, uint64_t deadline_ms)
{
    uint8_t greeting[RAW_GREETING_BYTES];
    raw_greeting("CURVE", true, greeting);
    enum raw_result result = raw_send(&self->socket, greeting, sizeof greeting, deadline_ms, NULL);
    return result == RAW_OK ? raw_read(&self->socket, greeting, sizeof greeting, deadline_ms)
                            : result;
}

enum raw_result raw_curve_hear_hello(struct raw_curve *self, uint64_t deadline_ms)
{
    struct raw_frame frame;
    enum raw_result result = raw_read_frame(&self->socket, deadline_ms, &frame);
    if (result == RAW_OK &&
        (frame.size_bytes != RAW_HELLO_BYTES || memcmp(frame.data, "\x05HELLO", 6) != 0)) {
        result = RAW_BAD;
    }
    if (result == RAW_OK) {
        memcpy(self->other_transient, frame.data + HELLO_KEY_AT, RAW_KEY_BYTES);
        result = crypto_box_beforenm(self->shared, self->other_transient,
                                     self->transient.secret_key) == 0
                     ? RAW_OK
                     : RAW_BAD;
    }
    return result;
}

size_t raw_curve_make_welcome(struct raw_curve *self, const struct raw_keys *keys,
                              uint8_t out[RAW_HEADER_MAX + RAW_WELCOME_BYTES])
{
    uint8_t nonce[crypto_box_NONCEBYTES];
    uint8_t plain[WELCOME_PLAIN_BYTES];
    size_t header_bytes = raw_header(RAW_COMMAND, RAW_WELCOME_BYTES, out);
    uint8_t *body = out + header_bytes;
    memcpy(plain, self->transient.public_key, RAW_KEY_BYTES);
    randombytes_buf(plain + RAW_KEY_BYTES, RAW_COOKIE_BYTES); /* nobody else's business */
    memcpy(body, "\x07WELCOME", 8);
    randombytes_buf(body + 8, RAW_LONG_NONCE);
    raw_make_nonce("WELCOME-", body + 8, nonce);
    raw_box_to(body + WELCOME_BOX_AT, plain, sizeof plain, nonce, self->other_transient,
               keys->secret_key);
    return header_bytes + RAW_WELCOME_BYTES;
}

enum raw_result raw_curve_hear_initiate(struct raw_curve *self, uint64_t deadline_ms)
{
    struct raw_frame frame;
    enum raw_result result = raw_read_frame(&self->socket, deadline_ms, &frame);
    if (result == RAW_OK && (frame.size_bytes < 9 || memcmp(frame.data, "\x08INITIATE", 9) != 0)) {
        result = RAW_BAD; /* ERROR, or nothing that is known */
    }
    return result;
}

size_t raw_curve_make_ready(struct raw_curve *self, const uint8_t *metadata, size_t metadata_bytes,
                            uint8_t out[RAW_HEADER_MAX + RAW_READY_MAX])
{
    uint8_t nonce[crypto_box_NONCEBYTES];
    size_t body_bytes = READY_BOX_AT + RAW_BOX + metadata_bytes;
    size_t header_bytes = raw_header(RAW_COMMAND, body_bytes, out);
    uint8_t *body = out + header_bytes;
    memcpy(body, "\x05READY", 6);
    raw_put_nonce(self->nonce++, body + 6);
    raw_make_nonce("CurveZMQREADY---", body + 6, nonce);
    (void)crypto_box_easy_afternm(body + READY_BOX_AT, metadata, metadata_bytes, nonce,
                                  self->shared);
    return header_bytes + body_bytes;
}
