#include "coordinator/plan/assignment.h"

#include <stdlib.h>
#include <string.h>

enum status assignment_init(struct assignment *self, const struct plan_problem *problem)
{
    size_t count = problem->peer_count;
    *self = (struct assignment){.peer_count = count, .coordinator_fraction = 1.0};
    /* One more, since nothing of no size may be NULL. */
    self->shares = calloc(count + 1, sizeof *self->shares);
    self->fractions = calloc(count + 1, sizeof *self->fractions);
    if (self->shares == NULL || self->fractions == NULL) {
        assignment_deinit(self);
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        self->shares[i].computes = problem->peers[i].samples_per_s > 0.0;
        self->shares[i].codec = problem->codecs[0];
    }
    return STATUS_OK;
}

void assignment_deinit(struct assignment *self)
{
    free(self->shares);
    free(self->fractions);
    *self = (struct assignment){0};
}

void assignment_copy(struct assignment *self, const struct assignment *from)
{
    memcpy(self->shares, from->shares, from->peer_count * sizeof *from->shares);
    memcpy(self->fractions, from->fractions, from->peer_count * sizeof *from->fractions);
    self->coordinator_fraction = from->coordinator_fraction;
}

void assignment_own_centrally(struct assignment *self)
{
    memset(self->fractions, 0, self->peer_count * sizeof *self->fractions);
    self->coordinator_fraction = 1.0;
}

void assignment_own_evenly(struct assignment *self, const size_t *owners, size_t owner_count)
{
    assignment_own_centrally(self);
    for (size_t i = 0; i < owner_count; i++) {
        self->fractions[owners[i]] = 1.0 / (double)owner_count;
    }
    self->coordinator_fraction = 0.0;
}
