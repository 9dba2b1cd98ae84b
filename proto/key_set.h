/* key_set - a bounded set of keys, as fast whatever keys strangers choose.
 *
 * A hash table with a secret hash and open addressing. Pure but for the seed; one owner. */
#ifndef DUGNAD_PROTO_KEY_SET_H
#define DUGNAD_PROTO_KEY_SET_H

#include "proto/identity.h"

#include <stdbool.h>
#include <stddef.h>

struct key_set;

/* Room for at most keys_max > 0 keys. Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status key_set_new(size_t keys_max, struct key_set **out);
void key_set_free(struct key_set *self); /* NULL is allowed. */

/* Errors: FULL. Fine when it is in it. */
MUST_CHECK enum status key_set_add(struct key_set *self, const uint8_t key[IDENTITY_KEY_BYTES]);
void key_set_remove(struct key_set *self, const uint8_t key[IDENTITY_KEY_BYTES]); /* likewise */
bool key_set_has(const struct key_set *self, const uint8_t key[IDENTITY_KEY_BYTES]);
size_t key_set_count(const struct key_set *self);

/* Goes through the keys while the set does not change: the key at or after *cursor (0: all), which
 * moves past it; NULL: there is none. Valid until the set changes. */
const uint8_t *key_set_next(const struct key_set *self, size_t *cursor);

#endif
