/* mate - a peer that sums for others, as the server sees it: what it holds and says (mates.h: what
 * it hears).
 *
 * A sample's gradient is a few whole multiples of 2^-10, so every codec holds the sum of a whole
 * step exactly: what a step sums up to does not depend on who computed what, and runs can be
 * compared by their digests, whatever happened in them. */
#ifndef DUGNAD_TESTS_UNIT_MATE_H
#define DUGNAD_TESTS_UNIT_MATE_H

#include "common/clock.h"
#include "common/random.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"
#include "peer/aggregator/fractions.h"
#include "proto/attest.h"
#include "proto/blob_tree.h"
#include "proto/codec/chunks.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/fake_channel.h"
#include "tests/unit/members_fixture.h"
#include "tests/unit/run_fixture.h"

enum { PATIENCE_MS = 600000 };

enum {
    MATES = 7,
    KEPT_MAX = 4,
    LEASES_MAX = 4,
    TURN_MS = 20,
    SAMPLE_MS = 60,
    HOLDS_MS = 200,
    ALIVE_MS = 1000,
    CONTEXT = 16
};

struct kept {
    uint64_t blob_id; /* 0: free */
    struct wire_contribution offer;
    uint8_t *data;
    uint64_t serial;         /* 0: not on its way to owners */
    struct wire_route route; /* that it is delivered by */
};

struct mate {
    bool here;
    bool computes, aggregates;
    bool lies;       /* one of its sums is wrong */
    bool stuck;      /* sums nothing, returns nothing */
    bool apart;      /* reaches no owner */
    bool frames;     /* sends owners what it promised, and the coordinator other bytes */
    uint32_t framed; /* chunks */
    bool apart_port; /* sends chunks over its connection for them */
    uint32_t delivers;
    uint64_t version;
    struct digest digest;
    uint64_t back_ms; /* when it comes again; 0: not */
    uint64_t alive_ms, holds_ms, sample_ms;
    struct wire_lease leases[LEASES_MAX];
    uint32_t done[LEASES_MAX];
    uint32_t lease_count;
    bool held[256]; /* samples of the step, in the accumulator */
    bool collect;
    bool offered; /* no verdict yet */
    uint64_t blobs;
    struct kept kept[KEPT_MAX];
    struct wire_route route;
    bool routed;
    struct fractions *fractions;
    uint64_t epoch;
    uint64_t probe_nonce; /* of the latest probe; 0: none came */
    uint32_t breaks;      /* times it said hello again with what it held */
};

struct scene {
    struct run_dir run;
    struct server *server;
    uint8_t token[LINK_TOKEN_BYTES];
    uint64_t now_ms;
    size_t value_count;
    uint32_t chunk_count;
    enum codec codec;
    struct mate mates[MATES];
    struct wire_message message;
    uint8_t head[WIRE_HEAD_MAX];
    uint64_t hellos;             /* said so far, by whomever */
    uint64_t sums;               /* that owners returned */
    uint64_t contribution_bytes; /* that came to the server */
    bool over;
};

/* Of the step's `batch` samples from `first`, those that are held: their sum, encoded. */
static uint8_t *encode_held(const struct scene *s, const bool *held, uint64_t first)
{
    uint32_t batch = s->run.config.target_batch;
    float *values = calloc(s->value_count, sizeof *values);
    uint8_t *data = malloc(codec_encoded_bytes(s->codec, s->value_count));
    CU_ASSERT_FATAL(values != NULL && data != NULL);
    for (uint32_t j = 0; j < batch; j++) {
        uint32_t twist = (uint32_t)(first + j) * 40503U;
        for (size_t i = 0; held[j] && i < s->value_count; i++) {
            values[i] +=
                ((float)((((uint32_t)i * 2654435761U + twist) >> 13) % 7U) - 3.0F) * 0x1p-10F;
        }
    }
    struct exact_grid grid = exact_grid_for(run_config_step_tokens(&s->run.config));
    CU_ASSERT_EQUAL_FATAL(codec_encode(s->codec, -grid.shift, values, s->value_count, data),
                          STATUS_OK);
    free(values);
    return data;
}

static uint32_t chunk_bytes_of(const struct scene *s, uint32_t chunk)
{
    return (uint32_t)codec_encoded_bytes(s->codec, chunks_values(s->value_count, chunk));
}

static const uint8_t *chunk_of(const struct scene *s, const struct kept *kept, uint32_t chunk)
{
    return kept->data + chunk * codec_encoded_bytes(s->codec, CODEC_CHUNK_VALUES);
}

static void tell(struct scene *s, int i)
{
    size_t head_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&s->message, s->head, sizeof s->head, &head_bytes),
                          STATUS_OK);
    letters_put(&fake.to_server, fake.identities[i].curve_public, s->head, head_bytes, NULL, 0);
    s->mates[i].alive_ms = s->now_ms;
}

static void send_sum(struct scene *s, int i, const struct blob_chunk_header *header,
                     const uint8_t *data)
{
    uint8_t head[BLOB_HEADER_BYTES];
    (void)s;
    blob_header_write(header, head);
    letters_put(&fake.to_server, fake.identities[i].curve_public, head, sizeof head, data,
                header->size_bytes);
}

/* A chunk with its proof; who frames others changes the chunk, and says what its hash is. */
static void send_part(struct scene *s, int i, const struct kept *kept, uint32_t index)
{
    static uint8_t body[WIRE_BODY_MAX];
    static struct digest tree[2 * BLOB_CHUNKS_MAX];
    struct mate *mate = &s->mates[i];
    struct blob_chunk_header header;
    const uint8_t *data = NULL;
    uint8_t head[BLOB_HEAD_MAX];
    (void)blob_describe(BLOB_CONTRIBUTION, kept->blob_id, kept->data, kept->offer.blob.size_bytes,
                        kept->offer.blob.chunk_bytes, tree);
    blob_tree_grow(tree, s->chunk_count);
    CU_ASSERT_EQUAL_FATAL(blob_chunk(&kept->offer.blob, kept->data, tree, index, &header, &data),
                          STATUS_OK);
    memcpy(body, data, header.size_bytes);
    if (mate->frames) {
        body[1] ^= 1;
        header.hash = digest_of(body, header.size_bytes);
        mate->framed++;
    }
    size_t head_bytes = blob_tree_head(&header, tree, s->chunk_count, head);
    s->contribution_bytes += header.size_bytes;
    letters_put(&fake.to_server, fake.identities[i].curve_public, head, head_bytes, body,
                header.size_bytes);
    if (mate->apart_port) {
        letters_put_bulk(&fake.to_server, fake.bulk[i]);
    }
}

static void say_hello(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    struct wire_hello *hello = &s->message.as.hello;
    memset(hello, 0, sizeof *hello);
    s->message.type = WIRE_HELLO;
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    memcpy(hello->public_key, fake.identities[i].public_key, IDENTITY_KEY_BYTES);
    memcpy(hello->token, s->token, sizeof hello->token);
    (void)snprintf(hello->name, sizeof hello->name, "mate-%d", i);
    hello->thread_count = 1;
    hello->version_held = mate->version;
    hello->digest_held = mate->digest;
    hello->computes = mate->computes;
    hello->aggregates = mate->aggregates;
    if (mate->aggregates) {
        (void)snprintf(hello->bulk_address, sizeof hello->bulk_address, ":%d", FAKE_PORT_FIRST + i);
    }
    hello->sequence = ++s->hellos;
    attest_hello_sign(&fake.identities[i], s->run.identity.public_key, hello);
    mate->here = true;
    fake_connect(i);
    tell(s, i);
}

static void drop_kept(struct mate *mate)
{
    for (int k = 0; k < KEPT_MAX; k++) {
        free(mate->kept[k].data);
        mate->kept[k] = (struct kept){.blob_id = 0};
    }
}

/* kill -9: it forgets all, and says nothing any more. Comes back after a while (0: never). */
static void kill_mate(struct scene *s, int i, uint64_t back_after_ms)
{
    struct mate *mate = &s->mates[i];
    drop_kept(mate);
    fractions_free(mate->fractions);
    letters_clear(&fake.to_peer[i]);
    fake.connections[i] = 0;
    fake.reachable[i] = false;
    *mate = (struct mate){.computes = mate->computes,
                          .aggregates = mate->aggregates,
                          .lies = mate->lies,
                          .stuck = mate->stuck,
                          .version = WIRE_VERSION_NONE,
                          .blobs = mate->blobs + 1000,
                          .back_ms = back_after_ms > 0 ? s->now_ms + back_after_ms : 0};
}

static void start_mate(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    mate->back_ms = 0;
    fake.reachable[i] = mate->aggregates;
    if (mate->aggregates) {
        CU_ASSERT_EQUAL_FATAL(fractions_new(UINT64_C(1) << 30, &mate->fractions), STATUS_OK);
    }
    say_hello(s, i);
}

static void say_ready(struct scene *s, int i)
{
    s->message.type = WIRE_READY;
    s->message.as.ready.version = s->mates[i].version;
    if (s->mates[i].computes) {
        tell(s, i);
    }
}

static void follow_to(struct scene *s, int i, uint64_t version, const struct digest *digest)
{
    struct mate *mate = &s->mates[i];
    mate->version = version;
    mate->digest = *digest;
    drop_kept(mate);
    mate->lease_count = 0;
    mate->collect = false;
    mate->offered = false;
    memset(mate->held, 0, sizeof mate->held);
}

static uint64_t first_sample(const struct scene *s, uint64_t version)
{
    return version * s->run.config.target_batch;
}

/* The ranges of what is held; how many samples. */
static uint64_t fill_ranges(const struct scene *s, const bool *held, uint64_t first,
                            struct sample_range *out, uint32_t *out_count)
{
    uint64_t samples = 0;
    *out_count = 0;
    for (uint32_t j = 0; j < s->run.config.target_batch; j++) {
        if (held[j] && (j == 0 || !held[j - 1])) {
            out[(*out_count)++] = (struct sample_range){.first = first + j};
        }
        if (held[j]) {
            out[*out_count - 1].count++;
            samples++;
        }
    }
    return samples;
}

/* Encodes what it holds and offers it. */
static void hand_in(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    struct kept *kept = &mate->kept[mate->blobs % KEPT_MAX];
    struct wire_contribution *offer = &kept->offer;
    uint64_t first = first_sample(s, mate->version);
    memset(offer, 0, sizeof *offer);
    uint64_t samples = fill_ranges(s, mate->held, first, offer->ranges, &offer->range_count);
    mate->collect = false;
    if (samples == 0) {
        return;
    }
    free(kept->data);
    *kept = (struct kept){.blob_id = ++mate->blobs, .offer = *offer};
    kept->data = encode_held(s, mate->held, first);
    memset(mate->held, 0, sizeof mate->held);
    offer->step = mate->version;
    offer->tokens = samples * CONTEXT;
    offer->loss_sum = 1.5 * (double)offer->tokens;
    offer->codec = s->codec;
    offer->blob = blob_describe(BLOB_CONTRIBUTION, kept->blob_id, kept->data,
                                codec_encoded_bytes(s->codec, s->value_count),
                                (uint32_t)codec_encoded_bytes(s->codec, CODEC_CHUNK_VALUES), NULL);
    attest_contribution_sign(&fake.identities[i], &s->run.run_id, offer);
    s->message.type = WIRE_CONTRIBUTION;
    s->message.as.contribution = *offer;
    mate->offered = true;
    tell(s, i);
}

#endif
