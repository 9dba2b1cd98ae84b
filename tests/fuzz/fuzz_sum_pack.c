/* Packed sums from outside: what is let in is packed again to the same sums, in no more bytes. */
#include "proto/codec/codec.h"
#include "proto/codec/sum_pack.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { BLOCKS_MAX = 6, VALUES_MAX = BLOCKS_MAX * CODEC_BLOCK_VALUES };

/* Any int64s go there and back. */
static void pack(struct fuzz_bytes in)
{
    int64_t sums[CODEC_BLOCK_VALUES];
    int64_t back[CODEC_BLOCK_VALUES] = {0};
    uint8_t packed[CODEC_BLOCK_VALUES * (sizeof *sums + 2)];
    unsigned shift = fuzz_take_u8(&in) % 64;
    unsigned keep = fuzz_take_u8(&in) % 64;
    for (size_t i = 0; i < CODEC_BLOCK_VALUES; i++) {
        int64_t value = (int64_t)fuzz_take_u64(&in) >> keep;
        sums[i] = (int64_t)((uint64_t)value << shift);
    }
    size_t packed_bytes = sum_pack(sums, CODEC_BLOCK_VALUES, packed);
    CHECK(packed_bytes <= sum_pack_bytes_max(CODEC_BLOCK_VALUES));
    CHECK(sum_unpack_add(packed, packed_bytes, CODEC_BLOCK_VALUES, back) == STATUS_OK);
    CHECK(memcmp(sums, back, sizeof sums) == 0);
}

static void unpack(struct fuzz_bytes in, size_t count)
{
    int64_t sums[VALUES_MAX] = {0};
    int64_t back[VALUES_MAX] = {0};
    uint8_t packed[VALUES_MAX * (sizeof *sums + 2)];
    enum status checked = sum_pack_check(in.data, in.size_bytes, count);
    CHECK(sum_unpack_add(in.data, in.size_bytes, count, sums) == checked);
    if (checked != STATUS_OK) {
        CHECK(memcmp(sums, back, sizeof sums) == 0);
        return;
    }
    size_t packed_bytes = sum_pack(sums, count, packed);
    CHECK(packed_bytes <= in.size_bytes && packed_bytes <= sum_pack_bytes_max(count));
    CHECK(sum_unpack_add(packed, packed_bytes, count, back) == STATUS_OK);
    CHECK(memcmp(sums, back, sizeof sums) == 0);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    uint8_t what = fuzz_take_u8(&in);
    fuzz_memory_begin();
    if (what >= 128) {
        pack(in);
    } else {
        unpack(in, (size_t)(what % (BLOCKS_MAX + 1)) * CODEC_BLOCK_VALUES);
    }
    fuzz_memory_end(size_bytes, 0);
}
