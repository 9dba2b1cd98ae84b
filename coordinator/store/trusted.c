#include "coordinator/store/trusted.h"

#include "common/fault.h"
#include "common/files.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = TRUSTED_HEX_BYTES /* the digits and a newline */ };

void trusted_format(const uint8_t key[IDENTITY_KEY_BYTES], char out[TRUSTED_HEX_BYTES])
{
    (void)sodium_bin2hex(out, TRUSTED_HEX_BYTES, key, IDENTITY_KEY_BYTES);
}

static bool read_hex(const char *text, size_t length, uint8_t *out_key)
{
    size_t size_bytes = 0;
    return length == TRUSTED_HEX_BYTES - 1 &&
           sodium_hex2bin(out_key, IDENTITY_KEY_BYTES, text, length, NULL, &size_bytes, NULL) ==
               0 &&
           size_bytes == IDENTITY_KEY_BYTES;
}

enum status trusted_parse(const char *text, uint8_t out_key[IDENTITY_KEY_BYTES])
{
    uint8_t curve[IDENTITY_KEY_BYTES];
    return read_hex(text, strlen(text), out_key) && identity_curve_of(out_key, curve) == STATUS_OK
               ? STATUS_OK
               : fault(STATUS_USAGE,
                       "a peer's key is 64 hexadecimal digits, as in the "
                       "coordinator's log behind key=; '%.80s' is none",
                       text);
}

/* The file's text, "" when there is none. Errors: those of files_read; BAD_DATA. */
static enum status read_file(const char *path, char **out, size_t *out_size_bytes)
{
    uint8_t *text = NULL;
    uint8_t key[IDENTITY_KEY_BYTES];
    if (!files_exists(path)) {
        *out_size_bytes = 0;
        *out = calloc(1, 1);
        return *out != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory to read %s", path);
    }
    enum status status = files_read(path, (size_t)TRUSTED_MAX * LINE_BYTES, &text, out_size_bytes);
    bool fine = status == STATUS_OK && *out_size_bytes % LINE_BYTES == 0;
    for (size_t at = 0; fine && at < *out_size_bytes; at += LINE_BYTES) {
        fine = read_hex((const char *)text + at, LINE_BYTES - 1, key) &&
               text[at + LINE_BYTES - 1] == '\n';
    }
    *out = (char *)text;
    return fine || status != STATUS_OK
               ? status
               : fault(STATUS_BAD_DATA,
                       "%s is damaged: each line must be a key of 64 hexadecimal digits; mend it, "
                       "or remove it and trust again",
                       path);
}

/* Where the line of the key begins; size_bytes when there is none. */
static size_t find_line(const char *text, size_t size_bytes, const uint8_t *key)
{
    uint8_t other[IDENTITY_KEY_BYTES];
    size_t at = 0;
    while (at < size_bytes &&
           !(read_hex(text + at, LINE_BYTES - 1, other) && memcmp(other, key, sizeof other) == 0)) {
        at += LINE_BYTES;
    }
    return at;
}

/* Errors: FULL, NO_MEMORY. */
static enum status add_line(char **text, size_t *size_bytes, const uint8_t *key)
{
    if (*size_bytes / LINE_BYTES >= TRUSTED_MAX) {
        return fault(STATUS_FULL, "%d keys are trusted, the most there can be", TRUSTED_MAX);
    }
    char *longer = realloc(*text, *size_bytes + LINE_BYTES + 1);
    if (longer == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for one more key");
    }
    *text = longer;
    trusted_format(key, longer + *size_bytes);
    longer[*size_bytes + LINE_BYTES - 1] = '\n';
    *size_bytes += LINE_BYTES;
    return STATUS_OK;
}

enum status trusted_set(const char *run_path, const uint8_t key[IDENTITY_KEY_BYTES], bool trusted,
                        bool *out_changed)
{
    char path[FILES_PATH_MAX];
    char *text = NULL;
    size_t size_bytes = 0;
    enum status status = files_join(run_path, "trusted", path);
    if (status == STATUS_OK) {
        status = read_file(path, &text, &size_bytes);
    }
    size_t at = status == STATUS_OK ? find_line(text, size_bytes, key) : 0;
    *out_changed = status == STATUS_OK && trusted == (at == size_bytes);
    if (*out_changed && trusted) {
        status = add_line(&text, &size_bytes, key);
    } else if (*out_changed) {
        memmove(text + at, text + at + LINE_BYTES, size_bytes - at - LINE_BYTES);
        size_bytes -= LINE_BYTES;
    }
    if (*out_changed && status == STATUS_OK) {
        status = files_write_atomic(path, text, size_bytes, 0644);
    }
    free(text);
    return status;
}

bool trusted_has(const char *run_path, const uint8_t key[IDENTITY_KEY_BYTES])
{
    char path[FILES_PATH_MAX];
    char *text = NULL;
    size_t size_bytes = 0;
    bool has = files_join(run_path, "trusted", path) == STATUS_OK &&
               read_file(path, &text, &size_bytes) == STATUS_OK &&
               find_line(text, size_bytes, key) < size_bytes;
    free(text);
    return has;
}
