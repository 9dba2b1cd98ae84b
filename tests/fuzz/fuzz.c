#include "tests/fuzz/fuzz.h"

#include "common/digest.h"
#include "tests/fuzz/fuzz_disk.h"
#include "tests/fuzz/fuzz_memory.h"
#include "tests/fuzz/fuzz_replay.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static bool calm = true;

bool fuzz_is_calm(void)
{
    return calm;
}

/* How many chances to fail one parse had. */
struct chances {
    uint64_t allocations;
    uint64_t calls;
};

static struct chances parse(const uint8_t *data, size_t size_bytes, struct chances fail_at)
{
    calm = fail_at.allocations == 0 && fail_at.calls == 0;
    fuzz_memory_arm(fail_at.allocations);
    fuzz_disk_arm(fail_at.calls);
    fuzz_parse(data, size_bytes);
    struct chances out = {fuzz_memory_disarm(), fuzz_disk_disarm()};
    fuzz_disk_clear();
    calm = true;
    return out;
}

static void fail_all(const uint8_t *data, size_t size_bytes, struct chances chances)
{
    for (uint64_t i = 1; i <= chances.allocations && i <= FUZZ_FAILURES_MAX; i++) {
        (void)parse(data, size_bytes, (struct chances){.allocations = i});
    }
    for (uint64_t i = 1; i <= chances.calls && i <= FUZZ_FAILURES_MAX; i++) {
        (void)parse(data, size_bytes, (struct chances){.calls = i});
    }
}

static void fail_one(const uint8_t *data, size_t size_bytes, struct chances chances)
{
    struct digest luck = digest_of(data, size_bytes);
    if (chances.allocations > 0 && luck.bytes[0] % 2 == 0) {
        uint64_t at = 1 + (luck.bytes[2] * 256U + luck.bytes[3]) % chances.allocations;
        (void)parse(data, size_bytes, (struct chances){.allocations = at});
    }
    if (chances.calls > 0 && luck.bytes[1] % 4 == 0) {
        uint64_t at = 1 + (luck.bytes[4] * 256U + luck.bytes[5]) % chances.calls;
        (void)parse(data, size_bytes, (struct chances){.calls = at});
    }
}

static void prepare(void)
{
    static bool done;
    if (!done) {
        done = true;
        /* Random otherwise: what an input does must follow from it. */
        json_object_seed(1);
        json_set_alloc_funcs(malloc, free);
    }
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer chooses the name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static const uint8_t nothing[1];
    prepare();
    data = data != NULL ? data : nothing;
    struct chances chances = parse(data, size_bytes, (struct chances){0});
    (fuzz_replays() ? fail_all : fail_one)(data, size_bytes, chances);
    return 0;
}

struct fuzz_bytes fuzz_take(struct fuzz_bytes *from, size_t size_bytes)
{
    size_t got = size_bytes < from->size_bytes ? size_bytes : from->size_bytes;
    struct fuzz_bytes out = {from->data, got};
    from->data += got;
    from->size_bytes -= got;
    return out;
}

uint64_t fuzz_take_u64(struct fuzz_bytes *from)
{
    struct fuzz_bytes bytes = fuzz_take(from, sizeof(uint64_t));
    uint64_t out = 0;
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        out |= (uint64_t)bytes.data[i] << 8 * i;
    }
    return out;
}

uint32_t fuzz_take_u32(struct fuzz_bytes *from)
{
    struct fuzz_bytes bytes = fuzz_take(from, sizeof(uint32_t));
    return (uint32_t)fuzz_take_u64(&bytes);
}

uint8_t fuzz_take_u8(struct fuzz_bytes *from)
{
    struct fuzz_bytes bytes = fuzz_take(from, 1);
    return (uint8_t)fuzz_take_u64(&bytes);
}

struct fuzz_bytes fuzz_section(struct fuzz_bytes *from)
{
    static const char line[] = "\n%%\n";
    size_t length = sizeof line - 1;
    const uint8_t *end = memmem(from->data, from->size_bytes, line, length);
    struct fuzz_bytes out =
        fuzz_take(from, end != NULL ? (size_t)(end - from->data) : from->size_bytes);
    (void)fuzz_take(from, end != NULL ? length : 0);
    return out;
}

char *fuzz_text(struct fuzz_bytes bytes)
{
    char *out = fuzz_own_alloc(bytes.size_bytes + 1);
    memcpy(out, bytes.data, bytes.size_bytes);
    out[bytes.size_bytes] = '\0';
    return out;
}
