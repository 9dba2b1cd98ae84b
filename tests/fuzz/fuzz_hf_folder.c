/* A Hugging Face folder: config.json, an index and the files that it names. */
#include "common/files.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/formats/hf_weights.h"

#include <stdlib.h>
#include <string.h>

/* Values are read in pieces of half a megabyte. */
enum { BASE_BYTES = FUZZ_JSON_BASE_BYTES + (1 << 20) };

enum { VALUES_MAX = 4096, HEADER_BYTES_MAX = 1 << 14, LENGTH_BYTES = 8 };

/* Files of tensors are headers, with zeros behind them. */
static void put_tensors(const char *path, struct fuzz_bytes header, size_t data_bytes)
{
    static uint8_t bytes[LENGTH_BYTES + HEADER_BYTES_MAX + VALUES_MAX * sizeof(float)];
    if (header.size_bytes > HEADER_BYTES_MAX || data_bytes > VALUES_MAX * sizeof(float)) {
        return;
    }
    memset(bytes + LENGTH_BYTES + header.size_bytes, 0, data_bytes);
    for (unsigned i = 0; i < LENGTH_BYTES; i++) {
        bytes[i] = (uint8_t)((uint64_t)header.size_bytes >> 8 * i);
    }
    memcpy(bytes + LENGTH_BYTES, header.data, header.size_bytes);
    fuzz_disk_put(path, bytes, LENGTH_BYTES + header.size_bytes + data_bytes);
}

static void read_weights(const struct layout *layout)
{
    static float params[VALUES_MAX];
    struct hf_weights *weights = NULL;
    if (layout_value_count(layout) > VALUES_MAX) {
        return;
    }
    enum status status = hf_weights_open("/model", &weights);
    if (status == STATUS_OK) {
        enum status checked = hf_weights_check(weights, layout);
        status = hf_weights_read(weights, layout, params);
        CHECK((status == STATUS_OK) == (checked == STATUS_OK) || !fuzz_is_calm());
        CHECK(hf_weights_file_count(weights) > 0);
        CHECK(hf_weights_dtype_name(weights, layout) != NULL);
    }
    hf_weights_close(weights);
    fuzz_ignore(hf_folder_read_params("/model", layout, params));
    fuzz_ignore(hf_folder_check_finite("/model", layout, params));
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    struct model_config config;
    struct layout *layout = NULL;
    uint8_t what = fuzz_take_u8(&in);
    size_t first_bytes = fuzz_take_u32(&in);
    size_t second_bytes = fuzz_take_u32(&in);
    struct fuzz_bytes json = fuzz_section(&in);
    struct fuzz_bytes index = fuzz_section(&in);
    struct fuzz_bytes first = fuzz_section(&in);
    fuzz_disk_put("/model/config.json", json.data, json.size_bytes);
    if (what == 1) {
        put_tensors("/model/model.safetensors", first, first_bytes);
    } else if (what == 2) {
        fuzz_disk_put("/model/pytorch_model.bin", index.data, index.size_bytes);
    } else if (what > 3) {
        fuzz_disk_put("/model/model.safetensors.index.json", index.data, index.size_bytes);
        put_tensors("/model/a.safetensors", first, first_bytes);
        put_tensors("/model/b.safetensors", in, second_bytes);
    }
    fuzz_memory_begin();
    struct tokenizer *tokenizer = NULL;
    CHECK(hf_folder_read_tokenizer("/model", &tokenizer) != STATUS_OK);
    if (hf_folder_read_config("/model", &config) == STATUS_OK &&
        layout_new(&config, &layout) == STATUS_OK) {
        read_weights(layout);
        layout_free(layout);
    }
    fuzz_memory_end(size_bytes, FUZZ_JSON_FACTOR * size_bytes + BASE_BYTES);
}
