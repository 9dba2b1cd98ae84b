/* piece_encoder - a piece of text to token ids.
 *
 * A document is followed by the end-of-text token when the tokenizer has one. With a tokenizer
 * without one, a document of JSON lines is followed by a newline, and nothing follows a file of
 * text. Documents without text give nothing.
 *
 * Immutable; thread-safe. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_PIECE_ENCODER_H
#define DUGNAD_TRAINER_DATA_INGEST_PIECE_ENCODER_H

#include "trainer/data/ingest/text_source.h"
#include "trainer/tokenizer/tokenizer.h"

struct piece_encoder {
    const struct tokenizer *tokenizer; /* borrowed */
    const char *field;                 /* of JSON lines; borrowed */
    bool separate;                     /* put something behind documents at all */
};

struct piece_tokens {
    uint16_t *ids; /* (count), owned */
    size_t count;
    size_t room;
    uint64_t text_bytes; /* that were encoded */
};

/* Encodes a piece, whose bytes may change. The caller owns *out: piece_tokens_deinit(), on errors
 * too. Errors, each with a sentence: NO_MEMORY, BAD_DATA (names file and line). */
MUST_CHECK enum status piece_encode(const struct piece_encoder *self, struct text_piece *piece,
                                    struct piece_tokens *out);
void piece_tokens_deinit(struct piece_tokens *self); /* A zeroed one is allowed. */

#endif
