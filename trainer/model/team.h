/* team - threads that compute whole sequences into one shared gradient.
 *
 * Parallelism is over sequences: a fork-join inside every matrix product collapses on a machine
 * that others use too. Each thread asks the source for a few sequences at a time. */
#ifndef DUGNAD_TRAINER_MODEL_TEAM_H
#define DUGNAD_TRAINER_MODEL_TEAM_H

#include "trainer/model/model.h"

enum { TEAM_THREADS_MAX = 256 };

struct team_item {
    const uint16_t *tokens; /* (T + 1), borrowed until `done` returned */
    size_t token_count;     /* T, predicted tokens */
    uint64_t tag;           /* the source's own number */
};

/* Called from any of the team's threads. `take` writes 1 to `max` items, all of one token_count,
 * and returns how many; it may block; 0 ends the calling thread. `done` follows for each item. */
struct team_source {
    void *context;
    size_t (*take)(void *context, struct team_item *out, size_t max);
    void (*done)(void *context, const struct team_item *item, double loss_sum);
};

struct team_plan {
    size_t thread_count; /* 1 to TEAM_THREADS_MAX */
    bool pinned;         /* each thread stays on one processor; otherwise the system places them */
    struct workspace_plan workspace;
};

struct team;

/* Allocates a workspace for each thread. `model` is borrowed until team_free.
 * Errors: NO_MEMORY, OUT_OF_RANGE. */
MUST_CHECK enum status team_new(const struct model *model, const struct team_plan *plan,
                                struct team **out);
void team_free(struct team *self); /* NULL is allowed; joined. */
/* Bytes of all the workspaces and of what the library below takes for the threads. */
uint64_t team_bytes(const struct model *model, const struct team_plan *plan);

/* Starts the threads; all is borrowed until team_join. `gradient` NULL: losses only.
 * Errors: OS with a sentence (a thread could not be started; then none has taken anything and
 * none is left). */
MUST_CHECK enum status team_start(struct team *self, const struct weights *weights,
                                  struct gradient *gradient, const struct team_source *source);

/* Waits until `take` returned 0 to every thread. */
void team_join(struct team *self);

#endif
