#include "coordinator/plan/plan_cut.h"

#include "coordinator/plan/traffic.h"

#include <math.h>
#include <stdlib.h>

/* Dropped owners may leave this much to the others; what is below a quarter of the mean share, or
 * below a chunk, counts as little. */
static const double dropped_max = 0.01;
static const double little = 0.25;

/* Who owns something: a peer, or peer_count for the coordinator. */
struct part {
    double fraction;
    size_t owner;
    uint32_t chunk_count, chunk_max;
};

uint32_t plan_cut_chunk_count(const struct plan_problem *problem)
{
    return (uint32_t)((problem->value_count + CODEC_CHUNK_VALUES - 1) / CODEC_CHUNK_VALUES);
}

uint32_t plan_cut_chunks_max(const struct plan_problem *problem, double fraction_max)
{
    /* What an even share is by division may come out a little above a whole number of chunks. */
    return (uint32_t)ceil(fraction_max * plan_cut_chunk_count(problem) * (1.0 - 1e-12));
}

double plan_cut_fraction(const struct plan_problem *problem, uint32_t first_chunk,
                         uint32_t chunk_count)
{
    size_t first = (size_t)first_chunk * CODEC_CHUNK_VALUES;
    size_t end = first + (size_t)chunk_count * CODEC_CHUNK_VALUES;
    if (end > problem->value_count) {
        end = problem->value_count;
    }
    return chunk_count == 0 ? 0.0 : (double)(end - first) / (double)problem->value_count;
}

static int compare_parts(const void *left, const void *right)
{
    const struct part *a = left;
    const struct part *b = right;
    if (a->fraction != b->fraction) {
        return a->fraction < b->fraction ? -1 : 1;
    }
    return a->owner < b->owner ? -1 : a->owner > b->owner;
}

/* Drops the smallest from parts(count), which is sorted; returns how many, and scales the rest. */
static size_t drop_little(struct part *parts, size_t count, uint32_t chunk_count,
                          double *coordinator_fraction)
{
    double total = 0.0;
    for (size_t i = 0; i < count; i++) {
        total += parts[i].fraction;
    }
    double small = fmax(1.0 / chunk_count, little * total / (double)count);
    double dropped = 0.0;
    size_t first = 0;
    while (first < count && parts[first].fraction < small &&
           dropped + parts[first].fraction <= dropped_max) {
        dropped += parts[first++].fraction;
    }
    for (size_t i = first; i < count; i++) {
        parts[i].fraction /= 1.0 - dropped;
    }
    *coordinator_fraction = first < count ? *coordinator_fraction / (1.0 - dropped) : 1.0;
    return first;
}

/* The next chunk goes to whom it overloads least (d'Hondt): the largest ratio of chunks to share
 * over all owners is as small as whole chunks allow. The last of parts, the coordinator, takes
 * what the others' limits leave. */
static void round_chunks(struct part *parts, size_t count, uint32_t chunk_count)
{
    uint32_t left = chunk_count;
    for (size_t i = 0; i < count; i++) {
        double chunks = floor(parts[i].fraction * chunk_count);
        uint32_t most = parts[i].chunk_max < left ? parts[i].chunk_max : left;
        parts[i].chunk_count = chunks < most ? (uint32_t)chunks : most;
        left -= parts[i].chunk_count;
    }
    for (; left > 0; left--) {
        struct part *best = &parts[count - 1];
        double best_load = INFINITY;
        for (size_t i = 0; i < count; i++) {
            double load = (parts[i].chunk_count + 1) / parts[i].fraction;
            if (parts[i].chunk_count < parts[i].chunk_max && load < best_load) {
                best = &parts[i];
                best_load = load;
            }
        }
        best->chunk_count++;
    }
}

static void hand_out(const struct part *parts, size_t count, struct aggregation_plan *out)
{
    uint32_t next = parts[count - 1].chunk_count;
    out->coordinator_first_chunk = 0;
    out->coordinator_chunk_count = next;
    for (size_t i = 0; i + 1 < count; i++) {
        out->shares[parts[i].owner].chunk_count = parts[i].chunk_count;
    }
    for (size_t i = 0; i < out->peer_count; i++) {
        struct plan_share *share = &out->shares[i];
        share->first_chunk = share->chunk_count == 0 ? 0 : next;
        next += share->chunk_count;
    }
}

/* Rounded down, as coordinator_bytes_max is a limit. */
static uint32_t coordinator_chunks_max(const struct plan_problem *problem,
                                       const struct assignment *assignment, bool is_alone)
{
    struct traffic traffic;
    traffic_init(&traffic, problem, assignment->shares);
    double fraction = is_alone ? 1.0 : traffic_coordinator_fraction_max(&traffic);
    return (uint32_t)floor(fraction * plan_cut_chunk_count(problem));
}

enum status plan_cut_chunks(const struct plan_problem *problem, const struct assignment *assignment,
                            double fraction_max, struct aggregation_plan *out)
{
    struct part *parts = calloc(assignment->peer_count + 1, sizeof *parts);
    if (parts == NULL) {
        return STATUS_NO_MEMORY;
    }
    uint32_t chunk_count = plan_cut_chunk_count(problem);
    uint32_t most = plan_cut_chunks_max(problem, fraction_max);
    size_t count = 0;
    for (size_t i = 0; i < assignment->peer_count; i++) {
        out->shares[i].chunk_count = 0;
        if (assignment->fractions[i] > 0.0) {
            parts[count++] =
                (struct part){.fraction = assignment->fractions[i], .owner = i, .chunk_max = most};
        }
    }
    qsort(parts, count, sizeof *parts, compare_parts);
    double coordinator = assignment->coordinator_fraction;
    size_t first = count == 0 ? 0 : drop_little(parts, count, chunk_count, &coordinator);
    parts[count] = (struct part){.fraction = coordinator, .owner = assignment->peer_count};
    parts[count].chunk_max = coordinator_chunks_max(problem, assignment, count == 0);
    round_chunks(parts + first, count + 1 - first, chunk_count);
    hand_out(parts + first, count + 1 - first, out);
    free(parts);
    return STATUS_OK;
}
