/* sim_check - what must hold, whatever goes wrong.
 *
 * Watches what the coordinator says and receives, and looks at the durable state. */
#ifndef DUGNAD_TESTS_SIM_SIM_CHECK_H
#define DUGNAD_TESTS_SIM_SIM_CHECK_H

#include "tests/sim/sim.h"

/* The coordinator took this head from a peer's line; and sent this one, whether or not it arrives. */
void sim_check_received(uint32_t peer, const uint8_t *head, size_t head_bytes);
void sim_check_sent(uint32_t peer, const uint8_t *head, size_t head_bytes);

/* After every event: what is cheap to look at. */
void sim_check_event(void);

/* All is over, nobody serves the run any more. */
void sim_check_end(void);

#endif
