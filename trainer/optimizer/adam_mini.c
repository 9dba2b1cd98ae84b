/* adam_mini - Adam with one second moment for each block of parameters (Zhang et al., arXiv
 * 2406.16793, algorithm 1; blocks.h has the blocks):
 *
 *   m = beta1 m + (1 - beta1) g,   v_b = beta2 v_b + (1 - beta2) mean(g^2 over block b)
 *   w = w - lr weight_decay w - lr m' / (sqrt(v_b') + eps)      (' corrects the bias as in Adam)
 *
 * A block is summed whole by the slice that it begins in, wherever it ends, so its sum has one
 * order however the vector is cut. The scratch holds the sums of squares, then lr / (sqrt(v_b') +
 * eps) / (1 - beta1^t), of each block. */
#include "trainer/optimizer/rules.h"

#include <math.h>

static size_t scratch_count(const struct layout *layout, const struct blocks *blocks)
{
    (void)layout;
    return blocks_count(blocks);
}

/* From the squares of a block's mean gradient to its second moment and step size. */
static void settle_block(const struct optimizer_work *work, size_t block, double squares,
                         size_t count)
{
    const struct optimizer_step s = work->step;
    const double clip = (double)s.clip_scale;
    const float square_mean = (float)(clip * clip * squares / (double)count);
    float *v = &work->states[1][block];
    *v = s.beta2 * *v + s.rest2 * square_mean;
    work->scratch[block] = (double)(s.learning_rate / s.bias1 / (sqrtf(*v / s.bias2) + s.eps));
}

/* The blocks of consecutive values that begin in [first, end). */
static void measure_runs(const struct optimizer_work *work, const struct tensor_spec *spec,
                         const struct tensor_blocks *blocks, size_t first, size_t end)
{
    size_t skipped = first > spec->offset ? first - spec->offset : 0;
    for (size_t i = (skipped + blocks->run - 1) / blocks->run; i < blocks->count; i++) {
        size_t start = spec->offset + i * blocks->run;
        if (start >= end) {
            return;
        }
        settle_block(work, blocks->first + i, segment_squares(work->mean + start, blocks->run),
                     blocks->run);
    }
}

/* All columns of a tensor at once: its rows lie one after the other in memory. */
static void measure_columns(const struct optimizer_work *work, const struct tensor_spec *spec,
                            const struct tensor_blocks *blocks)
{
    const size_t head_count = blocks->head_columns / blocks->head_width;
    const size_t single_count = blocks->row_length - blocks->head_columns;
    const size_t row_count = spec->count / blocks->row_length;
    double *heads = work->scratch + blocks->first;
    double *singles = heads + head_count;
    for (size_t i = 0; i < blocks->count; i++) {
        heads[i] = 0;
    }
    for (size_t row = 0; row < row_count; row++) {
        const float *grad = work->mean + spec->offset + row * blocks->row_length;
        for (size_t i = 0; i < head_count; i++) {
            heads[i] += segment_squares(grad + i * blocks->head_width, blocks->head_width);
        }
        grad += blocks->head_columns;
        for (size_t i = 0; i < single_count; i++) {
            singles[i] += (double)grad[i] * (double)grad[i];
        }
    }
    for (size_t i = 0; i < blocks->count; i++) {
        settle_block(work, blocks->first + i, heads[i],
                     row_count * (i < head_count ? blocks->head_width : 1));
    }
}

static void measure(const struct optimizer_work *work, size_t first, size_t end)
{
    for (size_t i = 0; i < layout_tensor_count(work->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(work->layout, i);
        const struct tensor_blocks *blocks = blocks_of(work->blocks, i);
        if (spec->offset >= end || spec->offset + spec->count <= first) {
            continue;
        }
        if (blocks->run > 0) {
            measure_runs(work, spec, blocks, first, end);
        } else if (spec->offset >= first) {
            measure_columns(work, spec, blocks);
        }
    }
}

/* Values that follow each other and share one block, or have one block each. */
struct stretch {
    size_t count;
    size_t block; /* of the first value, in its tensor */
    bool shared;
};

/* The stretch that begins at value `place` of a tensor. */
static struct stretch stretch_at(const struct tensor_blocks *blocks, size_t place)
{
    if (blocks->run > 0) {
        return (struct stretch){.count = blocks->run - place % blocks->run,
                                .block = place / blocks->run,
                                .shared = true};
    }
    size_t column = place % blocks->row_length;
    if (column < blocks->head_columns) {
        return (struct stretch){.count = blocks->head_width - column % blocks->head_width,
                                .block = column / blocks->head_width,
                                .shared = true};
    }
    return (struct stretch){.count = blocks->row_length - column,
                            .block = blocks->head_columns / blocks->head_width +
                                     (column - blocks->head_columns)};
}

/* One step of `count` values from `first`; step_sizes holds one for each, or one if `shared`. */
static void apply_stretch(const struct optimizer_work *work, size_t first, size_t count,
                          const double *step_sizes, bool shared, float decay)
{
    const struct optimizer_step s = work->step;
    const float *grad = work->mean + first;
    float *weights = work->weights + first;
    float *m = work->states[0] + first;
    if (shared) {
        const float step_size = (float)step_sizes[0];
        for (size_t i = 0; i < count; i++) {
            m[i] = s.beta1 * m[i] + s.rest1 * (grad[i] * s.clip_scale);
            weights[i] = weights[i] - decay * weights[i] - step_size * m[i];
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        m[i] = s.beta1 * m[i] + s.rest1 * (grad[i] * s.clip_scale);
        weights[i] = weights[i] - decay * weights[i] - (float)step_sizes[i] * m[i];
    }
}

static void apply(const struct optimizer_work *work, const struct segment *segment)
{
    const size_t offset = layout_tensor(work->layout, segment->tensor)->offset;
    const struct tensor_blocks *blocks = blocks_of(work->blocks, segment->tensor);
    const double *step_sizes = work->scratch + blocks->first;
    const float rate = work->step.learning_rate;
    const float decay = segment->decayed ? rate * work->step.weight_decay : 0.0F;
    for (size_t first = segment->first; first < segment->end;) {
        struct stretch stretch = stretch_at(blocks, first - offset);
        size_t left = segment->end - first;
        size_t count = stretch.count < left ? stretch.count : left;
        apply_stretch(work, first, count, step_sizes + stretch.block, stretch.shared, decay);
        first += count;
    }
}

const struct optimizer_rules adam_mini_rules = {
    .name = "adam_mini",
    .state_count = 2,
    .states = {{.name = "moment1"}, {.name = "moment2", .per_block = true}},
    .defaults = {.kind = OPTIMIZER_ADAM_MINI,
                 .beta1 = 0.9,
                 .beta2 = 0.95,
                 .eps = 1e-8,
                 .weight_decay = 0.1,
                 .grad_clip = 1.0},
    .scratch_count = scratch_count,
    .measure = measure,
    .apply = apply,
};
