#include "tests/sim/sim_aggregation.h"

#include "coordinator/server/conduct.h"
#include "coordinator/store/trusted.h"
#include "tests/sim/sim_chunks.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BULK_PORT = 7800, VALUE_MAX = 64 };

uint16_t sim_chunk_values = SIM_CHUNK_VALUES_MAX;

void sim_aggregation_begin(void)
{
    bool changed = false;
    sim_chunk_values = sim->plan.aggregation.chunk_values;
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        if (sim->plan.peers[i].trusted &&
            trusted_set(SIM_RUN_PATH, sim_identity(i)->public_key, true, &changed) != STATUS_OK) {
            sim_fail("the run's owner cannot name a key");
        }
    }
    if (changed) {
        sim_disk_settle(sim->disk);
    }
}

void sim_aggregation_settings(struct aggregation_settings *out)
{
    const struct sim_aggregation_plan *plan = &sim->plan.aggregation;
    if (plan->peers) {
        out->strategy = plan->all_reduce ? AGGREGATION_ALL_REDUCE : AGGREGATION_ADAPTIVE;
        out->belief = plan->trusted ? AGGREGATION_TRUSTED : AGGREGATION_CHECKED;
        out->check_share = plan->check_share;
        out->fraction_max = plan->fraction_max;
        out->has_slow_link_codec = plan->coarse;
        out->slow_link_codec = SIM_COARSE_CODEC;
        out->slow_link_updates = plan->coarse;
    }
}

void sim_aggregation_options(const struct sim_peer_plan *plan, uint32_t index,
                             struct daemon_options *out)
{
    out->aggregates = plan->aggregates;
    out->aggregates_only = plan->only_sums;
    out->bulk_port = BULK_PORT;
    out->aggregate_bytes_max = plan->aggregate_bytes_max;
    out->up_bytes_per_s_max = plan->rate_max;
    out->down_bytes_per_s_max = plan->rate_max;
    if (plan->says_host) {
        sim_network_host(index, out->bulk_host);
    }
}

/* The value of a logfmt key, "" when it is not there. */
static void value_of(const char *text, const char *key, char out[VALUE_MAX])
{
    size_t length = strlen(key);
    out[0] = '\0';
    for (const char *at = strstr(text, key); at != NULL; at = strstr(at + 1, key)) {
        if ((at == text || at[-1] == ' ') && at[length] == '=') {
            (void)snprintf(out, VALUE_MAX, "%.*s", (int)strcspn(at + length + 1, " "),
                           at + length + 1);
            return;
        }
    }
}

static bool any_swindler(void)
{
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        if (sim->plan.peers[i].character == SIM_SWINDLER) {
            return true;
        }
    }
    return false;
}

/* Which peer has the key that a session's id is made of; SIM_PEERS_MAX: none is known. */
static uint32_t peer_of(const char *id)
{
    uint32_t peer = 0;
    while (peer < sim->plan.peer_count) {
        char name[IDENTITY_NAME_BYTES];
        identity_name(sim_identity(peer)->public_key, name);
        if (strcmp(name, id) == 0) {
            return peer;
        }
        peer++;
    }
    return SIM_PEERS_MAX;
}

/* Whoever sums rightly is never said to sum wrongly. */
static void taken_over(const char *text)
{
    char reason[VALUE_MAX];
    char id[VALUE_MAX];
    value_of(text, "reason", reason);
    value_of(text, "peer", id);
    sim->figures.takeovers++;
    if (strcmp(reason, "lost") == 0 || strcmp(reason, "slow") == 0) {
        return;
    }
    uint32_t peer = peer_of(id);
    bool swindles =
        peer < SIM_PEERS_MAX ? sim->plan.peers[peer].character == SIM_SWINDLER : any_swindler();
    sim->figures.swindlers_caught++;
    if (!swindles) {
        sim_fail("%s is taken over, as %s, and has done nothing wrong",
                 peer < SIM_PEERS_MAX ? sim_process_name(peer) : "an owner that is gone", reason);
    }
}

/* Whoever sends what it promised is never said to send something else. */
static void entry_out(const char *text)
{
    char reason[VALUE_MAX];
    char id[VALUE_MAX];
    value_of(text, "reason", reason);
    value_of(text, "peer", id);
    uint32_t peer = peer_of(id);
    sim->figures.entries_moved += strcmp(reason, "moved") == 0 ? 1 : 0;
    sim->figures.entries_out++;
    if (strcmp(reason, "bad") == 0 && peer < SIM_PEERS_MAX && !sim_peer_is_cloned(peer) &&
        (sim->plan.peers[peer].character == SIM_HONEST ||
         sim->plan.peers[peer].character == SIM_SWINDLER)) {
        sim_fail("what %s hands in is refused, and there is nothing wrong with it",
                 sim_process_name(peer));
    }
}

static void gathered(const char *text)
{
    char owners[VALUE_MAX];
    char repaired[VALUE_MAX];
    char round[VALUE_MAX];
    value_of(text, "owners", owners);
    value_of(text, "repaired", repaired);
    value_of(text, "round", round);
    sim->figures.repairs += strtoull(repaired, NULL, 10);
    sim->figures.rounds += strcmp(round, "1") != 0 ? 1 : 0;
    sim->figures.steps_gathered += strcmp(owners, "0") != 0 ? 1 : 0;
    sim_server_check_gathered(sim->coordinator.server);
}

/* Counts what a peer does, as conduct.c does, but for bytes that it did not send. True: for that
 * alone it would be cut. */
static bool is_earned(struct sim_peer *peer, const char *name)
{
    enum conduct_offence offence = 0;
    while (offence < CONDUCT_OFFENCE_END && strcmp(conduct_offence_name(offence), name) != 0) {
        offence++;
    }
    if (offence == CONDUCT_OFFENCE_END || (offence == CONDUCT_WRONG_BYTES && peer->garbled)) {
        return false;
    }
    uint64_t forgiven = (sim->now_us - peer->blamed_us) / 1000 * CONDUCT_POINTS_PER_S;
    peer->blame = peer->blame > forgiven ? peer->blame - forgiven : 0;
    peer->blame += UINT64_C(1000) * conduct_offence_points(offence);
    peer->blamed_us = sim->now_us;
    return peer->blame >= UINT64_C(1000) * CONDUCT_POINTS_MAX;
}

/* Whoever keeps to the rules is never punished, whatever the network and the machines do to it; but
 * with what the simulator put in its mouth. */
static void conduct_line(const char *event, const char *text)
{
    char id[VALUE_MAX];
    char offence[VALUE_MAX];
    value_of(text, "peer", id);
    value_of(text, "offence", offence);
    uint32_t peer = peer_of(id);
    bool earned = peer < SIM_PEERS_MAX && is_earned(&sim->peers[peer], offence);
    bool excused = peer < SIM_PEERS_MAX && sim->peers[peer].garbled && !earned;
    bool cut = strcmp(event, "cut") == 0 || strcmp(event, "barred") == 0;
    bool rests = strcmp(event, "rests") == 0;
    sim->figures.offences += strcmp(event, "offence") == 0 ? 1 : 0;
    sim->figures.cuts += cut ? 1 : 0;
    sim->figures.rests += rests ? 1 : 0;
    if (((cut && !excused) || rests) && peer < SIM_PEERS_MAX && !sim_peer_is_cloned(peer) &&
        sim->plan.peers[peer].character == SIM_HONEST) {
        sim_fail("%s is punished (%s) and has done nothing wrong: %s", sim_process_name(peer),
                 event, text);
    }
    if (cut && peer < SIM_PEERS_MAX) {
        sim->peers[peer].blame = 0;
    }
}

static void gather_line(const char *event, const char *text)
{
    if (strcmp(event, "complete") == 0) {
        gathered(text);
    } else if (strcmp(event, "taken_over") == 0) {
        taken_over(text);
    } else if (strcmp(event, "entry_out") == 0) {
        entry_out(text);
    }
}

void sim_aggregation_log(const char *module, const char *event, const char *format,
                         va_list arguments)
{
    bool gather = strcmp(module, "gather") == 0;
    bool plan = strcmp(module, "plan") == 0 && strcmp(event, "planned") == 0;
    bool conduct = strcmp(module, "conduct") == 0;
    if (sim == NULL || sim->running != &sim->coordinator.process ||
        (!gather && !plan && !conduct)) {
        return;
    }
    char text[SIM_TRACE_LINE_MAX];
    (void)vsnprintf(text, sizeof text, format, arguments);
    if (conduct) {
        conduct_line(event, text);
    }
    sim->figures.plans += plan ? 1 : 0;
    if (gather) {
        gather_line(event, text);
    }
}
