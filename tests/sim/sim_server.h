/* sim_server - what the checks see inside a server. Apart from sim.h, because coordinator and peer
 * each have a struct session of their own. */
#ifndef DUGNAD_TESTS_SIM_SIM_SERVER_H
#define DUGNAD_TESTS_SIM_SIM_SERVER_H

#include "common/digest.h"

#include <stdbool.h>

struct server;

/* Where the server began after its recovery, and the digest of its parameters then. */
uint64_t sim_server_first(const struct server *server, struct digest *out);

/* The version of its newest checkpoint, which it holds for durable. */
uint64_t sim_server_checkpoint(const struct server *server);

/* Whether it is to begin no step, as its own turns know; out_begun: the step in progress, counted
 * from 1, or 0; the next one, when that has begun as well. */
bool sim_server_paused(const struct server *server, uint64_t *out_begun);

/* All queues are empty between turns, and no count is past its limit. */
bool sim_server_within_limits(const struct server *server);

/* Where its run stands, settings included. */
const struct journal_state *sim_server_state(const struct server *server);

/* Its owner paused the run, and nothing is begun. */
bool sim_server_rests(const struct server *server);

/* All steps are made: it ends because of that, and not because it was asked to. */
bool sim_server_finishing(const struct server *server);

/* A step's sums are complete, and about to be merged. */
void sim_server_check_gathered(const struct server *server);

/* What the server knows of peer `index`, in words, for the trace; false: no such peer. */
bool sim_server_describe(const struct server *server, uint32_t index, char *out, size_t out_bytes);

#endif
