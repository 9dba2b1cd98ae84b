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
    } else if (message.as.committed.step + 1 > sim->coordinator.announced_version) {
        sim->coordinator.announced_version = message.as.committed.step + 1;
        sim->figures.steps++;
    }
    (void)sim_blocks_use(own);
}

void sim_check_event(void)
{
    for (uint32_t i = 0; i < sim->plan.peer_count; i++) {
        const struct sim_peer *peer = &sim->peers[i];
        if (peer->daemon != NULL && peer->daemon->mismatches > 0) {
            sim_fail("%s has other parameters than the coordinator", sim_process_name(i));
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
