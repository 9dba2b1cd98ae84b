#include "tests/sim/sim_plan.h"

#include "tests/sim/sim_chunks.h"

#include <string.h>

enum { PLAN_STREAM = 1, SECOND_US = 1000000, AGGREGATION_STREAM = 11, FRAMER_STREAM = 12 };

/* One draw in a statement: the order of two within an expression is the compiler's affair. */

/* One seed in eight has no fault at all, or none but a coordinator that is killed between two of
 * its turns: what is needless then must not happen. */
enum { QUIET_ONE_IN = 8, OWNER_ONE_IN = 3 };

enum { AGGREGATORS_MAX = 3, PLENTY_BYTES = 64 << 20, LINK_DOUBLINGS = 6, SLOW_RATE_MIN = 60000 };

/* Chunks of 256 values at least, and what channels promise: a queue has room for two windows of
 * them. */
enum { CHUNK_VALUES_LOG2 = 8, TWO_WINDOWS = 24 };

static uint64_t between(struct random *random, uint64_t least, uint64_t most)
{
    return least + random_below(random, most - least + 1);
}

static bool one_in(struct random *random, uint64_t count)
{
    return random_below(random, count) == 0;
}

static void plan_peer(struct sim_plan *self, struct random *random, size_t index, bool quiet)
{
    struct sim_peer_plan *peer = &self->peers[index];
    *peer = (struct sim_peer_plan){0};
    peer->sample_us = between(random, 200, 1500) * 1000;
    peer->thread_count = between(random, 1, 2);
    peer->join_us = between(random, 0, 3 * SECOND_US);
    if (quiet) {
        return;
    }
    if (index >= 2 && one_in(random, 3)) {
        peer->character = (enum sim_character)between(random, SIM_HONEST + 1, SIM_CHARACTERS - 1);
    }
    if (index >= 1 && one_in(random, 4)) {
        peer->sample_us *= between(random, 2, 3); /* a slow machine */
    }
    if (one_in(random, 4)) {
        peer->join_us = random_below(random, self->safety_us);
    }
    if (index >= 2 && one_in(random, 4)) {
        peer->leave_us = peer->join_us + random_below(random, self->safety_us);
    }
    if (one_in(random, 4)) {
        peer->sleep_every_us = between(random, 3, 12) * SECOND_US;
        peer->sleep_us_max = between(random, 1, 20) * SECOND_US;
    }
    if (one_in(random, 3)) {
        peer->crashes = (unsigned)between(random, 1, 3);
    }
}

static void plan_network(struct sim_plan *self, struct random *random)
{
    if (one_in(random, 2)) {
        self->loss = (unsigned)between(random, 1, 40);
    }
    if (one_in(random, 2)) {
        self->duplicates = (unsigned)between(random, 1, 50);
    }
    if (one_in(random, 2)) {
        self->reordered = (unsigned)between(random, 1, 100);
    }
    if (one_in(random, 2)) {
        self->damaged = (unsigned)between(random, 1, 40);
    }
    if (one_in(random, 3)) {
        self->queue_max = between(random, 3, 12);
    }
    if (one_in(random, 2)) {
        self->resets = (unsigned)between(random, 1, 10);
    }
    if (one_in(random, 2)) {
        self->clogs = (unsigned)between(random, 1, 6);
    }
    if (one_in(random, 2)) {
        self->partitions = (unsigned)between(random, 1, 6);
    }
}

static void plan_coordinator(struct sim_plan *self, struct random *random)
{
    if (one_in(random, 2)) {
        self->coordinator_crashes = (unsigned)between(random, 1, 4);
    }
    if (one_in(random, 2)) {
        self->coordinator_call_crashes = (unsigned)between(random, 1, 4);
    }
    if (one_in(random, 3)) {
        self->disk_faults = (unsigned)between(random, 1, 4);
    }
    if (one_in(random, 8)) {
        self->rots = (unsigned)between(random, 1, 3);
    }
    if (one_in(random, 4)) {
        self->failed_mallocs = (unsigned)between(random, 1, 3);
    }
}

static void plan_aggregator(struct sim_plan *self, struct random *random, size_t index)
{
    struct sim_peer_plan *peer = &self->peers[index];
    bool trusted = self->aggregation.trusted ? !one_in(random, 5) : one_in(random, 4);
    bool only_sums = index >= 2 && one_in(random, 3);
    bool tight = one_in(random, 4);
    uint64_t tight_bytes = between(random, 10000, 200000);
    bool swindles = index >= 2 && one_in(random, 2) && !self->quiet;
    bool crashes = one_in(random, 3) && !self->quiet;
    unsigned crash_count = (unsigned)between(random, 1, 3);
    if (peer->character == SIM_CLONE) {
        return; /* one key has one port */
    }
    peer->aggregates = true;
    peer->says_host = one_in(random, 2);
    peer->trusted = trusted;
    peer->only_sums = only_sums;
    peer->aggregate_bytes_max = tight ? tight_bytes : PLENTY_BYTES;
    peer->crashes += crashes ? crash_count : 0;
    peer->rate_max = one_in(random, 5) ? between(random, 100, 1000) * 1000 : 0;
    if (swindles && peer->character == SIM_HONEST &&
        (self->aggregation.trusted || self->aggregation.check_share >= 1.0)) {
        peer->character = SIM_SWINDLER;
        peer->trusted = false;
    }
}

static uint64_t plan_rate(struct random *random)
{
    uint64_t doublings = random_below(random, LINK_DOUBLINGS);
    return between(random, 50000, 100000) << doublings;
}

/* Where all goes wrong at once, few steps get as far as owners' sums before faults end: in most
 * seeds little does, but for what comes at the moment when somebody talks about sums. */
static void make_mild(struct sim_plan *self)
{
    for (size_t i = 0; i < self->peer_count; i++) {
        struct sim_peer_plan *peer = &self->peers[i];
        peer->join_us %= 2 * SECOND_US;
        peer->sample_us /= 3;
        peer->sleep_every_us = 0;
        peer->crashes = 0;
    }
    self->loss /= 8;
    self->duplicates /= 4;
    self->reordered /= 4;
    self->damaged /= 8;
    self->resets /= 4;
    self->clogs /= 3;
    self->partitions /= 3;
    self->coordinator_crashes /= 4;
    self->coordinator_call_crashes /= 4;
}

/* Links that carry a step's bytes more slowly than it is computed: there a plan may choose another
 * codec. Some are slow for one half of the machines alone. */
static void plan_slow_links(struct sim_plan *self, struct random *random)
{
    bool all = one_in(random, 2);
    self->aggregation.coarse = true;
    self->aggregation.all_reduce = false;
    self->links_vary = false; /* they are slow enough */
    for (size_t i = 0; i < SIM_PROCESSES; i++) {
        uint64_t up = between(random, SLOW_RATE_MIN, 4 * SLOW_RATE_MIN);
        uint64_t down = between(random, SLOW_RATE_MIN, 4 * SLOW_RATE_MIN);
        if (all || i % 2 == 0) {
            self->links[i] = (struct sim_link_plan){.up_bytes_per_s = up, .down_bytes_per_s = down};
        }
    }
}

/* One honest peer in three, but for the first two, is none; by draws of its own as well. */
static void plan_framers(struct sim_plan *self, uint64_t seed)
{
    struct random random;
    random_init(&random, seed, FRAMER_STREAM);
    for (size_t i = 2; i < self->peer_count && !self->quiet; i++) {
        struct sim_peer_plan *peer = &self->peers[i];
        if (one_in(&random, 3) && peer->character == SIM_HONEST && !peer->only_sums) {
            peer->character = SIM_FRAMER;
        }
    }
}

/* Half of the seeds; by draws of its own, so that all else is the same with it and without. */
static void plan_aggregation(struct sim_plan *self, uint64_t seed)
{
    static const size_t longest[] = {1, 2, 6, 7};
    struct random random;
    struct sim_aggregation_plan *aggregation = &self->aggregation;
    random_init(&random, seed, AGGREGATION_STREAM);
    if (one_in(&random, 2)) {
        return;
    }
    aggregation->peers = true;
    aggregation->all_reduce = !one_in(&random, 3);
    aggregation->trusted = one_in(&random, 3);
    aggregation->check_share = one_in(&random, 2) ? 1.0 : 0.05;
    aggregation->fraction_max = one_in(&random, 2) ? 1.0 : 0.25;
    aggregation->chunk_values = (uint16_t)(1U << (CHUNK_VALUES_LOG2 + random_below(&random, 4)));
    self->queue_max += self->queue_max < SIM_QUEUE_MAX ? TWO_WINDOWS : 0;
    bool fails = !one_in(&random, 4);
    unsigned timed_faults = (unsigned)between(&random, 1, 6);
    aggregation->timed_faults = fails && !self->quiet ? timed_faults : 0;
    if (!one_in(&random, 3) && !self->quiet) {
        make_mild(self);
    }
    if (one_in(&random, 2)) {
        self->template_index = longest[random_below(&random, sizeof longest / sizeof longest[0])];
    }
    size_t first = random_below(&random, self->peer_count);
    size_t count = between(&random, 1, AGGREGATORS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t index = first + i;
        plan_aggregator(self, &random, index < self->peer_count ? index : index - self->peer_count);
    }
    plan_framers(self, seed);
    if (one_in(&random, 4) && !self->quiet) {
        for (size_t i = 0; i < SIM_PROCESSES; i++) {
            self->links[i].up_bytes_per_s = plan_rate(&random);
            self->links[i].down_bytes_per_s = plan_rate(&random);
        }
        self->links_vary = one_in(&random, 2);
        aggregation->all_reduce = one_in(&random, 3);
    }
    if (one_in(&random, 3)) {
        plan_slow_links(self, &random);
    }
}

void sim_plan_make(struct sim_plan *self, uint64_t seed, bool quiet)
{
    struct random random;
    random_init(&random, seed, PLAN_STREAM);
    *self = (struct sim_plan){.queue_max = SIM_QUEUE_MAX};
    self->template_index = random_below(&random, SIM_TEMPLATES);
    self->peer_count = between(&random, 3, SIM_PEERS_MAX);
    self->safety_us = between(&random, 8, 30) * SECOND_US;
    self->delay_us_max = between(&random, 1, 120) * 1000;
    self->pause_us_max = between(&random, 1, 6) * SECOND_US;
    bool killed = !quiet;
    quiet = quiet || one_in(&random, QUIET_ONE_IN);
    self->quiet = quiet;
    for (size_t i = 0; i < self->peer_count; i++) {
        plan_peer(self, &random, i, quiet);
    }
    if (!quiet) {
        plan_network(self, &random);
        plan_coordinator(self, &random);
    } else if (killed && one_in(&random, 2)) {
        self->coordinator_crashes = (unsigned)between(&random, 1, 4);
    }
    self->owner = one_in(&random, OWNER_ONE_IN);
    self->max_staleness = one_in(&random, 2) ? 1 : 0;
    self->stale_from = one_in(&random, 3) ? between(&random, 1, 3) : 0;
    self->predict = !one_in(&random, 4);
    self->aggregation.chunk_values = SIM_CHUNK_VALUES_MAX;
    plan_aggregation(self, seed);
}

void sim_plan_shrink(struct sim_plan *self)
{
    self->template_index = SIM_TEMPLATE_SMALL;
    self->peer_count = 2;
    for (size_t i = 0; i < self->peer_count; i++) {
        self->peers[i].sample_us = 200000;
        self->peers[i].join_us = 1000;
        self->peers[i].aggregates = false;
    }
    memset(self->links, 0, sizeof self->links);
    self->links_vary = false;
    self->aggregation = (struct sim_aggregation_plan){.chunk_values = SIM_CHUNK_VALUES_MAX};
    self->delay_us_max = 2000;
    self->pause_us_max = SECOND_US;
}
