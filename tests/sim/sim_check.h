/* sim_check - what must hold, whatever goes wrong.
 *
 * Watches what the coordinator says and receives, and looks at the durable state. */
#ifndef DUGNAD_TESTS_SIM_SIM_CHECK_H
#define DUGNAD_TESTS_SIM_SIM_CHECK_H

#include "tests/sim/sim.h"

/* The coordinator took this head from a peer's line; and sent this one, whether or not it arrives.
 */
void sim_check_received(uint32_t peer, const uint8_t *head, size_t head_bytes);
void sim_check_sent(uint32_t peer, const uint8_t *head, size_t head_bytes);

/* It recovered and serves. */
void sim_check_served(void);

/* What the journal says of the run if the power goes now; false: there is none. */
bool sim_check_durable_state(struct journal_state *out);

/* After every event: what is cheap to look at. */
void sim_check_event(void);

/* Parts of it. A version of the parameters has the same bits as on one machine (sim_reference.h),
 * or as the shadow's where the owner changed settings. */
void sim_check_peer(struct sim_peer *peer);
void sim_check_version(uint64_t version, const struct digest *digest, const char *whose);

/* A line of the trace: where a peer that lives stands. */
void sim_check_describe(const struct sim_peer *peer);

/* All is over, nobody serves the run any more. */
void sim_check_end(void);

#endif
