#include "coordinator/server/server_routes.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/server/dials.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_rest.h"
#include "coordinator/server/server_state.h"
#include "coordinator/store/trusted.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIAL_AGAIN_MS = 60000,
    PASS_MS = 24 * 3600 * 1000,
    PLAN_SHARE = 20, /* of the time at most one in so many is spent planning */
    SERIAL_SHIFT = 32
};

struct server_routes {
    struct routes *routes;
    struct dials *dials;
    struct rate_meter down, up;    /* of the coordinator itself */
    uint64_t down_bytes, up_bytes; /* since the last tick */
    uint64_t passes_unix_ms;       /* when passes were given */
    uint64_t plan_due_ms;          /* no planning before */
    uint64_t collect_ms;           /* when this step was first collected; 0: not yet */
    uint64_t commit_ms;
    uint32_t waited_for; /* peers that are to apply the latest step */
    uint32_t applied;
    bool spreading;
    struct step_times latest; /* committed, being spread */
    struct step_times times;  /* spread */
};

enum status server_routes_open(struct server *self)
{
    const struct run_config *config = &self->run->config;
    struct server_routes *routes = calloc(1, sizeof *routes);
    if (routes == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to serve the run");
    }
    self->routes = routes;
    rate_meter_init(&routes->down);
    rate_meter_init(&routes->up);
    enum status status = routes_new(
        layout_value_count(self->run->layout), &config->aggregation, config->max_staleness > 0,
        store_state(self->store)->serial << SERIAL_SHIFT, &routes->routes);
    return status == STATUS_OK ? dials_new(self->channels, &self->run->identity, &routes->dials)
                               : status;
}

void server_routes_close(struct server *self)
{
    if (self->routes != NULL) {
        dials_free(self->routes->dials);
        routes_free(self->routes->routes);
    }
    free(self->routes);
    self->routes = NULL;
}

struct routes *server_routes(const struct server *self)
{
    return self->routes->routes;
}

const struct step_times *server_routes_times(const struct server *self)
{
    return &self->routes->times;
}

double server_routes_own_up(const struct server *self)
{
    return (double)rate_meter_bytes_per_s(&self->routes->up);
}

double server_routes_own_down(const struct server *self)
{
    return (double)rate_meter_bytes_per_s(&self->routes->down);
}

static struct route_peer *peer_of(const struct server *self, const struct session *session)
{
    return routes_peer(self->routes->routes, sessions_index(self->sessions, session));
}

static enum codec run_codec(const struct server *self)
{
    return store_state(self->store)->settings.codec;
}

static void fill_pass(const struct server *self, const struct session *session,
                      struct wire_route *route)
{
    struct ticket ticket = {.run_id = self->run->run_id,
                            .kind = TICKET_PASS,
                            .codec = run_codec(self),
                            .plan_id = route->plan_id,
                            .expires_unix_ms = clock_unix_ms() + PASS_MS};
    memcpy(ticket.peer_key, session->public_key, sizeof ticket.peer_key);
    if (route->owner_count > 0) {
        ticket_sign(&self->run->identity, &ticket, route->pass);
    }
}

static void send_route(struct server *self, struct session *session)
{
    struct route_peer *peer = peer_of(self, session);
    if (peer == NULL || session->away) {
        return;
    }
    struct wire_route *route = &self->message.as.route;
    self->message.type = WIRE_ROUTE;
    routes_fill(self->routes->routes, sessions_index(self->sessions, session), run_codec(self),
                route);
    fill_pass(self, session, route);
    server_send(self, session, NULL, 0);
    if (!session->missed) {
        bool flipped = routes_note_told(self->routes->routes, peer, route);
        peer->rest_flipped = peer->rest_flipped || flipped;
    }
}

static void send_routes(struct server *self)
{
    self->routes->passes_unix_ms = clock_unix_ms();
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        if (self->sessions->items[i].used) {
            send_route(self, &self->sessions->items[i]);
        }
    }
}

static void tell_aggregator(const struct session *session, const struct route_peer *peer)
{
    char key[TRUSTED_HEX_BYTES];
    trusted_format(peer->public_key, key);
    log_info("routes", "aggregator", "peer=%s name=\"%s\" key=%s address=%s trusted=%s",
             session->id, session->name, key, peer->dial_address, peer->trusted ? "yes" : "no");
}

void server_routes_join(struct server *self, struct session *session,
                        const struct wire_hello *hello, const char *host)
{
    bool known = peer_of(self, session) != NULL;
    bool trusted = hello->aggregates && trusted_has(self->run->path, hello->public_key);
    struct route_peer *peer = routes_join(
        self->routes->routes, sessions_index(self->sessions, session), hello, host, trusted);
    if (peer == NULL) {
        return; /* without memory it goes without a route, as one who is unknown */
    }
    if (peer->aggregates) {
        tell_aggregator(session, peer);
    }
    if (known) {
        server_gather_back(self, peer->number);
    }
    send_route(self, session);
}

void server_routes_leave(struct server *self, const struct session *session)
{
    const struct route_peer *peer = peer_of(self, session);
    if (peer != NULL) {
        server_gather_lost(self, peer->number);
        dials_forget(self->routes->dials, peer->number);
        routes_leave(self->routes->routes, routes_index(peer));
    }
}

void server_routes_heard(struct server *self, const struct session *session)
{
    struct route_peer *peer = peer_of(self, session);
    if (peer != NULL) {
        peer->heard = true;
    }
}

bool server_routes_ready(struct server *self, const struct session *session, uint64_t version)
{
    struct route_peer *peer = peer_of(self, session);
    if (peer == NULL) {
        return false;
    }
    peer->ready_version = version;
    return peer->told_rest;
}

void server_routes_rates(struct server *self, const struct session *session,
                         const struct wire_rates *rates)
{
    struct route_peer *peer = peer_of(self, session);
    if (peer != NULL) {
        peer->said_up = rates->up_bytes_per_s > 0 ? rates->up_bytes_per_s : peer->said_up;
        peer->said_down = rates->down_bytes_per_s > 0 ? rates->down_bytes_per_s : peer->said_down;
    }
}

void server_routes_upload(struct server *self, const struct session *session, uint64_t bytes,
                          uint64_t now_ms, bool running)
{
    struct route_peer *peer = peer_of(self, session);
    self->routes->down_bytes += bytes;
    if (peer != NULL) {
        rate_meter_add(&peer->received, bytes, now_ms, running && bytes > 0);
    }
}

/* A window is granted at once; from then on what is granted says that as much came there. */
void server_routes_granted(struct server *self, const struct session *session,
                           const struct wire_grant *grant, uint64_t bytes)
{
    struct route_peer *peer = peer_of(self, session);
    if (peer == NULL || grant->kind == BLOB_HASHES) {
        return;
    }
    if (peer->granted_id != grant->id) {
        peer->granted_id = grant->id;
        peer->granted_bytes = 0;
    }
    peer->granted_bytes += bytes;
    if (peer->granted_bytes > BLOB_WINDOW_BYTES) {
        uint64_t beyond = peer->granted_bytes - BLOB_WINDOW_BYTES;
        self->routes->up_bytes += beyond < bytes ? beyond : bytes;
    }
}

void server_routes_owner_out(struct server *self, uint32_t number, bool lied, uint64_t now_ms)
{
    struct route_peer *peer = routes_by_number(self->routes->routes, number);
    if (peer == NULL) {
        return;
    }
    if (!lied) {
        peer->reachable = false;
        peer->dial_ms = now_ms + DIAL_AGAIN_MS;
        routes_note_change(self->routes->routes);
    } else {
        char key[TRUSTED_HEX_BYTES];
        trusted_format(peer->public_key, key);
        routes_note_lie(self->routes->routes, peer);
        log_warn("routes", "barred", "key=%s reason=\"its sums are wrong\"", key);
    }
}

/* What those that send to the coordinator could send together, as far as it is known. */
static double could_send(const struct server *self)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        const struct session *session = &self->sessions->items[i];
        const struct route_peer *peer = session->used ? peer_of(self, session) : NULL;
        if (peer != NULL && session->upload == UPLOAD_RUNNING) {
            double rate = peer->said_up > 0 ? (double)peer->said_up : (double)peer->probed;
            sum += rate > 0.0 ? rate : WIRE_RATE_MAX;
        }
    }
    return sum;
}

static double could_fetch(const struct server *self)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        const struct session *session = &self->sessions->items[i];
        const struct route_peer *peer = session->used ? peer_of(self, session) : NULL;
        if (peer != NULL && peer->granted_bytes > BLOB_WINDOW_BYTES) {
            double rate = routes_down(peer);
            sum += rate > 0.0 ? rate : WIRE_RATE_MAX;
        }
    }
    return sum;
}

/* Where the others together cannot fill the link, what it carries says nothing of it. */
static void measure_own(struct server *self, uint64_t now_ms)
{
    struct server_routes *routes = self->routes;
    bool down_busy = routes->down_bytes > 0 && self->uploads_running > 0 &&
                     !server_gather_is_routing(self) &&
                     could_send(self) > (double)rate_meter_bytes_per_s(&routes->down);
    bool up_busy =
        routes->up_bytes > 0 && could_fetch(self) > (double)rate_meter_bytes_per_s(&routes->up);
    rate_meter_add(&routes->down, routes->down_bytes, now_ms, down_busy);
    rate_meter_add(&routes->up, routes->up_bytes, now_ms, up_busy);
    routes->down_bytes = 0;
    routes->up_bytes = 0;
}

static void note_speeds(const struct server *self)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct route_peer *peer = routes_peer(self->routes->routes, i);
        double speed = peer != NULL ? core_peer_speed(self->core, i) : 0.0;
        if (peer != NULL && speed > 0.0) {
            peer->samples_per_s = speed;
        }
    }
}

static const char *strategy_name(const struct server *self)
{
    switch (self->run->config.aggregation.strategy) {
    case AGGREGATION_ALL_REDUCE:
        return "all_reduce";
    case AGGREGATION_PARAMETER_SERVER:
        return "parameter_server";
    case AGGREGATION_ADAPTIVE:
    default:
        return "adaptive";
    }
}

static void tell_plan(const struct server *self)
{
    const struct routes *routes = self->routes->routes;
    double bound_s = 0.0;
    const struct plan_times *predicted = routes_predicted(routes, &bound_s);
    uint32_t computing = 0;
    uint32_t resting = 0;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        const struct route_peer *peer = routes_peer(routes, i);
        computing += peer != NULL && peer->computes && peer->share.computes ? 1 : 0;
        resting += peer != NULL && peer->computes && !peer->share.computes ? 1 : 0;
    }
    log_info("plan", "planned",
             "plan=%" PRIu64 " strategy=%s owners=%" PRIu32 " computing=%" PRIu32
             " resting=%" PRIu32
             " updates=%s predicted_s=%.3f compute_s=%.3f gather_s=%.3f spread_s=%.3f bound_s=%.3f",
             routes_plan_id(routes), strategy_name(self), routes_owner_count(routes), computing,
             resting, codec_name(server_routes_update_codec(self)), predicted->step_s,
             predicted->compute_s, predicted->gather_s, predicted->spread_s, bound_s);
}

/* A plan that cannot be made is no reason to stop: the one in force goes on. */
static void plan(struct server *self, uint64_t now_ms)
{
    struct server_routes *routes = self->routes;
    if (now_ms < routes->plan_due_ms) {
        return;
    }
    uint64_t began_ms = clock_now_ms();
    const struct routes_now now = {.codec = run_codec(self),
                                   .target_batch =
                                       (double)store_state(self->store)->settings.target_batch,
                                   .coordinator_up = server_routes_own_up(self),
                                   .coordinator_down = server_routes_own_down(self),
                                   .sum_bytes_per_value = server_gather_sum_bytes(self)};
    bool changed = false;
    note_speeds(self);
    enum status status = routes_plan(routes->routes, &now, &changed);
    routes->plan_due_ms = now_ms + PLAN_SHARE * (clock_now_ms() - began_ms);
    if (status != STATUS_OK) {
        log_warn("plan", "kept", "reason=\"%s\"", fault_text());
    } else if (changed) {
        tell_plan(self);
        send_routes(self);
    }
}

void server_routes_collecting(struct server *self, uint64_t now_ms)
{
    if (self->routes->collect_ms == 0) {
        self->routes->collect_ms = now_ms > 0 ? now_ms : 1;
    }
}

static double seconds(uint64_t from_ms, uint64_t to_ms)
{
    return from_ms > 0 && to_ms > from_ms ? (double)(to_ms - from_ms) / 1000.0 : 0.0;
}

static void tell_times(struct server *self)
{
    struct server_routes *routes = self->routes;
    const struct step_times *times = &routes->latest;
    routes->times = *times;
    routes->spreading = false;
    log_event(routes_owner_count(routes->routes) > 0 ? LOG_INFO : LOG_DEBUG, "plan", "measured",
              "step=%" PRIu64 " step_ms=%.0f gather_ms=%.0f spread_ms=%.0f predicted_ms=%.0f"
              " predicted_gather_ms=%.0f predicted_spread_ms=%.0f",
              times->step, times->step_s * 1e3, times->gather_s * 1e3, times->spread_s * 1e3,
              times->predicted_s * 1e3, times->predicted_gather_s * 1e3,
              times->predicted_spread_s * 1e3);
}

static uint32_t count_computing(const struct server *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        const struct route_peer *peer = routes_peer(self->routes->routes, i);
        count += peer != NULL && peer->computes && !peer->told_rest ? 1 : 0;
    }
    return count;
}

void server_routes_committed(struct server *self, uint64_t step, uint64_t now_ms)
{
    struct server_routes *routes = self->routes;
    double bound_s = 0.0;
    const struct plan_times *predicted = routes_predicted(routes->routes, &bound_s);
    if (routes->spreading) { /* most of them never said so */
        routes->latest.spread_s = seconds(routes->commit_ms, now_ms);
        tell_times(self);
    }
    routes->latest = (struct step_times){.step = step + 1,
                                         .step_s = seconds(routes->commit_ms, now_ms),
                                         .gather_s = seconds(routes->collect_ms, now_ms),
                                         .predicted_s = predicted->step_s,
                                         .predicted_gather_s = predicted->gather_s,
                                         .predicted_spread_s = predicted->spread_s};
    routes_note_step(routes->routes, routes->latest.step_s);
    routes->collect_ms = 0;
    routes->commit_ms = now_ms > 0 ? now_ms : 1;
    routes->applied = 0;
    routes->waited_for = count_computing(self);
    routes->spreading = true;
    plan(self, now_ms);
}

void server_routes_applied(struct server *self, const struct session *session, uint64_t version,
                           uint64_t now_ms)
{
    struct server_routes *routes = self->routes;
    const struct route_peer *peer = peer_of(self, session);
    if (peer == NULL || !routes->spreading || version != routes->latest.step || peer->told_rest) {
        return;
    }
    routes->applied++;
    if (2 * routes->applied > routes->waited_for) {
        routes->latest.spread_s = seconds(routes->commit_ms, now_ms);
        tell_times(self);
    }
}

enum codec server_routes_update_codec(const struct server *self)
{
    return routes_update_codec(self->routes->routes, run_codec(self));
}

void server_routes_reset(struct server *self)
{
    routes_reset(self->routes->routes);
    routes_forget_codecs(self->routes->routes);
}

/* A probe crosses its link both ways. 0: none. */
static uint64_t least_cap(const struct route_peer *peer)
{
    bool up = peer->up_max > 0 && (peer->down_max == 0 || peer->up_max < peer->down_max);
    return up ? peer->up_max : peer->down_max;
}

static void dial_peers(struct server *self, uint64_t now_ms)
{
    struct server_routes *routes = self->routes;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct route_peer *peer = routes_peer(routes->routes, i);
        if (peer == NULL || !peer->aggregates || !peer->heard || peer->reachable ||
            peer->dialling || now_ms < peer->dial_ms || peer->dial_address[0] == '\0') {
            continue;
        }
        const struct dial_peer who = {.number = peer->number,
                                      .address = peer->dial_address,
                                      .public_key = peer->public_key,
                                      .bytes_per_s_max = least_cap(peer)};
        enum status status = dials_start(routes->dials, &who, now_ms);
        if (status == STATUS_FULL) {
            return;
        }
        peer->dialling = status == STATUS_OK;
        peer->dial_ms = now_ms + DIAL_AGAIN_MS;
        if (status != STATUS_OK) {
            log_warn("routes", "not_dialled", "peer=%s reason=\"%s\"", self->sessions->items[i].id,
                     fault_text());
        }
    }
}

static void take_dials(struct server *self, uint64_t now_ms)
{
    struct dial_result result;
    while (dials_next(self->routes->dials, now_ms, &result)) {
        struct route_peer *peer = routes_by_number(self->routes->routes, result.number);
        if (peer == NULL) {
            continue;
        }
        peer->dialling = false;
        peer->reachable = result.reachable;
        peer->probed = result.reachable ? result.bytes_per_s : peer->probed;
        routes_note_change(self->routes->routes);
        log_info("routes", result.reachable ? "reachable" : "unreachable",
                 "peer=%s address=%s mbit_per_s=%.1f", self->sessions->items[routes_index(peer)].id,
                 peer->dial_address, (double)result.bytes_per_s * 8e-6);
    }
}

/* The core does not wait for who rests, and gives it no work. */
static enum status follow_rests(struct server *self, uint64_t now_ms)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < self->sessions->end && status == STATUS_OK; i++) {
        struct route_peer *peer = routes_peer(self->routes->routes, i);
        if (peer == NULL || !peer->rest_flipped) {
            continue;
        }
        peer->rest_flipped = false;
        if (peer->ready_version != ROUTES_READY_NONE &&
            peer->ready_version == core_current_step(self->core)) {
            server_push(self, &(struct core_event){.type = CORE_READY,
                                                   .peer = i,
                                                   .version = peer->ready_version,
                                                   .rests = peer->told_rest});
            status = server_pump(self, now_ms);
        }
    }
    return status;
}

static void renew_passes(struct server *self)
{
    if (routes_owner_count(self->routes->routes) > 0 &&
        clock_unix_ms() - self->routes->passes_unix_ms > PASS_MS / 2 &&
        !server_gather_is_routing(self)) {
        routes_renew(self->routes->routes);
        send_routes(self);
    }
}

/* Plans are made when a step ends, and with nobody left to compute none does: who rests goes on. */
static void wake_resting(struct server *self)
{
    bool any = false;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        const struct route_peer *peer = routes_peer(self->routes->routes, i);
        any = any || (peer != NULL && peer->computes && peer->told_rest);
    }
    if (any && count_computing(self) == 0 && !server_gather_is_routing(self)) {
        log_warn("plan", "dropped", "reason=\"those who were to compute are gone\"");
        routes_reset(self->routes->routes);
        send_routes(self);
    }
}

/* Who computes says when it applied the last update; who only sums, or rests, is told once all
 * others know. */
static void dismiss_others(struct server *self)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        const struct route_peer *peer = routes_peer(self->routes->routes, i);
        const struct session *session = &self->sessions->items[i];
        if (session->used && !session->away &&
            (peer == NULL || (peer->computes && !peer->told_rest))) {
            return;
        }
    }
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (session->used && !session->away) {
            self->message.type = WIRE_FINISHED;
            self->message.as.finished.step_count = core_current_step(self->core);
            server_send(self, session, NULL, 0);
            server_drop(self, session, "finished");
            return; /* one a tick: the ring of events is small */
        }
    }
}

enum status server_routes_turn(struct server *self, uint64_t now_ms, bool tick)
{
    take_dials(self, now_ms);
    if (!tick) {
        return STATUS_OK;
    }
    measure_own(self, now_ms);
    dial_peers(self, now_ms);
    if (self->finishing) {
        dismiss_others(self);
    } else {
        wake_resting(self);
        renew_passes(self);
        server_rest_tick(self, now_ms);
    }
    return follow_rests(self, now_ms);
}
