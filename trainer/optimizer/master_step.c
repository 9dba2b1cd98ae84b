#include "trainer/optimizer/master_step.h"

#include "common/fault.h"

#include <math.h>
#include <string.h>

/* What the slices of a step share; each writes to its own element of `status`. */
struct job {
    struct master *master;
    int64_t *sums;
    const struct exact_grid *grid;
    uint64_t tokens;
    const uint8_t *encoded;
    uint8_t *update;
    enum status status[SLICES_THREADS_MAX];
};

static void take_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct job *job = context;
    (void)slice_index;
    master_take_mean(job->master, job->sums + first, job->grid, job->tokens, first, count);
    memset(job->sums + first, 0, count * sizeof *job->sums);
}

static void check_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct job *job = context;
    job->status[slice_index] = master_check_mean(job->master, job->encoded, first, count);
}

static void load_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct job *job = context;
    (void)slice_index;
    master_load_mean(job->master, job->encoded, first, count);
}

static void measure_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct job *job = context;
    (void)slice_index;
    master_measure(job->master, first, count);
}

static void apply_slice(void *context, size_t first, size_t count, size_t slice_index)
{
    struct job *job = context;
    job->status[slice_index] = master_apply(job->master, job->update, first, count);
}

/* The first error of all slices; its sentence stayed with the slice's thread. */
static enum status first_error(const struct job *job, size_t slice_count)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < slice_count && status == STATUS_OK; i++) {
        status = job->status[i];
    }
    return status;
}

static enum status not_finite(const struct master *master, enum status status)
{
    return fault(status,
                 "the parameters are no longer finite after step %llu; begin again with a lower "
                 "optimizer.learning_rate",
                 (unsigned long long)master_version(master));
}

enum status master_step_after_mean(struct master *master, struct slices *slices, uint8_t *update,
                                   struct master_step_result *out)
{
    struct job job = {.master = master, .update = update};
    out->learning_rate = master_learning_rate(master);
    out->grad_l2 = master_prepare(master);
    if (!isfinite(out->grad_l2)) {
        return not_finite(master, STATUS_OUT_OF_RANGE);
    }
    if (master_measures(master)) {
        slices_run(slices, measure_slice, &job);
        master_settle(master);
    }
    slices_run(slices, apply_slice, &job);
    enum status status = first_error(&job, slices_count(slices));
    if (status != STATUS_OK) {
        return not_finite(master, status);
    }
    master_finish(master);
    out->digest = params_digest(master_params(master), master_value_count(master));
    return STATUS_OK;
}

enum status master_step_from_sums(struct master *master, struct slices *slices, int64_t *sums,
                                  const struct exact_grid *grid, uint64_t tokens, uint8_t *update,
                                  struct master_step_result *out)
{
    struct job job = {.master = master, .sums = sums, .grid = grid, .tokens = tokens};
    slices_run(slices, take_slice, &job);
    return master_step_after_mean(master, slices, update, out);
}

enum status master_step_from_mean(struct master *master, struct slices *slices,
                                  const uint8_t *encoded, size_t size_bytes, uint8_t *update,
                                  struct master_step_result *out)
{
    struct job job = {.master = master, .encoded = encoded};
    if (size_bytes != master_mean_bytes(master)) {
        return fault(STATUS_BAD_SHAPE, "%zu bytes are no mean gradient of this model in %s",
                     size_bytes, codec_name(master_mean_codec(master)));
    }
    slices_run(slices, check_slice, &job);
    enum status status = first_error(&job, slices_count(slices));
    if (status != STATUS_OK) {
        return fault(status, "the mean gradient holds a value that is not a finite number");
    }
    slices_run(slices, load_slice, &job);
    return master_step_after_mean(master, slices, update, out);
}
