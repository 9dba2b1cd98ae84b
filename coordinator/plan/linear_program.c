#include "coordinator/plan/linear_program.h"

#include <coin/Clp_C_Interface.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROW_WHOLE = 0, /* the shares make up the vector */
    ROW_COORDINATOR_DOWN,
    ROW_COORDINATOR_UP,
    ROW_CHAIN, /* this and the next two are empty without a period */
    ROW_GATHER,
    ROW_SPREAD,
    ROW_OWNERS, /* from here on, those of each owner: */
    OWNER_UP = 0,
    OWNER_DOWN,
    OWNER_SPREAD,
    OWNER_PHASE_ROWS,
    OWNER_BUSY_UP = OWNER_PHASE_ROWS, /* only with a period */
    OWNER_BUSY_DOWN,
    OWNER_ROWS,
    TIME_COLUMNS = 3,
    COLUMN_ELEMENTS = 1 + OWNER_ROWS, /* of a share */
    ITERATIONS_MAX = 20000,
    CLP_OPTIMAL = 0
};

/* What gather + spread cost of the period's cost: they decide between equal periods, and make none
 * longer by more than twice this part. */
static const double moving_cost = 1e-3;

/* share * slope + base <= rate * t; rate is INFINITY when nothing limits it. */
struct link_row {
    double slope, base, rate;
};

/* One owner's rows, for shares in [0, fraction_max]: up in t_gather, share * own_gather <=
 * t_gather, share * own_spread <= t_spread; the busy ones in the period. Times in units. */
struct owner_rows {
    struct link_row up, busy_up, busy_down;
    double own_gather, own_spread;
};

/* Of what the program finds, in units. */
struct found {
    double gather, spread, period;
};

struct range {
    double low, high;
};

struct matrix {
    CoinBigIndex *starts; /* (columns + 1) */
    int *rows;
    double *values;
    int column_count;
    CoinBigIndex element_count;
};

struct linear_program {
    const struct plan_problem *problem;
    size_t owner_count;
    size_t *owners; /* (owner_count), of peers */
    bool *is_owner; /* (peer_count) */
    double fraction_max;
    struct plan_times floor; /* compute_s is no bound, but what it is */
    double unit_s;
    bool has_period;
    double coordinator_max; /* of its share */
    struct link_row down, up;
    struct owner_rows *rows; /* (owner_count) */
    struct range *ranges;    /* (owner_count): shares that meet the two times */
    struct matrix matrix;
    double *column_low, *column_high, *costs;
    double *row_low, *row_high;
    unsigned char *basis; /* of the last optimum; the next program differs little */
    bool has_basis;
};

static size_t column_count(const struct linear_program *self)
{
    return 1 + self->owner_count + TIME_COLUMNS;
}

static size_t owner_row_count(const struct linear_program *self)
{
    return self->has_period ? OWNER_ROWS : OWNER_PHASE_ROWS;
}

static size_t row_count(const struct linear_program *self)
{
    return ROW_OWNERS + owner_row_count(self) * self->owner_count;
}

static bool allocate(struct linear_program *self)
{
    size_t columns = column_count(self);
    size_t rows = ROW_OWNERS + OWNER_ROWS * self->owner_count;
    size_t elements = COLUMN_ELEMENTS * columns + 2 * rows;
    self->owners = calloc(columns, sizeof *self->owners);
    self->is_owner = calloc(self->problem->peer_count + 1, sizeof *self->is_owner);
    self->rows = calloc(columns, sizeof *self->rows);
    self->ranges = calloc(columns, sizeof *self->ranges);
    self->matrix.starts = calloc(columns + 1, sizeof *self->matrix.starts);
    self->matrix.rows = calloc(elements, sizeof *self->matrix.rows);
    self->matrix.values = calloc(elements, sizeof *self->matrix.values);
    self->column_low = calloc(columns, sizeof *self->column_low);
    self->column_high = calloc(columns, sizeof *self->column_high);
    self->costs = calloc(columns, sizeof *self->costs);
    self->row_low = calloc(rows, sizeof *self->row_low);
    self->row_high = calloc(rows, sizeof *self->row_high);
    self->basis = calloc(columns + rows, sizeof *self->basis);
    return self->owners != NULL && self->is_owner != NULL && self->rows != NULL &&
           self->ranges != NULL && self->matrix.starts != NULL && self->matrix.rows != NULL &&
           self->matrix.values != NULL && self->column_low != NULL && self->column_high != NULL &&
           self->costs != NULL && self->row_low != NULL && self->row_high != NULL &&
           self->basis != NULL;
}

enum status linear_program_new(const struct plan_problem *problem, const size_t *owners,
                               size_t owner_count, struct linear_program **out)
{
    *out = NULL;
    struct linear_program *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->problem = problem;
    self->owner_count = owner_count;
    if (!allocate(self)) {
        linear_program_free(self);
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < owner_count; i++) {
        self->owners[i] = owners[i];
        self->is_owner[owners[i]] = true;
    }
    double even = owner_count == 0 ? 1.0 : 1.0 / (double)owner_count;
    self->fraction_max = problem->fraction_max > even ? problem->fraction_max : even;
    *out = self;
    return STATUS_OK;
}

void linear_program_free(struct linear_program *self)
{
    if (self == NULL) {
        return;
    }
    free(self->owners);
    free(self->is_owner);
    free(self->rows);
    free(self->ranges);
    free(self->matrix.starts);
    free(self->matrix.rows);
    free(self->matrix.values);
    free(self->column_low);
    free(self->column_high);
    free(self->costs);
    free(self->row_low);
    free(self->row_high);
    free(self->basis);
    free(self);
}

double linear_program_fraction_max(const struct linear_program *self)
{
    return self->fraction_max;
}

double linear_program_floor_s(struct linear_program *self, const struct traffic *traffic,
                              const struct plan_share *shares)
{
    const struct plan_problem *problem = self->problem;
    double gather_s = 0.0;
    double spread_s = 0.0;
    for (size_t i = 0; i < problem->peer_count; i++) {
        if (!shares[i].computes) {
            continue;
        }
        double sent_bytes = traffic_sent_bytes(traffic, &shares[i]);
        if (self->is_owner[i]) { /* of its own share it returns the sum instead */
            double kept = self->fraction_max;
            double with_sums = sent_bytes * (1.0 - kept) + traffic->sums_bytes * kept;
            sent_bytes = with_sums < sent_bytes ? with_sums : sent_bytes;
        }
        gather_s = fmax(gather_s, sent_bytes / traffic_rate(problem->peers[i].up_bytes_per_s));
        spread_s = fmax(spread_s,
                        traffic->update_bytes / traffic_rate(problem->peers[i].down_bytes_per_s));
    }
    double down_bytes = fmin(traffic->contributed_bytes, traffic->sums_bytes);
    double up_bytes = traffic->update_bytes;
    self->floor = (struct plan_times){
        .compute_s = traffic_compute_s(traffic),
        .gather_s =
            fmax(gather_s, down_bytes / traffic_rate(problem->coordinator_down_bytes_per_s)),
        .spread_s = fmax(spread_s, up_bytes / traffic_rate(problem->coordinator_up_bytes_per_s))};
    return traffic_step_s(problem, &self->floor);
}

/* The better of the two fixed strategies for these shares, with its times. */
static void own_simply(const struct linear_program *self, const struct traffic *traffic,
                       struct assignment *assignment, struct plan_times *out)
{
    assignment_own_centrally(assignment);
    traffic_times(traffic, assignment, out);
    if (self->owner_count == 0) {
        return;
    }
    struct plan_times central = *out;
    assignment_own_evenly(assignment, self->owners, self->owner_count);
    traffic_times(traffic, assignment, out);
    bool moves_less = out->gather_s + out->spread_s <= central.gather_s + central.spread_s;
    bool is_better = out->step_s == central.step_s ? moves_less : out->step_s < central.step_s;
    if (!is_better && self->coordinator_max >= 1.0) {
        assignment_own_centrally(assignment);
        *out = central;
    }
}

static void set_coordinator(struct linear_program *self, const struct traffic *traffic)
{
    const struct plan_problem *problem = self->problem;
    double down_none = traffic_coordinator_down_bytes(traffic, 0.0);
    double down_all = traffic_coordinator_down_bytes(traffic, 1.0);
    double up_none = traffic_coordinator_up_bytes(traffic, 0.0);
    double up_all = traffic_coordinator_up_bytes(traffic, 1.0);
    self->down = (struct link_row){down_all - down_none, down_none,
                                   traffic_rate(problem->coordinator_down_bytes_per_s)};
    self->up = (struct link_row){up_all - up_none, up_none,
                                 traffic_rate(problem->coordinator_up_bytes_per_s)};
    self->coordinator_max =
        self->owner_count == 0 ? 1.0 : traffic_coordinator_fraction_max(traffic);
}

/* With overlap, whether links may be what the period waits for. Where computing and overhead take
 * longer than these `times` of shares that are there, the least gather + spread is the best, and no
 * link that keeps to it binds the period. */
static bool may_wait_for_links(const struct plan_problem *problem, const struct plan_times *times)
{
    double moving_s = times->gather_s + times->spread_s;
    return problem->overlap && times->compute_s < moving_s + problem->overhead_s &&
           times->compute_s + problem->overhead_s < 2.0 * moving_s;
}

static void set_unit(struct linear_program *self, const struct plan_times *times)
{
    bool has_period = may_wait_for_links(self->problem, times);
    if (has_period != self->has_period) { /* the last basis has other rows */
        self->has_period = has_period;
        self->has_basis = false;
    }
    self->unit_s = times->gather_s + times->spread_s;
}

/* From bytes and seconds to bytes a value and units. */
static void scale(const struct linear_program *self, struct link_row *row)
{
    double values = (double)self->problem->value_count;
    row->slope /= values;
    row->base /= values;
    row->rate *= self->unit_s / values;
}

static void set_owners(struct linear_program *self, const struct traffic *traffic,
                       const struct plan_share *shares)
{
    for (size_t i = 0; i < self->owner_count; i++) {
        size_t peer = self->owners[i];
        const struct plan_share *share = &shares[peer];
        double up = traffic_rate(self->problem->peers[peer].up_bytes_per_s);
        double down = traffic_rate(self->problem->peers[peer].down_bytes_per_s);
        double sent_bytes = traffic_sent_bytes(traffic, share);
        double received_bytes = traffic_received_bytes(traffic, share);
        double fanned_bytes = traffic_fanned_bytes(traffic, share);
        double update_bytes = traffic->update_bytes;
        struct owner_rows *row = &self->rows[i];
        row->up = (struct link_row){traffic->sums_bytes - sent_bytes, sent_bytes, up};
        row->busy_up = (struct link_row){row->up.slope + fanned_bytes, sent_bytes, up};
        row->busy_down = share->computes
                             ? (struct link_row){received_bytes, update_bytes, down}
                             : (struct link_row){received_bytes + update_bytes, 0.0, down};
        scale(self, &row->up);
        scale(self, &row->busy_up);
        scale(self, &row->busy_down);
        row->own_gather = traffic_own_gather_s(traffic, share, peer) / self->unit_s;
        row->own_spread = traffic_own_spread_s(traffic, share, peer) / self->unit_s;
    }
}

static void begin_column(struct matrix *self)
{
    self->starts[self->column_count++] = self->element_count;
}

static void put(struct matrix *self, size_t row, double value)
{
    if (value != 0.0) {
        self->rows[self->element_count] = (int)row;
        self->values[self->element_count++] = value;
    }
}

static size_t owner_row(const struct linear_program *self, size_t owner, size_t kind)
{
    return ROW_OWNERS + owner_row_count(self) * owner + kind;
}

/* The rows that hold a share against a time are divided by what the whole vector would take: an
 * owner's slowness then shows as a small share, not as a large number. */
static double per_whole(double whole)
{
    return whole > 0.0 ? -1.0 / whole : 0.0;
}

static void put_shares(struct linear_program *self)
{
    struct matrix *matrix = &self->matrix;
    begin_column(matrix);
    put(matrix, ROW_WHOLE, 1.0);
    put(matrix, ROW_COORDINATOR_DOWN, self->down.slope);
    put(matrix, ROW_COORDINATOR_UP, self->up.slope);
    for (size_t i = 0; i < self->owner_count; i++) {
        begin_column(matrix);
        put(matrix, ROW_WHOLE, 1.0);
        put(matrix, owner_row(self, i, OWNER_UP), self->rows[i].up.slope);
        put(matrix, owner_row(self, i, OWNER_DOWN), 1.0);
        put(matrix, owner_row(self, i, OWNER_SPREAD), 1.0);
        if (self->has_period) {
            put(matrix, owner_row(self, i, OWNER_BUSY_UP), self->rows[i].busy_up.slope);
            put(matrix, owner_row(self, i, OWNER_BUSY_DOWN), self->rows[i].busy_down.slope);
        }
    }
}

static void put_phases(struct linear_program *self)
{
    struct matrix *matrix = &self->matrix;
    double chained = self->has_period ? 1.0 : 0.0;
    begin_column(matrix);
    put(matrix, ROW_COORDINATOR_DOWN, isinf(self->down.rate) ? 0.0 : -self->down.rate);
    put(matrix, ROW_CHAIN, chained);
    put(matrix, ROW_GATHER, chained);
    for (size_t i = 0; i < self->owner_count; i++) {
        put(matrix, owner_row(self, i, OWNER_UP), -self->rows[i].up.rate);
        put(matrix, owner_row(self, i, OWNER_DOWN), per_whole(self->rows[i].own_gather));
    }
    begin_column(matrix);
    put(matrix, ROW_COORDINATOR_UP, isinf(self->up.rate) ? 0.0 : -self->up.rate);
    put(matrix, ROW_CHAIN, chained);
    put(matrix, ROW_SPREAD, chained);
    for (size_t i = 0; i < self->owner_count; i++) {
        put(matrix, owner_row(self, i, OWNER_SPREAD), per_whole(self->rows[i].own_spread));
    }
}

static void put_period(struct linear_program *self)
{
    struct matrix *matrix = &self->matrix;
    begin_column(matrix);
    if (!self->has_period) {
        return;
    }
    put(matrix, ROW_CHAIN, -2.0);
    put(matrix, ROW_GATHER, -1.0);
    put(matrix, ROW_SPREAD, -1.0);
    for (size_t i = 0; i < self->owner_count; i++) {
        put(matrix, owner_row(self, i, OWNER_BUSY_UP), -self->rows[i].busy_up.rate);
        put(matrix, owner_row(self, i, OWNER_BUSY_DOWN), -self->rows[i].busy_down.rate);
    }
}

static void build_matrix(struct linear_program *self)
{
    struct matrix *matrix = &self->matrix;
    matrix->column_count = 0;
    matrix->element_count = 0;
    put_shares(self);
    put_phases(self);
    put_period(self);
    matrix->starts[matrix->column_count] = matrix->element_count;
}

/* Computing and what else is in no link's time, in units. */
static double chain_base(const struct linear_program *self)
{
    return (self->floor.compute_s + self->problem->overhead_s) / self->unit_s;
}

static void build_times(struct linear_program *self)
{
    size_t gather = self->owner_count + 1;
    size_t spread = gather + 1;
    size_t period = gather + 2;
    double period_s = traffic_step_s(self->problem, &self->floor);
    self->column_low[gather] = self->floor.gather_s / self->unit_s;
    self->column_low[spread] = self->floor.spread_s / self->unit_s;
    self->column_low[period] = self->has_period ? period_s / self->unit_s : 0.0;
    self->column_high[gather] = DBL_MAX;
    self->column_high[spread] = DBL_MAX;
    self->column_high[period] = self->has_period ? DBL_MAX : 0.0;
    self->costs[gather] = self->has_period ? moving_cost : 1.0;
    self->costs[spread] = self->costs[gather];
    self->costs[period] = self->has_period ? 1.0 : 0.0;
    self->row_high[ROW_CHAIN] = self->has_period ? -chain_base(self) : DBL_MAX;
    self->row_high[ROW_GATHER] = self->has_period ? 0.0 : DBL_MAX;
    self->row_high[ROW_SPREAD] = self->row_high[ROW_GATHER];
}

static void build_bounds(struct linear_program *self)
{
    for (size_t i = 0; i < row_count(self); i++) {
        self->row_low[i] = -DBL_MAX;
    }
    self->row_low[ROW_WHOLE] = 1.0;
    self->row_high[ROW_WHOLE] = 1.0;
    self->row_high[ROW_COORDINATOR_DOWN] = isinf(self->down.rate) ? DBL_MAX : -self->down.base;
    self->row_high[ROW_COORDINATOR_UP] = isinf(self->up.rate) ? DBL_MAX : -self->up.base;
    self->column_high[0] = self->coordinator_max;
    for (size_t i = 0; i < self->owner_count; i++) {
        const struct owner_rows *row = &self->rows[i];
        self->column_high[1 + i] = self->fraction_max;
        self->row_high[owner_row(self, i, OWNER_UP)] = -row->up.base;
        self->row_high[owner_row(self, i, OWNER_DOWN)] = row->own_gather > 0.0 ? 0.0 : DBL_MAX;
        self->row_high[owner_row(self, i, OWNER_SPREAD)] = row->own_spread > 0.0 ? 0.0 : DBL_MAX;
        if (self->has_period) {
            self->row_high[owner_row(self, i, OWNER_BUSY_UP)] = -row->busy_up.base;
            self->row_high[owner_row(self, i, OWNER_BUSY_DOWN)] = -row->busy_down.base;
        }
    }
    build_times(self);
}

/* Runs CLP. False when it found no optimum. The floors make the slack basis dual feasible, so the
 * dual simplex needs no first phase. */
static bool run_clp(struct linear_program *self, struct found *out)
{
    Clp_Simplex *model = Clp_newModel();
    Clp_setLogLevel(model, 0);
    Clp_loadProblem(model, (int)column_count(self), (int)row_count(self), self->matrix.starts,
                    self->matrix.rows, self->matrix.values, self->column_low, self->column_high,
                    self->costs, self->row_low, self->row_high);
    Clp_setPrimalTolerance(model, 1e-9);
    Clp_setMaximumIterations(model, ITERATIONS_MAX);
    size_t basis_bytes = column_count(self) + row_count(self);
    if (self->has_basis) {
        Clp_copyinStatus(model, self->basis);
    }
    (void)Clp_dual(model, 0);
    bool is_optimal = Clp_status(model) == CLP_OPTIMAL;
    if (is_optimal) {
        const double *times = Clp_primalColumnSolution(model) + self->owner_count + 1;
        const double *low = self->column_low + self->owner_count + 1;
        *out =
            (struct found){fmax(times[0], low[0]), fmax(times[1], low[1]), fmax(times[2], low[2])};
        memcpy(self->basis, Clp_statusArray(model), basis_bytes);
    }
    self->has_basis = is_optimal;
    Clp_deleteModel(model);
    return is_optimal && isfinite(out->gather) && isfinite(out->spread) && isfinite(out->period);
}

/* Narrows a range to what share * slope + base <= room allows. */
static void narrow(struct range *range, double slope, double base, double room)
{
    if (slope > 0.0) {
        range->high = fmin(range->high, fmax((room - base) / slope, 0.0));
    } else if (slope < 0.0) {
        range->low = fmax(range->low, (room - base) / slope);
    }
    range->low = fmin(range->low, range->high);
}

static void narrow_link(struct range *range, const struct link_row *row, double time)
{
    narrow(range, row->slope, row->base, row->rate * time);
}

/* What each owner can take within these times. */
static void set_ranges(struct linear_program *self, const struct found *found,
                       struct range *out_sum)
{
    *out_sum = (struct range){0.0, 0.0};
    for (size_t i = 0; i < self->owner_count; i++) {
        const struct owner_rows *row = &self->rows[i];
        struct range range = {0.0, self->fraction_max};
        narrow(&range, row->own_gather, 0.0, found->gather);
        narrow(&range, row->own_spread, 0.0, found->spread);
        narrow_link(&range, &row->up, found->gather);
        if (self->has_period) {
            narrow_link(&range, &row->busy_up, found->period);
            narrow_link(&range, &row->busy_down, found->period);
        }
        self->ranges[i] = range;
        out_sum->low += range.low;
        out_sum->high += range.high;
    }
}

static void balance(struct linear_program *self, const struct found *found,
                    struct assignment *assignment)
{
    struct range sum;
    struct range own = {0.0, self->coordinator_max};
    set_ranges(self, found, &sum);
    narrow_link(&own, &self->down, found->gather);
    narrow_link(&own, &self->up, found->spread);
    /* Its traffic may fall with its share: that of a lone contributor is less than exact sums. */
    bool takes_little = self->down.slope + self->up.slope > 0.0;
    double least = fmax(own.low, 1.0 - sum.high);
    double most = fmin(own.high, 1.0 - sum.low);
    double share = takes_little || most < least ? least : most;
    share = fmin(fmax(share, 0.0), 1.0);
    /* Tolerances aside, the owners' lower limits fit in what is left. */
    double left = fmax(1.0 - share - sum.low, 0.0);
    double part = sum.high > sum.low ? left / (sum.high - sum.low) : 0.0;
    double total = share;
    assignment_own_centrally(assignment);
    for (size_t i = 0; i < self->owner_count; i++) {
        const struct range *range = &self->ranges[i];
        double fraction = range->low + part * (range->high - range->low);
        assignment->fractions[self->owners[i]] = fraction;
        total += fraction;
    }
    for (size_t i = 0; i < self->owner_count; i++) {
        assignment->fractions[self->owners[i]] /= total;
    }
    assignment->coordinator_fraction = share / total;
}

/* The step that no shares can go below. What the cost of gather + spread may have made the period
 * longer is taken off: with the least period T, gather + spread is at most 2 T - chain_base. */
static double bound_s(const struct linear_program *self, const struct found *found)
{
    double moving = found->gather + found->spread;
    if (self->has_period) {
        double least = found->period + moving_cost * (moving + chain_base(self));
        double low = self->column_low[self->owner_count + TIME_COLUMNS];
        return self->unit_s * fmax(least / (1.0 + 2.0 * moving_cost), low);
    }
    struct plan_times times = {.compute_s = self->floor.compute_s,
                               .gather_s = found->gather * self->unit_s,
                               .spread_s = found->spread * self->unit_s};
    return traffic_step_s(self->problem, &times);
}

void linear_program_solve(struct linear_program *self, const struct traffic *traffic,
                          struct assignment *assignment, double *out_step_s)
{
    (void)linear_program_floor_s(self, traffic, assignment->shares);
    set_coordinator(self, traffic);
    struct plan_times simple;
    own_simply(self, traffic, assignment, &simple);
    *out_step_s = simple.step_s;
    if (self->owner_count == 0) {
        return;
    }
    set_unit(self, &simple);
    scale(self, &self->down);
    scale(self, &self->up);
    set_owners(self, traffic, assignment->shares);
    build_matrix(self);
    build_bounds(self);
    struct found found;
    if (run_clp(self, &found)) {
        *out_step_s = bound_s(self, &found);
        balance(self, &found, assignment);
    }
}
