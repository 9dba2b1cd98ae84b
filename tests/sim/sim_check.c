#include "tests/sim/sim_check.h"

#include "common/fault.h"
#include "coordinator/store/checkpoint.h"
#include "coordinator/store/store.h"
#include "proto/wire.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/sim_shadow.h"
#include "tests/sim/sim_storage.h"

#include <inttypes.h>
#include <string.h>

static struct wire_message message;

/* The number of a peer's key: a clone has that of another. */
static size_t key_of(uint32_t peer)
{
    return (size_t)(sim->peers[peer].identity - sim_identity(0));
}

void sim_check_received(uint32_t peer, const uint8_t *head, size_t head_bytes)
{
    if (head_bytes == 0 || head[0] != WIRE_CONTRIBUTION) {
        return;
    }
    struct sim_blocks *own = sim_blocks_use(NULL);
    if (wire_decode(head, head_bytes, &message) == STATUS_OK) {
        sim_shadow_offered(sim->shadow, peer, &message.as.contribution);
    }
    (void)sim_blocks_use(own);
}

void sim_check_version(uint64_t version, const struct digest *digest, const char *whose)
{
    const struct sim_template *pattern = sim->pattern;
    if (version > pattern->config.step_count) {
        sim_fail("version %" PRIu64 " of %s is past the run's end", version, whose);
        return;
    }
    const struct digest *shadow = sim_shadow_digest(sim->shadow, version);
    /* Steps before this one have no stale samples, and the first has no version before its own. */
    uint64_t stale_from = sim->plan.stale_from > 1 ? sim->plan.stale_from : 1;
    bool exact =
        (sim->plan.max_staleness == 0 || version <= stale_from) && !sim->plan.aggregation.coarse;
    if (exact && pattern->config.codec == CODEC_FP32 && version <= sim->owner.same_until &&
        !digest_equal(digest, &pattern->digests[version])) {
        sim_fail("version %" PRIu64 " of %s is not what one machine trains", version, whose);
    } else if (!sim_storage_rotten() && shadow != NULL && !digest_equal(digest, shadow)) {
        sim_fail("version %" PRIu64 " of %s is not the one that was made", version, whose);
    }
}

/* Calls `visit` with every record in the journal of the disk in use, as far as they are whole. */
static void read_journal(void (*visit)(void *context, const struct journal_record *record),
                         void *context)
{
    struct journal_reader *reader = NULL;
    struct journal_record record;
    bool more = true;
    if (journal_reader_new(SIM_RUN_PATH, UINT64_MAX, &reader) != STATUS_OK) {
        return;
    }
    while (journal_read(reader, true, &record, &more) == STATUS_OK && more) {
        visit(context, &record);
    }
    journal_reader_free(reader);
}

/* The same with what is left of it when the power goes at this moment. */
static void read_durable(void (*visit)(void *context, const struct journal_record *record),
                         void *context)
{
    static const struct sim_disk_faults none;
    struct sim_disk *disk = sim_disk_copy(sim->disk);
    sim_disk_set_faults(disk, &none);
    sim_disk_lose_power(disk);
    sim_disk_use(disk);
    read_journal(visit, context);
    sim_disk_use(sim->disk);
    sim_disk_free(disk);
}

struct durable {
    bool begun; /* there is a journal */
    struct journal_state state;
    struct digest digest;    /* of its last step */
    uint64_t settings_count; /* changes of them */
};

/* By its own reading: the settings of each step go to the shadow as they are met. */
static void take_record(void *context, const struct journal_record *record)
{
    struct durable *self = context;
    const struct journal_event *event = &record->as.event;
    if (record->type == JOURNAL_SEGMENT && !self->begun) {
        self->state = record->as.state;
        self->begun = true;
    } else if (record->type == JOURNAL_STEP) {
        self->state.version = record->as.step.step + 1;
        self->digest = record->as.step.digest;
    } else if (record->type == JOURNAL_EVENT && event->type == JOURNAL_SETTINGS) {
        self->state.settings = event->settings;
        sim_shadow_settings(sim->shadow, self->settings_count++, event->version, &event->settings);
    } else if (record->type == JOURNAL_EVENT && event->type != JOURNAL_SERVED) {
        self->state.paused = event->type == JOURNAL_PAUSED    ? true
                             : event->type == JOURNAL_RESUMED ? false
                                                              : self->state.paused;
    }
}

bool sim_check_durable_state(struct journal_state *out)
{
    struct durable durable = {0};
    read_durable(take_record, &durable);
    *out = durable.state;
    return durable.begun;
}

/* Whatever was said to be committed is there when the power goes at this moment. */
static void check_durable(uint64_t version, const struct digest *digest)
{
    struct durable durable = {0};
    read_durable(take_record, &durable);
    if (!sim_storage_rotten() &&
        (durable.state.version != version || !digest_equal(&durable.digest, digest))) {
        sim_fail("version %" PRIu64 " is announced, and the durable journal ends at %" PRIu64,
                 version, durable.state.version);
    }
}

static void announced(const struct wire_committed *committed)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    uint64_t version = committed->step + 1;
    const struct digest *digest = &committed->digest;
    sim_check_version(version, digest, "the coordinator");
    if (version > coordinator->version) {
        if (version != coordinator->version + 1) {
            sim_fail("version %" PRIu64 " is announced after %" PRIu64, version,
                     coordinator->version);
        }
        coordinator->version = version;
        check_durable(version, digest);
        sim_shadow_announced(sim->shadow, version, digest, committed->codec);
    }
    struct digest *known = &coordinator->announced[version % SIM_STEPS_MAX];
    if (version > coordinator->announced_version) {
        coordinator->announced_version = version;
        *known = *digest;
    } else if (!sim_storage_rotten() && !digest_equal(digest, known)) {
        sim_fail("version %" PRIu64 " is announced again, and is another one", version);
    }
}

static void lent(size_t key, const struct sample_range *samples)
{
    if (sim->coordinator.rests) {
        sim_fail("work is given although the run is paused");
    }
    for (uint64_t i = 0; i < samples->count; i++) {
        sim->lent[key] |= UINT64_C(1) << (samples->first + i);
    }
}

/* Nobody is taken for a copy of himself, whatever the network does. */
static void refused(uint32_t peer, enum wire_refusal code)
{
    if (code != WIRE_REFUSED_SEQUENCE) {
        return;
    }
    sim->figures.clones_seen++;
    if (!sim_peer_is_cloned(peer)) {
        sim_fail("%s is taken for a copy of itself", sim_process_name(peer));
    }
}

void sim_check_sent(uint32_t peer, const uint8_t *head, size_t head_bytes)
{
    bool looked_at = head_bytes > 0 &&
                     (head[0] == WIRE_COMMITTED || head[0] == WIRE_VERDICT ||
                      head[0] == WIRE_LEASE || head[0] == WIRE_CLAIMED || head[0] == WIRE_REFUSED);
    if (!looked_at) {
        return;
    }
    struct sim_blocks *own = sim_blocks_use(NULL);
    if (wire_decode(head, head_bytes, &message) != STATUS_OK) {
        sim_fail("the coordinator sends what cannot be read");
    } else if (message.type == WIRE_COMMITTED) {
        announced(&message.as.committed);
    } else if (message.type == WIRE_LEASE) {
        lent(key_of(peer), &message.as.lease.samples);
    } else if (message.type == WIRE_REFUSED) {
        refused(peer, message.as.refused.code);
    } else if (message.type == WIRE_CLAIMED) {
        sim->coordinator.rests &= !message.as.claimed.accepted; /* the step is begun by it */
    } else if (message.as.verdict.accepted) {
        sim_shadow_counted(sim->shadow, peer, message.as.verdict.blob_id);
    } else {
        sim->figures.contributions_refused++;
    }
    (void)sim_blocks_use(own);
}

void sim_check_served(void)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct digest digest;
    uint64_t version = sim_server_first(coordinator->server, &digest);
    struct journal_state state;
    coordinator->version = version;
    (void)sim_check_durable_state(&state); /* tells the shadow of settings */
    sim_shadow_served(sim->shadow, version, &digest);
    sim_check_version(version, &digest, "the recovered coordinator");
    coordinator->checkpoint = sim_server_checkpoint(coordinator->server);
    coordinator->paused = false;
    for (size_t i = 0; i < SIM_PEERS_MAX; i++) {
        sim->peers[i].blame = 0; /* it begins anew */
    }
    sim_owner_served(sim_server_state(coordinator->server));
    if (sim_storage_rotten()) {
        return;
    }
    if (version < coordinator->announced_version) {
        sim_fail("version %" PRIu64 " was announced, and %" PRIu64 " is what was recovered",
                 coordinator->announced_version, version);
    } else if (version == coordinator->announced_version && version > 0 &&
               !digest_equal(&digest, &coordinator->announced[version % SIM_STEPS_MAX])) {
        sim_fail("version %" PRIu64 " was recovered, and is another one", version);
    }
}

/* A checkpoint that was written is there, and whole, when the power goes at this moment. */
static void check_checkpoint(uint64_t version)
{
    static const struct sim_disk_faults none;
    struct sim_disk *disk = sim_disk_copy(sim->disk);
    sim_disk_set_faults(disk, &none);
    sim_disk_lose_power(disk);
    sim_disk_use(disk);
    if (checkpoint_check(&sim->coordinator.run, version) != STATUS_OK && !sim_storage_rotten()) {
        sim_fail("the checkpoint of version %" PRIu64 " was written and is not durable: %s",
                 version, fault_text());
    }
    sim_disk_use(sim->disk);
    sim_disk_free(disk);
}

static void check_coordinator(struct sim_coordinator *coordinator)
{
    uint64_t begun = 0;
    uint64_t checkpoint = sim_server_checkpoint(coordinator->server);
    bool paused = sim_server_paused(coordinator->server, &begun);
    if (coordinator->paused && paused && begun > coordinator->begun) {
        sim_fail("step %" PRIu64 " begins while the run is paused", begun - 1);
    }
    coordinator->paused = paused;
    coordinator->begun = begun;
    if (checkpoint != coordinator->checkpoint) {
        coordinator->checkpoint = checkpoint;
        check_checkpoint(checkpoint);
    }
}

static void check_limits(void)
{
    const struct server *server = sim->coordinator.server;
    if (server != NULL && !sim_server_within_limits(server)) {
        sim_fail("a limit of the coordinator does not hold");
    }
}

void sim_check_event(void)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    coordinator->rests = coordinator->server != NULL && sim_server_rests(coordinator->server);
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        sim_check_peer(&sim->peers[i]);
    }
    check_limits();
    if (sim->coordinator.server != NULL) {
        check_coordinator(&sim->coordinator);
    }
}

/* Credit is given for what was computed, to the key it was computed under. */
static void check_contribution(const struct journal_contribution *item)
{
    uint32_t key = 0;
    while (key < SIM_PEERS_MAX &&
           memcmp(sim_identity(key)->public_key, item->key, sizeof item->key) != 0) {
        key++;
    }
    uint64_t samples = 0;
    for (size_t i = 0; i < item->range_count; i++) {
        for (uint64_t j = 0; j < item->ranges[i].count; j++) {
            uint64_t sample = item->ranges[i].first + j;
            if (key == SIM_PEERS_MAX || (sim->computed[key] >> sample & 1U) == 0) {
                sim_fail("sample %" PRIu64 " is counted for somebody who never computed it",
                         sample);
                return;
            }
            samples++;
        }
    }
    if (item->tokens != samples * sim->pattern->config.context) {
        sim_fail("a contribution of %" PRIu64 " samples gets %" PRIu64 " tokens of credit", samples,
                 item->tokens);
    }
}

static void check_step(void *context, const struct journal_record *record)
{
    (void)context;
    for (size_t i = 0; record->type == JOURNAL_STEP && i < record->as.step.contribution_count;
         i++) {
        check_contribution(&record->as.step.contributions[i]);
    }
}

/* That all steps together apply. */
static uint64_t samples_needed(void)
{
    const struct run_config *config = &sim->pattern->config;
    return sim_shadow_version(sim->shadow) == config->step_count
               ? sim_shadow_samples(sim->shadow)
               : config->step_count * config->target_batch;
}

/* What `dugnad-coordinator verify` says of the run's folder. */
static void check_verified(void)
{
    const struct run_config *config = &sim->pattern->config;
    const uint64_t samples = samples_needed();
    const uint64_t tokens = samples * config->context;
    struct store_report report = {0};
    struct run_dir run;
    sim_storage_calm();
    enum status status = run_dir_open(SIM_RUN_PATH, &run);
    if (status == STATUS_OK) {
        status = store_verify(&run, 1, &report);
        run_dir_close(&run);
    }
    if (status != STATUS_OK || !report.ok) {
        sim_fail("verify says: %s", status != STATUS_OK ? fault_text() : report.fault);
    } else if (report.steps != config->step_count || report.samples_applied != samples ||
               report.samples_duplicated != 0 || report.samples_missing != 0 ||
               report.credit_tokens != tokens || report.trained_tokens != tokens) {
        sim_fail("verify counts %" PRIu64 " steps, %" PRIu64 " samples, %" PRIu64 " twice, %" PRIu64
                 " missing, %" PRIu64 " tokens of credit, %" PRIu64 " trained",
                 report.steps, report.samples_applied, report.samples_duplicated,
                 report.samples_missing, report.credit_tokens, report.trained_tokens);
    } else {
        sim_check_version(report.steps, &report.digest, "the folder");
    }
}

void sim_check_end(void)
{
    const struct run_config *config = &sim->pattern->config;
    sim->figures.samples_needed += samples_needed();
    sim->figures.steps += config->step_count;
    sim->figures.samples_stale += sim_shadow_stale(sim->shadow);
    if (sim->coordinator.version != config->step_count) {
        sim_fail("only %" PRIu64 " of %" PRIu64 " steps were made", sim->coordinator.version,
                 config->step_count);
    }
    if (sim->plan.quiet && sim->crashes[0].call == 0 &&
        (sim->figures.samples_computed != sim->figures.samples_needed ||
         sim->figures.contributions_refused > 0)) {
        sim_fail("nobody's work was lost, and %" PRIu64 " samples were computed for %" PRIu64
                 ", %" PRIu64 " contributions refused",
                 sim->figures.samples_computed, sim->figures.samples_needed,
                 sim->figures.contributions_refused);
    }
    if (!sim_storage_rotten()) {
        check_verified();
        read_journal(check_step, NULL);
    }
}
