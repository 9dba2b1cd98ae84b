#include "coordinator/store/invites.h"

#include "common/clock.h"
#include "common/digest.h"
#include "common/fault.h"
#include "common/files.h"

#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { INVITES_BYTES_MAX = 4 << 20 };

/* The array of invites; NULL with a sentence when the file is damaged. */
static json_t *read_invites(const char *path)
{
    if (!files_exists(path)) {
        return json_array();
    }
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    if (files_read(path, INVITES_BYTES_MAX, &text, &size_bytes) != STATUS_OK) {
        return NULL;
    }
    json_t *invites = json_loadb((const char *)text, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (!json_is_array(invites)) {
        json_decref(invites);
        (void)fault(STATUS_BAD_DATA, "%s is damaged; remove it and invite again", path);
        return NULL;
    }
    return invites;
}

static void hash_token(const uint8_t token[LINK_TOKEN_BYTES], char out_hex[DIGEST_HEX_BYTES])
{
    struct digest hash = digest_of(token, LINK_TOKEN_BYTES);
    digest_to_hex(&hash, out_hex);
}

enum status invites_create(const char *run_path, uint8_t out_token[LINK_TOKEN_BYTES])
{
    char path[FILES_PATH_MAX];
    char hex[DIGEST_HEX_BYTES];
    enum status status = files_join(run_path, "invites.json", path);
    if (status != STATUS_OK) {
        return status;
    }
    json_t *invites = read_invites(path);
    if (invites == NULL) {
        return STATUS_BAD_DATA;
    }
    if (json_array_size(invites) >= INVITES_MAX) {
        json_decref(invites);
        return fault(STATUS_FULL, "%s holds %d invites, the most there can be", path, INVITES_MAX);
    }
    randombytes_buf(out_token, LINK_TOKEN_BYTES);
    hash_token(out_token, hex);
    json_t *invite =
        json_pack("{s:s,s:I}", "blake2b", hex, "created_ms", (json_int_t)clock_unix_ms());
    (void)json_array_append_new(invites, invite);
    char *text = json_dumps(invites, JSON_INDENT(1));
    json_decref(invites);
    if (invite == NULL || text == NULL) {
        free(text);
        return fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    }
    status = files_write_atomic(path, text, strlen(text), 0600);
    free(text);
    return status;
}

bool invites_known(const char *run_path, const uint8_t token[LINK_TOKEN_BYTES])
{
    char path[FILES_PATH_MAX];
    char hex[DIGEST_HEX_BYTES];
    if (files_join(run_path, "invites.json", path) != STATUS_OK) {
        return false;
    }
    json_t *invites = read_invites(path);
    hash_token(token, hex);
    bool known = false;
    for (size_t i = 0; i < json_array_size(invites) && !known; i++) {
        const char *stored =
            json_string_value(json_object_get(json_array_get(invites, i), "blake2b"));
        known = stored != NULL && strlen(stored) == DIGEST_HEX_BYTES - 1 &&
                sodium_memcmp(stored, hex, DIGEST_HEX_BYTES - 1) == 0;
    }
    json_decref(invites);
    return known;
}
