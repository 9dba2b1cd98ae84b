/* server_routes - measures links, dials peers back, plans between steps and tells the peers.
 *
 * Its state is its own (struct server_routes); of the server it uses the channel, the core and the
 * sessions. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_ROUTES_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_ROUTES_H

#include "coordinator/server/control.h"
#include "coordinator/server/routes.h"

struct server;
struct server_routes;

/* Errors: NO_MEMORY. */
MUST_CHECK enum status server_routes_open(struct server *self);
void server_routes_close(struct server *self); /* before its channels; fine when never opened */

struct routes *server_routes(const struct server *self);

/* A peer was welcomed; `host` is where its connection comes from. */
void server_routes_join(struct server *self, struct session *session,
                        const struct wire_hello *hello, const char *host);
void server_routes_leave(struct server *self, const struct session *session);

/* It said something else than hello: it has its welcome. Only then it is dialled: a probe may take
 * seconds of the coordinator's own link, and who waits too long for a welcome says hello again. */
void server_routes_heard(struct server *self, const struct session *session);

/* READY of a peer: whether it is to rest. */
bool server_routes_ready(struct server *self, const struct session *session, uint64_t version);

/* RATES of a peer. */
void server_routes_rates(struct server *self, const struct session *session,
                         const struct wire_rates *rates);

/* An upload that comes to the coordinator alone begins, goes on, ends. */
void server_routes_upload(struct server *self, const struct session *session, uint64_t bytes,
                          uint64_t now_ms, bool running);

/* A peer asks for chunks of a published blob, so many bytes of it. */
void server_routes_granted(struct server *self, const struct session *session,
                           const struct wire_grant *grant, uint64_t bytes);

/* An owner was taken over. One that is lost or slow is dialled again before it owns again; one that
 * lied owns no more. */
void server_routes_owner_out(struct server *self, uint32_t number, bool lied, uint64_t now_ms);

/* When the step is collected, committed (before that is announced: the plan is made anew here), and
 * applied by a peer. */
void server_routes_collecting(struct server *self, uint64_t now_ms);
void server_routes_committed(struct server *self, uint64_t step, uint64_t now_ms);
void server_routes_applied(struct server *self, const struct session *session, uint64_t version,
                           uint64_t now_ms);

/* How the updates of the next steps are to be encoded. */
enum codec server_routes_update_codec(const struct server *self);

/* The run's codec is another: nobody owns until the next plan. */
void server_routes_reset(struct server *self);

/* Every turn; `tick` when the server's timer is due. Errors: the run must stop. */
MUST_CHECK enum status server_routes_turn(struct server *self, uint64_t now_ms, bool tick);

/* The plan, what it predicts and what was measured, as JSON (server_report.c). Errors: NO_MEMORY.
 */
MUST_CHECK enum status server_report(const struct server *self,
                                     char reply[CONTROL_REPLY_BYTES_MAX]);

/* What the report says of steps and of the coordinator's own links. */
struct step_times {
    uint64_t step; /* the latest one that was measured; 0: none */
    double step_s, gather_s, spread_s;
    double predicted_s, predicted_gather_s, predicted_spread_s; /* for it */
};
const struct step_times *server_routes_times(const struct server *self);
double server_routes_own_up(const struct server *self); /* bytes a second; 0: not known */
double server_routes_own_down(const struct server *self);

#endif
