#include "common/fault.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"
#include "coordinator/store/trusted.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* So many rows fit a reply: some 200 bytes each. The owners come first. */
enum { ROWS_MAX = 256 };

/* Plans without anybody who computes take for ever, which JSON has no number for. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *times_json(const struct plan_times *times, double bound_s)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "step_s", number(times->step_s), "compute_s",
                     number(times->compute_s), "gather_s", number(times->gather_s), "spread_s",
                     number(times->spread_s), "stale_share", number(times->stale_share), "bound_s",
                     number(bound_s));
}

static json_t *measured_json(const struct step_times *times)
{
    return json_pack("{s:I, s:f, s:f, s:f, s:o}", "step", (json_int_t)times->step, "step_s",
                     times->step_s, "gather_s", times->gather_s, "spread_s", times->spread_s,
                     "predicted_s", number(times->predicted_s));
}

static json_t *row_of(const struct server *self, uint32_t index, const struct route_peer *peer)
{
    const struct session *session = &self->sessions->items[index];
    bool rests = peer->planned && peer->computes && !peer->share.computes;
    enum codec codec = peer->told_any ? peer->codec : store_state(self->store)->settings.codec;
    json_t *row = json_pack("{s:s, s:s, s:b, s:b, s:b, s:s, s:I, s:I, s:o}", "peer", session->id,
                            "name", session->name, "computes", peer->computes && !rests, "rests",
                            rests, "reachable", peer->reachable, "codec", codec_name(codec), "up",
                            (json_int_t)routes_up(peer), "down", (json_int_t)routes_down(peer),
                            "samples_per_s", number(peer->samples_per_s));
    if (row != NULL && peer->share.chunk_count > 0) {
        char key[TRUSTED_HEX_BYTES];
        trusted_format(peer->public_key, key);
        (void)json_object_set_new(row, "key", json_string(key));
        (void)json_object_set_new(row, "first_chunk", json_integer(peer->share.first_chunk));
        (void)json_object_set_new(row, "chunks", json_integer(peer->share.chunk_count));
    }
    return row;
}

static json_t *rows_json(const struct server *self)
{
    json_t *rows = json_array();
    for (int owners = 1; owners >= 0; owners--) {
        for (uint32_t i = 0; i < self->sessions->end; i++) {
            const struct route_peer *peer = routes_peer(server_routes(self), i);
            bool due = peer != NULL && (peer->share.chunk_count > 0) == (owners == 1);
            if (due && json_array_size(rows) < ROWS_MAX) {
                (void)json_array_append_new(rows, row_of(self, i, peer));
            }
        }
    }
    return rows;
}

enum status server_report(const struct server *self, char reply[CONTROL_REPLY_BYTES_MAX])
{
    const struct routes *routes = server_routes(self);
    double bound_s = 0.0;
    const struct plan_times *predicted = routes_predicted(routes, &bound_s);
    json_t *json = json_pack(
        "{s:I, s:I, s:i, s:i, s:s, s:o, s:o, s:f, s:f, s:f, s:o}", "plan",
        (json_int_t)routes_plan_id(routes), "step", (json_int_t)core_current_step(self->core),
        "owners", (int)routes_owner_count(routes), "peers", (int)self->sessions->count, "updates",
        codec_name(store_state(self->store)->settings.update_codec), "predicted",
        times_json(predicted, bound_s), "measured", measured_json(server_routes_times(self)),
        "coordinator_up", server_routes_own_up(self), "coordinator_down",
        server_routes_own_down(self), "sum_bytes_per_value", server_gather_sum_bytes(self), "links",
        rows_json(self));
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    bool fits = text != NULL && strlen(text) < CONTROL_REPLY_BYTES_MAX;
    if (fits) {
        memcpy(reply, text, strlen(text) + 1);
    }
    free(text);
    return fits ? STATUS_OK : fault(STATUS_UNAVAILABLE, "no memory to report the plan");
}
