#include "tests/sim/sim.h"

#include "tests/sim/sim_aggregation.h"
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/sim_shadow.h"
#include "tests/sim/sim_storage.h"
#include "tests/sim/sim_template.h"

#include <inttypes.h>
#include <string.h>

enum { CHANCE_STREAM = 2, NETWORK_STREAM, TIE_STREAM, CLOCK_STREAM };

static void take_turn(const struct sim_event *event)
{
    struct sim_process *process = sim_process(event->index);
    if (!process->alive || event->serial != process->turn_serial) {
        return;
    }
    process->turn_at_us = UINT64_MAX;
    if (sim->now_us < process->asleep_until_us) {
        sim_process_wake(process, process->asleep_until_us);
        return;
    }
    if (event->index == SIM_COORDINATOR) {
        sim_coordinator_turn(&sim->coordinator);
    } else {
        sim_peer_turn(&sim->peers[event->index]);
    }
}

static void start(const struct sim_event *event)
{
    struct sim_process *process = sim_process(event->index);
    if (process->alive || event->serial != process->incarnation) {
        return;
    }
    if (event->index == SIM_COORDINATOR) {
        sim_coordinator_start(&sim->coordinator);
    } else {
        sim_peer_start(&sim->peers[event->index]);
    }
}

static void crash(const struct sim_event *event)
{
    if (sim->calm || !sim_process(event->index)->alive) {
        return;
    }
    if (event->index == SIM_COORDINATOR) {
        sim_coordinator_crash(&sim->coordinator);
    } else {
        sim_peer_crash(&sim->peers[event->index]);
    }
}

static bool is_honest(const struct sim_peer *peer)
{
    return peer->plan->character == SIM_HONEST;
}

/* Who finds that somebody else uses his key starts afresh. */
static void restart_cloned(void)
{
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        if (sim->plan.peers[i].character == SIM_CLONE && sim->peers[0].process.alive) {
            sim_peer_crash(&sim->peers[0]);
        }
    }
}

/* After the end of the run nobody is; but rot may have taken the end back. */
static bool may_be_needed(struct sim_peer *peer)
{
    peer->finished = peer->finished && !sim_storage_rotten();
    return !peer->finished;
}

/* Faults are over: who was not honest goes, who was down comes back. */
static void calm(void)
{
    sim_line("faults are over");
    restart_cloned();
    sim->calm = true;
    sim->plan.queue_max = SIM_QUEUE_MAX;
    sim_network_calm();
    sim_storage_calm();
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        struct sim_peer *peer = &sim->peers[i];
        peer->process.asleep_until_us = 0;
        peer->process.memory.fail_at = 0;
        if (!is_honest(peer)) {
            peer->left = true;
            if (peer->process.alive) {
                sim_peer_crash(peer);
            }
        } else if (!peer->process.alive && !peer->left && may_be_needed(peer)) {
            sim_push(sim->now_us + 1000, SIM_START, i, peer->process.incarnation);
        } else {
            sim_process_wake(&peer->process, sim->now_us + 1);
        }
    }
    sim->coordinator.process.memory.fail_at = 0;
    if (!sim->coordinator.process.alive) {
        sim_push(sim->now_us + 1000, SIM_START, SIM_COORDINATOR,
                 sim->coordinator.process.incarnation);
    }
    sim_push(sim->now_us + SIM_LIVENESS_US, SIM_LATE, 0, 0);
}

static void leave(const struct sim_event *event)
{
    struct sim_peer *peer = &sim->peers[event->index];
    if (!sim->calm && peer->process.alive) {
        sim_line("%s is asked to leave", sim_process_name(event->index));
        peer->stop = true;
        sim_process_wake(&peer->process, sim->now_us + 1);
    }
}

static void report_late(void)
{
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        const struct sim_peer *peer = &sim->peers[i];
        if (is_honest(peer) && !peer->left && !peer->finished) {
            sim_line("%s is %s", sim_process_name(i),
                     peer->process.alive ? "not at the end" : "not there");
            if (peer->daemon != NULL) {
                sim_check_describe(peer);
            }
        }
    }
    char text[SIM_TRACE_LINE_MAX];
    for (uint32_t i = 0; sim->coordinator.server != NULL &&
                         sim_server_describe(sim->coordinator.server, i, text, sizeof text);
         i++) {
        sim_line("%s", text);
    }
    sim_fail("not over %d s after the last fault: %" PRIu64 " of %" PRIu64 " steps, coordinator %s",
             SIM_LIVENESS_US / 1000000, sim->coordinator.announced_version,
             sim->pattern->config.step_count,
             sim->coordinator.process.alive ? "serving"
             : sim->coordinator.over        ? "done"
                                            : "down");
}

static void handle(const struct sim_event *event)
{
    switch (event->type) {
    case SIM_TURN:
        take_turn(event);
        break;
    case SIM_LETTER:
        sim_network_letter(event->pointer);
        break;
    case SIM_CONNECT:
        sim_network_connect(event->serial);
        break;
    case SIM_SAMPLE:
        sim_peer_sample_done(&sim->peers[event->index], event);
        break;
    case SIM_START:
        start(event);
        break;
    case SIM_CRASH:
        crash(event);
        break;
    case SIM_NETWORK:
        sim_network_fault(event);
        break;
    case SIM_LEAVE:
        leave(event);
        break;
    case SIM_DISK:
        sim_storage_fault(event->worker);
        break;
    case SIM_CALM:
        calm();
        break;
    case SIM_LATE:
    default:
        report_late();
    }
}

static bool all_over(void)
{
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        const struct sim_peer *peer = &sim->peers[i];
        if (is_honest(peer) && !peer->left && !peer->finished) {
            return false;
        }
    }
    return sim->coordinator.over;
}

static void begin(void)
{
    struct random clocks;
    random_init(&clocks, sim->seed, CLOCK_STREAM);
    sim->network = sim_network_new();
    sim->shadow = sim_shadow_new(sim->pattern);
    for (uint32_t i = 0; i < SIM_PROCESSES; i++) {
        struct sim_process *process = sim_process(i);
        process->index = i;
        process->turn_at_us = UINT64_MAX;
        process->clock_offset_ms = 1 + random_below(&clocks, UINT64_C(1) << 40);
    }
    sim_push(0, SIM_START, SIM_COORDINATOR, 0);
    sim_push(sim->plan.safety_us, SIM_CALM, 0, 0);
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        struct sim_peer *peer = &sim->peers[i];
        const struct sim_peer_plan *plan = &sim->plan.peers[i];
        peer->plan = plan;
        peer->identity = sim_identity(plan->character == SIM_CLONE ? 0 : i);
        sim_push(plan->join_us, SIM_START, i, 0);
        if (plan->leave_us > 0) {
            sim_push(plan->leave_us, SIM_LEAVE, i, 0);
        }
        for (unsigned j = 0; j < plan->crashes; j++) {
            sim_push(plan->join_us + sim_chance(sim->plan.safety_us), SIM_CRASH, i, 0);
        }
    }
    for (unsigned j = 0; j < sim->plan.coordinator_crashes; j++) {
        sim_push(sim_chance(sim->plan.safety_us), SIM_CRASH, SIM_COORDINATOR, 0);
    }
    sim->call_crashes_left = sim->plan.coordinator_call_crashes;
    sim->mallocs_left = sim->plan.failed_mallocs;
    sim->timed_faults_left = sim->plan.aggregation.timed_faults;
    sim_network_plan();
    sim_owner_begin();
    sim_storage_begin();
    sim_aggregation_begin();
}

static void play(void)
{
    struct sim_event event;
    while (sim->failure[0] == '\0' && !all_over() && !sim->coordinator.beyond_help &&
           sim_heap_pop(&sim->heap, &event)) {
        sim->now_us = event.time_us;
        sim->figures.events++;
        uint64_t numbers[] = {event.time_us, (uint64_t)event.type, event.index, event.worker};
        sim_trace_numbers(&sim->trace, numbers, sizeof numbers / sizeof numbers[0]);
        handle(&event);
        sim_check_event();
    }
    if (sim->coordinator.beyond_help) {
        sim->figures.beyond_help++;
    } else if (sim->failure[0] == '\0') {
        sim_check_end();
    }
}

static void end(void)
{
    for (struct sim_event event; sim_heap_pop(&sim->heap, &event);) {
        if (event.type == SIM_LETTER) {
            sim_network_drop(event.pointer);
        }
    }
    for (uint32_t i = 0; i < SIM_PEERS_MAX; i++) {
        if (sim->peers[i].process.alive) {
            sim_peer_crash(&sim->peers[i]);
        }
        sim_blocks_deinit(&sim->peers[i].process.memory);
    }
    if (sim->coordinator.process.alive) {
        sim_coordinator_crash(&sim->coordinator);
    }
    sim_blocks_deinit(&sim->coordinator.process.memory);
    for (struct sim_event event; sim_heap_pop(&sim->heap, &event);) {
    }
    sim_network_free(sim->network);
    sim_shadow_free(sim->shadow);
    sim_storage_end();
    sim_heap_deinit(&sim->heap);
    if (sim->pattern->config.codec != CODEC_FP32 || sim->owner.same_until != UINT64_MAX ||
        sim->plan.max_staleness > 0 || sim->plan.aggregation.coarse) {
        sim_gradients_clear(sim->pattern);
    }
}

void sim_run(const struct sim_options *options, struct sim_result *out)
{
    sim = sim_outer_alloc(sizeof *sim);
    sim->seed = options->seed;
    sim_plan_make(&sim->plan, options->seed, options->quiet || options->small);
    if (options->small) {
        sim_plan_shrink(&sim->plan);
    }
    sim->pattern = sim_template(sim->plan.template_index);
    sim_secrets_begin(options->seed);
    random_init(&sim->chance, options->seed, CHANCE_STREAM);
    random_init(&sim->networks, options->seed, NETWORK_STREAM);
    random_init(&sim->ties, options->seed, TIE_STREAM);
    sim_trace_init(&sim->trace, options->trace);
    memcpy(sim->crashes, options->crashes, sizeof sim->crashes);
    sim->breakable = true;
    if (setjmp(sim->broken) == 0) {
        begin();
        play();
    } else {
        (void)sim_blocks_use(NULL);
        sim->running = NULL;
    }
    sim->breakable = false;
    sim->figures.seeds = 1;
    sim->figures.virtual_us = sim->now_us;
    for (uint32_t i = 0; i < SIM_PROCESSES; i++) {
        sim->figures.mallocs_failed += sim_process(i)->memory.failed_count;
    }
    out->hash = sim_trace_end(&sim->trace);
    out->figures = sim->figures;
    memcpy(out->calls, sim->calls, sizeof out->calls);
    out->recovery_calls = sim->recovery_calls;
    memcpy(out->failure, sim->failure, sizeof out->failure);
    end();
    sim_outer_free(sim);
    sim = NULL;
}
