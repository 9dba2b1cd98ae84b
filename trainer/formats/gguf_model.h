/* gguf_model - a model with its tokenizer as a GGUF file for llama.cpp.
 *
 * Tensors get llama.cpp's names. gpt2's [in, out] weights are transposed; llama's query and key
 * rows are put in the order that llama.cpp's rotation of neighbouring values expects. Vectors and
 * learned positions stay float32. The memory needed is a few rows. Every error leaves a sentence.
 */
#ifndef DUGNAD_TRAINER_FORMATS_GGUF_MODEL_H
#define DUGNAD_TRAINER_FORMATS_GGUF_MODEL_H

#include "trainer/formats/ggml_type.h"
#include "trainer/layout/layout.h"
#include "trainer/tokenizer/tokenizer.h"

/* Everything is borrowed. */
struct gguf_model {
    const struct model_config *config;
    const struct layout *layout;
    const float *params;               /* (layout_value_count), finite */
    const struct tokenizer *tokenizer; /* NULL: the file takes and gives token ids only */
    enum ggml_type type;               /* of the matrices */
};

struct gguf_model_facts {
    size_t tensor_count;
    size_t f16_count; /* q8_0 only: matrices whose rows are not whole blocks, kept as float16 */
    uint64_t size_bytes;
};

/* Writes the file atomically, in place of an older one. Errors: BAD_CONFIG (the tokenizer does not
 * fit the model, or cuts text in a way that llama.cpp has no name for), OUT_OF_RANGE (a value is
 * too large for the type), CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status gguf_model_write(const char *path, const struct gguf_model *model,
                                        struct gguf_model_facts *out);

#endif
