/* lamb - layer-wise adaptation of Adam for large batches (You et al., arXiv 1904.00962,
 * algorithm 2), the optimizer of DeDLOC (arXiv 2106.10207):
 *
 *   m, v and their bias corrections as Adam
 *   u = m' / (sqrt(v') + eps) + weight_decay w
 *   w = w - lr phi(||w||) / ||u|| u                 (norms over one tensor)
 *
 * phi(z) = min(z, 10000), as DeDLOC trains with; a norm of zero makes the ratio 1. Vectors (norm
 * gains, biases) get neither decay nor a ratio, as in the paper's code for BERT. */
#include "trainer/optimizer/master.h"
#include "trainer/optimizer/rules.h"

#include <math.h>

static const double weight_norm_max = 10000.0;

/* Far above any ratio that means something; keeps ratio * u inside float32 when u is denormal. */
static const double ratio_max = 1e20;

/* Blocks of MASTER_SLICE_ALIGN values, the units that slices are cut in. */
static size_t block_count(const struct layout *layout)
{
    return (layout_value_count(layout) + MASTER_SLICE_ALIGN - 1) / MASTER_SLICE_ALIGN;
}

/* Going along the vector, the block or the tensor grows from one part to the next, so their sum is
 * a number of its own for each part of a tensor inside a block. */
static size_t part_count(const struct layout *layout)
{
    return block_count(layout) + layout_tensor_count(layout);
}

/* The scratch: the squares of w and of u of each part, then the ratio of each tensor. */
static double *squares_of(const struct optimizer_work *work, size_t block, size_t tensor)
{
    return work->scratch + 2 * (block + tensor);
}

static double *ratio_of(const struct optimizer_work *work, size_t tensor)
{
    return work->scratch + 2 * part_count(work->layout) + tensor;
}

static size_t scratch_count(const struct layout *layout, const struct blocks *blocks)
{
    (void)blocks;
    return 2 * part_count(layout) + layout_tensor_count(layout);
}

/* u of values [first, first + count) from moments that are already those of this step. */
static void direction(const struct optimizer_work *work, size_t first, size_t count, bool decayed,
                      float *out)
{
    const struct optimizer_step s = work->step;
    const float decay = decayed ? s.weight_decay : 0.0F;
    const float bias2_root = sqrtf(s.bias2);
    const float *weights = work->weights + first;
    const float *m = work->states[0] + first;
    const float *v = work->states[1] + first;
    for (size_t i = 0; i < count; i++) {
        out[i] = m[i] / s.bias1 / (sqrtf(v[i]) / bias2_root + s.eps) + decay * weights[i];
    }
}

static void update_moments(const struct optimizer_work *work, size_t first, size_t count)
{
    const struct optimizer_step s = work->step;
    const float *grad = work->mean + first;
    float *m = work->states[0] + first;
    float *v = work->states[1] + first;
    for (size_t i = 0; i < count; i++) {
        float g = grad[i] * s.clip_scale;
        m[i] = s.beta1 * m[i] + s.rest1 * g;
        v[i] = s.beta2 * v[i] + s.rest2 * (g * g);
    }
}

/* One block, or the vector's last part of one. */
static void measure_block(const struct optimizer_work *work, size_t first, size_t end,
                          size_t *tensor)
{
    float update[MASTER_SLICE_ALIGN];
    for (size_t position = first; position < end;) {
        struct segment segment = segment_next(work->layout, tensor, position, end);
        size_t count = segment.end - position;
        if (!segment.padding) {
            double *squares = squares_of(work, first / MASTER_SLICE_ALIGN, segment.tensor);
            update_moments(work, position, count);
            direction(work, position, count, segment.decayed, update);
            squares[0] = segment_squares(work->weights + position, count);
            squares[1] = segment_squares(update, count);
        }
        position = segment.end;
    }
}

static void measure(const struct optimizer_work *work, size_t first, size_t end)
{
    size_t tensor = 0;
    for (size_t block = first; block < end; block += MASTER_SLICE_ALIGN) {
        size_t block_end = end - block < MASTER_SLICE_ALIGN ? end : block + MASTER_SLICE_ALIGN;
        measure_block(work, block, block_end, &tensor);
    }
}

static double trust_ratio(double weight_norm, double update_norm)
{
    if (weight_norm == 0 || update_norm == 0) {
        return 1.0;
    }
    double ratio = (weight_norm > weight_norm_max ? weight_norm_max : weight_norm) / update_norm;
    return ratio > ratio_max ? ratio_max : ratio;
}

static void settle(const struct optimizer_work *work)
{
    for (size_t tensor = 0; tensor < layout_tensor_count(work->layout); tensor++) {
        const struct tensor_spec *spec = layout_tensor(work->layout, tensor);
        size_t last_block = (spec->offset + spec->count - 1) / MASTER_SLICE_ALIGN;
        double weight = 0;
        double update = 0;
        for (size_t block = spec->offset / MASTER_SLICE_ALIGN; block <= last_block; block++) {
            weight += squares_of(work, block, tensor)[0];
            update += squares_of(work, block, tensor)[1];
        }
        *ratio_of(work, tensor) = spec->rank > 1 ? trust_ratio(sqrt(weight), sqrt(update)) : 1.0;
    }
}

static void apply_part(const struct optimizer_work *work, size_t first, size_t count,
                       const struct segment *segment)
{
    float update[MASTER_SLICE_ALIGN];
    const float rate = (float)((double)work->step.learning_rate * *ratio_of(work, segment->tensor));
    float *weights = work->weights + first;
    direction(work, first, count, segment->decayed, update);
    for (size_t i = 0; i < count; i++) {
        weights[i] -= rate * update[i];
    }
}

static void apply(const struct optimizer_work *work, const struct segment *segment)
{
    for (size_t first = segment->first; first < segment->end; first += MASTER_SLICE_ALIGN) {
        size_t left = segment->end - first;
        apply_part(work, first, left < MASTER_SLICE_ALIGN ? left : MASTER_SLICE_ALIGN, segment);
    }
}

const struct optimizer_rules lamb_rules = {
    .name = "lamb",
    .state_count = 2,
    .states = {{.name = "moment1"}, {.name = "moment2"}},
    .defaults = {.kind = OPTIMIZER_LAMB,
                 .beta1 = 0.9,
                 .beta2 = 0.999,
                 .eps = 1e-6,
                 .weight_decay = 0.01,
                 .grad_clip = 1.0},
    .scratch_count = scratch_count,
    .measure = measure,
    .settle = settle,
    .apply = apply,
};
