/* hf_folder - a model as a Hugging Face folder: config.json, model.safetensors, tokenizer files.
 *
 * What is written loads in transformers; what transformers wrote loads here. Every error leaves
 * a sentence that names the file. */
#ifndef DUGNAD_TRAINER_FORMATS_HF_FOLDER_H
#define DUGNAD_TRAINER_FORMATS_HF_FOLDER_H

#include "trainer/layout/layout.h"
#include "trainer/tokenizer/tokenizer.h"

/* Reads config.json alone. Errors: NO_INPUT, BAD_DATA, BAD_CONFIG, OUT_OF_RANGE. */
MUST_CHECK enum status hf_folder_read_config(const char *folder, struct model_config *out);

/* Reads model.safetensors into `params`, shape (layout_value_count), padding zero. Refuses a
 * missing tensor, a wrong shape, and a tensor that the layout does not know (except a tied
 * head's copy, rotary inv_freq and causal-mask buffers, and names with or without the
 * "transformer." prefix that gpt2 folders differ in). Errors: NO_INPUT, BAD_DATA, BAD_SHAPE. */
MUST_CHECK enum status hf_folder_read_params(const char *folder, const struct layout *layout,
                                             float *params);

/* Writes tensors of a flat vector under their layout names to a safetensors file: parameters,
 * gradients or moments. Errors: as safetensors_write. */
MUST_CHECK enum status hf_folder_write_tensors(const char *path, const struct layout *layout,
                                               const float *values);

/* Writes config.json, generation_config.json, model.safetensors and the tokenizer's files into
 * an existing folder. `tokenizer` may be NULL (none is written).
 * Errors: CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status hf_folder_write(const char *folder, const struct model_config *config,
                                       const struct layout *layout, const float *params,
                                       const struct tokenizer *tokenizer);

#endif
