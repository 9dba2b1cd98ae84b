/* A vocab.json with merges.txt beside it; a text to encode. */
#include "tests/fuzz/tokens.h"

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    struct fuzz_bytes vocab = fuzz_section(&in);
    struct fuzz_bytes merges = fuzz_section(&in);
    fuzz_disk_put("/tok/vocab.json", vocab.data, vocab.size_bytes);
    fuzz_disk_put("/tok/merges.txt", merges.data, merges.size_bytes);
    tokens_read("/tok", size_bytes, in);
}
