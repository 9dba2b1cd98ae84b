/* routes_survey - who is there, as a plan is made with: what is not known of a peer is the median
 * of the others. One owner. */
#ifndef DUGNAD_COORDINATOR_SERVER_ROUTES_SURVEY_H
#define DUGNAD_COORDINATOR_SERVER_ROUTES_SURVEY_H

#include "coordinator/server/routes.h"

/* All who are there, in the order of their sessions. */
struct survey {
    struct plan_peer *peers;    /* (count) */
    struct plan_share *shares;  /* (count) of the plan in force */
    double *scratch;            /* (count) */
    struct route_peer **routes; /* (count), borrowed */
    size_t count;
};

/* Of the peers below `end`; NULL: none is there. False: no memory. Either way the caller ends it
 * with survey_deinit(). */
bool survey_init(struct survey *self, struct route_peer *const *peers, uint32_t end);
void survey_deinit(struct survey *self);

/* Fills in what the plan is made with. False: nothing is known yet of links, or of speeds. */
bool survey_fill(struct survey *survey);

#endif
