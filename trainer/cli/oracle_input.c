#include "trainer/cli/oracle_input.h"

#include "common/fault.h"
#include "common/files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

size_t oracle_batch_predicted(const struct oracle_batch *self)
{
    return self->row_starts[self->row_count] - self->row_count;
}

void oracle_batch_deinit(struct oracle_batch *self)
{
    free(self->row_starts);
    free(self->tokens);
    memset(self, 0, sizeof(*self));
}

/* Reads one JSON object; the caller ends *out with json_decref. */
static enum status read_object(const char *path, json_t **out)
{
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    enum status status = files_read(path, ORACLE_FILE_MAX, &text, &size_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    json_error_t error;
    *out = json_loadb((const char *)text, size_bytes, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return fault(STATUS_BAD_DATA, "%s does not hold one JSON object (line %d)", path,
                     error.line);
    }
    return STATUS_OK;
}

static enum status check_row_lengths(const char *path, const json_t *rows,
                                     const struct model_config *config, size_t *out_total)
{
    *out_total = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        size_t length = json_array_size(row);
        if (!json_is_array(row) || length < 2) {
            return fault(STATUS_OUT_OF_RANGE,
                         "%s: row %zu must be a list of at least 2 token ids, since each token "
                         "predicts the next",
                         path, i);
        }
        if (length > (size_t)config->context_max + 1) {
            return fault(STATUS_OUT_OF_RANGE,
                         "%s: row %zu has %zu token ids, but the model takes at most %u", path, i,
                         length, config->context_max + 1);
        }
        *out_total += length;
    }
    return STATUS_OK;
}

static enum status read_row(const char *path, const json_t *row, size_t row_index,
                            uint32_t vocab_size, uint16_t *out)
{
    for (size_t i = 0; i < json_array_size(row); i++) {
        const json_t *id = json_array_get(row, i);
        json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= (json_int_t)vocab_size) {
            return fault(STATUS_OUT_OF_RANGE,
                         "%s: row %zu holds something at place %zu that is no token id of this "
                         "model (0 to %u)",
                         path, row_index, i, vocab_size - 1);
        }
        out[i] = (uint16_t)value;
    }
    return STATUS_OK;
}

static enum status read_batch(const char *path, const json_t *rows,
                              const struct model_config *config, struct oracle_batch *out)
{
    memset(out, 0, sizeof(*out));
    size_t row_count = json_array_size(rows);
    if (row_count == 0) {
        return fault(STATUS_BAD_DATA, "%s: there must be a list of rows of token ids", path);
    }
    size_t total = 0;
    enum status status = check_row_lengths(path, rows, config, &total);
    if (status != STATUS_OK) {
        return status;
    }
    out->row_starts = calloc(row_count + 1, sizeof(*out->row_starts));
    out->tokens = calloc(total, sizeof(*out->tokens));
    if (out->row_starts == NULL || out->tokens == NULL) {
        return fault(STATUS_NO_MEMORY, "%s: no memory for %zu token ids", path, total);
    }
    out->row_count = row_count;
    for (size_t i = 0; status == STATUS_OK && i < row_count; i++) {
        const json_t *row = json_array_get(rows, i);
        out->row_starts[i + 1] = out->row_starts[i] + json_array_size(row);
        status = read_row(path, row, i, config->vocab_size, out->tokens + out->row_starts[i]);
    }
    return status;
}

enum status oracle_read_ids(const char *path, const struct model_config *config,
                            struct oracle_batch *out)
{
    memset(out, 0, sizeof(*out));
    json_t *root = NULL;
    enum status status = read_object(path, &root);
    if (status == STATUS_OK) {
        status = read_batch(path, json_object_get(root, "input_ids"), config, out);
    }
    json_decref(root);
    return status;
}

static enum status read_setting(const char *path, const json_t *object, const char *key,
                                double *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) {
        return fault(STATUS_BAD_DATA, "%s: optimizer.%s must be a number", path, key);
    }
    *out = json_number_value(value);
    return STATUS_OK;
}

static enum status read_optimizer(const char *path, const json_t *object,
                                  struct optimizer_settings *out)
{
    const struct {
        const char *key;
        double *value;
    } SETTINGS[] = {{"beta1", &out->beta1},
                    {"beta2", &out->beta2},
                    {"eps", &out->eps},
                    {"weight_decay", &out->weight_decay},
                    {"grad_clip_l2", &out->grad_clip}};
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < sizeof(SETTINGS) / sizeof(SETTINGS[0]); i++) {
        status = read_setting(path, object, SETTINGS[i].key, SETTINGS[i].value);
    }
    return status;
}

static enum status read_steps(const char *path, const json_t *root,
                              const struct model_config *config, struct oracle_training *out)
{
    const json_t *rates = json_object_get(root, "lr");
    const json_t *batches = json_object_get(root, "batches");
    size_t count = json_array_size(batches);
    if (count == 0 || count > ORACLE_STEPS_MAX || json_array_size(rates) != count) {
        return fault(STATUS_BAD_DATA, "%s: lr and batches must be lists of 1 to %d, one per step",
                     path, (int)ORACLE_STEPS_MAX);
    }
    out->learning_rates = calloc(count, sizeof(*out->learning_rates));
    out->batches = calloc(count, sizeof(*out->batches));
    if (out->learning_rates == NULL || out->batches == NULL) {
        return fault(STATUS_NO_MEMORY, "%s: no memory for %zu steps", path, count);
    }
    out->step_count = count;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const json_t *rate = json_array_get(rates, i);
        if (!json_is_number(rate)) {
            return fault(STATUS_BAD_DATA, "%s: lr must hold numbers", path);
        }
        out->learning_rates[i] = json_number_value(rate);
        status = read_batch(path, json_array_get(batches, i), config, &out->batches[i]);
    }
    return status;
}

enum status oracle_read_training(const char *path, const struct model_config *config,
                                 struct oracle_training *out)
{
    memset(out, 0, sizeof(*out));
    json_t *root = NULL;
    enum status status = read_object(path, &root);
    if (status == STATUS_OK) {
        status = read_optimizer(path, json_object_get(root, "optimizer"), &out->adamw);
    }
    if (status == STATUS_OK) {
        status = read_steps(path, root, config, out);
    }
    json_decref(root);
    return status;
}

void oracle_training_deinit(struct oracle_training *self)
{
    for (size_t i = 0; i < self->step_count; i++) {
        oracle_batch_deinit(&self->batches[i]);
    }
    free(self->batches);
    free(self->learning_rates);
    memset(self, 0, sizeof(*self));
}
