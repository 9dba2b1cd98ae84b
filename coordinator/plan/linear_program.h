/* linear_program - the shortest step for a given set of computing peers, by COIN-OR CLP.
 *
 * Columns: the coordinator's share, each owner's share, t_gather, t_spread and, with overlap, the
 * period; rows as in aggregation_plan.h, in bytes a value and in a unit of time near the result, so
 * that the numbers are near 1 whatever the rates. What binds peers that own nothing does not depend
 * on the shares, and is a lower bound of the times instead of thousands of rows.
 *
 * The program's optimum is seldom unique: with slow peers in it, most owners have time to spare.
 * Of all shares that meet the times, the coordinator gets what makes its traffic least, and
 * every owner the same part of what it could take. This also makes the result independent of
 * the vertex at which CLP ends.
 *
 * No other part includes CLP. Pure: no I/O. One owner; not thread-safe. */
#ifndef DUGNAD_COORDINATOR_PLAN_LINEAR_PROGRAM_H
#define DUGNAD_COORDINATOR_PLAN_LINEAR_PROGRAM_H

#include "coordinator/plan/traffic.h"

struct linear_program;

/* Prepares for peers owners(owner_count) (copied, owner_count <= PLAN_OWNERS_MAX) as owners;
 * without any, the coordinator owns all. The caller owns *out. Errors: NO_MEMORY. */
MUST_CHECK enum status linear_program_new(const struct plan_problem *problem, const size_t *owners,
                                          size_t owner_count, struct linear_program **out);
void linear_program_free(struct linear_program *self); /* NULL is allowed. */

/* The most that one owner may have: fraction_max, or an even share where that is more. */
double linear_program_fraction_max(const struct linear_program *self);

/* Seconds of a step that no shares can go below; quick. `traffic` is that of shares
 * (peer_count); somebody computes. */
double linear_program_floor_s(struct linear_program *self, const struct traffic *traffic,
                              const struct plan_share *shares);

/* Fills the fractions of *assignment, whose shares `traffic` was made of; somebody computes.
 * *out_step_s: the step that none is shorter than. Should CLP find no optimum, the shares are those
 * of the better fixed strategy, and it is their step. */
void linear_program_solve(struct linear_program *self, const struct traffic *traffic,
                          struct assignment *assignment, double *out_step_s);

#endif
