/* Rates as people write them. */
#include "proto/rate.h"
#include "tests/fuzz/fuzz.h"

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    char *text = fuzz_text((struct fuzz_bytes){data, size_bytes});
    uint64_t rate = 0;
    fuzz_memory_begin();
    if (rate_from_text("--max-up", text, &rate) == STATUS_OK) {
        CHECK(rate >= 1000 && rate <= UINT64_C(1000000000000));
    }
    fuzz_memory_end(size_bytes, 0);
    fuzz_own_free(text);
}
