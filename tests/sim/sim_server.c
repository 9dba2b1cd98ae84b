#include "tests/sim/sim_server.h"

#include "coordinator/server/server_state.h"

uint64_t sim_server_first(const struct server *server, struct digest *out)
{
    *out = server->digests[server->version_first % DIGESTS_KEPT];
    return server->version_first;
}

bool sim_server_within_limits(const struct server *server)
{
    return server->event_count == 0 && server->uploads_running <= server->uploads_max &&
           server->sessions->count <= server->sessions->end &&
           server->sessions->end <= SESSIONS_MAX;
}
