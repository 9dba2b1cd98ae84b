/* What a peer keeps in its state folder: how many hellos its key has said, and how a coordinator's
 * runs looked. */
#include "common/fault.h"
#include "common/files.h"
#include "peer/daemon/run_pin.h"
#include "peer/daemon/sequence.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"

#include <string.h>

enum { BASE_BYTES = FUZZ_JSON_BASE_BYTES };

enum { DISK_BYTES = 1 << 20 };

static void read_sequence(struct fuzz_bytes in)
{
    struct sequence sequence;
    uint64_t next = 0;
    fuzz_disk_put("/state/sequence", in.data, in.size_bytes);
    enum status status = sequence_open("/state", &sequence);
    CHECK(status == STATUS_OK || strstr(fault_text(), "/state/sequence") != NULL ||
          !fuzz_is_calm());
    if (status != STATUS_OK) {
        return;
    }
    uint64_t last = sequence.last;
    CHECK(last <= WIRE_SEQUENCE_MAX);
    status = sequence_next(&sequence, &next);
    CHECK((status == STATUS_OK) == (last < WIRE_SEQUENCE_MAX) || !fuzz_is_calm());
    CHECK(sequence.last == (status == STATUS_OK ? last + 1 : last));
    CHECK(status != STATUS_OK || next == last + 1);
    if (status == STATUS_OK && sequence_open("/state", &sequence) == STATUS_OK) {
        CHECK(sequence.last == next); /* it was written before it was given out */
    }
}

static const struct run_shape *shape(uint8_t run)
{
    static struct run_shape out;
    out = (struct run_shape){.context = 64, .vocab_size = 100, .parameters = 1000};
    memset(out.run_id.bytes, run, sizeof out.run_id.bytes);
    memset(out.model.bytes, 0x11, sizeof out.model.bytes);
    return &out;
}

static void read_pins(struct fuzz_bytes in)
{
    static const char path[] =
        "/state/runs/abababababababababababababababababababababababababababababababab.json";
    uint8_t key[IDENTITY_KEY_BYTES];
    memset(key, 0xab, sizeof key);
    fuzz_disk_put("/state/runs/other.json", in.data, 0); /* so that the folder is there */
    if (in.size_bytes > 0) {
        fuzz_disk_put(path, in.data, in.size_bytes);
    }
    for (uint8_t run = 1; run < 3; run++) {
        enum status status = run_pin_check("/state", DISK_BYTES, key, shape(run));
        CHECK(status == STATUS_OK || !fuzz_is_calm() || strstr(fault_text(), path) != NULL);
        if (status != STATUS_OK) {
            continue;
        }
        struct run_shape other = *shape(run);
        other.parameters++;
        status = run_pin_check("/state", DISK_BYTES, key, &other);
        CHECK(status == STATUS_REFUSED || !fuzz_is_calm()); /* what was let in is kept */
        status = run_pin_check("/state", DISK_BYTES, key, shape(run));
        CHECK(status == STATUS_OK || !fuzz_is_calm());
    }
}

/* A coordinator says what its run is, and says it again. */
static void read_welcome(struct fuzz_bytes in)
{
    static struct wire_welcome welcome;
    struct run_shape first;
    struct run_shape second;
    if (in.size_bytes >= sizeof welcome.model_json) {
        return;
    }
    memset(&welcome, 0, sizeof welcome);
    if (in.size_bytes > 0) {
        memcpy(welcome.model_json, in.data, in.size_bytes);
    }
    if (run_shape_read(&welcome, &first) == STATUS_OK &&
        run_shape_read(&welcome, &second) == STATUS_OK) {
        CHECK(first.parameters > 0);
        CHECK(run_shape_compare(&first, &second, NULL) == STATUS_OK);
        second.model.bytes[0] ^= 1;
        CHECK(run_shape_compare(&first, &second, NULL) == STATUS_REFUSED);
    }
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    uint8_t what = fuzz_take_u8(&in) % 3;
    fuzz_memory_begin();
    (what == 0 ? read_sequence : what == 1 ? read_pins : read_welcome)(in);
    fuzz_memory_end(size_bytes, FUZZ_JSON_FACTOR * size_bytes + BASE_BYTES);
}
