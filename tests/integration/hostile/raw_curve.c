#include "common/clock.h"
#include "tests/integration/hostile/raw_boxes.h"

#include <stdlib.h>
#include <string.h>

enum {
    HELLO_KEY_AT = 80,
    HELLO_NONCE_AT = 112,
    HELLO_BOX_AT = 120,
    SIGNATURE_BYTES = 64,
    WELCOME_BOX_AT = 24,
    INITIATE_NONCE_AT = 105,
    INITIATE_BOX_AT = 113,
    VOUCH_PLAIN_BYTES = 2 * RAW_KEY_BYTES,
    INITIATE_PLAIN_BYTES = RAW_KEY_BYTES + RAW_LONG_NONCE + RAW_BOX + VOUCH_PLAIN_BYTES,
    READY_BOX_AT = 14,
    MESSAGE_BOX_AT = 16,
    FLAG_COMMAND = 2, /* inside of a MESSAGE's box */
    PING_CONTEXT_AT = 7,
    PONG_MAX = 32
};

void raw_box_to(uint8_t *out, const uint8_t *plain, size_t plain_bytes, const uint8_t *nonce,
                const uint8_t key[RAW_KEY_BYTES], const uint8_t secret[RAW_KEY_BYTES])
{
    if (crypto_box_easy(out, plain, plain_bytes, nonce, key, secret) != 0) {
        randombytes_buf(out, plain_bytes + RAW_BOX);
    }
}

void raw_put_nonce(uint64_t value, uint8_t *out)
{
    for (unsigned i = 0; i < RAW_SHORT_NONCE; i++) {
        out[i] = (uint8_t)(value >> (8U * (RAW_SHORT_NONCE - 1U - i)));
    }
}

void raw_make_nonce(const char *prefix, const uint8_t *tail, uint8_t out[crypto_box_NONCEBYTES])
{
    size_t prefix_bytes = strlen(prefix);
    memcpy(out, prefix, prefix_bytes);
    memcpy(out + prefix_bytes, tail, crypto_box_NONCEBYTES - prefix_bytes);
}

void raw_curve_new_keys(struct raw_keys *out)
{
    (void)crypto_box_keypair(out->public_key, out->secret_key);
}

size_t raw_property(const char *name, const void *value, size_t value_bytes, uint8_t *out)
{
    size_t name_bytes = strlen(name);
    out[0] = (uint8_t)name_bytes;
    memcpy(out + 1, name, name_bytes);
    for (unsigned i = 0; i < 4; i++) {
        out[1 + name_bytes + i] = (uint8_t)(value_bytes >> (8U * (3U - i)));
    }
    memcpy(out + 1 + name_bytes + 4, value, value_bytes);
    return 1 + name_bytes + 4 + value_bytes;
}

enum raw_result raw_curve_begin(struct raw_curve *self, const struct sockaddr_in *address,
                                unsigned source)
{
    uint8_t greeting[RAW_GREETING_BYTES];
    uint64_t deadline_ms = clock_now_ms() + RAW_HANDSHAKE_MS;
    *self = (struct raw_curve){.socket.fd = -1, .nonce = 1};
    self->plain = malloc(RAW_FRAME_MAX);
    (void)crypto_box_keypair(self->transient.public_key, self->transient.secret_key);
    if (self->plain == NULL || !raw_open(address, source, &self->socket)) {
        return RAW_CUT;
    }
    raw_greeting("CURVE", false, greeting);
    enum raw_result result = raw_send(&self->socket, greeting, sizeof greeting, deadline_ms, NULL);
    if (result == RAW_OK) {
        result = raw_read(&self->socket, greeting, sizeof greeting, deadline_ms);
    }
    if (result == RAW_OK && (greeting[0] != 0xFF || memcmp(greeting + 12, "CURVE", 6) != 0)) {
        result = RAW_BAD;
    }
    return result;
}

void raw_curve_end(struct raw_curve *self)
{
    raw_close(&self->socket);
    free(self->plain);
    self->plain = NULL;
}

size_t raw_curve_hello(struct raw_curve *self, const uint8_t server_key[RAW_KEY_BYTES],
                       uint8_t out[RAW_HEADER_MAX + RAW_HELLO_BYTES])
{
    static const uint8_t zeros[SIGNATURE_BYTES];
    uint8_t nonce[crypto_box_NONCEBYTES];
    size_t header_bytes = raw_header(RAW_COMMAND, RAW_HELLO_BYTES, out);
    uint8_t *body = out + header_bytes;
    memset(body, 0, RAW_HELLO_BYTES);
    memcpy(body, "\x05HELLO\x01\x00", 8);
    memcpy(body + HELLO_KEY_AT, self->transient.public_key, RAW_KEY_BYTES);
    raw_put_nonce(self->nonce++, body + HELLO_NONCE_AT);
    raw_make_nonce("CurveZMQHELLO---", body + HELLO_NONCE_AT, nonce);
    raw_box_to(body + HELLO_BOX_AT, zeros, sizeof zeros, nonce, server_key,
               self->transient.secret_key);
    return header_bytes + RAW_HELLO_BYTES;
}

enum raw_result raw_curve_welcome(struct raw_curve *self, const uint8_t server_key[RAW_KEY_BYTES],
                                  uint64_t deadline_ms)
{
    struct raw_frame frame;
    uint8_t nonce[crypto_box_NONCEBYTES];
    uint8_t plain[RAW_KEY_BYTES + RAW_COOKIE_BYTES];
    enum raw_result result = raw_read_frame(&self->socket, deadline_ms, &frame);
    if (result != RAW_OK) {
        return result;
    }
    if (frame.size_bytes != RAW_WELCOME_BYTES || memcmp(frame.data, "\x07WELCOME", 8) != 0) {
        return RAW_BAD;
    }
    raw_make_nonce("WELCOME-", frame.data + 8, nonce);
    if (crypto_box_open_easy(plain, frame.data + WELCOME_BOX_AT, sizeof plain + RAW_BOX, nonce,
                             server_key, self->transient.secret_key) != 0) {
        return RAW_BAD;
    }
    memcpy(self->other_transient, plain, RAW_KEY_BYTES);
    memcpy(self->cookie, plain + RAW_KEY_BYTES, RAW_COOKIE_BYTES);
    return crypto_box_beforenm(self->shared, self->other_transient, self->transient.secret_key) == 0
               ? RAW_OK
               : RAW_BAD;
}

size_t raw_curve_initiate(struct raw_curve *self, const uint8_t server_key[RAW_KEY_BYTES],
                          const struct raw_keys *keys, const uint8_t *metadata,
                          size_t metadata_bytes, uint8_t out[RAW_HEADER_MAX + RAW_INITIATE_MAX])
{
    uint8_t nonce[crypto_box_NONCEBYTES];
    uint8_t vouch[VOUCH_PLAIN_BYTES];
    uint8_t plain[INITIATE_PLAIN_BYTES + RAW_METADATA_MAX];
    size_t plain_bytes = INITIATE_PLAIN_BYTES + metadata_bytes;
    size_t body_bytes = INITIATE_BOX_AT + RAW_BOX + plain_bytes;
    size_t header_bytes = raw_header(RAW_COMMAND, body_bytes, out);
    uint8_t *body = out + header_bytes;
    memcpy(vouch, self->transient.public_key, RAW_KEY_BYTES);
    memcpy(vouch + RAW_KEY_BYTES, server_key, RAW_KEY_BYTES);
    memcpy(plain, keys->public_key, RAW_KEY_BYTES);
    randombytes_buf(plain + RAW_KEY_BYTES, RAW_LONG_NONCE);
    raw_make_nonce("VOUCH---", plain + RAW_KEY_BYTES, nonce);
    raw_box_to(plain + RAW_KEY_BYTES + RAW_LONG_NONCE, vouch, sizeof vouch, nonce,
               self->other_transient, keys->secret_key);
    memcpy(plain + INITIATE_PLAIN_BYTES, metadata, metadata_bytes);
    memcpy(body, "\x08INITIATE", 9);
    memcpy(body + 9, self->cookie, RAW_COOKIE_BYTES);
    raw_put_nonce(self->nonce++, body + INITIATE_NONCE_AT);
    raw_make_nonce("CurveZMQINITIATE", body + INITIATE_NONCE_AT, nonce);
    (void)crypto_box_easy_afternm(body + INITIATE_BOX_AT, plain, plain_bytes, nonce, self->shared);
    return header_bytes + body_bytes;
}

enum raw_result raw_curve_ready(struct raw_curve *self, uint64_t deadline_ms)
{
    struct raw_frame frame;
    uint8_t nonce[crypto_box_NONCEBYTES];
    enum raw_result result = raw_read_frame(&self->socket, deadline_ms, &frame);
    if (result != RAW_OK) {
        return result;
    }
    if (frame.size_bytes < READY_BOX_AT + RAW_BOX || memcmp(frame.data, "\x05READY", 6) != 0) {
        return RAW_BAD; /* ERROR, say */
    }
    raw_make_nonce("CurveZMQREADY---", frame.data + 6, nonce);
    return crypto_box_open_easy_afternm(self->plain, frame.data + READY_BOX_AT,
                                        frame.size_bytes - READY_BOX_AT, nonce, self->shared) == 0
               ? RAW_OK
               : RAW_BAD;
}

enum raw_result raw_curve_connect(struct raw_curve *self, const struct sockaddr_in *address,
                                  unsigned source, const uint8_t server_key[RAW_KEY_BYTES],
                                  const struct raw_keys *keys, const uint8_t *metadata,
                                  size_t metadata_bytes)
{
    uint8_t dealer[64];
    uint8_t out[RAW_HEADER_MAX + RAW_INITIATE_MAX];
    uint64_t deadline_ms = clock_now_ms() + RAW_HANDSHAKE_MS;
    enum raw_result result = raw_curve_begin(self, address, source);
    if (metadata == NULL) {
        metadata_bytes = raw_property("Socket-Type", "DEALER", 6, dealer);
        metadata_bytes += raw_property("Identity", "", 0, dealer + metadata_bytes);
        metadata = dealer;
    }
    if (result == RAW_OK) {
        size_t size_bytes = raw_curve_hello(self, server_key, out);
        result = raw_send(&self->socket, out, size_bytes, deadline_ms, NULL);
    }
    if (result == RAW_OK) {
        result = raw_curve_welcome(self, server_key, deadline_ms);
    }
    if (result == RAW_OK) {
        size_t size_bytes =
            raw_curve_initiate(self, server_key, keys, metadata, metadata_bytes, out);
        result = raw_send(&self->socket, out, size_bytes, deadline_ms, NULL);
    }
    if (result == RAW_OK) {
        result = raw_curve_ready(self, deadline_ms);
    }
    return result;
}

size_t raw_curve_seal(struct raw_curve *self, uint8_t flags, const uint8_t *data, size_t size_bytes,
                      uint8_t *out)
{
    uint8_t nonce[crypto_box_NONCEBYTES];
    uint8_t mac[RAW_BOX];
    size_t header_bytes = raw_header(0, size_bytes + RAW_SEAL_BYTES, out);
    uint8_t *body = out + header_bytes;
    memcpy(body, "\x07MESSAGE", 8);
    raw_put_nonce(self->nonce++, body + 8);
    raw_make_nonce(self->serves ? "CurveZMQMESSAGES" : "CurveZMQMESSAGEC", body + 8, nonce);
    uint8_t *box = body + MESSAGE_BOX_AT;
    box[RAW_BOX] = flags;
    if (size_bytes > 0) {
        memcpy(box + RAW_BOX + 1, data, size_bytes);
    }
    (void)crypto_box_detached_afternm(box + RAW_BOX, mac, box + RAW_BOX, size_bytes + 1, nonce,
                                      self->shared);
    memcpy(box, mac, RAW_BOX);
    return header_bytes + RAW_SEAL_BYTES + size_bytes;
}

enum raw_result raw_curve_send(struct raw_curve *self, uint8_t flags, const uint8_t *data,
                               size_t size_bytes, uint64_t deadline_ms)
{
    uint8_t *out = malloc(size_bytes + RAW_SEAL_BYTES + RAW_HEADER_MAX);
    if (out == NULL) {
        return RAW_BAD;
    }
    size_t out_bytes = raw_curve_seal(self, flags, data, size_bytes, out);
    enum raw_result result = raw_send(&self->socket, out, out_bytes, deadline_ms, NULL);
    free(out);
    return result;
}

static enum raw_result open_frame(struct raw_curve *self, const struct raw_frame *frame,
                                  struct raw_message *out)
{
    uint8_t nonce[crypto_box_NONCEBYTES];
    if (frame->size_bytes < RAW_SEAL_BYTES || memcmp(frame->data, "\x07MESSAGE", 8) != 0) {
        return RAW_BAD;
    }
    raw_make_nonce(self->serves ? "CurveZMQMESSAGEC" : "CurveZMQMESSAGES", frame->data + 8, nonce);
    if (crypto_box_open_easy_afternm(self->plain, frame->data + MESSAGE_BOX_AT,
                                     frame->size_bytes - MESSAGE_BOX_AT, nonce,
                                     self->shared) != 0) {
        return RAW_BAD;
    }
    *out = (struct raw_message){.more = (self->plain[0] & RAW_MORE) != 0,
                                .command = (self->plain[0] & FLAG_COMMAND) != 0,
                                .data = self->plain + 1,
                                .size_bytes = frame->size_bytes - RAW_SEAL_BYTES};
    return RAW_OK;
}

/* PING is its name, two bytes of time to live and a context that the PONG repeats. */
static enum raw_result answer_ping(struct raw_curve *self, const struct raw_message *ping,
                                   uint64_t deadline_ms)
{
    uint8_t pong[PONG_MAX] = "\x04PONG";
    size_t context_bytes = ping->size_bytes - PING_CONTEXT_AT;
    if (context_bytes > PONG_MAX - 5) {
        return RAW_BAD;
    }
    memcpy(pong + 5, ping->data + PING_CONTEXT_AT, context_bytes);
    return raw_curve_send(self, FLAG_COMMAND, pong, 5 + context_bytes, deadline_ms);
}

enum raw_result raw_curve_read(struct raw_curve *self, uint64_t deadline_ms,
                               struct raw_message *out)
{
    for (;;) {
        struct raw_frame frame;
        enum raw_result result = raw_read_frame(&self->socket, deadline_ms, &frame);
        if (result == RAW_OK) {
            result = open_frame(self, &frame, out);
        }
        if (result != RAW_OK || !out->command) {
            return result;
        }
        if (out->size_bytes >= PING_CONTEXT_AT && memcmp(out->data, "\x04PING", 5) == 0) {
            result = answer_ping(self, out, deadline_ms);
        }
        if (result != RAW_OK) {
            return result;
        }
    }
}
