#include "trainer/cli/stored_model.h"

#include "common/fault.h"
#include "common/memory.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/formats/hf_weights.h"

#include <stdlib.h>

static enum status read_tokenizer(const char *folder, struct stored_model *out)
{
    enum status status = hf_folder_read_tokenizer(folder, &out->tokenizer);
    if (status == STATUS_NO_INPUT) {
        return STATUS_OK;
    }
    if (status == STATUS_OK && tokenizer_vocab_size(out->tokenizer) > out->config.vocab_size) {
        status = fault(STATUS_BAD_CONFIG,
                       "%s: the tokenizer has %u tokens and the model knows %u: they do not belong "
                       "together",
                       folder, tokenizer_vocab_size(out->tokenizer), out->config.vocab_size);
    }
    return status;
}

static enum status read_weights(const char *folder, struct stored_model *out)
{
    struct hf_weights *weights = NULL;
    size_t count = layout_value_count(out->layout);
    enum status status = hf_weights_open(folder, &weights);
    if (status == STATUS_OK) {
        status = hf_weights_check(weights, out->layout);
    }
    if (status == STATUS_OK) {
        status = memory_check_fits("this model", (uint64_t)count * sizeof(float),
                                   "use a machine with more memory");
    }
    if (status == STATUS_OK) {
        out->params = malloc(count * sizeof(*out->params));
        status = out->params != NULL
                     ? hf_weights_read(weights, out->layout, out->params)
                     : fault(STATUS_NO_MEMORY, "no memory for the parameters of %s", folder);
    }
    if (status == STATUS_OK) {
        out->dtype_name = hf_weights_dtype_name(weights, out->layout);
        out->file_count = hf_weights_file_count(weights);
        status = hf_folder_check_finite(folder, out->layout, out->params);
    }
    hf_weights_close(weights);
    return status;
}

enum status stored_model_read(const char *folder, bool with_tokenizer, struct stored_model *out)
{
    *out = (struct stored_model){0};
    enum status status = hf_folder_read_config(folder, &out->config);
    if (status == STATUS_OK) {
        status = layout_new(&out->config, &out->layout);
    }
    if (status == STATUS_OK && with_tokenizer) {
        status = read_tokenizer(folder, out);
    }
    return status == STATUS_OK ? read_weights(folder, out) : status;
}

void stored_model_deinit(struct stored_model *self)
{
    layout_free(self->layout);
    free(self->params);
    tokenizer_free(self->tokenizer);
    *self = (struct stored_model){0};
}
