/* raw_boxes - what both sides of raw_curve make their commands of. */
#ifndef DUGNAD_HOSTILE_RAW_BOXES_H
#define DUGNAD_HOSTILE_RAW_BOXES_H

#include "tests/integration/hostile/raw_curve.h"

#include <sodium.h>

enum { RAW_SHORT_NONCE = 8, RAW_LONG_NONCE = 16, RAW_BOX = crypto_box_MACBYTES };

/* To a key that is no point of the curve there is no box: noise then, which nobody opens. `out`
 * takes RAW_BOX bytes more than `plain` has. */
void raw_box_to(uint8_t *out, const uint8_t *plain, size_t plain_bytes, const uint8_t *nonce,
                const uint8_t key[RAW_KEY_BYTES], const uint8_t secret[RAW_KEY_BYTES]);

/* Big-endian, RAW_SHORT_NONCE bytes. */
void raw_put_nonce(uint64_t value, uint8_t *out);

/* prefix and tail make 24 bytes. */
void raw_make_nonce(const char *prefix, const uint8_t *tail, uint8_t out[crypto_box_NONCEBYTES]);

#endif
