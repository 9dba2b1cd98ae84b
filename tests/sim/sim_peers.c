/* sim_peers - a peer's machine: it runs the real daemon, sleeps, crashes, and starts it again. */
#include "tests/sim/sim.h"

#include "common/fault.h"
#include "peer/daemon/daemon_state.h"
#include "tests/sim/sim_aggregation.h"
#include "tests/sim/sim_compute.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_template.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TICK_US = 100000, RESTART_US_MIN = 200000, RESTART_US_MAX = 8000000 };

static void restart_later(struct sim_peer *peer)
{
    uint64_t wait_us =
        sim->calm ? RESTART_US_MIN : RESTART_US_MIN + sim_chance(RESTART_US_MAX - RESTART_US_MIN);
    if (!peer->left && !peer->finished) {
        sim_push(sim->now_us + wait_us, SIM_START, peer->process.index, peer->process.incarnation);
    }
}

/* What the kernel takes back when a process ends. */
static void lose(struct sim_peer *peer)
{
    if (peer->daemon != NULL && peer->daemon->shared.wake_fd >= 0) {
        (void)close(peer->daemon->shared.wake_fd);
    }
    sim_network_lose(peer->process.index);
    sim_blocks_wipe(&peer->process.memory);
    peer->process.alive = false;
    peer->process.turn_at_us = UINT64_MAX;
    peer->daemon = NULL;
    peer->compute = NULL;
}

/* The daemon ended and freed what it had. */
static void ended(struct sim_peer *peer, enum status status)
{
    uint32_t index = peer->process.index;
    sim_line("%s ended: %s", sim_process_name(index),
             status == STATUS_OK ? "in order" : fault_text());
    if (peer->process.memory.count > 0) {
        sim_fail("%s left %zu blocks of memory behind", sim_process_name(index),
                 peer->process.memory.count);
    }
    peer->process.alive = false;
    peer->process.turn_at_us = UINT64_MAX;
    sim_blocks_wipe(&peer->process.memory);
    if (status == STATUS_OK && peer->stop) {
        peer->left = true;
    } else if (status == STATUS_OK) {
        peer->finished = true;
        if (sim->coordinator.version != sim->pattern->config.step_count) {
            sim_fail("%s was told that the run is finished, which it is not",
                     sim_process_name(index));
        }
    }
    restart_later(peer);
}

struct start {
    struct sim_peer *peer;
    enum status status;
};

static void start_body(void *context)
{
    struct start *start = context;
    struct sim_peer *peer = start->peer;
    start->status =
        daemon_new(&peer->options, peer->identity, sim_process_ms(&peer->process), &peer->daemon);
}

void sim_peer_start(struct sim_peer *peer)
{
    struct start start = {.peer = peer};
    struct sim_process *process = &peer->process;
    if (peer->left || peer->finished) {
        return;
    }
    sim_process_begin(process);
    if (peer->plan->character == SIM_CLONE && peer->hellos == 0) {
        peer->hellos = sim->peers[0].hellos; /* its state folder is copied now, and never again */
    }
    peer->options = (struct daemon_options){.link = sim->pattern->link,
                                            .sequence = &peer->sequence,
                                            .compute = {.thread_count = peer->plan->thread_count}};
    (void)snprintf(peer->options.name, sizeof peer->options.name, "p%" PRIu32, process->index);
    sim_aggregation_options(peer->plan, process->index, &peer->options);
    sim_line("%s starts", sim_process_name(process->index));
    (void)sim_process_run(process, start_body, &start);
    if (start.status != STATUS_OK) {
        ended(peer, start.status);
        return;
    }
    sim_process_wake(process, sim->now_us + 1);
}

struct turn {
    struct sim_peer *peer;
    bool over;
    enum status status;
};

static void turn_body(void *context)
{
    struct turn *turn = context;
    struct sim_peer *peer = turn->peer;
    turn->over =
        daemon_turn(peer->daemon, sim_process_ms(&peer->process), peer->stop, &turn->status);
    if (turn->over) {
        daemon_free(peer->daemon);
        peer->daemon = NULL;
    } else if (peer->compute != NULL) {
        sim_compute_begin(peer->compute);
    }
}

static void fall_asleep(struct sim_peer *peer)
{
    if (sim->calm || peer->plan->sleep_every_us == 0 ||
        sim_chance(peer->plan->sleep_every_us / TICK_US) != 0) {
        return;
    }
    peer->process.asleep_until_us = sim->now_us + sim_chance(peer->plan->sleep_us_max);
    sim->figures.sleeps++;
    sim_line("%s falls asleep", sim_process_name(peer->process.index));
}

void sim_peer_turn(struct sim_peer *peer)
{
    struct turn turn = {.peer = peer};
    (void)sim_process_run(&peer->process, turn_body, &turn);
    if (turn.over) {
        ended(peer, turn.status);
        return;
    }
    fall_asleep(peer);
    sim_process_wake(&peer->process, sim->now_us + TICK_US);
}

bool sim_peer_is_cloned(uint32_t index)
{
    bool cloned = false;
    for (uint32_t i = 1; i < sim->plan.peer_count; i++) {
        cloned = cloned || sim->plan.peers[i].character == SIM_CLONE;
    }
    return cloned && (index == 0 || sim->plan.peers[index].character == SIM_CLONE);
}

void sim_peer_crash(struct sim_peer *peer)
{
    sim_line("%s crashes", sim_process_name(peer->process.index));
    sim->figures.peer_crashes++;
    lose(peer);
    restart_later(peer);
}

/* Who sums may pass the last update on for a while after it was told. */
bool sim_peers_know_the_end(void)
{
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        const struct sim_peer *peer = &sim->peers[i];
        bool told = peer->daemon != NULL && peer->daemon->over && peer->daemon->result == STATUS_OK;
        if (peer->plan->character == SIM_HONEST && !peer->left && !peer->finished && !told) {
            return false;
        }
    }
    return true;
}

static void sample_body(void *context)
{
    const struct sim_event *event = context;
    struct sim_peer *peer = &sim->peers[event->index];
    sim_compute_done(peer->compute, event->worker);
    sim_compute_begin(peer->compute);
}

void sim_peer_sample_done(struct sim_peer *peer, const struct sim_event *event)
{
    struct sim_process *process = &peer->process;
    if (!process->alive || event->serial != process->incarnation || peer->compute == NULL) {
        return;
    }
    if (sim->now_us < process->asleep_until_us) { /* the whole machine sleeps */
        struct sim_event later = *event;
        later.time_us = process->asleep_until_us;
        sim_heap_push(&sim->heap, &later);
        return;
    }
    struct sim_event copy = *event;
    (void)sim_process_run(process, sample_body, &copy);
    sim_process_wake(process, sim->now_us + 1);
}
