/* Which file of a folder is its tokenizer: the first byte says which there are. */
#include "tests/fuzz/tokens.h"

static const char *const names[] = {
    "/tok/tokenizer.json", "/tok/vocab.json", "/tok/merges.txt",           "/tok/vocab.bpe",
    "/tok/a.tiktoken",     "/tok/b.tiktoken", "/tok/tokenizer_config.json"};

enum { NAME_COUNT = sizeof names / sizeof names[0], SPEC_BYTES = 5000 };

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    static char spec[SPEC_BYTES];
    struct fuzz_bytes in = {data, size_bytes};
    uint8_t what = fuzz_take_u8(&in);
    uint8_t which = fuzz_take_u8(&in);
    for (unsigned i = 0; i < NAME_COUNT; i++) {
        if (((unsigned)what >> i & 1U) != 0) {
            struct fuzz_bytes file = fuzz_section(&in);
            fuzz_disk_put(names[i], file.data, file.size_bytes);
        }
    }
    memset(spec, 'a', sizeof spec - 1);
    tokens_read(which < NAME_COUNT    ? names[which]
                : which == NAME_COUNT ? spec
                                      : "/tok",
                size_bytes, in);
}
