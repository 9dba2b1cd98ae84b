#include "common/check.h"
#include "common/fault.h"
#include "common/half.h"
#include "trainer/formats/output_file.h"
#include "trainer/formats/safetensors.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_ALIGN = 8, HALVES_MAX = 4096 /* values that are converted at a time */ };

static uint64_t size_of(const struct safetensors_output *tensor)
{
    return tensor->count * (tensor->dtype == DTYPE_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* {"dtype":"F32","shape":[...],"data_offsets":[begin,end]}; NULL when there is no memory. */
static json_t *entry_to_json(const struct safetensors_output *tensor, uint64_t begin)
{
    static const char *const NAMES[] = {
        [DTYPE_F32] = "F32", [DTYPE_F16] = "F16", [DTYPE_BF16] = "BF16"};
    json_t *shape = json_array();
    uint64_t count = 1;
    CHECK(tensor->dtype != DTYPE_OTHER);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        count *= tensor->shape[i];
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    CHECK(count == tensor->count);
    uint64_t end = begin + size_of(tensor);
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", NAMES[tensor->dtype], "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

/* The padded header text; NULL when there is no memory. The caller frees it. */
static char *make_header(const struct safetensors_output *tensors, size_t count)
{
    char *text = NULL;
    char *padded = NULL;
    uint64_t begin = 0;
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    for (size_t i = 0; i < count; i++) {
        CHECK(tensors[i].rank <= SAFETENSORS_RANK_MAX);
        if (json_object_set_new(header, tensors[i].name, entry_to_json(&tensors[i], begin)) != 0) {
            goto done;
        }
        begin += size_of(&tensors[i]);
    }
    text = json_dumps(header, JSON_COMPACT);
    if (text == NULL) {
        goto done;
    }
    size_t length = strlen(text);
    size_t length_padded = (length + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    padded = malloc(length_padded + 1);
    if (padded != NULL) {
        memset(padded, ' ', length_padded);
        memcpy(padded, text, length);
        padded[length_padded] = '\0';
    }
done:
    free(text);
    json_decref(header);
    return padded;
}

static enum status write_halves(struct output_file *file, const struct safetensors_output *tensor)
{
    uint16_t halves[HALVES_MAX];
    size_t length = 0;
    for (size_t i = 0; i < tensor->count; i += length) {
        length = tensor->count - i < HALVES_MAX ? tensor->count - i : HALVES_MAX;
        for (size_t j = 0; j < length; j++) {
            bool f16 = tensor->dtype == DTYPE_F16;
            float value = tensor->values[i + j];
            halves[j] = f16 ? half_to_f16(value) : half_to_bf16(value);
            float back = f16 ? half_from_f16(halves[j]) : half_from_bf16(halves[j]);
            if (isfinite(value) && isinf(back)) {
                return fault(STATUS_OUT_OF_RANGE,
                             "tensor %s holds %g, which is too large for %s; choose another type",
                             tensor->name, (double)value, tensor_dtype_name(tensor->dtype));
            }
        }
        enum status status = output_file_write(file, halves, length * sizeof(halves[0]));
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status write_values(struct output_file *file, const struct safetensors_output *tensor)
{
    return tensor->dtype == DTYPE_F32
               ? output_file_write(file, tensor->values, tensor->count * sizeof(float))
               : write_halves(file, tensor);
}

enum status safetensors_write(const char *path, const struct safetensors_output *tensors,
                              size_t count)
{
    char *header = make_header(tensors, count);
    if (header == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the header of %s", path);
    }
    uint64_t header_bytes = strlen(header);
    struct output_file file;
    enum status status = output_file_begin(&file, path);
    if (status != STATUS_OK) {
        free(header);
        return status;
    }
    status = output_file_write(&file, &header_bytes, sizeof(header_bytes));
    if (status == STATUS_OK) {
        status = output_file_write(&file, header, (size_t)header_bytes);
    }
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = write_values(&file, &tensors[i]);
    }
    if (status == STATUS_OK) {
        status = output_file_commit(&file);
    }
    output_file_abandon(&file);
    free(header);
    return status;
}
