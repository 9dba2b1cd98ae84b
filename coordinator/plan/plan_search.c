#include "coordinator/plan/plan_search.h"

#include "coordinator/plan/linear_program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    GRID = 8,       /* candidates of a later round */
    STEPS_MAX = 8,  /* candidates at the largest steps in an order */
    TRIED_MAX = 160 /* candidates of one search */
};

/* A volunteer is told to rest, or to send less precisely, for no less than this part of a step. */
static const double gain_min = 0.03;
/* How much longer a step may get so that some keep the better codec. */
static const double codec_slack = 0.005;
/* Neighbours in an order that differ by more are a step in it. */
static const double step_ratio = 1.05;
/* A peer that is so much slower than the best is no owner. */
static const double owner_ratio = 1e6;

/* Something in an order: the largest keys first. */
struct ranked {
    double key;
    size_t index;
};

struct candidate {
    struct assignment assignment;
    struct plan_times times;
    double program_s; /* the step by the linear program */
};

struct search {
    const struct plan_problem *problem;
    struct linear_program *program;
    struct ranked *order; /* (peer_count), of peers */
    size_t order_count;
    struct plan_share *base; /* (peer_count): before the first of the order are told to rest */
    struct candidate trial, best, chosen;
    size_t tried[TRIED_MAX];
    size_t tried_count, best_tried;
};

static int compare_ranked(const void *left, const void *right)
{
    const struct ranked *a = left;
    const struct ranked *b = right;
    if (a->key != b->key) {
        return a->key > b->key ? -1 : 1;
    }
    return a->index < b->index ? -1 : a->index > b->index;
}

enum status plan_search_owners(const struct plan_problem *problem, const struct plan_share *shares,
                               bool must_compute, size_t *out, size_t *out_count)
{
    *out_count = 0;
    struct ranked *order = calloc(problem->peer_count + 1, sizeof *order);
    if (order == NULL) {
        return STATUS_NO_MEMORY;
    }
    struct traffic traffic;
    traffic_init(&traffic, problem, shares);
    size_t count = 0;
    for (size_t i = 0; i < problem->peer_count; i++) {
        const struct plan_peer *peer = &problem->peers[i];
        if (!peer->aggregates || (must_compute && !shares[i].computes)) {
            continue;
        }
        double whole_s = traffic_own_gather_s(&traffic, &shares[i], i) +
                         traffic_own_spread_s(&traffic, &shares[i], i) +
                         traffic.sums_bytes / traffic_rate(peer->up_bytes_per_s);
        order[count++] = (struct ranked){1.0 / whole_s, i};
    }
    qsort(order, count, sizeof *order, compare_ranked);
    while (*out_count < count && *out_count < problem->owners_max &&
           (must_compute || order[*out_count].key * owner_ratio >= order[0].key)) {
        out[*out_count] = order[*out_count].index;
        (*out_count)++;
    }
    free(order);
    return STATUS_OK;
}

/* Of two equal steps (of which computing takes longest), the one that moves less is shorter. */
static bool is_shorter(const struct plan_times *a, const struct plan_times *b)
{
    const double equal = 1e-9;
    if (a->step_s < b->step_s * (1.0 - equal)) {
        return true;
    }
    return a->step_s <= b->step_s * (1.0 + equal) &&
           a->gather_s + a->spread_s < (b->gather_s + b->spread_s) * (1.0 - equal);
}

static void copy_candidate(struct candidate *self, const struct candidate *from)
{
    assignment_copy(&self->assignment, &from->assignment);
    self->times = from->times;
    self->program_s = from->program_s;
}

/* Solves for the shares that stand in self->trial. False, without solving, when no shares make
 * a step of step_s_max. */
static bool solve_trial(struct search *self, double step_s_max)
{
    struct candidate *trial = &self->trial;
    struct traffic traffic;
    traffic_init(&traffic, self->problem, trial->assignment.shares);
    if (linear_program_floor_s(self->program, &traffic, trial->assignment.shares) > step_s_max) {
        return false;
    }
    linear_program_solve(self->program, &traffic, &trial->assignment, &trial->program_s);
    traffic_times(&traffic, &trial->assignment, &trial->times);
    return true;
}

/* Tries what is left when the first rest_count of the order rest. */
static void try_rest(struct search *self, size_t rest_count)
{
    for (size_t i = 0; i < self->tried_count; i++) {
        if (self->tried[i] == rest_count) {
            return;
        }
    }
    if (self->tried_count == TRIED_MAX) {
        return;
    }
    self->tried[self->tried_count++] = rest_count;
    struct plan_share *shares = self->trial.assignment.shares;
    memcpy(shares, self->base, self->problem->peer_count * sizeof *shares);
    for (size_t i = 0; i < rest_count; i++) {
        shares[self->order[i].index].computes = false;
    }
    if (solve_trial(self, self->best.times.step_s) &&
        is_shorter(&self->trial.times, &self->best.times)) {
        copy_candidate(&self->best, &self->trial);
        self->best_tried = rest_count;
    }
}

/* Where the order's largest steps are: dropping a part of those that are alike seldom helps. */
static void try_steps(struct search *self)
{
    struct ranked steps[STEPS_MAX];
    size_t count = 0;
    for (size_t i = 1; i < self->order_count; i++) {
        struct ranked step = {self->order[i - 1].key / self->order[i].key, i};
        if (step.key < step_ratio ||
            (count == STEPS_MAX && compare_ranked(&step, &steps[count - 1]) > 0)) {
            continue;
        }
        count += count < STEPS_MAX ? 1 : 0;
        steps[count - 1] = step;
        qsort(steps, count, sizeof *steps, compare_ranked);
    }
    for (size_t i = 0; i < count; i++) {
        try_rest(self, steps[i].index);
    }
}

/* The tried numbers next to the best one; false when there is nothing left between them. */
static bool bracket(const struct search *self, size_t *out_low, size_t *out_high)
{
    size_t low = 0;
    size_t high = self->order_count - 1;
    for (size_t i = 0; i < self->tried_count; i++) {
        size_t tried = self->tried[i];
        if (tried < self->best_tried && tried > low) {
            low = tried;
        }
        if (tried > self->best_tried && tried < high) {
            high = tried;
        }
    }
    *out_low = low;
    *out_high = high;
    return high - low > 2;
}

/* Lets the best number of the order's first rest. self->base, where none of them does, is in
 * self->best. At least one goes on. The first candidates keep 1, 2/3, 4/9, ... of the order, and
 * what stands next to its steps; later ones close in on the best. */
static void search_order(struct search *self)
{
    self->tried[0] = 0;
    self->tried_count = 1;
    self->best_tried = 0;
    for (size_t kept = self->order_count; kept > 0; kept = kept * 2 / 3) {
        try_rest(self, self->order_count - kept);
    }
    try_steps(self);
    size_t low;
    size_t high;
    size_t tried_before = 0;
    while (bracket(self, &low, &high) && self->tried_count > tried_before) {
        tried_before = self->tried_count;
        for (size_t i = 1; i <= GRID; i++) {
            try_rest(self, low + (high - low) * i / (GRID + 1));
        }
        try_rest(self, self->best_tried - (self->best_tried > 0 ? 1 : 0));
        try_rest(self, self->best_tried + (self->best_tried + 1 < self->order_count ? 1 : 0));
    }
}

/* Orders those that compute in self->best, which becomes the base. */
static void rank(struct search *self, double (*key_of)(const struct search *, size_t))
{
    const struct plan_share *shares = self->best.assignment.shares;
    memcpy(self->base, shares, self->problem->peer_count * sizeof *shares);
    self->order_count = 0;
    for (size_t i = 0; i < self->problem->peer_count; i++) {
        if (shares[i].computes) {
            self->order[self->order_count++] = (struct ranked){key_of(self, i), i};
        }
    }
    qsort(self->order, self->order_count, sizeof *self->order, compare_ranked);
}

static double link_key(const struct search *self, size_t peer)
{
    const struct plan_problem *problem = self->problem;
    const struct plan_peer *link = &problem->peers[peer];
    return traffic_encoded_bytes(problem, self->base[peer].codec) /
               traffic_rate(link->up_bytes_per_s) +
           traffic_encoded_bytes(problem, problem->update_codecs[0]) /
               traffic_rate(link->down_bytes_per_s);
}

static double machine_key(const struct search *self, size_t peer)
{
    return 1.0 / self->problem->peers[peer].samples_per_s;
}

static double up_key(const struct search *self, size_t peer)
{
    return 1.0 / traffic_rate(self->problem->peers[peer].up_bytes_per_s);
}

/* Everybody computes, with one codec. */
static void solve_all(struct search *self, enum codec codec)
{
    const struct plan_problem *problem = self->problem;
    for (size_t i = 0; i < problem->peer_count; i++) {
        self->trial.assignment.shares[i] =
            (struct plan_share){.computes = problem->peers[i].samples_per_s > 0.0, .codec = codec};
    }
    (void)solve_trial(self, INFINITY);
    copy_candidate(&self->best, &self->trial);
}

/* The best with one codec for all, into self->best. */
static void search_rest(struct search *self, enum codec codec)
{
    solve_all(self, codec);
    if (!self->problem->may_rest) {
        return;
    }
    double all_s = self->best.times.step_s;
    rank(self, link_key);
    search_order(self);
    rank(self, machine_key);
    search_order(self);
    if (self->best.times.step_s > all_s * (1.0 - gain_min)) {
        solve_all(self, codec);
    }
}

/* Those of the order from `from` on use `coarse` in self->chosen: lets all but the slowest links
 * use `fine`, as long as a step takes at most step_s_max. Returns where these begin. A step never
 * gets longer with one more coarse one, so their number is bisected. */
static size_t refine(struct search *self, size_t from, enum codec coarse, enum codec fine,
                     double step_s_max)
{
    size_t low = from;
    size_t high = self->order_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        assignment_copy(&self->trial.assignment, &self->chosen.assignment);
        for (size_t i = from; i < self->order_count; i++) {
            self->trial.assignment.shares[self->order[i].index].codec = i < middle ? coarse : fine;
        }
        if (solve_trial(self, step_s_max) && self->trial.times.step_s <= step_s_max) {
            copy_candidate(&self->best, &self->trial);
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    copy_candidate(&self->chosen, &self->best);
    return high;
}

static void search_codecs(struct search *self)
{
    const struct plan_problem *problem = self->problem;
    size_t level = 0;
    for (size_t i = 0; i < problem->codec_count; i++) {
        search_rest(self, problem->codecs[i]);
        if (i == 0 || self->best.times.step_s < self->chosen.times.step_s * (1.0 - gain_min)) {
            copy_candidate(&self->chosen, &self->best);
            level = i;
        }
    }
    copy_candidate(&self->best, &self->chosen);
    rank(self, up_key);
    double step_s_max = self->chosen.times.step_s * (1.0 + codec_slack);
    for (size_t from = 0; level > 0; level--) {
        from = refine(self, from, problem->codecs[level], problem->codecs[level - 1], step_s_max);
    }
}

static void search_deinit(struct search *self)
{
    linear_program_free(self->program);
    free(self->order);
    free(self->base);
    assignment_deinit(&self->trial.assignment);
    assignment_deinit(&self->best.assignment);
    assignment_deinit(&self->chosen.assignment);
}

static enum status search_init(struct search *self, const struct plan_problem *problem,
                               const struct plan_share *shares)
{
    *self = (struct search){.problem = problem};
    self->order = calloc(problem->peer_count, sizeof *self->order);
    self->base = calloc(problem->peer_count, sizeof *self->base);
    size_t *owners = calloc(problem->peer_count, sizeof *owners);
    size_t owner_count = 0;
    enum status status = STATUS_NO_MEMORY;
    if (self->order != NULL && self->base != NULL && owners != NULL) {
        status = plan_search_owners(problem, shares, false, owners, &owner_count);
    }
    if (status == STATUS_OK) {
        status = linear_program_new(problem, owners, owner_count, &self->program);
    }
    struct candidate *const candidates[] = {&self->trial, &self->best, &self->chosen};
    for (size_t i = 0; status == STATUS_OK && i < 3; i++) {
        status = assignment_init(&candidates[i]->assignment, problem);
    }
    free(owners);
    return status;
}

enum status plan_search_run(const struct plan_problem *problem, struct assignment *assignment,
                            double *out_fraction_max, double *out_step_s)
{
    struct search search;
    enum status status = search_init(&search, problem, assignment->shares);
    if (status == STATUS_OK) {
        search_codecs(&search);
        assignment_copy(assignment, &search.chosen.assignment);
        *out_fraction_max = linear_program_fraction_max(search.program);
        *out_step_s = search.chosen.program_s;
    }
    search_deinit(&search);
    return status;
}
