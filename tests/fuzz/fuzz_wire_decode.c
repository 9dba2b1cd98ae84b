/* Heads of control messages, the body of a set; what is read is written again the same. */
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* For each message that wire.h calls "4 x size_bytes + 16 KiB"; what its allocator rounds up to. */
enum { BASE_BYTES = 16 * 1024 + 4096 };

static struct wire_message first;
static struct wire_message second;
static uint64_t serials[WIRE_SET_MAX];

static void write_again(void)
{
    static uint8_t head[WIRE_HEAD_MAX];
    static uint8_t again[WIRE_HEAD_MAX];
    size_t head_bytes = 0;
    size_t again_bytes = 0;
    /* What the reader left as it was would differ. */
    memset(&second, 0x5a, sizeof second);
    CHECK(wire_encode(&first, head, sizeof head, &head_bytes) == STATUS_OK);
    CHECK(wire_decode(head, head_bytes, &second) == STATUS_OK);
    CHECK(wire_encode(&second, again, sizeof again, &again_bytes) == STATUS_OK);
    CHECK(head_bytes == again_bytes && memcmp(head, again, head_bytes) == 0);
    for (size_t less = 0; less < head_bytes; less += 1 + less / 2) {
        CHECK(wire_encode(&first, again, less, &again_bytes) == STATUS_FULL);
    }
}

/* The bytes of the head serve as a body as well. */
static void read_body(const uint8_t *data, size_t size_bytes)
{
    struct wire_set set = {.serial_count = (uint32_t)(size_bytes / sizeof(uint64_t))};
    if (set.serial_count > WIRE_SET_MAX ||
        wire_serials_read(&set, data, size_bytes, serials) != STATUS_OK) {
        return;
    }
    uint8_t *body = fuzz_own_alloc(size_bytes);
    CHECK(size_bytes % sizeof(uint64_t) == 0);
    wire_serials_write(serials, set.serial_count, body);
    CHECK(memcmp(body, data, size_bytes) == 0);
    fuzz_own_free(body);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    memset(&first, 0xa5, sizeof first);
    fuzz_memory_begin();
    enum status status = wire_decode(data, size_bytes, &first);
    fuzz_memory_end(size_bytes, BASE_BYTES);
    if (status == STATUS_OK) {
        CHECK(!wire_is_chunk(data, size_bytes));
        CHECK(wire_type_name(first.type) != NULL);
    }
    if (status == STATUS_OK && fuzz_is_calm()) {
        write_again();
    }
    read_body(data, size_bytes);
}
