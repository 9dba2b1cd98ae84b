/* trusted - RUN/trusted: the keys whose sums the run's owner believes unchecked, one a line as 64
 * hexadecimal digits. */
#ifndef DUGNAD_COORDINATOR_STORE_TRUSTED_H
#define DUGNAD_COORDINATOR_STORE_TRUSTED_H

#include "proto/identity.h"

enum { TRUSTED_MAX = 65536, TRUSTED_HEX_BYTES = 2 * IDENTITY_KEY_BYTES + 1 };

/* The digits of a key. */
void trusted_format(const uint8_t key[IDENTITY_KEY_BYTES], char out[TRUSTED_HEX_BYTES]);

/* Reads a key as a person gives it. Errors: USAGE with a sentence. */
MUST_CHECK enum status trusted_parse(const char *text, uint8_t out_key[IDENTITY_KEY_BYTES]);

/* Adds a key to the file or takes it out; *out_changed: it was not there, or it was. Errors: FULL,
 * BAD_DATA (the file is damaged), CANNOT_CREATE, IO, NO_MEMORY, with a sentence. */
MUST_CHECK enum status trusted_set(const char *run_path, const uint8_t key[IDENTITY_KEY_BYTES],
                                   bool trusted, bool *out_changed);

/* True when the key is there. Reads the file each time; what cannot be read trusts nobody. */
bool trusted_has(const char *run_path, const uint8_t key[IDENTITY_KEY_BYTES]);

#endif
