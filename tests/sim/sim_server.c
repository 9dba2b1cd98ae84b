#include "tests/sim/sim_server.h"

#include "coordinator/core/core_state.h"
#include "coordinator/server/server_gather_state.h"
#include "tests/sim/sim_gather.h"

#include <inttypes.h>
#include <stdio.h>

uint64_t sim_server_first(const struct server *server, struct digest *out)
{
    *out = server->digests[server->version_first % DIGESTS_KEPT];
    return server->version_first;
}

uint64_t sim_server_checkpoint(const struct server *server)
{
    return store_checkpoint_version(server->store);
}

bool sim_server_paused(const struct server *server, uint64_t *out_begun)
{
    uint64_t begun = core_current_step(server->core) + (core_next_begun(server->core) ? 2 : 1);
    *out_begun = core_begun(server->core) ? begun : 0;
    return server->begun && server->paused;
}

bool sim_server_within_limits(const struct server *server)
{
    return server->event_count == 0 && server->uploads_running <= server->uploads_max &&
           server->sessions->count <= server->sessions->end &&
           server->sessions->end <= SESSIONS_MAX;
}

const struct journal_state *sim_server_state(const struct server *server)
{
    return store_state(server->store);
}

bool sim_server_rests(const struct server *server)
{
    return server->begun && store_state(server->store)->paused && !core_begun(server->core);
}

bool sim_server_finishing(const struct server *server)
{
    return server->finishing;
}

void sim_server_check_gathered(const struct server *server)
{
    sim_gather_check_complete(server->gather->gather,
                              server->run->config.aggregation.check_share >= 1.0);
}

bool sim_server_describe(const struct server *server, uint32_t index, char *out, size_t out_bytes)
{
    const struct core *core = server->core;
    if (index >= core->peer_end) {
        return false;
    }
    const struct peer *peer = &core->peers[index];
    int length = snprintf(out, out_bytes,
                          "%s active=%d away=%d step=%" PRIu64 " version=%" PRIu64
                          " wants=%d owned=%u collect=%d offer=%d free=%u counted=%u leases=",
                          server->sessions->items[index].name, peer->active,
                          server->sessions->items[index].away, core->step, peer->version,
                          peer->wants_work, peer->owned, peer->collect_sent, (int)peer->offer,
                          core->table.now.free_count, core->table.counted_count);
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        const struct lease *lease = &peer->leases[i];
        length += snprintf(out + length, out_bytes - (size_t)length,
                           " %" PRIu64 ":%" PRIu64 "+%u done %u%s", lease->id, lease->first,
                           lease->count, lease->done, lease->reclaim_open ? " reclaimed" : "");
    }
    return true;
}
