/* gguf_tokenizer - the keys that tell llama.cpp how a model's text becomes token ids.
 *
 * Private to trainer/formats. */
#ifndef DUGNAD_TRAINER_FORMATS_GGUF_TOKENIZER_H
#define DUGNAD_TRAINER_FORMATS_GGUF_TOKENIZER_H

#include "trainer/formats/gguf_write.h"
#include "trainer/layout/model_config.h"
#include "trainer/tokenizer/tokenizer.h"

/* Sets the keys of `tokenizer`. Ids that the model has beyond the tokenizer's get the text [PADn],
 * as in llama.cpp's own converter; all of them do when there is none (NULL), because readers that
 * are told so ("no_vocab") end at the first text. Errors: BAD_CONFIG. */
MUST_CHECK enum status gguf_tokenizer_set(struct gguf *gguf, const struct model_config *config,
                                          const struct tokenizer *tokenizer);

#endif
