/* A .tiktoken file of ranks; a text to encode. */
#include "tests/fuzz/tokens.h"

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    struct fuzz_bytes ranks = fuzz_section(&in);
    fuzz_disk_put("/tok/some.tiktoken", ranks.data, ranks.size_bytes);
    tokens_read("/tok", size_bytes, in);
}
