/* server_durable - who was given which samples, as facts that outlive the process.
 *
 * A fact is in the journal before its lease is sent. After a restart the samples of the step in
 * progress belong again to those who had them, until they claim them or are silent for too long. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_DURABLE_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_DURABLE_H

#include "coordinator/core/core.h"
#include "coordinator/store/journal.h"

struct server;

/* The fact of a CORE_LEASE action. */
struct journal_lease server_lease_fact(const struct server *self, const struct core_action *action);

/* Gives samples back by the facts of earlier processes, in the order in which they were written:
 * for each sample the last one counts. To be called once, before the first message; facts of other
 * steps and of keys that are none are passed over. Errors: NO_MEMORY. */
MUST_CHECK enum status server_reserve_leases(struct server *self, const struct journal_lease *facts,
                                             size_t count, uint64_t now_ms);

#endif
