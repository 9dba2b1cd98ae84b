#include "coordinator/server/dials.h"

#include "common/fault.h"
#include "proto/wire.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { GROWTH = 4, QUICK_MS = 400 };

struct dial {
    struct channel_client *client; /* NULL: free */
    uint32_t number;
    uint64_t nonce;
    size_t probe_bytes;
    uint64_t bytes_per_s_max;
    uint64_t bytes_per_s; /* as the latest answer came; 0: none did */
    uint64_t began_ms;
    uint64_t sent_ms;
    bool sent;
};

struct dials {
    struct channel_set *set;
    const struct identity *identity;
    struct dial items[DIALS_MAX];
    struct wire_message message; /* scratch */
    uint8_t head[WIRE_HEAD_MAX]; /* scratch */
    uint8_t filler[DIALS_PROBE_BYTES];
};

enum status dials_new(struct channel_set *set, const struct identity *identity, struct dials **out)
{
    *out = NULL;
    struct dials *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to dial peers back");
    }
    self->set = set;
    self->identity = identity;
    randombytes_buf(self->filler, DIALS_PROBE_BYTES); /* nothing on the way can shorten it */
    *out = self;
    return STATUS_OK;
}

static void end(struct dial *dial)
{
    channel_client_drop(dial->client);
    *dial = (struct dial){.client = NULL};
}

void dials_free(struct dials *self)
{
    if (self == NULL) {
        return;
    }
    for (int i = 0; i < DIALS_MAX; i++) {
        end(&self->items[i]);
    }
    free(self);
}

enum status dials_start(struct dials *self, const struct dial_peer *peer, uint64_t now_ms)
{
    struct dial *dial = NULL;
    for (int i = 0; i < DIALS_MAX && dial == NULL; i++) {
        dial = self->items[i].client == NULL ? &self->items[i] : NULL;
    }
    if (dial == NULL) {
        return STATUS_FULL;
    }
    *dial = (struct dial){.number = peer->number,
                          .bytes_per_s_max = peer->bytes_per_s_max,
                          .began_ms = now_ms,
                          .probe_bytes = DIALS_PROBE_BYTES / GROWTH / GROWTH};
    randombytes_buf(&dial->nonce, sizeof dial->nonce);
    return channel_client_new(self->set, CHANNEL_BULK, peer->address, peer->public_key,
                              self->identity, &dial->client);
}

void dials_forget(struct dials *self, uint32_t number)
{
    for (int i = 0; i < DIALS_MAX; i++) {
        if (self->items[i].client != NULL && self->items[i].number == number) {
            end(&self->items[i]);
        }
    }
}

static void send_probe(struct dials *self, struct dial *dial, uint64_t now_ms)
{
    size_t head_size_bytes = 0;
    self->message.type = WIRE_PROBE;
    self->message.as.probe = (struct wire_probe){.nonce = dial->nonce};
    dial->sent =
        wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &head_size_bytes) == STATUS_OK &&
        channel_client_send(dial->client, self->head, head_size_bytes, self->filler,
                            dial->probe_bytes) == STATUS_OK;
    dial->sent_ms = now_ms;
}

static bool is_answer(struct dials *self, const struct dial *dial,
                      const struct channel_message *incoming)
{
    return !wire_is_chunk(incoming->head, incoming->head_size_bytes) &&
           wire_decode(incoming->head, incoming->head_size_bytes, &self->message) == STATUS_OK &&
           self->message.type == WIRE_PROBE && self->message.as.probe.answer &&
           self->message.as.probe.nonce == dial->nonce &&
           incoming->body_size_bytes == dial->probe_bytes &&
           memcmp(incoming->body, self->filler, dial->probe_bytes) == 0;
}

static bool hear_answer(struct dials *self, struct dial *dial)
{
    struct channel_message incoming;
    bool answered = false;
    while (!answered && channel_client_receive(dial->client, &incoming) == STATUS_OK) {
        answered = dial->sent && is_answer(self, dial, &incoming);
        channel_message_close(&incoming);
    }
    return answered;
}

/* The probe crossed the link twice, once each way. */
static uint64_t rate_of(const struct dial *dial, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms > dial->sent_ms ? now_ms - dial->sent_ms : 1;
    return UINT64_C(2) * dial->probe_bytes * 1000 / elapsed_ms;
}

/* The peer's answer is paid back out of its cap, and what it hands in waits for that. */
static bool may_grow(const struct dial *dial, uint64_t now_ms)
{
    uint64_t next_bytes = (uint64_t)dial->probe_bytes * GROWTH;
    bool within_cap =
        dial->bytes_per_s_max == 0 || next_bytes * 1000 / dial->bytes_per_s_max < QUICK_MS;
    return now_ms - dial->sent_ms < QUICK_MS && next_bytes <= DIALS_PROBE_BYTES && within_cap;
}

bool dials_next(struct dials *self, uint64_t now_ms, struct dial_result *out)
{
    for (int i = 0; i < DIALS_MAX; i++) {
        struct dial *dial = &self->items[i];
        if (dial->client == NULL) {
            continue;
        }
        if (!dial->sent && channel_client_trouble(dial->client) == CHANNEL_FINE) {
            send_probe(self, dial, now_ms);
        }
        bool answered = hear_answer(self, dial);
        dial->bytes_per_s = answered ? rate_of(dial, now_ms) : dial->bytes_per_s;
        if (answered && may_grow(dial, now_ms)) {
            dial->probe_bytes *= GROWTH;
            dial->nonce++;
            send_probe(self, dial, now_ms);
        } else if (answered || now_ms - dial->began_ms > DIALS_MS_MAX) {
            *out = (struct dial_result){.number = dial->number,
                                        .reachable = dial->bytes_per_s > 0,
                                        .bytes_per_s = dial->bytes_per_s};
            end(dial);
            return true;
        }
    }
    return false;
}
