/* trial_run - one whole training as a coordinator and its peers would make it, in one process
 * without network, and the loss at its end.
 *
 * Contributors share each step's samples; each has a gradient whose residual stays behind when it
 * is encoded. Contributions are checked and summed exactly, the master makes the step, and what
 * the contributors compute on is what the decoded updates made of the first parameters; its digest
 * is compared with the master's in every step. With one contributor, fp32 and fresh samples the
 * digests are those of `dugnad train` on one thread.
 *
 * Stale samples of step t are computed on P[t-1] + ahead U[t-2] + bend (U[t-2] - U[t-3]), where
 * U[t] = P[t+1] - P[t], as peers do while U[t-1] is still on its way.
 *
 * One thread, the caller's and one that it waits for; runs on several threads at a time. */
#ifndef DUGNAD_TRAINER_CLI_TRIAL_RUN_H
#define DUGNAD_TRAINER_CLI_TRIAL_RUN_H

#include "common/digest.h"
#include "trainer/cli/trial_variant.h"
#include "trainer/data/dataset.h"
#include "trainer/model/model.h"
#include "trainer/run/run_config.h"

/* What all runs of a trial have in common; borrowed. */
struct trial_setting {
    const struct run_config *config; /* its codecs do not matter */
    const struct dataset *train;
    const struct dataset *validation;
    const struct backend *backend;
    uint64_t contributor_count;
    uint64_t windows_max; /* of the validation split; 0: all */
};

struct trial_result {
    double loss;        /* of the validation split after the last step, in nats per token;
                           NaN when the parameters or the gradient were no longer finite */
    double train_loss;  /* mean of the last tenth of the steps, each before its step */
    double stale_share; /* of all samples */
    struct digest digest;
    double seconds;
};

/* Errors: NO_MEMORY, OS, BAD_CONFIG, OUT_OF_RANGE, each with a sentence. */
MUST_CHECK enum status trial_run(const struct trial_setting *setting,
                                 const struct trial_variant *variant, uint64_t seed,
                                 struct trial_result *out);

#endif
