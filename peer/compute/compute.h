/* compute - the numbers of a peer: model, parameters, one gradient, and the threads that work.
 *
 * Worker threads take samples from the session's work under `lock` and report each done sample
 * through `wake_fd`. What touches parameters or gradient from outside is called only while no
 * sample is being computed; the session sees to that. */
#ifndef DUGNAD_PEER_COMPUTE_COMPUTE_H
#define DUGNAD_PEER_COMPUTE_COMPUTE_H

#include "peer/core/session.h"
#include "proto/codec/exact_sum.h"
#include "trainer/model/precision.h"
#include "trainer/model/team.h"

#include <pthread.h>

struct compute_settings {
    const struct backend *backend; /* NULL: by the precision, once the model is known */
    enum precision precision;
    size_t thread_count;
    bool pinned; /* as in team_plan */
    enum recompute recompute;
    unsigned cpu_percent;      /* 1..100: of each thread's time */
    uint64_t memory_bytes_max; /* the owner's limit; 0: what the machine has */
};

/* What the workers share with the daemon's own thread. */
struct compute_shared {
    pthread_mutex_t lock;   /* guards `work` (and the session around it) and `stopping` */
    pthread_cond_t changed; /* there may be new work, or the end; on the monotonic clock */
    struct work *work;
    bool stopping;
    int wake_fd; /* eventfd, written after each done sample */
};

struct compute;

/* Builds everything for the welcomed run; checks first that the machine has the memory. All
 * arguments are borrowed until compute_free. Errors: BAD_DATA, BAD_CONFIG, OUT_OF_RANGE (the
 * model's sizes), NO_MEMORY with the figure, OS. */
MUST_CHECK enum status compute_new(const struct wire_welcome *welcome,
                                   const struct compute_settings *settings,
                                   struct compute_shared *shared, struct compute **out);
/* Ends the threads (each after its sample). NULL is allowed. */
void compute_free(struct compute *self);

/* Takes over what a later welcome says of the same run: codec of contributions, tokens of a step,
 * prediction. */
void compute_follow(struct compute *self, const struct wire_welcome *welcome);

/* Whether contributions and updates in these codecs, and prediction, stay within the owner's
 * memory, or what the machine had when this began. Errors: NO_MEMORY with the figures. */
MUST_CHECK enum status compute_allows(const struct compute *self, enum codec offers,
                                      enum codec updates, bool predicts);

/* Whether a snapshot that comes beside contributions that are kept stays within it too, in whatever
 * codecs they will be. Nobody is required to have that much: without, these are given up before. */
bool compute_has_room(const struct compute *self);

size_t compute_value_count(const struct compute *self);
uint32_t compute_vocab_size(const struct compute *self);

/* Contributions are encoded with another codec than the run's from here on, as a plan says; until
 * the next compute_follow. */
void compute_offer_in(struct compute *self, enum codec codec);
enum codec compute_offer_codec(const struct compute *self);
size_t compute_encoded_bytes(const struct compute *self); /* of a contribution */

/* Checks a fetched blob before it is loaded (a snapshot: fp32) or applied. Errors: BAD_SHAPE,
 * OUT_OF_RANGE. */
MUST_CHECK enum status compute_check_blob(const struct compute *self, enum codec codec,
                                          const uint8_t *data, size_t size_bytes);

/* P = the snapshot; P += the update, which was encoded by `codec`. Both were checked. Returns P's
 * digest. */
struct digest compute_load(struct compute *self, const uint8_t *snapshot);
struct digest compute_apply(struct compute *self, enum codec codec, const uint8_t *update);

/* The weights become those that samples of the step after P's are computed with: P and the last
 * update once more, as far as the run predicts and there was one (Pipelined Backpropagation at
 * Scale, arXiv 2003.11666); or P again, as after an update. P itself stays as it is. */
void compute_open(struct compute *self, bool ahead);

/* Encodes the gradient into out (compute_encoded_bytes); what the codec leaves stays in it.
 * Errors: OUT_OF_RANGE (NaN or infinite; the gradient is as it was). */
MUST_CHECK enum status compute_encode(struct compute *self, uint8_t *out);

/* The gradient is zero again. */
void compute_discard(struct compute *self);

#endif
