#include "trainer/cli/load.h"

#include "common/fault.h"
#include "common/memory.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/model/precision.h"

#include <stdio.h>
#include <stdlib.h>

static enum status choose_context(const struct model_config *config, const struct load_plan *plan,
                                  size_t *out)
{
    size_t most = config->context_max;
    *out = plan->context_max;
    if (plan->context_max == 0) {
        *out = most < LOADED_CONTEXT_DEFAULT_MAX ? most : LOADED_CONTEXT_DEFAULT_MAX;
    } else if (plan->context_max > most) {
        *out = most;
        if (!plan->cut_context) {
            return fault(STATUS_USAGE, "a context of %zu is more than the %zu of the model in %s",
                         plan->context_max, most, plan->folder);
        }
    }
    return STATUS_OK;
}

static enum status check_memory(const struct loaded_model *self, const struct load_plan *plan)
{
    uint64_t need_bytes = (uint64_t)layout_value_count(model_layout(self->model)) * sizeof(float);
    need_bytes += weights_bytes(self->model);
    if (plan->pass_bytes != NULL) {
        need_bytes += plan->pass_bytes(self->model, self->context, plan->caller);
    }
    return memory_check_fits("this model", need_bytes,
                             "use a smaller context, fewer threads or a smaller model");
}

static enum status read_params(struct loaded_model *self, const char *folder)
{
    const struct layout *layout = model_layout(self->model);
    self->params = model_backend(self->model)->allocate(layout_value_count(layout) * sizeof(float));
    if (self->params == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the parameters of %s", folder);
    }
    enum status status = hf_folder_read_params(folder, layout, self->params);
    if (status == STATUS_OK) {
        status = weights_new(self->model, &self->weights);
    }
    if (status == STATUS_OK) {
        weights_load(self->weights, self->params);
    }
    return status;
}

static enum status choose_backend(const struct load_plan *plan, const struct model_config *config,
                                  const struct backend **out)
{
    enum precision precision = PRECISION_AUTO;
    struct precision_choice choice = {0};
    if (plan->backend_name != NULL) {
        return backend_find(plan->backend_name, out);
    }
    enum status status = precision_find(plan->precision, &precision);
    if (status == STATUS_OK) {
        status = precision_choose(precision, config, &choice);
    }
    *out = choice.backend;
    return status;
}

enum status loaded_model_init(struct loaded_model *out, const struct load_plan *plan)
{
    *out = (struct loaded_model){0};
    struct model_config config;
    const struct backend *backend = NULL;
    enum status status = hf_folder_read_config(plan->folder, &config);
    if (status == STATUS_OK) {
        status = choose_backend(plan, &config, &backend);
    }
    if (status == STATUS_OK) {
        status = choose_context(&config, plan, &out->context);
    }
    if (status == STATUS_OK) {
        status = model_new(&config, backend, &out->model);
    }
    if (status == STATUS_OK) {
        status = check_memory(out, plan);
    }
    return status == STATUS_OK ? read_params(out, plan->folder) : status;
}

void loaded_model_deinit(struct loaded_model *self)
{
    if (self->params != NULL) {
        model_backend(self->model)->release(self->params);
    }
    weights_free(self->weights);
    model_free(self->model);
    *self = (struct loaded_model){0};
}
