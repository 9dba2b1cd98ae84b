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

void sim_check_describe(const struct sim_peer *peer)
{
    const struct session *session = &peer->daemon->session;
    const struct work *work = &session->work;
    sim_line(
        "%s phase=%d version=%llu asked=%d collect=%d offer=%d claim=%d draining=%d updates=%zu "
        "held=%llu waiting=%u running=%u leases=%llu:%llu+%u %llu:%llu+%u",
        sim_process_name(peer->process.index), (int)session->phase,
        (unsigned long long)session->version, session->asked, session->collect_wanted,
        session->offer_open, session->claim_open, session->draining, session->update_count,
        (unsigned long long)work->held_samples, work_waiting(work), work_running(work),
        (unsigned long long)work->leases[0].id, (unsigned long long)work->leases[0].first,
        work->leases[0].count, (unsigned long long)work->leases[1].id,
        (unsigned long long)work->leases[1].first, work->leases[1].count);
}
