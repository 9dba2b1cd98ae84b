#include "common/check.h"
#include "proto/blob.h"
#include "proto/little_endian.h"
#include "proto/wire_parts.h"

#include "dugnad.pb-c.h"

#include <string.h>

enum { SERIAL_BYTES = 8 };
_Static_assert((int)WIRE_SET_MAX *(int)SERIAL_BYTES <= (int)WIRE_BODY_MAX, "a set fits a body");

/* A route's owners as flat arrays. */
struct columns {
    uint8_t keys[WIRE_OWNERS_MAX][IDENTITY_KEY_BYTES];
    char addresses[WIRE_OWNERS_MAX * WIRE_ADDRESS_MAX]; /* joined by newlines */
    uint32_t firsts[WIRE_OWNERS_MAX];
    uint32_t counts[WIRE_OWNERS_MAX];
};

static void split_owners(const struct wire_route *route, struct columns *out)
{
    size_t at = 0;
    for (size_t i = 0; i < route->owner_count; i++) {
        const struct wire_owner *owner = &route->owners[i];
        const char *address = wire_text_of(owner->address, sizeof owner->address);
        size_t length = strlen(address);
        CHECK(wire_chunks_are_good(owner->first_chunk, owner->chunk_count));
        memcpy(out->keys[i], owner->public_key, IDENTITY_KEY_BYTES);
        memcpy(out->addresses + at, address, length);
        at += length;
        out->addresses[at++] = '\n';
        out->firsts[i] = owner->first_chunk;
        out->counts[i] = owner->chunk_count;
    }
    out->addresses[at > 0 ? at - 1 : 0] = '\0';
}

static enum status pack_route(const struct wire_route *route, struct wire_sink *sink)
{
    Dugnad__Route out = DUGNAD__ROUTE__INIT;
    struct columns columns;
    CHECK(route->owner_count <= WIRE_OWNERS_MAX);
    split_owners(route, &columns);
    out.plan_id = route->plan_id;
    out.codec = (uint32_t)route->codec;
    out.computes = route->computes;
    out.owner_keys = wire_bytes_of(columns.keys[0], route->owner_count * sizeof columns.keys[0]);
    out.owner_addresses = columns.addresses;
    out.n_owner_first = out.n_owner_count = route->owner_count;
    out.owner_first = columns.firsts;
    out.owner_count = columns.counts;
    out.pass = wire_bytes_of(route->pass, TICKET_BYTES);
    return wire_emit(sink, &out.base);
}

static enum status pack_deliver(const struct wire_deliver *deliver, struct wire_sink *sink)
{
    Dugnad__Deliver out = DUGNAD__DELIVER__INIT;
    out.blob_id = deliver->blob_id;
    out.plan_id = deliver->plan_id;
    out.ticket = wire_bytes_of(deliver->ticket, TICKET_BYTES);
    return wire_emit(sink, &out.base);
}

static enum status pack_open(const struct wire_open *open, struct wire_sink *sink)
{
    Dugnad__Open out = DUGNAD__OPEN__INIT;
    out.ticket = wire_bytes_of(open->ticket, TICKET_BYTES);
    out.blob_id = open->blob_id;
    return wire_emit(sink, &out.base);
}

static enum status pack_set(const struct wire_set *set, struct wire_sink *sink)
{
    Dugnad__Set out = DUGNAD__SET__INIT;
    CHECK(set->serial_count <= WIRE_SET_MAX);
    out.step = set->step;
    out.epoch = set->epoch;
    out.plan_id = set->plan_id;
    out.first_chunk = set->first_chunk;
    out.chunk_count = set->chunk_count;
    out.step_tokens = set->step_tokens;
    out.serial_count = set->serial_count;
    return wire_emit(sink, &out.base);
}

static enum status pack_holds(const struct wire_holds *holds, struct wire_sink *sink)
{
    Dugnad__Holds out = DUGNAD__HOLDS__INIT;
    out.step = holds->step;
    out.epoch = holds->epoch;
    out.parts_held = holds->parts_held;
    out.parts_missing = holds->parts_missing;
    out.sums_ready = holds->sums_ready;
    out.bad_serial = holds->bad_serial;
    out.bad_chunk = holds->bad_chunk;
    out.lacking_count = holds->lacking_count;
    out.lacking_serial = holds->lacking_serial;
    out.torn_serial = holds->torn_serial;
    return wire_emit(sink, &out.base);
}

static enum status pack_rates(const struct wire_rates *rates, struct wire_sink *sink)
{
    Dugnad__Rates out = DUGNAD__RATES__INIT;
    uint8_t keys[WIRE_RATES_MAX][IDENTITY_KEY_BYTES];
    uint64_t speeds[WIRE_RATES_MAX];
    CHECK(rates->count <= WIRE_RATES_MAX);
    for (size_t i = 0; i < rates->count; i++) {
        memcpy(keys[i], rates->items[i].public_key, IDENTITY_KEY_BYTES);
        speeds[i] = rates->items[i].bytes_per_s;
    }
    out.up_bytes_per_s = rates->up_bytes_per_s;
    out.down_bytes_per_s = rates->down_bytes_per_s;
    out.item_keys = wire_bytes_of(keys[0], rates->count * sizeof keys[0]);
    out.n_item_rate = rates->count;
    out.item_rate = speeds;
    return wire_emit(sink, &out.base);
}

static enum status pack_probe(const struct wire_probe *probe, struct wire_sink *sink)
{
    Dugnad__Probe out = DUGNAD__PROBE__INIT;
    out.nonce = probe->nonce;
    out.answer = probe->answer;
    return wire_emit(sink, &out.base);
}

enum status wire_pack_owners(const struct wire_message *message, struct wire_sink *sink)
{
    if (message->type == WIRE_ROUTE) {
        return pack_route(&message->as.route, sink);
    }
    if (message->type == WIRE_DELIVER) {
        return pack_deliver(&message->as.deliver, sink);
    }
    if (message->type == WIRE_OPEN) {
        return pack_open(&message->as.open, sink);
    }
    if (message->type == WIRE_SET) {
        return pack_set(&message->as.set, sink);
    }
    if (message->type == WIRE_HOLDS) {
        return pack_holds(&message->as.holds, sink);
    }
    if (message->type == WIRE_RATES) {
        return pack_rates(&message->as.rates, sink);
    }
    CHECK(message->type == WIRE_PROBE);
    return pack_probe(&message->as.probe, sink);
}

/* Moves the line at *at over as an address, and *at to the next one: NULL when there is none. */
static bool read_line(const char **at, char out[WIRE_ADDRESS_MAX])
{
    const char *line = *at;
    if (line == NULL) {
        return false;
    }
    size_t length = strcspn(line, "\n");
    *at = line[length] == '\n' ? line + length + 1 : NULL;
    if (length >= WIRE_ADDRESS_MAX) {
        return false;
    }
    memcpy(out, line, length);
    out[length] = '\0';
    return wire_text_address(out);
}

static bool read_owners(const Dugnad__Route *from, struct wire_route *out)
{
    size_t count = from->n_owner_first;
    const char *line = count > 0 ? from->owner_addresses : NULL;
    if (count > WIRE_OWNERS_MAX || from->n_owner_count != count ||
        from->owner_keys.len != count * IDENTITY_KEY_BYTES) {
        return false;
    }
    uint32_t end = 0; /* of the range before */
    for (size_t i = 0; i < count; i++) {
        struct wire_owner *owner = &out->owners[i];
        owner->first_chunk = from->owner_first[i];
        owner->chunk_count = from->owner_count[i];
        if (!wire_chunks_are_good(owner->first_chunk, owner->chunk_count) ||
            owner->first_chunk < end || !read_line(&line, owner->address)) {
            return false;
        }
        end = owner->first_chunk + owner->chunk_count;
        memcpy(owner->public_key, from->owner_keys.data + i * IDENTITY_KEY_BYTES,
               IDENTITY_KEY_BYTES);
    }
    out->owner_count = (uint32_t)count;
    return line == NULL && (count > 0 || from->owner_addresses[0] == '\0');
}

static bool read_route(const Dugnad__Route *from, struct wire_route *out)
{
    out->plan_id = from->plan_id;
    out->codec = (enum codec)from->codec;
    out->computes = from->computes != 0;
    return codec_is_known(from->codec) && wire_read_bytes(&from->pass, out->pass, TICKET_BYTES) &&
           read_owners(from, out);
}

static bool read_deliver(const Dugnad__Deliver *from, struct wire_deliver *out)
{
    out->blob_id = from->blob_id;
    out->plan_id = from->plan_id;
    return wire_read_bytes(&from->ticket, out->ticket, TICKET_BYTES);
}

static bool read_open(const Dugnad__Open *from, struct wire_open *out)
{
    out->blob_id = from->blob_id;
    return wire_read_bytes(&from->ticket, out->ticket, TICKET_BYTES);
}

static bool read_set(const Dugnad__Set *from, struct wire_set *out)
{
    out->step = from->step;
    out->epoch = from->epoch;
    out->plan_id = from->plan_id;
    out->first_chunk = from->first_chunk;
    out->chunk_count = from->chunk_count;
    out->step_tokens = from->step_tokens;
    out->serial_count = from->serial_count;
    return wire_chunks_are_good(from->first_chunk, from->chunk_count) &&
           wire_tokens_are_good(from->step_tokens) && from->serial_count <= WIRE_SET_MAX;
}

static bool read_holds(const Dugnad__Holds *from, struct wire_holds *out)
{
    out->step = from->step;
    out->epoch = from->epoch;
    out->parts_held = from->parts_held;
    out->parts_missing = from->parts_missing;
    out->sums_ready = from->sums_ready;
    out->bad_serial = from->bad_serial;
    out->bad_chunk = from->bad_chunk;
    out->lacking_count = from->lacking_count;
    out->lacking_serial = from->lacking_serial;
    out->torn_serial = from->torn_serial;
    return from->sums_ready <= BLOB_CHUNKS_MAX && from->bad_chunk < BLOB_CHUNKS_MAX &&
           from->lacking_count <= WIRE_SET_MAX;
}

static bool read_rates(const Dugnad__Rates *from, struct wire_rates *out)
{
    size_t count = from->n_item_rate;
    out->up_bytes_per_s = from->up_bytes_per_s;
    out->down_bytes_per_s = from->down_bytes_per_s;
    if (count > WIRE_RATES_MAX || from->item_keys.len != count * IDENTITY_KEY_BYTES) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct wire_rate *item = &out->items[i];
        item->bytes_per_s = from->item_rate[i];
        if (item->bytes_per_s > WIRE_RATE_MAX) {
            return false;
        }
        memcpy(item->public_key, from->item_keys.data + i * IDENTITY_KEY_BYTES, IDENTITY_KEY_BYTES);
    }
    out->count = (uint32_t)count;
    return from->up_bytes_per_s <= WIRE_RATE_MAX && from->down_bytes_per_s <= WIRE_RATE_MAX;
}

static bool read_probe(const Dugnad__Probe *from, struct wire_probe *out)
{
    out->nonce = from->nonce;
    out->answer = from->answer != 0;
    return true;
}

/* The message starts with its ProtobufCMessage base, so the cast only names what was unpacked. */
#define READ(name, type) read_##name((const Dugnad__##type *)message, &out->as.name)

bool wire_read_owners(enum wire_type type, const ProtobufCMessage *message,
                      struct wire_message *out)
{
    if (type == WIRE_ROUTE) {
        return READ(route, Route);
    }
    if (type == WIRE_DELIVER) {
        return READ(deliver, Deliver);
    }
    if (type == WIRE_OPEN) {
        return READ(open, Open);
    }
    if (type == WIRE_SET) {
        return READ(set, Set);
    }
    if (type == WIRE_HOLDS) {
        return READ(holds, Holds);
    }
    if (type == WIRE_RATES) {
        return READ(rates, Rates);
    }
    return type == WIRE_PROBE && READ(probe, Probe);
}

void wire_serials_write(const uint64_t *serials, uint32_t count, uint8_t *out)
{
    CHECK(count <= WIRE_SET_MAX);
    for (size_t i = 0; i < count; i++) {
        little_endian_put(out + i * SERIAL_BYTES, serials[i], SERIAL_BYTES);
    }
}

enum status wire_serials_read(const struct wire_set *set, const uint8_t *body,
                              size_t body_size_bytes, uint64_t *out)
{
    uint64_t before = 0; /* so that no serial is 0 either */
    if (set->serial_count > WIRE_SET_MAX ||
        body_size_bytes != (size_t)set->serial_count * SERIAL_BYTES) {
        return STATUS_PROTOCOL;
    }
    for (size_t i = 0; i < set->serial_count; i++) {
        out[i] = little_endian_get(body + i * SERIAL_BYTES, SERIAL_BYTES);
        if (out[i] <= before) {
            return STATUS_PROTOCOL;
        }
        before = out[i];
    }
    return STATUS_OK;
}
