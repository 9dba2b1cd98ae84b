/* solo - a run's training on one machine, without network.
 *
 * The same arithmetic as a coordinator with one peer that computes every sample: a team adds all
 * samples of a step into one gradient, which goes through the run's codec (its residual stays for
 * the next step), exact sums and the phases of a master. Threads: one owner; solo_step uses its
 * own threads, which rest between its phases. */
#ifndef DUGNAD_TRAINER_CLI_SOLO_H
#define DUGNAD_TRAINER_CLI_SOLO_H

#include "common/digest.h"
#include "trainer/data/dataset.h"
#include "trainer/model/team.h"
#include "trainer/run/run_config.h"

struct solo;

struct solo_step_result {
    uint64_t step; /* counted from 0 */
    double loss;   /* nats per token, before the step */
    uint64_t tokens;
    double grad_l2; /* of the mean gradient, before clipping */
    double learning_rate;
    struct digest digest; /* of the parameters after the step */
};

/* How the gradients are computed: no part of what a run is. */
struct solo_compute {
    const struct backend *backend;
    size_t thread_count;
    bool pinned; /* as in team_plan */
    enum recompute recompute;
};

/* Checks that the plan fits in memory, then allocates it all; parameters are zero. `config` and
 * `data` are borrowed until solo_free. Errors: NO_MEMORY, OUT_OF_RANGE,
 * BAD_CONFIG (data and model do not belong together); each with a sentence. */
MUST_CHECK enum status solo_new(const struct run_config *config, const struct solo_compute *compute,
                                const struct dataset *data, struct solo **out);
void solo_free(struct solo *self); /* NULL is allowed. */

/* Bytes that solo_new allocated. */
uint64_t solo_bytes(const struct solo *self);

/* P, shape (layout_value_count). After writing to it, call solo_start. */
float *solo_params(struct solo *self);
const struct layout *solo_layout(const struct solo *self);

/* Starts at step 0 from what solo_params holds. */
void solo_start(struct solo *self);

/* Computes and applies the next step.
 * Errors: OUT_OF_RANGE (loss, gradient or parameters are no longer finite numbers), OS. */
MUST_CHECK enum status solo_step(struct solo *self, struct solo_step_result *out);

#endif
