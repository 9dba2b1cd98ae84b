/* state.json of a checkpoint; its hash over itself is put right, so that what stands behind it is
 * read. What is read is written, and read to the same. */
#include "coordinator/store/checkpoint_state.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"

#include <jansson.h>
#include <string.h>

enum { BASE_BYTES = FUZZ_JSON_BASE_BYTES };

/* The text with the right "self"; NULL: it is no object. The caller frees it. */
static char *seal(const char *text, size_t size_bytes)
{
    json_t *state = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    char *out = NULL;
    if (json_is_object(state)) {
        char hex[DIGEST_HEX_BYTES];
        (void)json_object_del(state, "self");
        char *rest = json_dumps(state, JSON_COMPACT | JSON_SORT_KEYS);
        struct digest hash = digest_of(rest, rest != NULL ? strlen(rest) : 0);
        digest_to_hex(&hash, hex);
        (void)json_object_set_new(state, "self", json_string(hex));
        out = json_dumps(state, JSON_COMPACT);
        free(rest);
    }
    json_decref(state);
    return out;
}

static void write_again(const struct checkpoint_state *state)
{
    struct checkpoint_state again;
    enum status status = checkpoint_state_write("/out", state);
    if (status == STATUS_OK) {
        status = checkpoint_state_read("/out", state->version, &again);
    }
    CHECK(status == STATUS_OK || !fuzz_is_calm());
    if (status == STATUS_OK) {
        CHECK(again.version == state->version && again.file_count == state->file_count);
        CHECK(again.optimizer == state->optimizer && again.mean_codec == state->mean_codec);
        CHECK(digest_equal(&again.digest, &state->digest) && again.has_mark == state->has_mark);
        CHECK(!state->has_mark || (again.mark.sequence == state->mark.sequence &&
                                   again.mark.state.tokens == state->mark.state.tokens));
    }
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    struct checkpoint_state state;
    bool sealed = fuzz_take_u8(&in) % 2 == 1;
    uint64_t version = fuzz_take_u8(&in);
    char *text = sealed ? seal((const char *)in.data, in.size_bytes) : NULL;
    if (text != NULL) {
        fuzz_disk_put("/step/state.json", (const uint8_t *)text, strlen(text));
    } else {
        fuzz_disk_put("/step/state.json", in.data, in.size_bytes);
    }
    free(text);
    fuzz_memory_begin();
    enum status status = checkpoint_state_read("/step", version, &state);
    fuzz_memory_end(size_bytes, FUZZ_JSON_FACTOR * size_bytes + BASE_BYTES);
    if (status == STATUS_OK) {
        CHECK(state.version == version && state.file_count <= PARTS_MAX);
        write_again(&state);
    }
}
