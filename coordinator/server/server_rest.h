/* server_rest - whether the link of a peer that rests has become better.
 *
 * Who rests sends and fetches nothing that could tell, an owner little. Every few minutes it gets a
 * probe, which it sends back; when that is much faster than its rates allow, they are raised, and
 * the next plan may have work for it. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_REST_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_REST_H

#include "coordinator/server/routes.h"

enum { REST_PROBE_BYTES = 64 * 1024, REST_PROBE_MS = 300000, REST_FIRST_MS = 30000 };

struct server;

/* On the server's timer: probes who is due, one at a time. */
void server_rest_tick(struct server *self, uint64_t now_ms);

/* PROBE of a peer, with so many bytes; what was not asked for is ignored. */
void server_rest_answer(struct server *self, struct session *session,
                        const struct wire_probe *probe, size_t body_size_bytes, uint64_t now_ms);

/* The probe went there and back in elapsed_ms. A peer's rates are raised, both alike, when it took
 * less than two thirds of what they say: what a short transfer finds is an estimate. True: they
 * were. */
bool rest_raise_rates(struct route_peer *peer, uint64_t elapsed_ms);

#endif
