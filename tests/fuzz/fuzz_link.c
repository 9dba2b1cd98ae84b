/* Join links: one that is read is written again, and read to the same. */
#include "proto/link.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void write_again(const struct join_link *link)
{
    char text[LINK_TEXT_MAX];
    struct join_link again;
    CHECK(link_is_address(link->address));
    CHECK(link_format(link, text) == STATUS_OK);
    CHECK(link_parse(text, &again) == STATUS_OK);
    CHECK(strcmp(again.address, link->address) == 0);
    CHECK(memcmp(again.coordinator_key, link->coordinator_key, IDENTITY_KEY_BYTES) == 0);
    CHECK(memcmp(again.token, link->token, LINK_TOKEN_BYTES) == 0);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    char *text = fuzz_text((struct fuzz_bytes){data, size_bytes});
    char out[LINK_TEXT_MAX];
    struct join_link link;
    fuzz_memory_begin();
    enum status status = link_parse(text, &link);
    fuzz_memory_end(size_bytes, 0);
    if (status == STATUS_OK) {
        write_again(&link);
    }
    /* An owner's own --address goes the other way. */
    memset(&link, 0, sizeof link);
    (void)strncpy(link.address, text, sizeof link.address - 1);
    CHECK((link_format(&link, out) == STATUS_OK) == link_is_address(link.address));
    fuzz_own_free(text);
}
