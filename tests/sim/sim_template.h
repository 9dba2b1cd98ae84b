/* sim_template - the few runs that all seeds begin with, each made once in a process.
 *
 * A template is made from its number alone, never from a seed: which seeds ran before cannot show.
 * It holds the folder of a fresh run, a tiny model, and the gradients that were computed already.
 */
#ifndef DUGNAD_TESTS_SIM_SIM_TEMPLATE_H
#define DUGNAD_TESTS_SIM_SIM_TEMPLATE_H

#include "coordinator/store/run_dir.h"
#include "proto/link.h"
#include "tests/sim/sim_disk.h"
#include "trainer/model/model.h"

#define SIM_RUN_PATH SIM_DISK_ROOT "/run"

struct sim_gradient {
    bool used;
    struct digest params; /* of the parameters it was computed with */
    uint64_t sample;
    double loss_sum;
    float *values; /* (value_count), on the grid */
};

enum { SIM_GRADIENTS_MAX = 1024, SIM_STEPS_MAX = 8, SIM_CONTEXT_MAX = 32, SIM_SAMPLES_MAX = 64 };

struct sim_template {
    bool made;
    size_t index;
    struct sim_disk *disk; /* with the fresh run in SIM_RUN_PATH */
    struct run_config config;
    struct join_link link;
    size_t value_count;
    struct model *model;
    struct weights *weights;
    struct workspace *workspace;
    struct gradient *gradient;
    struct dataset *data;
    struct sim_gradient *gradients; /* (SIM_GRADIENTS_MAX) open addressing */
    size_t gradient_count;
    struct digest digests[SIM_STEPS_MAX + 1]; /* of each version, trained on one machine */
    float *last;                              /* (value_count) its parameters at the end */
};

/* Makes all templates, and the keys of all peers. Errors end the program. */
void sim_templates_make(void);
void sim_templates_free(void);

const struct sim_template *sim_template(size_t index);
const struct identity *sim_identity(uint32_t peer);

/* Gradient of one sample, d (sum of its losses) / d params at `params` whose digest is given, each
 * value rounded to a multiple of 2^-14: sums of whole steps are then exact in float32, in whatever
 * order and by whomever they are made. tokens(context + 1) are the sample's. Valid until the next
 * call. */
const struct sim_gradient *sim_gradient(const struct sim_template *pattern,
                                        const struct digest *digest, const float *params,
                                        uint64_t sample, const uint16_t *tokens);

/* Forgets gradients of parameters that only this seed has seen. */
void sim_gradients_clear(const struct sim_template *pattern);

#endif
