/* A tokenizer.json, and a tokenizer_config.json beside it; a text to encode. */
#include "tests/fuzz/tokens.h"

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    struct fuzz_bytes json = fuzz_section(&in);
    struct fuzz_bytes config = fuzz_section(&in);
    fuzz_disk_put("/tok/tokenizer.json", json.data, json.size_bytes);
    if (config.size_bytes > 0) {
        fuzz_disk_put("/tok/tokenizer_config.json", config.data, config.size_bytes);
    }
    tokens_read("/tok", size_bytes, in);
}
