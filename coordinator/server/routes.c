#include "coordinator/server/routes.h"

#include "common/check.h"
#include "common/fault.h"
#include "coordinator/plan/plan_change.h"
#include "coordinator/plan/plan_overhead.h"
#include "coordinator/server/routes_survey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_OF_CHANGE = 2 };

static const double rate_change_min = 1.2;
static const double rest_s_min = 0.2; /* of the slowest link, for one contribution */
/* Contributions and updates of four model sizes in float32, whatever the number of peers. */
static const double coordinator_models_max = 4.0;

struct liar {
    uint8_t public_key[IDENTITY_KEY_BYTES];
};

struct routes {
    size_t value_count;
    struct aggregation_settings settings;
    bool overlap;
    struct route_peer *peers[SESSIONS_MAX];
    uint32_t end; /* none from here on */
    uint32_t joins;
    struct liar *liars; /* (liar_count) */
    uint32_t liar_count;
    uint64_t plan_id;
    bool changed; /* who is there, or what they may do */
    bool owner_lost;
    struct plan_times predicted;
    struct plan_overhead overhead;
    uint64_t steps; /* of this plan */
    double bound_step_s;
    uint32_t coordinator_first_chunk, coordinator_chunk_count;
    bool has_update_codec; /* there is a plan: */
    enum codec update_codec;
};

enum status routes_new(size_t value_count, const struct aggregation_settings *settings,
                       bool overlap, uint64_t plan_id_first, struct routes **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to plan who sums what");
    }
    (*out)->value_count = value_count;
    (*out)->settings = *settings;
    (*out)->overlap = overlap;
    (*out)->plan_id = plan_id_first;
    return STATUS_OK;
}

void routes_free(struct routes *self)
{
    for (uint32_t i = 0; self != NULL && i < self->end; i++) {
        free(self->peers[i]);
    }
    free(self != NULL ? self->liars : NULL);
    free(self);
}

struct route_peer *routes_peer(const struct routes *self, uint32_t index)
{
    CHECK(index < SESSIONS_MAX);
    return self->peers[index];
}

uint32_t routes_index(const struct route_peer *peer)
{
    return peer->number % SESSIONS_MAX;
}

struct route_peer *routes_by_number(const struct routes *self, uint32_t number)
{
    struct route_peer *peer = self->peers[number % SESSIONS_MAX];
    return peer != NULL && peer->number == number ? peer : NULL;
}

static const struct liar *find_liar(const struct routes *self, const uint8_t *public_key)
{
    for (uint32_t i = 0; i < self->liar_count; i++) {
        if (memcmp(self->liars[i].public_key, public_key, IDENTITY_KEY_BYTES) == 0) {
            return &self->liars[i];
        }
    }
    return NULL;
}

/* A list that is full forgets the first ones: who makes that many keys needs none of the old. */
static void add_liar(struct routes *self, const uint8_t *public_key)
{
    if (self->liars == NULL) {
        self->liars = calloc(ROUTES_LIARS_MAX, sizeof *self->liars);
    }
    if (self->liars == NULL) {
        return;
    }
    if (self->liar_count == ROUTES_LIARS_MAX) {
        memmove(self->liars, self->liars + 1, (ROUTES_LIARS_MAX - 1) * sizeof *self->liars);
        self->liar_count--;
    }
    memcpy(self->liars[self->liar_count++].public_key, public_key, IDENTITY_KEY_BYTES);
}

static bool is_believed(const struct routes *self, const struct route_peer *peer)
{
    return find_liar(self, peer->public_key) == NULL &&
           (peer->trusted || self->settings.belief == AGGREGATION_CHECKED);
}

void routes_note_lie(struct routes *self, struct route_peer *peer)
{
    if (find_liar(self, peer->public_key) == NULL) {
        add_liar(self, peer->public_key);
    }
    peer->believed = false; /* also where there is no memory for its key */
    self->changed = true;
}

/* Where to dial, and what to tell others. A peer on the coordinator's own machine is at the
 * coordinator's address for all others, which they know. */
static void set_addresses(struct route_peer *peer, const struct wire_hello *hello, const char *host)
{
    const char *said = hello->bulk_address;
    bool here = strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0;
    peer->address[0] = '\0';
    peer->dial_address[0] = '\0';
    if (!hello->aggregates || said[0] == '\0' || (said[0] == ':' && host[0] == '\0')) {
        return;
    }
    if (said[0] != ':') {
        (void)snprintf(peer->address, sizeof peer->address, "%s", said);
        (void)snprintf(peer->dial_address, sizeof peer->dial_address, "%s", said);
        return;
    }
    int length = snprintf(peer->dial_address, sizeof peer->dial_address, "%s%s", host, said);
    if (length < 0 || (size_t)length >= sizeof peer->dial_address) {
        peer->dial_address[0] = '\0';
        return;
    }
    memcpy(peer->address, peer->dial_address, sizeof peer->address);
    if (here) {
        (void)snprintf(peer->address, sizeof peer->address, "%s", said);
    }
}

static struct route_peer *add_peer(struct routes *self, uint32_t index)
{
    struct route_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        return NULL;
    }
    self->joins = self->joins + 1 < UINT32_MAX / SESSIONS_MAX ? self->joins + 1 : 1;
    peer->number = self->joins * SESSIONS_MAX + index;
    peer->ready_version = ROUTES_READY_NONE;
    rate_meter_init(&peer->received);
    self->peers[index] = peer;
    self->end = index >= self->end ? index + 1 : self->end;
    return peer;
}

struct route_peer *routes_join(struct routes *self, uint32_t index, const struct wire_hello *hello,
                               const char *host, bool trusted)
{
    CHECK(index < SESSIONS_MAX);
    struct route_peer *peer =
        self->peers[index] != NULL ? self->peers[index] : add_peer(self, index);
    if (peer == NULL) {
        return NULL;
    }
    char before[WIRE_ADDRESS_MAX];
    memcpy(before, peer->dial_address, sizeof before);
    memcpy(peer->public_key, hello->public_key, IDENTITY_KEY_BYTES);
    peer->computes = hello->computes;
    peer->aggregates = hello->aggregates;
    peer->trusted = trusted;
    peer->believed = is_believed(self, peer);
    peer->up_max = hello->up_bytes_per_s_max;
    peer->down_max = hello->down_bytes_per_s_max;
    peer->told_any = false;
    set_addresses(peer, hello, host);
    peer->reachable = peer->reachable && strcmp(before, peer->dial_address) == 0;
    self->changed = true;
    return peer;
}

void routes_leave(struct routes *self, uint32_t index)
{
    CHECK(index < SESSIONS_MAX);
    struct route_peer *peer = self->peers[index];
    if (peer == NULL) {
        return;
    }
    self->changed = true;
    self->owner_lost = self->owner_lost || peer->share.chunk_count > 0;
    free(peer);
    self->peers[index] = NULL;
    while (self->end > 0 && self->peers[self->end - 1] == NULL) {
        self->end--;
    }
}

double routes_up(const struct route_peer *peer)
{
    uint64_t seen = rate_meter_bytes_per_s(&peer->received);
    uint64_t known = peer->probed > seen ? peer->probed : seen;
    return routes_capped((double)(peer->said_up > 0 ? peer->said_up : known), peer->up_max);
}

double routes_down(const struct route_peer *peer)
{
    return routes_capped((double)(peer->said_down > 0 ? peer->said_down : peer->probed),
                         peer->down_max);
}

bool routes_can_own(const struct route_peer *peer)
{
    return peer->aggregates && peer->reachable && peer->believed && routes_up(peer) > 0.0 &&
           routes_down(peer) > 0.0;
}

void routes_note_change(struct routes *self)
{
    self->changed = true;
}

static bool links_changed(const struct routes *self)
{
    for (uint32_t i = 0; i < self->end; i++) {
        const struct route_peer *peer = self->peers[i];
        if (peer != NULL &&
            (rate_differs((uint64_t)routes_up(peer), (uint64_t)peer->planned_up, rate_change_min) ||
             rate_differs((uint64_t)routes_down(peer), (uint64_t)peer->planned_down,
                          rate_change_min))) {
            return true;
        }
    }
    return false;
}

static enum plan_strategy strategy_of(const struct aggregation_settings *settings)
{
    switch (settings->strategy) {
    case AGGREGATION_ALL_REDUCE:
        return PLAN_ALL_REDUCE;
    case AGGREGATION_PARAMETER_SERVER:
        return PLAN_PARAMETER_SERVER;
    case AGGREGATION_ADAPTIVE:
    default:
        return PLAN_ADAPTIVE;
    }
}

/* What moves in a moment is measured too badly to have anybody rest for it, and gains little. */
static bool links_matter(const struct routes *self, const struct routes_now *now,
                         const struct survey *survey)
{
    double bytes = (double)codec_encoded_bytes(now->codec, self->value_count);
    for (size_t i = 0; i < survey->count; i++) {
        const struct plan_peer *peer = &survey->peers[i];
        if (peer->samples_per_s > 0.0 &&
            bytes >= rest_s_min * fmin(peer->up_bytes_per_s, peer->down_bytes_per_s)) {
            return true;
        }
    }
    return false;
}

static struct plan_problem problem_of(const struct routes *self, const struct routes_now *now,
                                      const struct survey *survey)
{
    const struct aggregation_settings *settings = &self->settings;
    bool coarser = settings->has_slow_link_codec && settings->slow_link_codec != now->codec;
    bool coarser_updates = coarser && settings->slow_link_updates &&
                           codec_encoded_bytes(settings->slow_link_codec, CODEC_CHUNK_VALUES) <
                               codec_encoded_bytes(now->codec, CODEC_CHUNK_VALUES);
    return (struct plan_problem){
        .peers = survey->peers,
        .peer_count = survey->count,
        .coordinator_up_bytes_per_s = now->coordinator_up,
        .coordinator_down_bytes_per_s = now->coordinator_down,
        .coordinator_bytes_max =
            coordinator_models_max * (double)sizeof(float) * (double)self->value_count,
        .value_count = self->value_count,
        .target_batch = now->target_batch,
        .sum_bytes_per_value = now->sum_bytes_per_value,
        .fraction_max = settings->fraction_max,
        .owners_max = settings->owners_max,
        .codec_count = coarser ? 2 : 1,
        .codecs = {now->codec, coarser ? settings->slow_link_codec : now->codec},
        .update_codec_count = coarser_updates ? 2 : 1,
        .update_codecs = {now->codec, coarser_updates ? settings->slow_link_codec : now->codec},
        .overhead_s = plan_overhead_s(&self->overhead),
        .overlap = self->overlap,
        .may_rest = settings->rest && settings->strategy == AGGREGATION_ADAPTIVE &&
                    links_matter(self, now, survey)};
}

/* Where nobody owns anything and all compute with the run's codec there is nothing to tell. */
static bool is_plain(const struct aggregation_plan *plan, const struct survey *survey,
                     enum codec codec)
{
    for (size_t i = 0; i < plan->peer_count; i++) {
        const struct plan_share *share = &plan->shares[i];
        bool rests = survey->peers[i].samples_per_s > 0.0 && !share->computes;
        if (share->chunk_count > 0 || rests || (share->computes && share->codec != codec)) {
            return false;
        }
    }
    return plan->update_codec == codec;
}

static void adopt(struct routes *self, const struct survey *survey,
                  const struct aggregation_plan *plan)
{
    self->plan_id++;
    self->steps = 0;
    self->predicted = plan->predicted;
    self->bound_step_s = plan->bound_step_s;
    self->coordinator_first_chunk = plan->coordinator_first_chunk;
    self->coordinator_chunk_count = plan->coordinator_chunk_count;
    self->has_update_codec = true;
    self->update_codec = plan->update_codec;
    self->owner_lost = false;
    for (size_t i = 0; i < survey->count; i++) {
        struct route_peer *peer = survey->routes[i];
        peer->planned = true;
        peer->share = plan->shares[i];
    }
}

/* Somebody rests in the plan in force, and nobody may any more. */
static bool rests_in_vain(const struct plan_problem *problem, const struct survey *survey)
{
    bool rest = false;
    for (size_t i = 0; i < survey->count; i++) {
        rest = rest || (survey->routes[i]->planned && survey->peers[i].samples_per_s > 0.0 &&
                        !survey->shares[i].computes);
    }
    return rest && !problem->may_rest;
}

/* Whether the plan in force stays; its predictions are then those of today's links. */
static bool stays(struct routes *self, const struct plan_problem *problem,
                  const struct survey *survey, const struct aggregation_plan *candidate)
{
    bool any = false;
    for (size_t i = 0; i < survey->count; i++) {
        any = any || survey->routes[i]->planned;
    }
    enum codec update_codec = routes_update_codec(self, problem->codecs[0]);
    if (!any && is_plain(candidate, survey, problem->codecs[0]) &&
        update_codec == problem->codecs[0] && !self->owner_lost) {
        self->predicted = candidate->predicted;
        self->bound_step_s = candidate->bound_step_s;
        return true;
    }
    if (!any || self->owner_lost || rests_in_vain(problem, survey)) {
        return false;
    }
    const struct aggregation_plan in_force = {
        .shares = survey->shares,
        .peer_count = survey->count,
        .coordinator_first_chunk = self->coordinator_first_chunk,
        .coordinator_chunk_count = self->coordinator_chunk_count,
        .update_codec = update_codec};
    if (plan_is_worth_changing(problem, &in_force, candidate)) {
        return false;
    }
    plan_predict(problem, &in_force, &self->predicted);
    return true;
}

enum status routes_plan(struct routes *self, const struct routes_now *now, bool *out_changed)
{
    struct survey survey;
    struct aggregation_plan candidate = {0};
    enum status status = STATUS_OK;
    *out_changed = false;
    if (self->settings.strategy == AGGREGATION_PARAMETER_SERVER ||
        !(self->changed || self->owner_lost || links_changed(self))) {
        return STATUS_OK;
    }
    if (!survey_init(&survey, self->peers, self->end)) {
        survey_deinit(&survey);
        return fault(STATUS_NO_MEMORY, "no memory to plan who sums what");
    }
    bool known = survey_fill(&survey);
    if (known) {
        const struct plan_problem problem = problem_of(self, now, &survey);
        enum plan_strategy strategy = strategy_of(&self->settings);
        status = strategy == PLAN_ADAPTIVE ? plan_choose(&problem, &candidate)
                                           : plan_make(&problem, strategy, &candidate);
        if (status == STATUS_OK && !stays(self, &problem, &survey, &candidate)) {
            adopt(self, &survey, &candidate);
            *out_changed = true;
        }
        plan_deinit(&candidate);
    }
    for (size_t i = 0; status == STATUS_OK && i < survey.count; i++) {
        struct route_peer *peer = survey.routes[i];
        peer->planned_up = routes_up(peer);
        peer->planned_down = routes_down(peer);
    }
    self->changed = self->changed && (status != STATUS_OK || !known);
    survey_deinit(&survey);
    return status;
}

void routes_note_step(struct routes *self, double step_s)
{
    if (self->steps++ < STEPS_OF_CHANGE || self->predicted.step_s <= 0.0) {
        return;
    }
    plan_overhead_note(&self->overhead, &self->predicted, self->overlap, step_s);
    self->predicted.step_s =
        plan_step_s(&self->predicted, self->overlap, plan_overhead_s(&self->overhead));
}

void routes_renew(struct routes *self)
{
    self->plan_id++;
}

void routes_reset(struct routes *self)
{
    self->plan_id++;
    self->changed = true;
    self->owner_lost = false;
    self->has_update_codec = false;
    self->predicted = (struct plan_times){0};
    for (uint32_t i = 0; i < self->end; i++) {
        if (self->peers[i] != NULL) {
            self->peers[i]->planned = false;
            self->peers[i]->share = (struct plan_share){.computes = false};
        }
    }
}

void routes_forget_codecs(struct routes *self)
{
    for (uint32_t i = 0; i < self->end; i++) {
        if (self->peers[i] != NULL) {
            self->peers[i]->told_any = false;
        }
    }
}

enum codec routes_update_codec(const struct routes *self, enum codec run_codec)
{
    return self->has_update_codec ? self->update_codec : run_codec;
}

uint64_t routes_plan_id(const struct routes *self)
{
    return self->plan_id;
}

const struct plan_times *routes_predicted(const struct routes *self, double *out_bound_step_s)
{
    *out_bound_step_s = self->bound_step_s;
    return &self->predicted;
}

void routes_own_share(const struct routes *self, uint32_t *out_first_chunk,
                      uint32_t *out_chunk_count)
{
    *out_first_chunk = self->coordinator_first_chunk;
    *out_chunk_count = self->coordinator_chunk_count;
}

uint32_t routes_owner_count(const struct routes *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->end; i++) {
        count += self->peers[i] != NULL && self->peers[i]->share.chunk_count > 0 ? 1 : 0;
    }
    return count;
}

/* Joined after the plan was made: computes with the run's codec. */
static bool rests(const struct route_peer *peer)
{
    return peer->planned && peer->computes && !peer->share.computes;
}

static int by_first_chunk(const void *a, const void *b)
{
    const struct wire_owner *left = a;
    const struct wire_owner *right = b;
    return left->first_chunk < right->first_chunk ? -1 : left->first_chunk > right->first_chunk;
}

void routes_fill(const struct routes *self, uint32_t index, enum codec codec,
                 struct wire_route *out)
{
    const struct route_peer *peer = self->peers[index];
    memset(out, 0, sizeof *out);
    out->plan_id = self->plan_id;
    out->codec = peer->planned && peer->share.computes ? peer->share.codec : codec;
    out->computes = !rests(peer);
    for (uint32_t i = 0; i < self->end && out->owner_count < WIRE_OWNERS_MAX; i++) {
        const struct route_peer *owner = self->peers[i];
        if (owner == NULL || owner->share.chunk_count == 0) {
            continue;
        }
        struct wire_owner *entry = &out->owners[out->owner_count++];
        memcpy(entry->public_key, owner->public_key, IDENTITY_KEY_BYTES);
        memcpy(entry->address, owner->address, sizeof entry->address);
        entry->first_chunk = owner->share.first_chunk;
        entry->chunk_count = owner->share.chunk_count;
    }
    qsort(out->owners, out->owner_count, sizeof *out->owners, by_first_chunk);
}

bool routes_note_told(struct routes *self, struct route_peer *peer, const struct wire_route *route)
{
    bool flipped = peer->told_rest == route->computes;
    peer->codec_before = peer->told_any ? peer->codec : route->codec;
    peer->codec = route->codec;
    peer->told_rest = !route->computes;
    peer->told_plan = self->plan_id;
    peer->told_any = true;
    return flipped;
}

bool routes_takes_codec(const struct route_peer *peer, enum codec run_codec, enum codec codec)
{
    return codec == run_codec ||
           (peer->told_any && (codec == peer->codec || codec == peer->codec_before));
}
