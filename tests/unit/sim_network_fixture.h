/* sim_network_fixture - machines on the simulator's network whose processes are the test itself. */
#ifndef DUGNAD_TESTS_UNIT_SIM_NETWORK_FIXTURE_H
#define DUGNAD_TESTS_UNIT_SIM_NETWORK_FIXTURE_H

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_lines.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <string.h>

enum { MS = 1000, SECOND = 1000 * MS, MACHINES = 3, BULK_PORT = 7800 };

/* The process on a machine: a set, and perhaps a server. */
struct machine {
    struct identity identity;
    struct channel_set *set;
    struct channel_server *server;
    char address[LINK_ADDRESS_MAX]; /* of its server */
};

/* What the rest of the simulator would look at. */
void sim_check_received(uint32_t peer, const uint8_t *head, size_t head_bytes)
{
    (void)peer;
    (void)head;
    (void)head_bytes;
}

void sim_check_sent(uint32_t peer, const uint8_t *head, size_t head_bytes)
{
    (void)peer;
    (void)head;
    (void)head_bytes;
}

bool sim_hostile_letter(const struct sim_peer *peer, struct sim_letter **letter)
{
    (void)peer;
    (void)letter;
    return true;
}

bool sim_hostile_arrives(const struct sim_peer *peer, const struct sim_letter *letter)
{
    (void)peer;
    (void)letter;
    return true;
}

/* What is called next is called by the process on this machine. */
static inline void run_on(uint32_t index)
{
    sim->running = sim_process(index);
    (void)sim_blocks_use(&sim->running->memory);
}

static inline void start(struct machine *machines, uint32_t index)
{
    struct machine *self = &machines[index];
    run_on(index);
    sim->running->alive = true;
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &self->set), STATUS_OK);
    memset(&self->identity, 0, sizeof self->identity);
    self->identity.public_key[0] = (uint8_t)(index + 1); /* nobody computes with them */
    self->identity.curve_public[0] = (uint8_t)(index + 101);
}

static inline void serve(struct machine *machines, uint32_t index)
{
    struct machine *self = &machines[index];
    char listen[64];
    char host[CHANNEL_HOST_MAX];
    run_on(index);
    (void)snprintf(listen, sizeof listen, "tcp://0.0.0.0:%d", BULK_PORT + (int)index);
    CU_ASSERT_EQUAL_FATAL(
        channel_server_new(self->set, CHANNEL_BULK, listen, &self->identity, &self->server),
        STATUS_OK);
    sim_network_host(index, host);
    (void)snprintf(self->address, sizeof self->address, "%s:%u", host,
                   (unsigned)channel_server_port(self->server));
}

/* The process dies, and leaves its sockets to the kernel. */
static inline void kill_process(struct machine *machines, uint32_t index)
{
    sim_network_lose(index);
    sim_blocks_wipe(&sim_process(index)->memory);
    machines[index].server = NULL;
    machines[index].set = NULL;
}

/* A simulation with `MACHINES` started processes; none serves. */
static inline void begin(struct machine *machines, uint64_t seed)
{
    sim = sim_outer_alloc(sizeof *sim);
    sim->plan = (struct sim_plan){
        .peer_count = MACHINES, .queue_max = 64, .delay_us_max = 5 * MS, .safety_us = SECOND};
    random_init(&sim->chance, seed, 1);
    random_init(&sim->networks, seed, 2);
    random_init(&sim->ties, seed, 3);
    sim_trace_init(&sim->trace, NULL);
    sim->network = sim_network_new();
    memset(machines, 0, MACHINES * sizeof *machines);
    for (uint32_t i = 0; i < SIM_PROCESSES; i++) {
        sim_process(i)->index = i;
        sim_process(i)->turn_at_us = UINT64_MAX;
    }
    for (uint32_t i = 0; i < MACHINES; i++) {
        start(machines, i);
    }
}

static inline void handle(const struct sim_event *event)
{
    sim->now_us = event->time_us;
    uint64_t numbers[] = {event->time_us, (uint64_t)event->type};
    sim_trace_numbers(&sim->trace, numbers, 2);
    if (event->type == SIM_LETTER) {
        sim_network_letter(event->pointer);
    } else if (event->type == SIM_CONNECT) {
        sim_network_connect(event->serial);
    } else if (event->type == SIM_NETWORK) {
        sim_network_fault(event);
    }
}

/* Lets `duration_us` pass. */
static inline void pass(uint64_t duration_us)
{
    struct sim_event event;
    (void)sim_blocks_use(NULL);
    sim_push(sim->now_us + duration_us, SIM_LATE, 0, 0);
    while (sim_heap_pop(&sim->heap, &event)) {
        handle(&event);
        if (event.type == SIM_LATE) {
            return;
        }
    }
}

/* Frees the machines that still run, and all else. Returns the hash over what happened. */
static inline struct digest end(struct machine *machines)
{
    struct sim_event event;
    CU_ASSERT_STRING_EQUAL(sim->failure, "");
    for (uint32_t i = 0; i < MACHINES; i++) {
        run_on(i);
        channel_server_free(machines[i].server);
        channel_set_free(machines[i].set);
        CU_ASSERT_EQUAL(sim->running->memory.count, 0);
    }
    (void)sim_blocks_use(NULL);
    while (sim_heap_pop(&sim->heap, &event)) {
        if (event.type == SIM_LETTER) {
            sim_network_drop(event.pointer);
        }
    }
    for (uint32_t i = 0; i < MACHINES; i++) {
        sim_blocks_deinit(&sim_process(i)->memory);
    }
    struct digest hash = sim_trace_end(&sim->trace);
    sim_network_free(sim->network);
    sim_heap_deinit(&sim->heap);
    sim_outer_free(sim);
    sim = NULL;
    return hash;
}

#endif
