#include "tests/fuzz/seeds.h"

#include "common/check.h"
#include "proto/blob_tree.h"
#include "proto/codec/codec.h"
#include "proto/codec/exact_sum.h"
#include "proto/codec/sum_pack.h"
#include "proto/ticket.h"

#include <stdio.h>
#include <string.h>

enum { VALUES = 64, TEXT_BYTES = 64, OPERATIONS = 10 };

static void heads(void)
{
    struct blob_chunk_header header = {
        .kind = BLOB_CONTRIBUTION, .id = 1, .index = 2, .size_bytes = 3, .hash = digest_of("c", 1)};
    struct digest tree[16];
    uint8_t head[BLOB_HEAD_MAX];
    for (uint32_t i = 0; i < 5; i++) {
        tree[i] = digest_of(&i, sizeof i);
    }
    blob_tree_grow(tree, 5);
    struct seed outside = {.size_bytes = 0};
    seed_u8(&outside, 0);
    seed_u32(&outside, 5);
    seed_bytes(&outside, head, blob_tree_head(&header, tree, 5, head));
    seed_write("blob_head", "outside", outside.bytes, outside.size_bytes);
    for (uint8_t what = 1; what < 3; what++) {
        for (uint8_t chunks = 1; chunks < 70; chunks += 20) {
            struct seed own = {.size_bytes = 0};
            seed_u8(&own, what);
            seed_u64(&own, UINT64_C(0x301) + chunks / 2);
            for (uint8_t i = 0; i < chunks; i++) {
                seed_u64(&own, i);
            }
            char name[TEXT_BYTES];
            (void)snprintf(name, sizeof name, "own-%u-%u", what, chunks);
            seed_write("blob_head", name, own.bytes, own.size_bytes);
        }
    }
}

static void receivers(void)
{
    struct seed seed = {.size_bytes = 0};
    const uint8_t start[] = {0, 99, 44, 1, 0, 0, 0, 4, 0};
    seed_bytes(&seed, start, sizeof start);
    for (uint8_t i = 0; i < 4; i++) {
        const uint8_t operations[] = {0, 0, 0, 9, 0, 0, 0, 4, 0, 2, i, 0, 2, i, (uint8_t)(i + 1),
                                      4, 0, 0};
        seed_bytes(&seed, operations, sizeof operations);
    }
    seed_write("blob_receiver", "whole", seed.bytes, seed.size_bytes);
    seed.bytes[0] = 1;
    seed_write("blob_receiver", "part", seed.bytes, seed.size_bytes);
}

static void codecs(void)
{
    for (int codec = CODEC_FP32; codec <= CODEC_MX4; codec++) {
        struct seed seed = {.size_bytes = 0};
        struct exact_grid grid = exact_grid_for(1000);
        float values[VALUES];
        uint8_t encoded[sizeof values];
        char name[TEXT_BYTES];
        for (int i = 0; i < VALUES; i++) {
            values[i] = (float)(i - 20) * 0.37F;
        }
        seed_u8(&seed, (uint8_t)(codec - 1 + 128));
        seed_u64(&seed, 999);
        seed_u64(&seed, 10);
        seed_bytes(&seed, values, sizeof values);
        (void)snprintf(name, sizeof name, "values-%s", codec_name((enum codec)codec));
        seed_write("codec", name, seed.bytes, seed.size_bytes);
        CHECK(codec_encode((enum codec)codec, -grid.shift, values, VALUES, encoded) == STATUS_OK);
        seed.bytes[0] = (uint8_t)(codec - 1);
        seed.size_bytes = 1 + 2 * sizeof(uint64_t);
        seed_bytes(&seed, encoded, codec_encoded_bytes((enum codec)codec, VALUES));
        seed_write("codec", codec_name((enum codec)codec), seed.bytes, seed.size_bytes);
        seed.bytes[0] = 126;
        seed.size_bytes = 1 + 2 * sizeof(uint64_t);
        seed_bytes(&seed, codec_name((enum codec)codec), strlen(codec_name((enum codec)codec)));
        (void)snprintf(name, sizeof name, "name-%d", codec);
        seed_write("codec", name, seed.bytes, seed.size_bytes);
    }
}

/* In the middle between two floats. */
static void means(void)
{
    struct seed seed = {.size_bytes = 0};
    seed_u8(&seed, 123);
    seed_u64(&seed, 999);
    seed_u64(&seed, 0);
    for (uint64_t i = 0; i < 8; i++) {
        uint64_t sum = (UINT64_C(1) << (30 + i)) + (UINT64_C(1) << (6 + i));
        seed_u64(&seed, i % 2 == 0 ? sum : 0U - sum);
    }
    seed_write("codec", "means", seed.bytes, seed.size_bytes);
    seed.bytes[9] = 2;
    seed_write("codec", "thirds", seed.bytes, seed.size_bytes);
}

static void sums(void)
{
    for (uint8_t width = 0; width < 63; width += 9) {
        struct seed seed = {.size_bytes = 0};
        int64_t values[VALUES];
        uint8_t packed[VALUES * 16];
        char name[TEXT_BYTES];
        for (int64_t i = 0; i < VALUES; i++) {
            values[i] = width == 0 ? 0 : (i - 30) * (INT64_C(1) << (width - 5));
        }
        seed_u8(&seed, 2);
        seed_bytes(&seed, packed, sum_pack(values, VALUES, packed));
        (void)snprintf(name, sizeof name, "%u", width);
        seed_write("sum_pack", name, seed.bytes, seed.size_bytes);
        seed.bytes[0] = 128;
        seed_write("sum_pack", name, seed.bytes, seed.size_bytes);
    }
}

static void tickets(void)
{
    static const uint8_t secret[IDENTITY_SEED_BYTES] = {1};
    struct identity coordinator;
    struct ticket ticket = {.kind = TICKET_CONTRIBUTION,
                            .codec = CODEC_MX8,
                            .plan_id = 1,
                            .step = 2,
                            .serial = 3,
                            .tokens = 4,
                            .expires_unix_ms = 5};
    uint8_t bytes[TICKET_BYTES];
    struct seed seed = {.size_bytes = 0};
    CHECK(identity_of_seed(secret, &coordinator) == STATUS_OK);
    ticket_sign(&coordinator, &ticket, bytes);
    seed_u8(&seed, 1);
    seed_bytes(&seed, bytes, sizeof bytes);
    seed_write("ticket", "contribution", seed.bytes, seed.size_bytes);
    ticket = (struct ticket){.kind = TICKET_PASS, .codec = CODEC_FP32};
    ticket_sign(&coordinator, &ticket, seed.bytes + 1);
    seed_write("ticket", "pass", seed.bytes, seed.size_bytes);
    identity_wipe(&coordinator);
}

static void owners(void)
{
    struct seed seed = {.size_bytes = 0};
    const uint8_t begin[] = {255, 0, 1, 0, 0, 3, 0, 0, 1, 0, 3, 3, 0};
    const uint8_t parts[] = {1, 0, 0, 100, 1, 1, 1, 100, 1, 2, 2, 100, 1, 3, 3, 100};
    const uint8_t told[] = {4, 2, 0, 1, 1, 2, 4, 2, 3, 1, 1, 2, 5, 1, 0, 3, 5, 1, 3, 3};
    const uint8_t sum[] = {6};
    seed_bytes(&seed, begin, sizeof begin);
    seed_bytes(&seed, parts, sizeof parts);
    for (uint8_t serial = 0; serial < 3; serial++) {
        for (uint8_t chunk = 0; chunk < 6; chunk++) {
            const uint8_t add[] = {7, serial, 9, 2, serial, chunk, 0};
            seed_bytes(&seed, add, sizeof add);
        }
    }
    seed_bytes(&seed, told, sizeof told);
    for (int i = 0; i < OPERATIONS; i++) {
        seed_bytes(&seed, sum, sizeof sum);
    }
    seed_write("fractions", "step", seed.bytes, seed.size_bytes);
}

void seeds_proto(void)
{
    heads();
    receivers();
    codecs();
    means();
    sums();
    tickets();
    owners();
}
