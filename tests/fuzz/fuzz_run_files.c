/* The small files of a run's folder and of a peer's: trusted keys, status, secret key. */
#include "coordinator/store/status_file.h"
#include "coordinator/store/trusted.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"

#include <stdlib.h>
#include <string.h>

enum { BASE_BYTES = FUZZ_JSON_BASE_BYTES };

static void read_trusted(struct fuzz_bytes in)
{
    static const uint8_t key[IDENTITY_KEY_BYTES] = {1, 2, 3};
    bool changed = false;
    uint8_t parsed[IDENTITY_KEY_BYTES];
    char hex[TRUSTED_HEX_BYTES];
    if (in.size_bytes > 0) {
        fuzz_disk_put("/run/trusted", in.data, in.size_bytes);
    }
    bool had = trusted_has("/run", key);
    for (int i = 0; i < 2; i++) {
        bool trusted = i == 0;
        enum status status = trusted_set("/run", key, trusted, &changed);
        CHECK(status != STATUS_OK || !fuzz_is_calm() || changed == (trusted != had || i == 1) ||
              !trusted);
    }
    char *text = fuzz_text(in);
    if (trusted_parse(text, parsed) == STATUS_OK) {
        trusted_format(parsed, hex);
        CHECK(strlen(hex) == strlen(text));
    }
    fuzz_own_free(text);
}

static void read_status(struct fuzz_bytes in)
{
    char *text = NULL;
    struct run_status status = {.name = "fuzz", .port = 7};
    struct fuzz_bytes path = {in.data, in.size_bytes < FILES_PATH_MAX ? in.size_bytes : 0};
    if (in.size_bytes > 0) {
        fuzz_disk_put("/run/status.json", in.data, in.size_bytes);
    }
    (void)status_file_port("/run");
    if (status_file_read("/run", &text) == STATUS_OK) {
        CHECK(text != NULL);
    }
    free(text);
    memcpy(status.checkpoint, path.data, path.size_bytes);
    if (status_file_write("/run", &status) == STATUS_OK) {
        CHECK(status_file_port("/run") == 7 || !fuzz_is_calm());
    }
}

static void read_key(struct fuzz_bytes in)
{
    struct identity identity;
    struct identity again;
    if (fuzz_take_u8(&in) != 0) {
        fuzz_disk_put("/state/identity.key", in.data, in.size_bytes);
    }
    if (identity_open("/state/identity.key", &identity) == STATUS_OK) {
        uint8_t curve[IDENTITY_KEY_BYTES];
        uint8_t signature[IDENTITY_SIGNATURE_BYTES];
        char name[IDENTITY_NAME_BYTES];
        identity_name(identity.public_key, name);
        CHECK(strlen(name) == IDENTITY_NAME_BYTES - 1);
        CHECK(identity_curve_of(identity.public_key, curve) == STATUS_OK);
        CHECK(memcmp(curve, identity.curve_public, sizeof curve) == 0);
        identity_sign(&identity, in.data, in.size_bytes, signature);
        CHECK(identity_verify(identity.public_key, in.data, in.size_bytes, signature));
        signature[0] ^= 1;
        CHECK(!identity_verify(identity.public_key, in.data, in.size_bytes, signature));
        if (identity_of_curve(curve, identity.secrets->curve, &again) == STATUS_OK) {
            CHECK(memcmp(again.secrets->curve, identity.secrets->curve, sizeof curve) == 0);
            identity_wipe(&again);
        }
        if (identity_open("/state/identity.key", &again) == STATUS_OK) {
            CHECK(memcmp(again.public_key, identity.public_key, sizeof again.public_key) == 0);
            identity_wipe(&again);
        }
    }
    identity_wipe(&identity);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    uint8_t what = fuzz_take_u8(&in) % 3;
    fuzz_memory_begin();
    (what == 0 ? read_trusted : what == 1 ? read_status : read_key)(in);
    fuzz_memory_end(size_bytes, FUZZ_JSON_FACTOR * size_bytes + BASE_BYTES);
}
