#include "common/check.h"
#include "common/fault.h"
#include "trainer/formats/output_file.h"
#include "trainer/formats/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_ALIGN = 8 };

/* {"dtype":"F32","shape":[...],"data_offsets":[begin,end]}; NULL when there is no memory. */
static json_t *entry_to_json(const struct safetensors_output *tensor, uint64_t begin)
{
    json_t *shape = json_array();
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        count *= tensor->shape[i];
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    CHECK(count == tensor->count);
    uint64_t end = begin + count * sizeof(float);
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
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
        begin += tensors[i].count * sizeof(float);
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
        status = output_file_write(&file, tensors[i].values, tensors[i].count * sizeof(float));
    }
    if (status == STATUS_OK) {
        status = output_file_commit(&file);
    }
    output_file_abandon(&file);
    free(header);
    return status;
}
