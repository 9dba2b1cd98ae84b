/* bar_names - whose the CURVE keys are that the owner barred: a channel knows no other key of who
 * knocks, and the owner no CURVE key.
 *
 * Pure but for memory; one owner. */
#ifndef DUGNAD_COORDINATOR_SERVER_BAR_NAMES_H
#define DUGNAD_COORDINATOR_SERVER_BAR_NAMES_H

#include "proto/identity.h"

struct bar_name {
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint8_t public_key[IDENTITY_KEY_BYTES]; /* Ed25519 */
};

/* All zeros is empty; end it with bar_names_deinit(). */
struct bar_names {
    struct bar_name *items; /* (count), owned */
    size_t count;
    size_t room;
    bool sorted; /* and each is in it once */
};

/* Notes whose a CURVE key is; again is fine. Past CHANNEL_BARRED_MAX of them, and without memory,
 * it stays unknown. */
void bar_names_put(struct bar_names *self, const uint8_t curve_key[IDENTITY_KEY_BYTES],
                   const uint8_t public_key[IDENTITY_KEY_BYTES]);

/* The Ed25519 key; NULL: not known. Valid until the next call. */
const uint8_t *bar_names_find(struct bar_names *self, const uint8_t curve_key[IDENTITY_KEY_BYTES]);

void bar_names_deinit(struct bar_names *self);

#endif
