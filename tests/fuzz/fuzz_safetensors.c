/* A safetensors file: behind a length of our own making, so that the fuzzer need not count. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"
#include "trainer/formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { BASE_BYTES = FUZZ_JSON_BASE_BYTES };

enum { VALUES_MAX = 64, FILE_BYTES_MAX = 1 << 16, LENGTH_BYTES = 8 };

static const char path[] = "/model.safetensors";

static void read_values(const struct safetensors *file, const struct safetensors_entry *entry)
{
    float values[VALUES_MAX];
    size_t count = 1;
    for (uint32_t i = 0; i < entry->rank; i++) {
        count = entry->shape[i] > VALUES_MAX ? 0 : count * entry->shape[i];
        count = count > VALUES_MAX ? 0 : count;
    }
    enum status status = safetensors_read_f32(file, entry, values, count);
    CHECK(status == STATUS_OK || status == STATUS_BAD_SHAPE || status == STATUS_BAD_DATA);
    CHECK(safetensors_read_f32(file, entry, values, VALUES_MAX + 1) != STATUS_OK);
    CHECK(tensor_dtype_name(entry->dtype) != NULL);
}

static void look(const struct safetensors *file)
{
    volatile uint8_t seen = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensors_entry *entry = safetensors_entry(file, i);
        CHECK(safetensors_find(file, entry->name) == entry);
        for (size_t j = 0; j < entry->size_bytes; j++) {
            seen ^= entry->data[j]; /* all of it lies in the file */
        }
        read_values(file, entry);
    }
    (void)seen;
    CHECK(safetensors_find(file, "") == NULL);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    struct safetensors *file = NULL;
    uint8_t what = fuzz_take_u8(&in);
    if (what % 2 == 0) {
        fuzz_disk_put(path, in.data, in.size_bytes);
    } else {
        static uint8_t bytes[FILE_BYTES_MAX];
        struct fuzz_bytes json = fuzz_section(&in);
        size_t all_bytes = LENGTH_BYTES + json.size_bytes + in.size_bytes;
        if (all_bytes > sizeof bytes) {
            return;
        }
        for (unsigned i = 0; i < LENGTH_BYTES; i++) {
            bytes[i] = (uint8_t)((uint64_t)json.size_bytes >> 8 * i);
        }
        memcpy(bytes + LENGTH_BYTES, json.data, json.size_bytes);
        memcpy(bytes + LENGTH_BYTES + json.size_bytes, in.data, in.size_bytes);
        fuzz_disk_put(path, bytes, all_bytes);
    }
    fuzz_memory_begin();
    enum status status = safetensors_open(path, &file);
    fuzz_memory_end(size_bytes, FUZZ_JSON_FACTOR * size_bytes + BASE_BYTES);
    if (status == STATUS_OK) {
        look(file);
    }
    safetensors_close(file);
}
