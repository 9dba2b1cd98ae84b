#include "trainer/run/run_start.h"

#include "common/fault.h"
#include "trainer/data/manifest.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/formats/hf_weights.h"

#include <string.h>

/* A model goes on with the token ids that it knows. */
static enum status check_tokens(const struct run_config *config, const struct manifest *manifest)
{
    struct tokenizer *tokenizer = NULL;
    if (manifest->vocab_size > config->model.vocab_size) {
        return fault(STATUS_BAD_CONFIG,
                     "the data in %s has %u token ids, but the model in %s knows %u; build the "
                     "data with the model's tokenizer",
                     config->data_folder, manifest->vocab_size, config->init_from,
                     config->model.vocab_size);
    }
    enum status status = hf_folder_read_tokenizer(config->init_from, &tokenizer);
    if (status == STATUS_NO_INPUT) {
        return STATUS_OK; /* nothing says with which tokenizer it was trained */
    }
    if (status == STATUS_OK && strcmp(tokenizer_name(tokenizer), manifest->tokenizer) != 0) {
        status = fault(STATUS_BAD_CONFIG,
                       "the model in %s has the tokenizer %s, but the data in %s was built with "
                       "%s; build it again with 'dugnad data build --tokenizer %s'",
                       config->init_from, tokenizer_name(tokenizer), config->data_folder,
                       manifest->tokenizer, config->init_from);
    }
    tokenizer_free(tokenizer);
    return status;
}

static enum status check_weights(const struct run_config *config)
{
    struct layout *layout = NULL;
    struct hf_weights *weights = NULL;
    enum status status = layout_new(&config->model, &layout);
    if (status == STATUS_OK) {
        status = hf_weights_open(config->init_from, &weights);
    }
    if (status == STATUS_OK) {
        status = hf_weights_check(weights, layout);
    }
    hf_weights_close(weights);
    layout_free(layout);
    return status;
}

enum status run_start_check(const struct run_config *config)
{
    struct manifest manifest;
    if (config->init_from[0] == '\0') {
        return STATUS_OK;
    }
    enum status status = manifest_read(config->data_folder, &manifest);
    if (status != STATUS_OK) {
        return status;
    }
    status = check_tokens(config, &manifest);
    manifest_deinit(&manifest);
    return status == STATUS_OK ? check_weights(config) : status;
}

enum status run_start_params(const struct run_config *config, const struct layout *layout,
                             float *params)
{
    if (config->init_from[0] == '\0') {
        layout_init_params(layout, &config->model, config->seed, params);
        return STATUS_OK;
    }
    enum status status = hf_folder_read_params(config->init_from, layout, params);
    return status == STATUS_OK ? hf_folder_check_finite(config->init_from, layout, params) : status;
}
