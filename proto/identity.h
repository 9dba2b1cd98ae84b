/* identity - the key pair that a coordinator or a peer is known by.
 *
 * One Ed25519 key, made on first start. The CURVE key of the transport is its Curve25519 form
 * (libsodium's crypto_sign_ed25519_*_to_curve25519), so whoever completes the CURVE handshake
 * has proved the identity as well. The file is written once, whole, with mode 0600, and never over
 * another. */
#ifndef DUGNAD_PROTO_IDENTITY_H
#define DUGNAD_PROTO_IDENTITY_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    IDENTITY_KEY_BYTES = 32,
    IDENTITY_SIGNATURE_BYTES = 64,
    IDENTITY_SECRET_BYTES = 64,
    IDENTITY_SEED_BYTES = 32,
    IDENTITY_NAME_BYTES = 13 /* 12 hexadecimal digits and a NUL */
};

/* In locked memory, read-only (secret.h); never copied out of it, never logged. */
struct identity_secrets {
    uint8_t ed25519[IDENTITY_SECRET_BYTES]; /* all zero: an identity that only connects */
    uint8_t curve[IDENTITY_KEY_BYTES];
};

struct identity {
    uint8_t public_key[IDENTITY_KEY_BYTES]; /* Ed25519 */
    uint8_t curve_public[IDENTITY_KEY_BYTES];
    const struct identity_secrets *secrets; /* owned by one identity; NULL: none */
};

/* Reads the identity at `path`, or makes one there when the file is missing. The file must be a
 * plain one, no link, of the user who runs the program, and closed to everybody else.
 * Errors: NO_INPUT, BAD_DATA, REFUSED (not so: says what to do), CANNOT_CREATE, NO_MEMORY, each
 * with a sentence; then *out is zero. End it with identity_wipe(). */
MUST_CHECK enum status identity_open(const char *path, struct identity *out);
void identity_wipe(struct identity *self); /* A zeroed or wiped one is allowed. */

/* The identity that belongs to a seed. Errors: NO_MEMORY, OS. End it with identity_wipe(). */
MUST_CHECK enum status identity_of_seed(const uint8_t seed[IDENTITY_SEED_BYTES],
                                        struct identity *out);

/* One that can connect and be connected to, and sign nothing: only the CURVE key pair is known.
 * Errors: NO_MEMORY, OS. End it with identity_wipe(). */
MUST_CHECK enum status identity_of_curve(const uint8_t curve_public[IDENTITY_KEY_BYTES],
                                         const uint8_t curve_secret[IDENTITY_KEY_BYTES],
                                         struct identity *out);

/* The CURVE key that belongs to an Ed25519 public key from outside. Errors: BAD_DATA. */
MUST_CHECK enum status identity_curve_of(const uint8_t public_key[IDENTITY_KEY_BYTES],
                                         uint8_t out[IDENTITY_KEY_BYTES]);

/* The short name people see in logs: the first 12 hexadecimal digits of the key. */
void identity_name(const uint8_t public_key[IDENTITY_KEY_BYTES], char out[IDENTITY_NAME_BYTES]);

/* An Ed25519 signature (RFC 8032, deterministic) by an identity that can sign. Begin what is signed
 * with words that say what it is, so that no signature can stand for another thing. */
void identity_sign(const struct identity *self, const uint8_t *data, size_t size_bytes,
                   uint8_t out[IDENTITY_SIGNATURE_BYTES]);
bool identity_verify(const uint8_t public_key[IDENTITY_KEY_BYTES], const uint8_t *data,
                     size_t size_bytes, const uint8_t signature[IDENTITY_SIGNATURE_BYTES]);

#endif
