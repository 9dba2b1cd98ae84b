/* sim_network - the machines' network: any of them may listen, and any may connect to any.
 *
 * A client's socket has one connection at a time. Between two machines letters are delayed, and
 * while faults last they are lost, doubled, reordered, damaged, held back for a while, or cut off
 * in one or both directions, and connections break. What it does that a TCP connection with CURVE
 * would not do is done on purpose: parsers must stand it. Damage that would go unnoticed without
 * CURVE's seal is not delivered. A machine's link may have a bandwidth, which its lines share. */
#ifndef DUGNAD_TESTS_SIM_SIM_NETWORK_H
#define DUGNAD_TESTS_SIM_SIM_NETWORK_H

#include "proto/channel.h"
#include "tests/sim/sim.h"

struct sim_network *sim_network_new(void);
void sim_network_free(struct sim_network *self);

/* Events of the heap. */
void sim_network_letter(void *letter);
void sim_network_connect(uint64_t connection);
void sim_network_fault(const struct sim_event *event);

/* Plans the faults of the safety phase. */
void sim_network_plan(void);

/* Faults end: what is held back goes on, what was cut connects. */
void sim_network_calm(void);

/* The process on this machine is gone, and its sockets with it. */
void sim_network_lose(uint32_t machine);

/* The machine's address, as a server sees it in channel_message.host. */
void sim_network_host(uint32_t machine, char out[CHANNEL_HOST_MAX]);

/* Frees a letter that is still in the heap. */
void sim_network_drop(void *letter);

#endif
