/* What the checks see inside a peer. */
#include "peer/daemon/daemon_state.h"
#include "tests/sim/sim_check.h"

void sim_check_peer(struct sim_peer *peer)
{
    if (peer->daemon == NULL) {
        return;
    }
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
    sim_check_version(peer->version, &peer->daemon->digest, name);
}
