#include "coordinator/plan/traffic.h"

#include "coordinator/plan/plan_overhead.h"

#include <math.h>

static const double rate_min = 1.0;
static const double rate_max = 1e15;

static double larger(double a, double b)
{
    return a > b ? a : b;
}

double traffic_encoded_bytes(const struct plan_problem *problem, enum codec codec)
{
    return (double)problem->value_count * (double)codec_encoded_bytes(codec, CODEC_CHUNK_VALUES) /
           CODEC_CHUNK_VALUES;
}

double traffic_rate(double bytes_per_s)
{
    if (bytes_per_s <= 0.0) {
        return INFINITY;
    }
    return bytes_per_s < rate_min ? rate_min : bytes_per_s > rate_max ? rate_max : bytes_per_s;
}

double traffic_sent_bytes(const struct traffic *self, const struct plan_share *share)
{
    return share->computes ? traffic_encoded_bytes(self->problem, share->codec) : 0.0;
}

void traffic_init(struct traffic *self, const struct plan_problem *problem,
                  const struct plan_share *shares)
{
    *self = (struct traffic){.problem = problem};
    self->sums_bytes = problem->sum_bytes_per_value * (double)problem->value_count;
    self->update_bytes = traffic_encoded_bytes(problem, problem->update_codecs[0]);
    for (size_t i = 0; i < problem->peer_count; i++) {
        if (!shares[i].computes) {
            continue;
        }
        double sent_bytes = traffic_sent_bytes(self, &shares[i]);
        self->receiver_count++;
        self->samples_per_s += problem->peers[i].samples_per_s;
        self->contributed_bytes += sent_bytes;
        if (sent_bytes > self->largest_bytes) {
            self->second_bytes = self->largest_bytes;
            self->largest_bytes = sent_bytes;
            self->largest_peer = i;
        } else {
            self->second_bytes = larger(self->second_bytes, sent_bytes);
        }
    }
}

double traffic_received_bytes(const struct traffic *self, const struct plan_share *share)
{
    return self->contributed_bytes - traffic_sent_bytes(self, share);
}

double traffic_fanned_bytes(const struct traffic *self, const struct plan_share *share)
{
    return (double)(self->receiver_count - (share->computes ? 1 : 0)) * self->update_bytes;
}

double traffic_own_gather_s(const struct traffic *self, const struct plan_share *share, size_t peer)
{
    const struct plan_peer *link = &self->problem->peers[peer];
    bool is_largest = share->computes && peer == self->largest_peer;
    double largest_bytes = is_largest ? self->second_bytes : self->largest_bytes;
    if (largest_bytes <= 0.0) { /* the only one that computes */
        return 0.0;
    }
    return larger(traffic_received_bytes(self, share) / traffic_rate(link->down_bytes_per_s),
                  largest_bytes / traffic_rate(link->pair_bytes_per_s));
}

double traffic_own_spread_s(const struct traffic *self, const struct plan_share *share, size_t peer)
{
    const struct plan_peer *link = &self->problem->peers[peer];
    double up_s = traffic_fanned_bytes(self, share) / traffic_rate(link->up_bytes_per_s);
    double down_s =
        share->computes ? 0.0 : self->update_bytes / traffic_rate(link->down_bytes_per_s);
    return larger(up_s, down_s);
}

double traffic_coordinator_down_bytes(const struct traffic *self, double fraction)
{
    return fraction * self->contributed_bytes + (1.0 - fraction) * self->sums_bytes;
}

double traffic_coordinator_up_bytes(const struct traffic *self, double fraction)
{
    return (1.0 - fraction + fraction * (double)self->receiver_count) * self->update_bytes;
}

double traffic_coordinator_fraction_max(const struct traffic *self)
{
    double none_bytes =
        traffic_coordinator_down_bytes(self, 0.0) + traffic_coordinator_up_bytes(self, 0.0);
    double all_bytes =
        traffic_coordinator_down_bytes(self, 1.0) + traffic_coordinator_up_bytes(self, 1.0);
    double room_bytes = self->problem->coordinator_bytes_max - none_bytes;
    if (self->problem->coordinator_bytes_max <= 0.0 || room_bytes >= all_bytes - none_bytes) {
        return 1.0;
    }
    /* A lone contributor costs least where the coordinator owns everything. */
    return all_bytes <= none_bytes ? 1.0 : larger(room_bytes / (all_bytes - none_bytes), 0.0);
}

void traffic_times_begin(const struct traffic *self, double fraction, struct plan_times *out)
{
    const struct plan_problem *problem = self->problem;
    *out = (struct plan_times){.compute_s = INFINITY, .step_s = INFINITY};
    if (self->receiver_count == 0) {
        return;
    }
    out->coordinator_down_bytes = traffic_coordinator_down_bytes(self, fraction);
    out->coordinator_up_bytes = traffic_coordinator_up_bytes(self, fraction);
    out->gather_s =
        out->coordinator_down_bytes / traffic_rate(problem->coordinator_down_bytes_per_s);
    out->spread_s = out->coordinator_up_bytes / traffic_rate(problem->coordinator_up_bytes_per_s);
    out->busy_s = larger(out->gather_s, out->spread_s); /* each has a direction of its own */
}

void traffic_times_add(const struct traffic *self, const struct plan_share *share, double fraction,
                       size_t peer, struct plan_times *times)
{
    if (self->receiver_count == 0 || (!share->computes && fraction <= 0.0)) {
        return;
    }
    const struct plan_peer *link = &self->problem->peers[peer];
    double up = traffic_rate(link->up_bytes_per_s);
    double down = traffic_rate(link->down_bytes_per_s);
    double sent_bytes =
        traffic_sent_bytes(self, share) * (1.0 - fraction) + fraction * self->sums_bytes;
    double update_bytes = self->update_bytes * (share->computes ? 1.0 : fraction);
    double gather_s = larger(sent_bytes / up, fraction * traffic_own_gather_s(self, share, peer));
    double spread_s =
        larger(fraction * traffic_own_spread_s(self, share, peer), update_bytes / down);
    double busy_up_s = (sent_bytes + fraction * traffic_fanned_bytes(self, share)) / up;
    double busy_down_s = (update_bytes + fraction * traffic_received_bytes(self, share)) / down;
    times->gather_s = larger(times->gather_s, gather_s);
    times->spread_s = larger(times->spread_s, spread_s);
    times->busy_s = larger(times->busy_s, larger(busy_up_s, busy_down_s));
}

double traffic_compute_s(const struct traffic *self)
{
    if (self->samples_per_s <= 0.0) {
        return INFINITY;
    }
    return self->problem->target_batch / self->samples_per_s;
}

double traffic_step_s(const struct plan_problem *problem, const struct plan_times *times)
{
    return plan_step_s(times, problem->overlap, problem->overhead_s);
}

void traffic_times_end(const struct traffic *self, struct plan_times *times)
{
    const struct plan_problem *problem = self->problem;
    times->compute_s = traffic_compute_s(self);
    times->step_s = traffic_step_s(problem, times);
    if (problem->overlap) {
        double late_s = times->gather_s + times->spread_s + problem->overhead_s;
        times->stale_share = late_s < times->compute_s ? late_s / times->compute_s : 1.0;
    }
}

void traffic_times(const struct traffic *self, const struct assignment *assignment,
                   struct plan_times *out)
{
    traffic_times_begin(self, assignment->coordinator_fraction, out);
    for (size_t i = 0; i < assignment->peer_count; i++) {
        traffic_times_add(self, &assignment->shares[i], assignment->fractions[i], i, out);
    }
    traffic_times_end(self, out);
}
