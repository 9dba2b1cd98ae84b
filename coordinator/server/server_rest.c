#include "coordinator/server/server_rest.h"

#include "common/log.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"

#include <sodium.h>
#include <stdlib.h>

static const double faster_min = 1.5;

static void send_probe(struct server *self, struct session *session, struct route_peer *peer,
                       uint64_t now_ms)
{
    uint8_t *filler = malloc(REST_PROBE_BYTES);
    if (filler == NULL) {
        return; /* another time */
    }
    randombytes_buf(filler, REST_PROBE_BYTES); /* nothing on the way can shorten it */
    randombytes_buf(&peer->rest_nonce, sizeof peer->rest_nonce);
    peer->rest_sent_ms = now_ms;
    self->message.type = WIRE_PROBE;
    self->message.as.probe = (struct wire_probe){.nonce = peer->rest_nonce};
    server_send(self, session, filler, REST_PROBE_BYTES);
    free(filler);
}

void server_rest_tick(struct server *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct route_peer *peer = routes_peer(server_routes(self), i);
        struct session *session = &self->sessions->items[i];
        if (peer == NULL || !peer->told_rest || session->away) {
            continue;
        }
        if (peer->rest_due_ms == 0) {
            peer->rest_due_ms = now_ms + REST_FIRST_MS;
        } else if (now_ms >= peer->rest_due_ms) {
            peer->rest_due_ms = now_ms + REST_PROBE_MS;
            send_probe(self, session, peer, now_ms);
            return; /* they would share this side's link */
        }
    }
}

bool rest_raise_rates(struct route_peer *peer, uint64_t elapsed_ms)
{
    double up = routes_up(peer);
    double down = routes_down(peer);
    double elapsed_s = (double)(elapsed_ms > 0 ? elapsed_ms : 1) / 1000.0;
    double expected_s =
        (up > 0.0 ? REST_PROBE_BYTES / up : 0.0) + (down > 0.0 ? REST_PROBE_BYTES / down : 0.0);
    double faster = expected_s / elapsed_s;
    if (faster < faster_min) {
        return false;
    }
    /* A way that is not known is planned with the median, and stays so. */
    peer->said_up = up > 0.0 ? (uint64_t)(up * faster) : peer->said_up;
    peer->said_down = down > 0.0 ? (uint64_t)(down * faster) : peer->said_down;
    return true;
}

void server_rest_answer(struct server *self, struct session *session,
                        const struct wire_probe *probe, size_t body_size_bytes, uint64_t now_ms)
{
    struct route_peer *peer =
        routes_peer(server_routes(self), sessions_index(self->sessions, session));
    bool asked = peer != NULL && peer->rest_sent_ms > 0 && probe->answer &&
                 probe->nonce == peer->rest_nonce && body_size_bytes == REST_PROBE_BYTES;
    if (!asked) {
        (void)server_offend(self, session, CONDUCT_FALSE_WORD,
                            "answered a probe that was not sent");
        return;
    }
    uint64_t elapsed_ms = now_ms - peer->rest_sent_ms;
    peer->rest_sent_ms = 0;
    if (rest_raise_rates(peer, elapsed_ms)) {
        routes_note_change(server_routes(self));
        log_info("routes", "faster", "peer=%s up_mbit_per_s=%.1f down_mbit_per_s=%.1f", session->id,
                 routes_up(peer) * 8e-6, routes_down(peer) * 8e-6);
    }
}
