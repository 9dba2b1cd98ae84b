#include "tests/sim/sim_check.h"

#include "peer/daemon/daemon_state.h"
#include "tests/sim/sim_template.h"

#include "proto/wire.h"

#include <inttypes.h>

void sim_check_received(uint32_t peer, const uint8_t *head, size_t head_bytes)
{
    (void)peer;
    (void)head;
    (void)head_bytes;
}

/* Same samples, same settings: the same bits as on one machine (sim_reference.h). */
static void compare(uint64_t version, const struct digest *digest, const char *whose)
{
    const struct sim_template *pattern = sim->pattern;
    if (version > pattern->config.step_count) {
        sim_fail("version %" PRIu64 " of %s is past the run's end", version, whose);
    } else if (pattern->config.codec == CODEC_FP32 &&
               !digest_equal(digest, &pattern->digests[version])) {
        sim_fail("version %" PRIu64 " of %s is not what one machine trains", version, whose);
    }
}

static void announced(const struct wire_committed *committed)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    uint64_t version = committed->step + 1;
    compare(version, &committed->digest, "the coordinator");
    if (version > coordinator->announced_version + 1) {
        sim_fail("version %" PRIu64 " is announced after %" PRIu64, version,
                 coordinator->announced_version);
    }
    if (version > coordinator->announced_version) {
        coordinator->announced_version = version;
        coordinator->announced[version % SIM_STEPS_MAX] = committed->digest;
        sim->figures.steps++;
    } else if (!digest_equal(&committed->digest,
                             &coordinator->announced[version % SIM_STEPS_MAX])) {
        sim_fail("version %" PRIu64 " is announced again, and is another one", version);
    }
}

void sim_check_sent(uint32_t peer, const uint8_t *head, size_t head_bytes)
{
    (void)peer;
    static struct wire_message message;
    if (head_bytes == 0 || head[0] != WIRE_COMMITTED) {
        return;
    }
    struct sim_blocks *own = sim_blocks_use(NULL);
    if (wire_decode(head, head_bytes, &message) != STATUS_OK) {
        sim_fail("the coordinator sends what cannot be read");
    } else {
        announced(&message.as.committed);
    }
    (void)sim_blocks_use(own);
}

static void check_peer(struct sim_peer *peer)
{
    const struct session *session = &peer->daemon->session;
    const char *name = sim_process_name(peer->process.index);
    if (peer->daemon->mismatches > 0) {
        sim_fail("%s has other parameters than the coordinator", name);
    }
    if (session->version == peer->version || session->version == WIRE_VERSION_NONE ||
        session->applying) {
        return;
    }
    peer->version = session->version;
    compare(peer->version, &peer->daemon->digest, name);
}

void sim_check_event(void)
{
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        struct sim_peer *peer = &sim->peers[i];
        if (peer->daemon != NULL) {
            check_peer(peer);
        }
    }
}

void sim_check_end(void)
{
    const struct run_config *config = &sim->pattern->config;
    sim->figures.samples_needed += config->step_count * config->target_batch;
    if (sim->coordinator.announced_version != config->step_count) {
        sim_fail("only %" PRIu64 " of %" PRIu64 " steps were announced",
                 sim->coordinator.announced_version, config->step_count);
    }
}
