/* publisher - what peers can fetch: the updates of the latest steps and one snapshot of P.
 *
 * A late joiner gets the snapshot and the updates since. The snapshot is a copy that stays as it
 * is while P goes on; it is made anew only when the kept updates no longer reach back to it. */
#ifndef DUGNAD_COORDINATOR_SERVER_PUBLISHER_H
#define DUGNAD_COORDINATOR_SERVER_PUBLISHER_H

#include "proto/blob.h"

enum { PUBLISHER_UPDATES_MAX = 64 };

struct publisher;

/* For parameters of value_count floats; keeps as many updates as fit 256 MiB in `codec`, the finest
 * that they will have; at least 4 and at most PUBLISHER_UPDATES_MAX. Errors: NO_MEMORY. */
MUST_CHECK enum status publisher_new(size_t value_count, enum codec codec, struct publisher **out);
void publisher_free(struct publisher *self); /* NULL is allowed. */

/* Room for the next update, to be filled before publisher_add. */
uint8_t *publisher_next_update(struct publisher *self);

/* Publishes what was filled in, encoded by committed->codec; committed->update is set. */
void publisher_add(struct publisher *self, struct wire_committed *committed);

/* The message of step `step`; NULL when its update is no longer (or not yet) kept. */
const struct wire_committed *publisher_committed(const struct publisher *self, uint64_t step);

/* A snapshot from which the kept updates lead to `version`, the version of `params` now. */
struct blob_ref publisher_snapshot(struct publisher *self, const float *params, uint64_t version);

/* A published blob. */
struct publisher_blob {
    struct blob_ref ref;
    const uint8_t *data;         /* (ref.size_bytes) */
    const struct digest *hashes; /* of its chunks; NULL when it is such a list itself */
};

/* Finds an update, the snapshot, or the hashes of either; false when it is gone. */
bool publisher_find(const struct publisher *self, enum blob_kind kind, uint64_t id,
                    struct publisher_blob *out);

#endif
