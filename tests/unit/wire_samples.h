/* wire_samples - a valid message of every type, and what the other side makes of a message. */
#ifndef DUGNAD_TESTS_UNIT_WIRE_SAMPLES_H
#define DUGNAD_TESTS_UNIT_WIRE_SAMPLES_H

#include "proto/blob.h"
#include "proto/wire_parts.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <string.h>

enum { HEAD_MAX = WIRE_HEAD_MAX };

/* Values that fill their fields. */

static inline struct wire_message make(enum wire_type type)
{
    struct wire_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    return message;
}

static inline struct blob_ref make_ref(enum blob_kind kind)
{
    struct blob_ref ref = {
        .kind = kind, .id = UINT64_MAX - 5, .size_bytes = 123456789, .chunk_bytes = 33792};
    ref.root = digest_of("root", 4);
    return ref;
}

static inline void fill_hello(struct wire_hello *hello)
{
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    memset(hello->public_key, 0xa5, sizeof hello->public_key);
    memset(hello->token, 0x5a, sizeof hello->token);
    (void)snprintf(hello->name, sizeof hello->name, "Kari's old laptop ~");
    hello->thread_count = WIRE_THREADS_MAX;
    hello->version_held = WIRE_VERSION_NONE;
    memset(hello->digest_held.bytes, 0x5d, sizeof hello->digest_held.bytes);
    hello->computes = true;
    hello->aggregates = true;
    (void)snprintf(hello->bulk_address, sizeof hello->bulk_address, "[2001:db8::7]:7701");
    hello->up_bytes_per_s_max = WIRE_RATE_MAX;
    hello->down_bytes_per_s_max = 12500000;
    hello->sequence = WIRE_SEQUENCE_MAX;
    memset(hello->signature, 0x51, sizeof hello->signature);
}

static inline void fill_welcome(struct wire_welcome *welcome)
{
    (void)snprintf(welcome->run_name, sizeof welcome->run_name, "nordic-124m");
    welcome->run_id = digest_of("run", 3);
    (void)snprintf(welcome->model_json, sizeof welcome->model_json,
                   "{\n\t\"model_type\": \"llama \xc3\xb8 \xe2\x82\xac \xf0\x9f\x98\x80\"}");
    welcome->context = 1024;
    welcome->step_tokens = WIRE_TOKENS_MAX;
    welcome->codec = CODEC_MX8;
    welcome->has_snapshot = true;
    welcome->snapshot = make_ref(BLOB_SNAPSHOT);
    welcome->max_staleness = 1;
    welcome->predicts = true;
    welcome->bulk_port = 7701;
}

static inline void fill_contribution(struct wire_contribution *contribution, uint32_t range_count)
{
    contribution->step = 77;
    contribution->range_count = range_count;
    for (uint32_t i = 0; i < range_count; i++) {
        contribution->ranges[i] = (struct sample_range){(UINT64_C(1) << 40) + UINT64_C(10) * i, 9};
    }
    contribution->ranges[range_count - 1].count = UINT64_MAX / 2;
    contribution->tokens = WIRE_TOKENS_MAX;
    contribution->loss_sum = 1234.5678;
    contribution->blob = make_ref(BLOB_CONTRIBUTION);
    contribution->again = true;
    contribution->codec = CODEC_BF16;
    contribution->stale_tokens = WIRE_TOKENS_MAX;
    contribution->leaving = true;
    memset(contribution->signature, 0x52, sizeof contribution->signature);
}

static inline void fill_claim(struct wire_claim *claim)
{
    claim->step = 78;
    claim->range_count = 2;
    claim->ranges[0] = (struct sample_range){0, 3};
    claim->ranges[1] = (struct sample_range){UINT64_C(1) << 50, UINT64_C(1) << 51};
    claim->kept_count = 1;
    claim->kept[0] = (struct sample_range){7, UINT64_MAX - 7};
    claim->lease_count = 2;
    claim->leases[0] =
        (struct wire_claim_lease){UINT64_MAX, UINT64_MAX - WIRE_LEASE_SAMPLES_MAX,
                                  WIRE_LEASE_SAMPLES_MAX, WIRE_LEASE_SAMPLES_MAX - 1};
    claim->leases[1] = (struct wire_claim_lease){300, 2, 1, 0};
}

static inline void fill_route(struct wire_route *route, uint32_t owner_count)
{
    route->plan_id = UINT64_MAX - 9;
    route->codec = CODEC_MX8;
    route->computes = true;
    route->owner_count = owner_count;
    for (uint32_t i = 0; i < owner_count; i++) {
        struct wire_owner *owner = &route->owners[i];
        memset(owner->public_key, (int)(0x30 + i), sizeof owner->public_key);
        (void)snprintf(owner->address, sizeof owner->address, "owner-%u.example.org:%u", i,
                       7700 + i);
        owner->first_chunk = 7 * i;
        owner->chunk_count = 5 + i % 3; /* some touch the next */
    }
    memset(route->pass, 0x70, sizeof route->pass);
}

static inline void fill_rates(struct wire_rates *rates, uint32_t count)
{
    rates->up_bytes_per_s = WIRE_RATE_MAX;
    rates->down_bytes_per_s = 0;
    rates->count = count;
    for (uint32_t i = 0; i < count; i++) {
        memset(rates->items[i].public_key, (int)(0x40 + i), sizeof rates->items[i].public_key);
        rates->items[i].bytes_per_s = WIRE_RATE_MAX - i;
    }
}

/* Those of a step with owners. */
static inline void fill_owners(struct wire_message *message)
{
    if (message->type == WIRE_ROUTE) {
        fill_route(&message->as.route, 3);
    } else if (message->type == WIRE_DELIVER) {
        message->as.deliver = (struct wire_deliver){.blob_id = 11, .plan_id = 12};
        memset(message->as.deliver.ticket, 0xd1, TICKET_BYTES);
    } else if (message->type == WIRE_OPEN) {
        message->as.open.blob_id = UINT64_MAX;
        memset(message->as.open.ticket, 0xd2, TICKET_BYTES);
    } else if (message->type == WIRE_SET) {
        message->as.set = (struct wire_set){.step = 21,
                                            .epoch = 22,
                                            .plan_id = 23,
                                            .first_chunk = BLOB_CHUNKS_MAX - 24,
                                            .chunk_count = 24,
                                            .step_tokens = WIRE_TOKENS_MAX,
                                            .serial_count = WIRE_SET_MAX};
    } else if (message->type == WIRE_HOLDS) {
        message->as.holds = (struct wire_holds){31,
                                                32,
                                                UINT64_MAX,
                                                33,
                                                BLOB_CHUNKS_MAX,
                                                UINT64_MAX - 34,
                                                BLOB_CHUNKS_MAX - 1,
                                                WIRE_SET_MAX,
                                                UINT64_MAX - 35,
                                                UINT64_MAX - 36};
    } else if (message->type == WIRE_RATES) {
        fill_rates(&message->as.rates, 2);
    } else {
        message->as.probe = (struct wire_probe){.nonce = UINT64_MAX - 1, .answer = true};
    }
}

static inline struct wire_message make_valid(enum wire_type type)
{
    struct wire_message message = make(type);
    switch (type) {
    case WIRE_HELLO:
        fill_hello(&message.as.hello);
        break;
    case WIRE_WELCOME:
        fill_welcome(&message.as.welcome);
        break;
    case WIRE_REFUSED:
        message.as.refused.code = WIRE_REFUSED_NOT_ALLOWED;
        (void)snprintf(message.as.refused.text, WIRE_TEXT_MAX, "not kept any more");
        break;
    case WIRE_READY:
        message.as.ready.version = WIRE_VERSION_NONE - 1;
        break;
    case WIRE_LEASE:
        message.as.lease = (struct wire_lease){
            1, 2, 3, {UINT64_MAX - WIRE_LEASE_SAMPLES_MAX, WIRE_LEASE_SAMPLES_MAX}, 600000};
        break;
    case WIRE_PROGRESS:
        message.as.progress = (struct wire_progress){UINT64_MAX, WIRE_LEASE_SAMPLES_MAX, -1e300};
        break;
    case WIRE_RECLAIM:
        message.as.reclaim = (struct wire_reclaim){9, WIRE_LEASE_SAMPLES_MAX};
        break;
    case WIRE_YIELDED:
        message.as.yielded = (struct wire_yielded){9, WIRE_LEASE_SAMPLES_MAX};
        break;
    case WIRE_COLLECT:
        message.as.collect.step = UINT64_MAX;
        break;
    case WIRE_CONTRIBUTION:
        fill_contribution(&message.as.contribution, 3);
        break;
    case WIRE_VERDICT:
        message.as.verdict.blob_id = 5;
        message.as.verdict.accepted = true;
        (void)snprintf(message.as.verdict.text, WIRE_TEXT_MAX, "fine");
        break;
    case WIRE_COMMITTED:
        message.as.committed.step = 4;
        message.as.committed.loss = 3.25;
        message.as.committed.tokens = 1;
        message.as.committed.digest = digest_of("P", 1);
        message.as.committed.update = make_ref(BLOB_UPDATE);
        message.as.committed.codec = CODEC_FP32;
        break;
    case WIRE_APPLIED:
        message.as.applied.version = 5;
        message.as.applied.digest = digest_of("P", 1);
        break;
    case WIRE_GRANT:
        message.as.grant = (struct wire_grant){BLOB_HASHES, 8, 64, BLOB_CHUNKS_MAX - 64};
        break;
    case WIRE_FINISHED:
        message.as.finished.step_count = 1000;
        break;
    case WIRE_CLAIM:
        fill_claim(&message.as.claim);
        break;
    case WIRE_CLAIMED:
        message.as.claimed = (struct wire_claimed){.step = 78, .accepted = true};
        break;
    case WIRE_ROUTE:
    case WIRE_DELIVER:
    case WIRE_OPEN:
    case WIRE_SET:
    case WIRE_HOLDS:
    case WIRE_RATES:
    case WIRE_PROBE:
        fill_owners(&message);
        break;
    case WIRE_ALIVE:
    case WIRE_LEAVE:
    case WIRE_TYPE_END:
        break;
    }
    return message;
}

/* All fields, compared by their encoding: it is canonical, so equal bytes are equal values. */
static inline bool same(const struct wire_message *a, const struct wire_message *b)
{
    static uint8_t a_head[HEAD_MAX];
    static uint8_t b_head[HEAD_MAX];
    size_t a_bytes = 0;
    size_t b_bytes = 0;
    return wire_encode(a, a_head, sizeof a_head, &a_bytes) == STATUS_OK &&
           wire_encode(b, b_head, sizeof b_head, &b_bytes) == STATUS_OK && a_bytes == b_bytes &&
           memcmp(a_head, b_head, a_bytes) == 0;
}

static struct wire_message decoded; /* large */

/* What the other side makes of this message. */
static inline enum status travel(const struct wire_message *message)
{
    static uint8_t head[HEAD_MAX];
    size_t size_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(message, head, sizeof head, &size_bytes), STATUS_OK);
    memset(&decoded, 0xee, sizeof decoded);
    return wire_decode(head, size_bytes, &decoded);
}

#endif
