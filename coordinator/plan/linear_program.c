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
    ROW_OWNERS, /* from here on, three an owner: */
    OWNER_UP = 0,
    OWNER_DOWN,
    OWNER_SPREAD,
    OWNER_ROWS,
    COLUMN_ELEMENTS = 1 + OWNER_ROWS, /* of a share */
    ITERATIONS_MAX = 20000,
    CLP_OPTIMAL = 0
};

/* One owner's rows, for shares in [0, fraction_max]: share * slope + base <= up * t_gather,
 * share * own_gather <= t_gather, share * own_spread <= t_spread. Times in units. */
struct owner_rows {
    double slope, base, up;
    double own_gather, own_spread;
};

/* share * slope + base <= rate * t; rate is INFINITY when nothing limits it. */
struct coordinator_row {
    double slope, base, rate;
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
    double gather_floor_s, spread_floor_s;
    double unit_s;
    double coordinator_max; /* of its share */
    struct coordinator_row down, up;
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
    return self->owner_count + 3;
}

static size_t row_count(const struct linear_program *self)
{
    return ROW_OWNERS + OWNER_ROWS * self->owner_count;
}

static bool allocate(struct linear_program *self)
{
    size_t columns = column_count(self);
    size_t rows = row_count(self);
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

void linear_program_floor(struct linear_program *self, const struct traffic *traffic,
                          const struct plan_share *shares, struct plan_times *out)
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
    self->gather_floor_s =
        fmax(gather_s, down_bytes / traffic_rate(problem->coordinator_down_bytes_per_s));
    self->spread_floor_s =
        fmax(spread_s, up_bytes / traffic_rate(problem->coordinator_up_bytes_per_s));
    out->gather_s = self->gather_floor_s;
    out->spread_s = self->spread_floor_s;
}

/* The better of the two fixed strategies for these shares, with its times. */
static void own_simply(const struct linear_program *self, const struct traffic *traffic,
                       struct assignment *assignment, struct plan_times *out)
{
    struct plan_times even;
    struct plan_times central;
    assignment_own_centrally(assignment);
    traffic_times(traffic, assignment, &central);
    out->gather_s = central.gather_s;
    out->spread_s = central.spread_s;
    if (self->owner_count == 0) {
        return;
    }
    assignment_own_evenly(assignment, self->owners, self->owner_count);
    traffic_times(traffic, assignment, &even);
    if (even.gather_s + even.spread_s <= central.gather_s + central.spread_s ||
        self->coordinator_max < 1.0) {
        out->gather_s = even.gather_s;
        out->spread_s = even.spread_s;
    } else {
        assignment_own_centrally(assignment);
    }
}

static void set_coordinator(struct linear_program *self, const struct traffic *traffic)
{
    const struct plan_problem *problem = self->problem;
    double down_none = traffic_coordinator_down_bytes(traffic, 0.0);
    double down_all = traffic_coordinator_down_bytes(traffic, 1.0);
    double up_none = traffic_coordinator_up_bytes(traffic, 0.0);
    double up_all = traffic_coordinator_up_bytes(traffic, 1.0);
    self->down = (struct coordinator_row){down_all - down_none, down_none,
                                          traffic_rate(problem->coordinator_down_bytes_per_s)};
    self->up = (struct coordinator_row){up_all - up_none, up_none,
                                        traffic_rate(problem->coordinator_up_bytes_per_s)};
    self->coordinator_max =
        self->owner_count == 0 ? 1.0 : traffic_coordinator_fraction_max(traffic);
}

/* From bytes and seconds to bytes a value and units. */
static void scale_coordinator(struct linear_program *self)
{
    double values = (double)self->problem->value_count;
    struct coordinator_row *const rows[] = {&self->down, &self->up};
    for (size_t i = 0; i < 2; i++) {
        rows[i]->slope /= values;
        rows[i]->base /= values;
        rows[i]->rate *= self->unit_s / values;
    }
}

static void set_owners(struct linear_program *self, const struct traffic *traffic,
                       const struct plan_share *shares)
{
    double values = (double)self->problem->value_count;
    for (size_t i = 0; i < self->owner_count; i++) {
        size_t peer = self->owners[i];
        double sent_bytes = traffic_sent_bytes(traffic, &shares[peer]);
        struct owner_rows *row = &self->rows[i];
        row->slope = (traffic->sums_bytes - sent_bytes) / values;
        row->base = sent_bytes / values;
        row->up = traffic_rate(self->problem->peers[peer].up_bytes_per_s) * self->unit_s / values;
        row->own_gather = traffic_own_gather_s(traffic, &shares[peer], peer) / self->unit_s;
        row->own_spread = traffic_own_spread_s(traffic, &shares[peer], peer) / self->unit_s;
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

static size_t owner_row(size_t owner, size_t kind)
{
    return ROW_OWNERS + OWNER_ROWS * owner + kind;
}

/* The rows that hold a share against a time are divided by what the whole vector would take: an
 * owner's slowness then shows as a small share, not as a large number. */
static double per_whole(double whole)
{
    return whole > 0.0 ? -1.0 / whole : 0.0;
}

static void build_matrix(struct linear_program *self)
{
    struct matrix *matrix = &self->matrix;
    matrix->column_count = 0;
    matrix->element_count = 0;
    begin_column(matrix);
    put(matrix, ROW_WHOLE, 1.0);
    put(matrix, ROW_COORDINATOR_DOWN, self->down.slope);
    put(matrix, ROW_COORDINATOR_UP, self->up.slope);
    for (size_t i = 0; i < self->owner_count; i++) {
        begin_column(matrix);
        put(matrix, ROW_WHOLE, 1.0);
        put(matrix, owner_row(i, OWNER_UP), self->rows[i].slope);
        put(matrix, owner_row(i, OWNER_DOWN), 1.0);
        put(matrix, owner_row(i, OWNER_SPREAD), 1.0);
    }
    begin_column(matrix);
    put(matrix, ROW_COORDINATOR_DOWN, isinf(self->down.rate) ? 0.0 : -self->down.rate);
    for (size_t i = 0; i < self->owner_count; i++) {
        put(matrix, owner_row(i, OWNER_UP), -self->rows[i].up);
        put(matrix, owner_row(i, OWNER_DOWN), per_whole(self->rows[i].own_gather));
    }
    begin_column(matrix);
    put(matrix, ROW_COORDINATOR_UP, isinf(self->up.rate) ? 0.0 : -self->up.rate);
    for (size_t i = 0; i < self->owner_count; i++) {
        put(matrix, owner_row(i, OWNER_SPREAD), per_whole(self->rows[i].own_spread));
    }
    matrix->starts[matrix->column_count] = matrix->element_count;
}

static void build_bounds(struct linear_program *self)
{
    size_t gather = self->owner_count + 1;
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
        self->row_high[owner_row(i, OWNER_UP)] = -row->base;
        self->row_high[owner_row(i, OWNER_DOWN)] = row->own_gather > 0.0 ? 0.0 : DBL_MAX;
        self->row_high[owner_row(i, OWNER_SPREAD)] = row->own_spread > 0.0 ? 0.0 : DBL_MAX;
    }
    self->column_low[gather] = self->gather_floor_s / self->unit_s;
    self->column_low[gather + 1] = self->spread_floor_s / self->unit_s;
    self->column_high[gather] = DBL_MAX;
    self->column_high[gather + 1] = DBL_MAX;
    self->costs[gather] = 1.0;
    self->costs[gather + 1] = 1.0;
}

/* Runs CLP. False when it found no optimum. The floors make the slack basis dual feasible, so the
 * dual simplex needs no first phase. */
static bool run_clp(struct linear_program *self, double *out_gather, double *out_spread)
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
        const double *columns = Clp_primalColumnSolution(model);
        *out_gather = columns[self->owner_count + 1];
        *out_spread = columns[self->owner_count + 2];
        memcpy(self->basis, Clp_statusArray(model), basis_bytes);
    }
    self->has_basis = is_optimal;
    Clp_deleteModel(model);
    return is_optimal && isfinite(*out_gather) && isfinite(*out_spread);
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

/* What each owner can take within the two times. */
static void set_ranges(struct linear_program *self, double gather, double spread,
                       struct range *out_sum)
{
    *out_sum = (struct range){0.0, 0.0};
    for (size_t i = 0; i < self->owner_count; i++) {
        const struct owner_rows *row = &self->rows[i];
        struct range range = {0.0, self->fraction_max};
        narrow(&range, row->own_gather, 0.0, gather);
        narrow(&range, row->own_spread, 0.0, spread);
        narrow(&range, row->slope, row->base, row->up * gather);
        self->ranges[i] = range;
        out_sum->low += range.low;
        out_sum->high += range.high;
    }
}

static void balance(struct linear_program *self, double gather, double spread,
                    struct assignment *assignment)
{
    struct range sum;
    struct range own = {0.0, self->coordinator_max};
    set_ranges(self, gather, spread, &sum);
    narrow(&own, self->down.slope, self->down.base, self->down.rate * gather);
    narrow(&own, self->up.slope, self->up.base, self->up.rate * spread);
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

void linear_program_solve(struct linear_program *self, const struct traffic *traffic,
                          struct assignment *assignment, struct plan_times *out)
{
    linear_program_floor(self, traffic, assignment->shares, out);
    set_coordinator(self, traffic);
    own_simply(self, traffic, assignment, out);
    if (self->owner_count == 0) {
        return;
    }
    self->unit_s = out->gather_s + out->spread_s;
    scale_coordinator(self);
    set_owners(self, traffic, assignment->shares);
    build_matrix(self);
    build_bounds(self);
    double gather = 0.0;
    double spread = 0.0;
    if (run_clp(self, &gather, &spread)) {
        gather = fmax(gather, self->column_low[self->owner_count + 1]);
        spread = fmax(spread, self->column_low[self->owner_count + 2]);
        out->gather_s = gather * self->unit_s;
        out->spread_s = spread * self->unit_s;
        balance(self, gather, spread, assignment);
    }
}
