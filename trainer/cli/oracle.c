#include "trainer/cli/oracle.h"

#include "common/fault.h"
#include "trainer/cli/oracle_input.h"
#include "trainer/cli/oracle_logprobs.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/model/model.h"
#include "trainer/optimizer/adamw.h"

#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *model;
    const char *ids;
    const char *golden;
    const char *out;
    const char *backend;
    bool json;
};

/* One model on one thread, with what a step needs. */
struct bench {
    struct model *model;
    struct workspace *workspace;
    struct gradient *gradient;
    struct weights *weights;
    float *params;
    float *mean; /* the mean gradient of the latest batch */
    size_t value_count;
};

static void bench_deinit(struct bench *self)
{
    free(self->params);
    free(self->mean);
    gradient_free(self->gradient);
    weights_free(self->weights);
    workspace_free(self->workspace);
    model_free(self->model);
}

/* End it with bench_deinit, also after an error. */
static enum status bench_init(struct bench *self, const struct options *options)
{
    memset(self, 0, sizeof(*self));
    struct model_config config;
    const struct backend *backend = NULL;
    enum status status = backend_find(options->backend, &backend);
    if (status == STATUS_OK) {
        status = hf_folder_read_config(options->model, &config);
    }
    if (status == STATUS_OK) {
        status = model_new(&config, backend, &self->model);
    }
    if (status != STATUS_OK) {
        return status;
    }
    self->value_count = layout_value_count(model_layout(self->model));
    self->params = calloc(self->value_count, sizeof(*self->params));
    self->mean = calloc(self->value_count, sizeof(*self->mean));
    if (self->params == NULL || self->mean == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the parameters of %s", options->model);
    }
    status = gradient_new(self->model, &self->gradient);
    if (status == STATUS_OK) {
        status = weights_new(self->model, &self->weights);
    }
    if (status == STATUS_OK) {
        status = hf_folder_read_params(options->model, model_layout(self->model), self->params);
    }
    return status;
}

/* A workspace for the longest row that will come. */
static enum status bench_prepare(struct bench *self, const struct oracle_batch *batches,
                                 size_t batch_count)
{
    size_t longest = 0;
    for (size_t i = 0; i < batch_count; i++) {
        for (size_t j = 0; j < batches[i].row_count; j++) {
            size_t length = batches[i].row_starts[j + 1] - batches[i].row_starts[j];
            longest = length > longest ? length : longest;
        }
    }
    struct workspace_plan plan = {
        .context = longest - 1, .sequence_count = 1, .purpose = WORKSPACE_GRADIENT};
    return workspace_new(self->model, &plan, &self->workspace);
}

/* Loss per predicted token; the mean gradient is left in self->mean. */
static enum status bench_step(struct bench *self, const struct oracle_batch *batch,
                              double *out_loss)
{
    double loss_sum = 0.0;
    double predicted = (double)oracle_batch_predicted(batch);
    weights_load(self->weights, self->params);
    gradient_zero(self->gradient);
    for (size_t i = 0; i < batch->row_count; i++) {
        const uint16_t *row = batch->tokens + batch->row_starts[i];
        struct sequences sequences = {.tokens = &row,
                                      .count = 1,
                                      .length =
                                          batch->row_starts[i + 1] - batch->row_starts[i] - 1};
        double row_loss = 0.0;
        model_gradient(self->model, self->workspace, self->weights, &sequences, self->gradient,
                       &row_loss);
        loss_sum += row_loss;
    }
    memcpy(self->mean, gradient_values(self->gradient), self->value_count * sizeof(*self->mean));
    for (size_t i = 0; i < self->value_count; i++) {
        self->mean[i] = (float)((double)self->mean[i] / predicted);
    }
    *out_loss = loss_sum / predicted;
    return isfinite(*out_loss) ? STATUS_OK
                               : fault(STATUS_OUT_OF_RANGE, "the loss is no longer a number");
}

static enum status run_grad(const struct options *options)
{
    struct bench bench;
    struct oracle_batch batch = {0};
    double loss = 0.0;
    enum status status = bench_init(&bench, options);
    if (status == STATUS_OK) {
        status = oracle_read_ids(options->ids, model_config_of(bench.model), &batch);
    }
    if (status == STATUS_OK) {
        status = bench_prepare(&bench, &batch, 1);
    }
    if (status == STATUS_OK) {
        status = bench_step(&bench, &batch, &loss);
    }
    if (status == STATUS_OK) {
        status = hf_folder_write_tensors(options->out, model_layout(bench.model), bench.mean);
    }
    if (status == STATUS_OK) {
        printf(options->json ? "{\"loss\": %.17g}\n" : "loss %.9g nats per predicted token\n",
               loss);
    }
    oracle_batch_deinit(&batch);
    bench_deinit(&bench);
    return status;
}

static double l2_norm(const float *values, size_t count)
{
    double square = 0.0;
    for (size_t i = 0; i < count; i++) {
        square += (double)values[i] * (double)values[i];
    }
    return sqrt(square);
}

struct moments {
    float *m;
    float *v;
};

static void update_params(struct bench *bench, const struct optimizer_step *step,
                          const struct moments *moments)
{
    const struct layout *layout = model_layout(bench->model);
    for (size_t i = 0; i < layout_tensor_count(layout); i++) {
        const struct tensor_spec *tensor = layout_tensor(layout, i);
        size_t at = tensor->offset;
        adamw_apply(step, bench->params + at, moments->m + at, moments->v + at, bench->mean + at,
                    tensor->count, tensor->decayed);
    }
}

/* Fills losses and norms, shape (step_count). */
static enum status train(struct bench *bench, const struct oracle_training *training,
                         double *losses, double *norms)
{
    struct moments moments = {.m = calloc(bench->value_count, sizeof(float)),
                              .v = calloc(bench->value_count, sizeof(float))};
    enum status status = moments.m != NULL && moments.v != NULL
                             ? STATUS_OK
                             : fault(STATUS_NO_MEMORY, "no memory for the optimizer's moments");
    for (size_t i = 0; status == STATUS_OK && i < training->step_count; i++) {
        status = bench_step(bench, &training->batches[i], &losses[i]);
        if (status == STATUS_OK) {
            norms[i] = l2_norm(bench->mean, bench->value_count);
            struct optimizer_step step =
                optimizer_prepare(&training->adamw, training->learning_rates[i], i + 1, norms[i]);
            update_params(bench, &step, &moments);
        }
    }
    free(moments.m);
    free(moments.v);
    return status;
}

static void print_list(const char *name, const double *values, size_t count)
{
    printf("\"%s\": [", name);
    for (size_t i = 0; i < count; i++) {
        printf("%s%.17g", i > 0 ? ", " : "", values[i]);
    }
    printf("]");
}

static void print_training(const double *losses, const double *norms, size_t count, bool json)
{
    if (json) {
        printf("{");
        print_list("loss", losses, count);
        printf(", ");
        print_list("grad_l2", norms, count);
        printf("}\n");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        printf("step %zu loss %.9g grad_l2 %.9g\n", i, losses[i], norms[i]);
    }
}

static enum status train_and_print(struct bench *bench, const struct oracle_training *training,
                                   bool json)
{
    double *losses = calloc(2 * training->step_count, sizeof(*losses));
    if (losses == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the losses");
    }
    double *norms = losses + training->step_count;
    enum status status = train(bench, training, losses, norms);
    if (status == STATUS_OK) {
        print_training(losses, norms, training->step_count, json);
    }
    free(losses);
    return status;
}

static enum status run_train(const struct options *options)
{
    struct bench bench;
    struct oracle_training training = {0};
    enum status status = bench_init(&bench, options);
    if (status == STATUS_OK) {
        status = oracle_read_training(options->golden, model_config_of(bench.model), &training);
    }
    if (status == STATUS_OK) {
        status = bench_prepare(&bench, training.batches, training.step_count);
    }
    if (status == STATUS_OK) {
        status = train_and_print(&bench, &training, options->json);
    }
    oracle_training_deinit(&training);
    bench_deinit(&bench);
    return status;
}

static enum status read_options(int argc, char **argv, struct options *out)
{
    static const struct option OPTIONS[] = {{"model", required_argument, NULL, 'm'},
                                            {"ids", required_argument, NULL, 'i'},
                                            {"golden", required_argument, NULL, 'g'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"backend", required_argument, NULL, 'b'},
                                            {"json", no_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    *out = (struct options){.backend = "cpu"};
    optind = 0; /* glibc: start anew, this argv was not seen before */
    opterr = 0;
    int letter;
    while ((letter = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (letter) {
        case 'm':
            out->model = optarg;
            break;
        case 'i':
            out->ids = optarg;
            break;
        case 'g':
            out->golden = optarg;
            break;
        case 'o':
            out->out = optarg;
            break;
        case 'b':
            out->backend = optarg;
            break;
        case 'j':
            out->json = true;
            break;
        default:
            return fault(STATUS_USAGE, "oracle: '%s' is unknown or lacks its value",
                         argv[optind - 1]);
        }
    }
    return optind == argc ? STATUS_OK
                          : fault(STATUS_USAGE, "oracle: '%s' is one word too many", argv[optind]);
}

enum status cli_oracle(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    struct options options = {0};
    if (strcmp(verb, "logprobs") == 0) {
        return oracle_logprobs(argc - 1, argv + 1);
    }
    enum status status = argc > 1 ? read_options(argc - 1, argv + 1, &options) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    if (strcmp(verb, "grad") == 0 && options.model != NULL && options.ids != NULL &&
        options.out != NULL) {
        return run_grad(&options);
    }
    if (strcmp(verb, "train") == 0 && options.model != NULL && options.golden != NULL) {
        return run_train(&options);
    }
    return fault(STATUS_USAGE,
                 "use: dugnad oracle grad --model DIR --ids FILE.json --out FILE.safetensors "
                 "[--json] [--backend ref|cpu], or: dugnad oracle train --model DIR --golden "
                 "FILE.json [--json] [--backend ref|cpu], or: dugnad oracle logprobs --model DIR "
                 "--ids FILE.json|--text TEXT [--tokens N] [--backend ref|cpu]");
}
