#include "proto/identity.h"

#include "common/check.h"
#include "common/disk.h"
#include "common/fault.h"
#include "common/files.h"
#include "common/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The file holds the seed as one line of 64 hexadecimal digits. */
_Static_assert((int)IDENTITY_SEED_BYTES == (int)crypto_sign_SEEDBYTES, "as libsodium has it");

enum {
    SEED_HEX_BYTES = 2 * IDENTITY_SEED_BYTES,
    FILE_BYTES = SEED_HEX_BYTES + 1 /* a newline */
};

static enum status no_memory(void)
{
    return fault(STATUS_NO_MEMORY, "no memory that can be locked for a secret key");
}

enum status identity_of_seed(const uint8_t seed[IDENTITY_SEED_BYTES], struct identity *out)
{
    memset(out, 0, sizeof *out);
    struct identity_secrets *secrets = secret_new(sizeof *secrets);
    if (secrets == NULL) {
        return no_memory();
    }
    CHECK(crypto_sign_seed_keypair(out->public_key, secrets->ed25519, seed) == 0);
    CHECK(crypto_sign_ed25519_pk_to_curve25519(out->curve_public, out->public_key) == 0);
    CHECK(crypto_sign_ed25519_sk_to_curve25519(secrets->curve, secrets->ed25519) == 0);
    secret_wipe_stack();
    secret_seal(secrets);
    out->secrets = secrets;
    return STATUS_OK;
}

enum status identity_of_curve(const uint8_t curve_public[IDENTITY_KEY_BYTES],
                              const uint8_t curve_secret[IDENTITY_KEY_BYTES], struct identity *out)
{
    memset(out, 0, sizeof *out);
    struct identity_secrets *secrets = secret_new(sizeof *secrets);
    if (secrets == NULL) {
        return no_memory();
    }
    memcpy(out->curve_public, curve_public, sizeof out->curve_public);
    memcpy(secrets->curve, curve_secret, sizeof secrets->curve);
    secret_seal(secrets);
    out->secrets = secrets;
    return STATUS_OK;
}

/* The file's bytes with a final NUL; *out_size_bytes is at most FILE_BYTES + 1. The permissions
 * are those of the opened file, so nobody can swap it in between. */
static enum status read_private(const char *path, char text[FILE_BYTES + 2], size_t *out_size_bytes)
{
    int fd = disk_open(path, DISK_READ_ITSELF, 0);
    if (fd < 0 && errno == ELOOP) {
        return fault(STATUS_REFUSED,
                     "the identity %s is a link, and who can change links could change keys; put "
                     "the file itself there",
                     path);
    }
    if (fd < 0) {
        return fault(STATUS_NO_INPUT, "cannot read the identity %s: %s", path, strerror(errno));
    }
    int64_t size_bytes = disk_size(fd);
    enum status status = STATUS_OK;
    if (size_bytes < 0) {
        status = fault(STATUS_NO_INPUT, "the identity %s is not a plain file", path);
    } else if (!disk_is_private(fd)) {
        status = fault(STATUS_REFUSED,
                       "others can read or own the secret key in %s; run: chmod 600 %s (and chown "
                       "it to yourself), and make a new identity if somebody may have copied it",
                       path, path);
    }
    size_t read_bytes = size_bytes > FILE_BYTES ? FILE_BYTES + 1 : (size_t)size_bytes;
    if (status == STATUS_OK && !disk_read(fd, 0, text, read_bytes)) {
        status =
            fault(STATUS_NO_INPUT, "reading the identity %s failed: %s", path, strerror(errno));
    }
    (void)disk_close(fd);
    if (status != STATUS_OK) {
        return status;
    }
    text[read_bytes] = '\0';
    *out_size_bytes = read_bytes;
    return STATUS_OK;
}

static enum status identity_read(const char *path, struct identity *out)
{
    char text[FILE_BYTES + 2];
    uint8_t seed[IDENTITY_SEED_BYTES];
    size_t text_bytes = 0;
    enum status status = read_private(path, text, &text_bytes);
    if (status == STATUS_OK) {
        size_t seed_bytes = 0;
        if (text_bytes == FILE_BYTES && text[SEED_HEX_BYTES] == '\n') {
            text_bytes--;
        }
        if (text_bytes == SEED_HEX_BYTES &&
            sodium_hex2bin(seed, IDENTITY_SEED_BYTES, text, SEED_HEX_BYTES, NULL, &seed_bytes,
                           NULL) == 0 &&
            seed_bytes == IDENTITY_SEED_BYTES) {
            status = identity_of_seed(seed, out);
        } else {
            status = fault(STATUS_BAD_DATA,
                           "%s is not an identity (one line of 64 hexadecimal digits); restore it "
                           "from a copy, or remove it to start as somebody new",
                           path);
        }
    }
    sodium_memzero(text, sizeof text);
    sodium_memzero(seed, sizeof seed);
    return status;
}

static enum status identity_create(const char *path, struct identity *out)
{
    uint8_t seed[IDENTITY_SEED_BYTES];
    char text[FILE_BYTES + 1];
    randombytes_buf(seed, sizeof seed);
    (void)sodium_bin2hex(text, sizeof text, seed, sizeof seed);
    text[SEED_HEX_BYTES] = '\n';
    enum status status = files_write_new(path, text, FILE_BYTES, S_IRUSR | S_IWUSR);
    if (status == STATUS_OK) {
        status = identity_of_seed(seed, out);
    }
    sodium_memzero(text, sizeof text);
    sodium_memzero(seed, sizeof seed);
    return status;
}

enum status identity_open(const char *path, struct identity *out)
{
    memset(out, 0, sizeof *out);
    if (sodium_init() < 0) {
        return fault(STATUS_OS, "this system gives no random numbers, so no key can be made");
    }
    return files_exists(path) ? identity_read(path, out) : identity_create(path, out);
}

void identity_wipe(struct identity *self)
{
    secret_free((void *)self->secrets);
    secret_wipe(self, sizeof *self);
}

enum status identity_curve_of(const uint8_t public_key[IDENTITY_KEY_BYTES],
                              uint8_t out[IDENTITY_KEY_BYTES])
{
    /* Refuses points off the curve, of small order and outside the main subgroup. */
    if (crypto_sign_ed25519_pk_to_curve25519(out, public_key) != 0) {
        return STATUS_BAD_DATA;
    }
    return STATUS_OK;
}

void identity_name(const uint8_t public_key[IDENTITY_KEY_BYTES], char out[IDENTITY_NAME_BYTES])
{
    (void)sodium_bin2hex(out, IDENTITY_NAME_BYTES, public_key, (IDENTITY_NAME_BYTES - 1) / 2);
}

void identity_sign(const struct identity *self, const uint8_t *data, size_t size_bytes,
                   uint8_t out[IDENTITY_SIGNATURE_BYTES])
{
    CHECK(crypto_sign_detached(out, NULL, data, size_bytes, self->secrets->ed25519) == 0);
    secret_wipe_stack();
}

bool identity_verify(const uint8_t public_key[IDENTITY_KEY_BYTES], const uint8_t *data,
                     size_t size_bytes, const uint8_t signature[IDENTITY_SIGNATURE_BYTES])
{
    return crypto_sign_verify_detached(signature, data, size_bytes, public_key) == 0;
}
