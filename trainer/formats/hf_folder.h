/* hf_folder - a model as a Hugging Face folder: config.json, weights, tokenizer files.
 *
 * What is written loads in transformers; what transformers wrote loads here. Every error leaves
 * a sentence that names the file. */
#ifndef DUGNAD_TRAINER_FORMATS_HF_FOLDER_H
#define DUGNAD_TRAINER_FORMATS_HF_FOLDER_H

#include "trainer/formats/safetensors.h"
#include "trainer/layout/layout.h"
#include "trainer/tokenizer/tokenizer.h"

/* Reads config.json alone. Errors: NO_INPUT, BAD_DATA, BAD_CONFIG, OUT_OF_RANGE. */
MUST_CHECK enum status hf_folder_read_config(const char *folder, struct model_config *out);

/* Reads the weights, in one file or several, into `params`, shape (layout_value_count), padding
 * zero. Errors: as hf_weights_open and hf_weights_read (hf_weights.h). */
MUST_CHECK enum status hf_folder_read_params(const char *folder, const struct layout *layout,
                                             float *params);

/* BAD_DATA with a sentence that names folder and tensor when a parameter is not finite: training
 * cannot begin there. */
MUST_CHECK enum status hf_folder_check_finite(const char *folder, const struct layout *layout,
                                              const float *params);

/* The folder's tokenizer, which the caller owns; NO_INPUT when it holds none.
 * Errors: those of tokenizer_new, also for a tokenizer of a kind that is not read. */
MUST_CHECK enum status hf_folder_read_tokenizer(const char *folder, struct tokenizer **out);

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

/* A whole model, borrowed. */
struct hf_content {
    const struct model_config *config;
    const struct layout *layout;
    const float *params;               /* (layout_value_count) */
    const struct tokenizer *tokenizer; /* NULL: none is written */
    enum tensor_dtype dtype;           /* of the weights in the file */
};

/* The same as a new folder that appears whole or not at all; missing parents are made.
 * Errors: CANNOT_CREATE (also when it is there), IO, NO_MEMORY, OUT_OF_RANGE (a value is beyond
 * the type). */
MUST_CHECK enum status hf_folder_create(const char *path, const struct hf_content *content);

#endif
