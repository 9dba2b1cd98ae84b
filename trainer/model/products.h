/* products - how fast a backend multiplies a model's own matrices.
 *
 * Thread-safe; products_measure starts threads of its own and joins them. */
#ifndef DUGNAD_TRAINER_MODEL_PRODUCTS_H
#define DUGNAD_TRAINER_MODEL_PRODUCTS_H

#include "trainer/model/model.h"

enum { PRODUCTS_MAX = 24 };

/* One product of a training pass: forward, backward to the input, or a weight's gradient. */
struct product {
    const char *name;
    size_t m, n, k;
    bool a_transposed, b_transposed;
    bool to_floats; /* the result adds up in float32 */
    size_t count;   /* how often a pass over `rows` rows does it */
};

/* The products of a pass over `rows` rows on this backend; at most PRODUCTS_MAX. Returns how many.
 */
size_t products_of(const struct model_config *config, const struct backend *backend, size_t rows,
                   struct product *out);

/* Floating-point operations that a token of a training pass costs: 6 x the parameters that are
 * multiplied + 12 x layers x width x context (attention, as if nothing were masked). */
double products_flops_per_token(const struct model_config *config, size_t context);

/* Seconds that one product takes on `thread_count` threads at once (1 to TEAM_THREADS_MAX,
 * CHECKed), each on its own matrices: the threads' mean of their best of `repeat_count` > 0 times.
 * Errors: NO_MEMORY, OS. */
MUST_CHECK enum status products_measure(const struct backend *backend,
                                        const struct product *product, size_t thread_count,
                                        size_t repeat_count, double *out_seconds);

#endif
