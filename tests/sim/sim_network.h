/* sim_network - the lines between the peers and the coordinator.
 *
 * A peer's endpoint has one connection at a time. A line delays, and while faults last it loses,
 * doubles, reorders and damages letters, holds them back for a while, is cut in one or both
 * directions, and breaks. What it does that a TCP connection with CURVE would not do is done on
 * purpose: parsers must stand it. Damage that would go unnoticed without CURVE's seal is not
 * delivered. */
#ifndef DUGNAD_TESTS_SIM_SIM_NETWORK_H
#define DUGNAD_TESTS_SIM_SIM_NETWORK_H

#include "proto/channel.h"
#include "tests/sim/sim.h"

struct sim_network *sim_network_new(void);
void sim_network_free(struct sim_network *self);

/* Events of the heap. */
void sim_network_letter(void *letter);
void sim_network_connect(uint32_t peer, uint64_t serial);
void sim_network_fault(uint32_t peer, uint32_t kind);

/* Plans the faults of the safety phase. */
void sim_network_plan(void);

/* Faults end: what is held back goes on, what was cut connects. */
void sim_network_calm(void);

/* The process is gone, and its sockets with it. */
void sim_network_lose_server(void);
void sim_network_lose_client(uint32_t peer);

/* Frees a letter that is still in the heap. */
void sim_network_drop(void *letter);

#endif
