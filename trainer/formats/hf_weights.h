/* hf_weights - the tensors of a Hugging Face folder, in one file or in several with an index.
 *
 * model.safetensors, or model.safetensors.index.json with "weight_map": {tensor: file}. A folder
 * may come from anybody: files lie inside it, and index and files must agree on every tensor.
 * Every error leaves a sentence that names the file. One reader per thread. */
#ifndef DUGNAD_TRAINER_FORMATS_HF_WEIGHTS_H
#define DUGNAD_TRAINER_FORMATS_HF_WEIGHTS_H

#include "trainer/layout/layout.h"

enum { HF_WEIGHTS_FILES_MAX = 1024, HF_WEIGHTS_INDEX_MAX = 32 << 20 /* bytes */ };

struct hf_weights;

/* Maps the file or files and checks headers and index; a folder that has both is read as one
 * file, as transformers does. The caller owns *out.
 * Errors: NO_INPUT, BAD_DATA, FULL, NO_MEMORY. */
MUST_CHECK enum status hf_weights_open(const char *folder, struct hf_weights **out);
void hf_weights_close(struct hf_weights *self); /* NULL is allowed. */

/* All that can be wrong without reading values: refuses a missing tensor, a wrong shape or type,
 * and a tensor that the layout does not know (except a tied head's copy, rotary inv_freq and
 * causal-mask buffers, and names with or without the "transformer." prefix that gpt2 folders
 * differ in). Errors: BAD_DATA, BAD_SHAPE, NO_MEMORY. */
MUST_CHECK enum status hf_weights_check(const struct hf_weights *self, const struct layout *layout);

/* Checks, then fills `params`, shape (layout_value_count), padding zero. Errors: as the check. */
MUST_CHECK enum status hf_weights_read(const struct hf_weights *self, const struct layout *layout,
                                       float *params);

size_t hf_weights_file_count(const struct hf_weights *self);

/* "float32", "float16", "bfloat16", or "mixed" when the layout's tensors differ in type. */
const char *hf_weights_dtype_name(const struct hf_weights *self, const struct layout *layout);

#endif
