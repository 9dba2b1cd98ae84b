#include "tests/integration/hostile/raw_member.h"

#include "common/clock.h"
#include "proto/attest.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool begin(struct raw_member *out)
{
    out->curve.socket.fd = -1;
    out->said = calloc(1, sizeof *out->said);
    out->heard = calloc(1, sizeof *out->heard);
    if (out->said == NULL || out->heard == NULL ||
        identity_of_seed(out->seed, &out->identity) != STATUS_OK) {
        raw_member_free(out);
        return false;
    }
    memcpy(out->keys.public_key, out->identity.curve_public, RAW_KEY_BYTES);
    memcpy(out->keys.secret_key, out->identity.secrets->curve, RAW_KEY_BYTES);
    return true;
}

bool raw_member_new(struct raw_member *out)
{
    *out = (struct raw_member){0};
    randombytes_buf(out->seed, sizeof out->seed);
    return begin(out);
}

bool raw_member_copy(const struct raw_member *of, struct raw_member *out)
{
    *out = (struct raw_member){0};
    memcpy(out->seed, of->seed, sizeof out->seed);
    return begin(out);
}

void raw_member_free(struct raw_member *self)
{
    raw_curve_end(&self->curve);
    raw_curve_end(&self->other);
    identity_wipe(&self->identity);
    free(self->said);
    free(self->heard);
    self->said = NULL;
    self->heard = NULL;
}

enum raw_result raw_member_connect(struct raw_member *self, const struct attack *attack,
                                   unsigned source)
{
    raw_curve_end(&self->curve);
    return raw_curve_connect(&self->curve, &attack->address, source, attack->server_key,
                             &self->keys, NULL, 0);
}

enum raw_result raw_member_open_other(struct raw_member *self, const struct attack *attack,
                                      unsigned source)
{
    struct sockaddr_in address = attack->address;
    address.sin_port = htons(self->heard->as.welcome.bulk_port);
    raw_curve_end(&self->other);
    enum raw_result result =
        raw_curve_connect(&self->other, &address, source, attack->server_key, &self->keys, NULL, 0);
    raw_member_swap(self);
    if (result == RAW_OK) {
        self->said->type = WIRE_ALIVE;
        result = raw_member_say(self, NULL, 0);
    }
    if (result == RAW_OK) {
        result = raw_member_await(self, WIRE_ALIVE, clock_now_ms() + RAW_MEMBER_PATIENCE_MS);
    }
    raw_member_swap(self);
    return result;
}

void raw_member_swap(struct raw_member *self)
{
    struct raw_curve curve = self->curve;
    self->curve = self->other;
    self->other = curve;
}

bool raw_member_other_stands(struct raw_member *self)
{
    enum { MS = 1000 };
    return self->other.plain != NULL &&
           raw_await_cut(&self->other.socket, clock_now_ms() + MS) != RAW_CUT;
}

void raw_member_make_hello(struct raw_member *self, const struct attack *attack)
{
    struct wire_hello *hello = &self->said->as.hello;
    self->said->type = WIRE_HELLO;
    *hello = (struct wire_hello){.protocol_version = WIRE_PROTOCOL_VERSION,
                                 .thread_count = 1,
                                 .version_held = WIRE_VERSION_NONE,
                                 .sequence = ++self->sequence,
                                 .computes = self->bulk_address[0] == '\0',
                                 .aggregates = self->bulk_address[0] != '\0'};
    memcpy(hello->bulk_address, self->bulk_address, sizeof hello->bulk_address);
    memcpy(hello->public_key, self->identity.public_key, sizeof hello->public_key);
    memcpy(hello->token, attack->link.token, sizeof hello->token);
    (void)snprintf(hello->name, sizeof hello->name, "hostile");
    raw_member_sign_hello(self, attack);
}

void raw_member_sign_hello(struct raw_member *self, const struct attack *attack)
{
    attest_hello_sign(&self->identity, attack->link.coordinator_key, &self->said->as.hello);
}

enum raw_result raw_member_join(struct raw_member *self, const struct attack *attack,
                                unsigned source)
{
    uint64_t deadline_ms = clock_now_ms() + RAW_MEMBER_PATIENCE_MS;
    enum raw_result result = raw_member_connect(self, attack, source);
    if (result == RAW_OK) {
        raw_member_make_hello(self, attack);
        result = raw_member_say(self, NULL, 0);
    }
    if (result == RAW_OK) {
        result = raw_member_hear(self, deadline_ms);
    }
    return result == RAW_OK && self->heard->type != WIRE_WELCOME ? RAW_BAD : result;
}

enum raw_result raw_member_say_raw(struct raw_member *self, const uint8_t *head, size_t head_bytes,
                                   const uint8_t *body, size_t body_bytes)
{
    uint64_t deadline_ms = clock_now_ms() + RAW_MEMBER_PATIENCE_MS;
    enum raw_result result = raw_curve_send(&self->curve, RAW_MORE, head, head_bytes, deadline_ms);
    return result == RAW_OK ? raw_curve_send(&self->curve, 0, body, body_bytes, deadline_ms)
                            : result;
}

enum raw_result raw_member_say(struct raw_member *self, const uint8_t *body, size_t body_bytes)
{
    uint8_t head[WIRE_HEAD_MAX];
    size_t head_bytes = 0;
    return wire_encode(self->said, head, sizeof head, &head_bytes) == STATUS_OK
               ? raw_member_say_raw(self, head, head_bytes, body, body_bytes)
               : RAW_BAD;
}

enum raw_result raw_member_hear(struct raw_member *self, uint64_t deadline_ms)
{
    struct raw_message part;
    enum raw_result result = raw_curve_read(&self->curve, deadline_ms, &part);
    if (result == RAW_OK && wire_is_chunk(part.data, part.size_bytes)) {
        memset(&self->heard->type, 0, sizeof self->heard->type);
    } else if (result == RAW_OK &&
               (!part.more || wire_decode(part.data, part.size_bytes, self->heard) != STATUS_OK)) {
        result = RAW_BAD;
    }
    if (result == RAW_OK) {
        result = raw_curve_read(&self->curve, deadline_ms, &part);
        self->body = part.data;
        self->body_bytes = part.size_bytes;
    }
    return result;
}

enum raw_result raw_member_await(struct raw_member *self, enum wire_type type, uint64_t deadline_ms)
{
    enum raw_result result = RAW_OK;
    do {
        result = raw_member_hear(self, deadline_ms);
    } while (result == RAW_OK && self->heard->type != type);
    return result;
}

uint64_t raw_member_cut_ms(struct raw_member *self, uint64_t since_ms, uint64_t patience_ms)
{
    enum raw_result result = raw_await_cut(&self->curve.socket, clock_now_ms() + patience_ms);
    return result == RAW_CUT ? clock_now_ms() - since_ms : ATTACK_NEVER_MS;
}
