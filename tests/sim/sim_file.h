/* sim_file - the content of a simulated file between a write, a sync and a power loss.
 *
 * One thread. */
#ifndef DUGNAD_TESTS_SIM_SIM_FILE_H
#define DUGNAD_TESTS_SIM_SIM_FILE_H

#include "tests/sim/sim_tree.h"

void sim_file_append(struct sim_node *self, const void *data, size_t size_bytes);
void sim_file_resize(struct sim_node *self, size_t size_bytes);

/* What was written becomes durable. */
void sim_file_sync(struct sim_node *self);

/* Readers see what is durable, and nothing else. */
void sim_file_refresh(struct sim_node *self);

/* What a failed sync may leave. */
enum sim_file_loss {
    SIM_FILE_KEPT,    /* it is still to be written: another sync may do it */
    SIM_FILE_DROPPED, /* readers see what is durable again */
    SIM_FILE_GHOST    /* readers see it, and no later sync will write it */
};
void sim_file_fail_sync(struct sim_node *self, enum sim_file_loss loss);

/* After a power loss: the unsynced part is lost, kept or torn by sectors. */
void sim_file_lose_power(struct sim_node *self, struct random *chance);

/* Flips a bit of what is durable; false when the file is not that long. */
bool sim_file_rot(struct sim_node *self, uint64_t bit);

void sim_file_drop(struct sim_node *self); /* its images */

#endif
