#include "tests/sim/experiment_state.h"

#include "common/check.h"
#include "tests/sim/sim_memory.h"

#include <math.h>

enum { WINDOW_CHUNKS = 64, UPDATE_BITS = 64 };
static const double apply_values_per_s = 1e9; /* encoding takes about as long */
static const double stuck_steps = 20.0;       /* as long as so many were planned to take */
static const double progress_bytes_per_s = 300.0;

void trial_count_capacity(struct trial *self)
{
    self->capacity_samples += self->rate_here * (trial_now(self) - self->capacity_at_s);
    self->capacity_at_s = trial_now(self);
}

void trial_apply(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    uint64_t bit = UINT64_C(1) << peer->version % UPDATE_BITS;
    while ((peer->updates & bit) != 0) {
        peer->updates &= ~bit;
        peer->version++;
        /* The contribution before it was encoded, and the update is added. */
        peer->pause_s += 2.0 * (double)self->settings.value_count / apply_values_per_s;
        bit = UINT64_C(1) << peer->version % UPDATE_BITS;
        trial_work_update_applied(self, node);
    }
}

static void begin_counting(struct trial *self)
{
    trial_count_capacity(self);
    self->counted_from_s = trial_now(self);
    self->capacity_samples = 0.0;
    self->samples_done = self->samples_stale = self->samples_lost = 0.0;
    self->predicted_sum = self->bound_sum = self->gather_sum = self->spread_sum = 0.0;
    self->spread_measured = 0;
    self->joined = self->left = 0;
    for (uint32_t kind = 0; kind < KIND_COUNT; kind++) {
        self->up_before[kind] = net_coordinator_up(self->net, kind);
        self->down_before[kind] = net_coordinator_down(self->net, kind);
    }
}

static void note_step(struct trial *self, double gather_s)
{
    const struct trial_settings *settings = &self->settings;
    self->samples_done += settings->target_batch;
    self->gather_sum += gather_s;
    self->predicted_sum += self->predicted.step_s;
    self->bound_sum += self->bound_s;
    net_charge(self->net, KIND_CONTROL, 0.0,
               progress_bytes_per_s * self->predicted.step_s * (double)self->plan.peer_count);
    if (self->committed == settings->steps_skipped) {
        begin_counting(self);
    } else if (self->committed == settings->steps_skipped + settings->steps_counted) {
        trial_count_capacity(self);
        self->counted_to_s = trial_now(self);
    }
}

void trial_commit(struct trial *self)
{
    uint64_t step = self->committed;
    double gather_s = trial_now(self) - self->gather.began_s;
    trial_gather_end(self);
    self->committed++;
    self->committed_at_s = trial_now(self);
    note_step(self, gather_s);
    trial_spread_start(self, step);
    trial_plan(self);
    trial_work_open(self, self->committed);
}

static void delivered(void *context, int64_t at, uint32_t count)
{
    struct trial *self = context;
    const struct net_flow *flow = net_flow_at(self->net, at);
    if (flow->tag.kind == KIND_CONTRIBUTION) {
        trial_gather_chunks(self, flow, count);
    } else if (flow->tag.kind == KIND_SUM) {
        trial_gather_sums(self, flow, count);
    } else if (flow->tag.kind == KIND_PUBLISH) {
        trial_spread_at_owner(self, flow, count);
    } else if (flow->tag.kind == KIND_UPDATE) {
        trial_spread_chunks(self, flow, count);
    } else if (flow->tag.kind == KIND_HASHES) {
        trial_spread_hashes(self, flow);
    } else if (flow->tag.kind == KIND_TOKENS) {
        trial_work_lease_came(self, flow->to);
    } else if (flow->tag.kind == KIND_SNAPSHOT) {
        trial_join_chunks(self, flow, count);
    }
}

static void owner_lost(struct trial *self, uint32_t node)
{
    self->peers[node].owner_missed = true;
    trial_gather_owner_missed(self, node);
    trial_spread_owner_missed(self, node);
    trial_join_owner_missed(self, node);
}

static void timer(void *context, uint32_t type, uint64_t subject, uint32_t count)
{
    struct trial *self = context;
    switch ((enum trial_timer)type) {
    case TIMER_READY:
        trial_work_ready(self, (uint32_t)subject);
        break;
    case TIMER_HUNGRY:
        trial_work_hungry(self, (uint32_t)subject, count);
        break;
    case TIMER_LEASE:
        trial_work_lease_ended(self, (uint32_t)subject, count);
        break;
    case TIMER_PROGRESS:
        trial_work_progress(self, subject, count);
        break;
    case TIMER_DELIVER:
        trial_gather_deliver(self, subject);
        break;
    case TIMER_POOL:
        trial_work_open(self, subject);
        break;
    case TIMER_COMMIT:
        trial_commit(self);
        break;
    case TIMER_PUBLISH:
        trial_spread_publish(self, subject);
        break;
    case TIMER_RECEIVE:
        trial_spread_receive(self, subject);
        break;
    case TIMER_LEAVE:
        trial_leave(self, (uint32_t)subject);
        break;
    case TIMER_LOST:
        trial_lost(self, (uint32_t)subject);
        break;
    case TIMER_OWNER_LOST:
        owner_lost(self, (uint32_t)subject);
        break;
    }
}

static void init(struct trial *self, const struct trial_settings *settings)
{
    *self = (struct trial){.settings = *settings};
    random_init(&self->chance, settings->seed, 0);
    self->chunk_count =
        (uint32_t)((settings->value_count + TRIAL_CHUNK_VALUES - 1) / TRIAL_CHUNK_VALUES);
    size_t tail = settings->value_count - (size_t)(self->chunk_count - 1) * TRIAL_CHUNK_VALUES;
    self->tail_values =
        (uint32_t)((tail + CODEC_BLOCK_VALUES - 1) / CODEC_BLOCK_VALUES * CODEC_BLOCK_VALUES);
    self->net = net_new(&(struct net_settings){.latency_s = trial_latency_s,
                                               .train_chunks = settings->train_chunks,
                                               .window_chunks = WINDOW_CHUNKS},
                        &(struct net_handlers){self, delivered, timer});
    (void)trial_add_peer(
        self, &(struct trial_peer_spec){.up_bytes_per_s = settings->coordinator_bytes_per_s,
                                        .down_bytes_per_s = settings->coordinator_bytes_per_s});
    for (size_t i = 0; i < settings->peer_count; i++) {
        (void)trial_add_peer(self, &settings->peers[i]);
    }
}

static void deinit(struct trial *self)
{
    trial_plan_free(self);
    trial_gather_end(self);
    for (size_t i = 0; i < TRIAL_SPREADS; i++) {
        trial_spread_free(&self->spreads[i]);
    }
    for (size_t i = 0; i < self->peer_count; i++) {
        sim_memory_free(self->peers[i].join_flows);
    }
    sim_memory_free(self->peers);
    sim_memory_free(self->parts);
    net_free(self->net);
}

static void sum_up(const struct trial *self, struct trial_result *out)
{
    const struct trial_settings *settings = &self->settings;
    double steps = settings->steps_counted;
    double model_bytes = 4.0 * (double)settings->value_count;
    double samples = steps * settings->target_batch;
    *out = (struct trial_result){
        .step_s = (self->counted_to_s - self->counted_from_s) / steps,
        .utilisation = samples / self->capacity_samples,
        .stale_share = self->samples_stale / samples,
        .lost_share = self->samples_lost / (samples + self->samples_lost),
        .predicted_s = self->predicted_sum / steps,
        .bound_s = self->bound_sum / steps,
        .limit_s = trial_limit_s(self),
        .gather_s = self->gather_sum / steps,
        .spread_s = self->spread_measured > 0 ? self->spread_sum / self->spread_measured : 0.0,
        .plans = self->plans,
        .joined = (double)self->joined / steps,
        .left = (double)self->left / steps,
        .events = net_events(self->net)};
    out->samples_per_s = settings->target_batch / out->step_s;
    for (uint32_t kind = 0; kind < KIND_COUNT; kind++) {
        out->up_sizes[kind] =
            (net_coordinator_up(self->net, kind) - self->up_before[kind]) / steps / model_bytes;
        out->down_sizes[kind] =
            (net_coordinator_down(self->net, kind) - self->down_before[kind]) / steps / model_bytes;
        out->up_sizes_total += out->up_sizes[kind];
        out->down_sizes_total += out->down_sizes[kind];
    }
    for (size_t i = 0; i < self->plan.peer_count; i++) {
        out->computing += self->plan.shares[i].computes;
        out->owners += self->plan.shares[i].chunk_count > 0;
    }
    out->owned_by_coordinator = (double)self->plan.coordinator_chunk_count / self->chunk_count;
}

enum status trial_run(const struct trial_settings *settings, struct trial_result *out)
{
    struct trial self;
    init(&self, settings);
    trial_plan(&self);
    trial_work_open(&self, 0);
    while (self.status == STATUS_OK && !self.stuck && self.counted_to_s == 0.0) {
        bool turned = net_turn(self.net);
        CHECK(turned);
        self.stuck = trial_now(&self) - self.committed_at_s > stuck_steps * self.predicted.step_s;
    }
    if (self.stuck) {
        *out = (struct trial_result){.stuck = true,
                                     .step_s = trial_now(&self) - self.committed_at_s,
                                     .predicted_s = self.predicted.step_s,
                                     .limit_s = trial_limit_s(&self)};
    } else if (self.status == STATUS_OK) {
        sum_up(&self, out);
    }
    deinit(&self);
    return self.status;
}
