/* sim_owner - the owner of a run, who pauses it, goes on, changes its settings and stops it while
 * everything goes wrong.
 *
 * Asks as the control socket does: for settings again at later turns while the answer is AGAIN, and
 * for other things meanwhile. What was answered OK must be in the journal, whatever happens at that
 * moment. */
#ifndef DUGNAD_TESTS_SIM_SIM_OWNER_H
#define DUGNAD_TESTS_SIM_SIM_OWNER_H

#include "common/random.h"
#include "coordinator/server/control.h"

enum { SIM_BATCH_MAX = 10 }; /* that the owner asks for: SIM_SAMPLES_MAX holds all steps of it */

struct sim_owner {
    struct random chance;
    bool acts;
    uint64_t next_us; /* when there is another wish */
    bool asked;       /* `request` has no answer yet */
    struct control_request request;
    bool waits; /* the answer to `waiting`, a CONTROL_SET, is AGAIN */
    struct control_request waiting;
    struct live_settings settings; /* that the run has for certain */
    bool paused;
    uint64_t same_until; /* versions up to this one were made with the settings of run.yaml */
};

void sim_owner_begin(void);

/* After a turn of the coordinator, as its process. Errors: IO, NO_MEMORY: the process ends. */
MUST_CHECK enum status sim_owner_turn(void);

/* A coordinator recovered: its settings are those that were answered, or asked for; what had no
 * answer is forgotten. */
void sim_owner_served(const struct journal_state *state);

#endif
