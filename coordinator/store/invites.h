/* invites - tokens that let a peer in. Only their hashes are stored. */
#ifndef DUGNAD_COORDINATOR_STORE_INVITES_H
#define DUGNAD_COORDINATOR_STORE_INVITES_H

#include "common/status.h"
#include "proto/link.h"

#include <stdbool.h>

enum { INVITES_MAX = 4096 };

/* Makes a new token and stores its hash in run_path/invites.json.
 * Errors: FULL, CANNOT_CREATE, IO, BAD_DATA. */
MUST_CHECK enum status invites_create(const char *run_path, uint8_t out_token[LINK_TOKEN_BYTES]);

/* True when the token's hash is stored. Reads the file each time, so a new invite works at once;
 * an unreadable file lets nobody in. */
bool invites_known(const char *run_path, const uint8_t token[LINK_TOKEN_BYTES]);

#endif
