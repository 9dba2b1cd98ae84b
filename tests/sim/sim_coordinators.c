/* sim_coordinators - the coordinator's machine: it runs the real server, crashes, and has a
 * supervisor that starts it again, as an owner's init system does. */
#include "tests/sim/sim.h"

#include "common/fault.h"
#include "tests/sim/sim_aggregation.h"
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/sim_storage.h"
#include "tests/sim/sim_template.h"

enum { TICK_US = 100000, RESTART_US_MIN = 200000, UNFINISHED_US = 1000000, GIVE_UP = 3 };

static void restart_later(struct sim_coordinator *self)
{
    uint64_t wait_us = RESTART_US_MIN;
    if (!sim->calm) {
        wait_us += sim_chance(sim->plan.pause_us_max);
    } else if (self->over) {
        wait_us = UNFINISHED_US; /* for peers that still do not know */
    }
    sim_push(sim->now_us + wait_us, SIM_START, SIM_COORDINATOR, self->process.incarnation);
}

static void gone(struct sim_coordinator *self)
{
    sim_blocks_wipe(&self->process.memory);
    self->server = NULL;
    self->rests = false;
    self->process.alive = false;
    self->process.turn_at_us = UINT64_MAX;
    restart_later(self);
}

/* The process ended by itself, as main does. */
static void ended(struct sim_coordinator *self, enum status status)
{
    sim_line("coordinator ended: %s", status == STATUS_OK ? "in order" : fault_text());
    if (self->process.memory.count > 0) {
        sim_fail("the coordinator left %zu blocks of memory behind", self->process.memory.count);
    }
    if (status != STATUS_OK) {
        sim->figures.coordinator_errors++;
        self->failures_in_a_row++;
        self->beyond_help = sim->calm && sim_storage_rotten() && self->failures_in_a_row >= GIVE_UP;
    }
    sim_storage_exit(); /* the kernel closes what a process leaves open */
    gone(self);
}

struct turn {
    struct sim_coordinator *self;
    bool over;
    bool finished; /* over because all steps are made */
    enum status status;
};

static void close_all(struct sim_coordinator *self)
{
    server_free(self->server);
    self->server = NULL;
    run_dir_close(&self->run);
}

static void start_body(void *context)
{
    struct turn *turn = context;
    struct sim_coordinator *self = turn->self;
    struct server_options options = {.listen = "tcp://0.0.0.0:7700", .thread_count = 1};
    turn->status = run_dir_open(SIM_RUN_PATH, &self->run);
    if (turn->status != STATUS_OK) {
        return;
    }
    self->run.config.max_staleness = sim->plan.max_staleness;
    self->run.config.stale_from = sim->plan.stale_from;
    self->run.config.predict = sim->plan.predict;
    sim_aggregation_settings(&self->run.config.aggregation);
    turn->status = server_new(&self->run, &options, &self->server);
    if (turn->status != STATUS_OK) {
        close_all(self);
    }
}

void sim_coordinator_start(struct sim_coordinator *self)
{
    struct turn turn = {.self = self};
    if (self->over && sim_peers_know_the_end()) {
        restart_later(self); /* nobody needs it, but all may not be over yet */
        return;
    }
    sim_process_begin(&self->process);
    self->over = false;
    sim->figures.coordinator_starts++;
    sim_line("coordinator starts");
    sim_storage_arm();
    if (!sim_process_run(&self->process, start_body, &turn)) {
        sim_coordinator_crash(self);
    } else if (turn.status != STATUS_OK) {
        ended(self, turn.status);
    } else {
        sim_storage_served();
        sim_check_served();
        sim_process_wake(&self->process, sim->now_us + 1);
    }
}

static void turn_body(void *context)
{
    struct turn *turn = context;
    struct sim_coordinator *self = turn->self;
    turn->status = server_turn(self->server, sim_process_ms(&self->process), &turn->over);
    if (turn->status == STATUS_OK) {
        turn->status = sim_owner_turn();
    }
    if (turn->status == STATUS_OK && !turn->over) {
        return;
    }
    turn->finished = sim_server_finishing(self->server);
    if (turn->status == STATUS_OK) {
        turn->status = server_stop(self->server, sim_process_ms(&self->process));
    }
    turn->over = true;
    close_all(self);
}

void sim_coordinator_turn(struct sim_coordinator *self)
{
    struct turn turn = {.self = self};
    if (!sim_process_run(&self->process, turn_body, &turn)) {
        sim_coordinator_crash(self);
        return;
    }
    if (!turn.over) {
        self->failures_in_a_row = 0;
        sim_process_wake(&self->process, sim->now_us + TICK_US);
        return;
    }
    self->over = turn.status == STATUS_OK && turn.finished;
    ended(self, turn.status);
}

void sim_coordinator_crash(struct sim_coordinator *self)
{
    bool power = sim_storage_power();
    sim_line("coordinator: %s", power ? "the power is lost" : "it is killed");
    sim_storage_lose(power);
    sim_network_lose(SIM_COORDINATOR);
    gone(self);
}
