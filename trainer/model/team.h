/* team - threads that compute whole sequences into one shared gradient.
 *
 * Parallelism is over sequences: a fork-join inside every matrix product collapses on a machine
 * that others use too. The team asks its source for one sequence at a time. */
#ifndef DUGNAD_TRAINER_MODEL_TEAM_H
#define DUGNAD_TRAINER_MODEL_TEAM_H

#include "trainer/model/model.h"

enum { TEAM_THREADS_MAX = 256 };

struct team_item {
    const uint16_t *tokens; /* (T + 1), borrowed until `done` returned */
    size_t token_count;     /* T, predicted tokens */
    uint64_t tag;           /* the source's own number */
};

/* Called from any of the team's threads. `take` may block; false ends the calling thread. */
struct team_source {
    void *context;
    bool (*take)(void *context, struct team_item *out);
    void (*done)(void *context, const struct team_item *item, double loss_sum);
};

struct team;

/* Allocates `thread_count` workspaces for sequences of at most `context` tokens.
 * `model` is borrowed until team_free. Errors: NO_MEMORY, OUT_OF_RANGE. */
MUST_CHECK enum status team_new(const struct model *model, size_t thread_count, size_t context,
                                struct team **out);
void team_free(struct team *self); /* NULL is allowed; joined. */

/* Starts the threads; all is borrowed until team_join. `gradient` NULL: losses only.
 * Errors: OS with a sentence (a thread could not be started; then none has taken anything and
 * none is left). */
MUST_CHECK enum status team_start(struct team *self, const float *params, struct gradient *gradient,
                                  const struct team_source *source);

/* Waits until `take` returned false to every thread. */
void team_join(struct team *self);

#endif
