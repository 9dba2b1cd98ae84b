/* link - the one line that a volunteer pastes: dugnad://HOST:PORT/KEY/TOKEN
 *
 * KEY is the coordinator's Ed25519 public key, TOKEN the 256 random bits of an invite, both in
 * base64url without padding (43 characters). HOST is a name, an IPv4 or a bracketed IPv6
 * address. Pure; thread-safe. */
#ifndef DUGNAD_PROTO_LINK_H
#define DUGNAD_PROTO_LINK_H

#include "proto/identity.h"

#include <stdbool.h>
#include <stddef.h>

enum { LINK_ADDRESS_MAX = 280, LINK_TOKEN_BYTES = 32, LINK_TEXT_MAX = 400 };

struct join_link {
    char address[LINK_ADDRESS_MAX]; /* HOST:PORT */
    uint8_t coordinator_key[IDENTITY_KEY_BYTES];
    uint8_t token[LINK_TOKEN_BYTES];
};

/* Errors: USAGE with a sentence that says which part is wrong and how to get a good link. */
MUST_CHECK enum status link_parse(const char *text, struct join_link *out);

/* Writes the link with a final NUL. Errors: USAGE when the address is not HOST:PORT. */
MUST_CHECK enum status link_format(const struct join_link *self, char out[LINK_TEXT_MAX]);

/* HOST:PORT as above; or a PORT alone, 1 to 65535 in digits. */
bool link_is_address(const char *text);
bool link_is_port(const char *text);

#endif
