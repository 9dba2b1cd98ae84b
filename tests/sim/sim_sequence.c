/* sim_sequence - the functions of peer/daemon/sequence.h: a peer's state folder is durable, and a
 * clone's begins as a copy of that of peer 0. */
#include "tests/sim/sim.h"

enum status sequence_open(const char *folder, struct sequence *out)
{
    (void)folder;
    out->last = 0;
    return STATUS_OK;
}

enum status sequence_next(struct sequence *self, uint64_t *out)
{
    struct sim_peer *peer = &sim->peers[sim->running->index];
    self->last = ++peer->hellos;
    *out = self->last;
    return STATUS_OK;
}
