/* sim_shadow - the coordinator's arithmetic done a second time, from what the peers really encoded.
 *
 * Every encoded contribution is kept under its hash. Those that the coordinator counts for a step
 * are summed here and given to a master of the simulator's own: its parameters must have the
 * announced digest, whatever the codec. So what is counted is what was computed, whole, and each
 * sample once. With the codec fp32 each contribution is also made again from the gradients of its
 * samples, on the parameters that they may be computed on. After bits rotted on the disk a run may
 * go back, and the shadow no longer follows.
 */
#ifndef DUGNAD_TESTS_SIM_SIM_SHADOW_H
#define DUGNAD_TESTS_SIM_SIM_SHADOW_H

#include "proto/wire.h"
#include "tests/sim/sim.h"

/* What an accumulator holds, and how it was computed. */
struct sim_inside {
    uint64_t samples;       /* bitmap */
    uint64_t stale;         /* of them, on the parameters before those of their step, */
    uint64_t predicted;     /* and of those, with the last update added once more */
    struct digest fresh_on; /* P, where it holds such samples */
    struct digest stale_on;
};

struct sim_shadow;

struct sim_shadow *sim_shadow_new(const struct sim_template *pattern);
void sim_shadow_free(struct sim_shadow *self); /* NULL is allowed. */

/* A peer encoded what its work holds. */
void sim_shadow_encoded(struct sim_shadow *self, const struct work *work,
                        const struct sim_inside *inside, enum codec codec, const uint8_t *data,
                        size_t size_bytes);

/* The coordinator heard an offer of this peer; and told it that it is counted. A clone has the key
 * of another, and is another peer. */
void sim_shadow_offered(struct sim_shadow *self, uint32_t peer,
                        const struct wire_contribution *offer);
void sim_shadow_counted(struct sim_shadow *self, uint32_t peer, uint64_t blob_id);

/* A step was announced with the update in this codec; or a coordinator serves again, at this
 * version: what was counted for the next one is counted anew. */
void sim_shadow_announced(struct sim_shadow *self, uint64_t version, const struct digest *digest,
                          enum codec codec);
void sim_shadow_served(struct sim_shadow *self, uint64_t version, const struct digest *digest);

/* The journal says that these are the settings from `version` on. Called for all there are, in
 * order, and again: those that are known already change nothing. */
void sim_shadow_settings(struct sim_shadow *self, uint64_t number, uint64_t version,
                         const struct live_settings *settings);

/* Samples so far that were computed on the version before that of their step. */
uint64_t sim_shadow_stale(const struct sim_shadow *self);

/* Digest of a version that was made here; NULL: it was not. */
const struct digest *sim_shadow_digest(const struct sim_shadow *self, uint64_t version);

/* The versions made so far, and their samples. */
uint64_t sim_shadow_version(const struct sim_shadow *self);
uint64_t sim_shadow_samples(const struct sim_shadow *self);

#endif
