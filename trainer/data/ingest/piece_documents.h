/* piece_documents - the documents in a piece of text, one after the other.
 *
 * A piece of a plain file is (a part of) one document; a piece of JSON lines has one in the field
 * of each line. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_DATA_INGEST_PIECE_DOCUMENTS_H
#define DUGNAD_TRAINER_DATA_INGEST_PIECE_DOCUMENTS_H

#include "trainer/data/ingest/text_source.h"

struct piece_documents {
    struct text_piece *piece;
    const char *field;
    size_t at;     /* the piece's bytes before it are done */
    uint64_t line; /* of the next byte */
};

/* Borrows the piece, whose bytes may change, and the field's name. */
void piece_documents_init(struct piece_documents *self, struct text_piece *piece,
                          const char *field);

/* *out_text(*out_length) > 0 is the next document that is not empty, inside of the piece;
 * *out_found is false when there is none. Errors: BAD_DATA (names file and line). */
MUST_CHECK enum status piece_documents_next(struct piece_documents *self, const uint8_t **out_text,
                                            size_t *out_length, bool *out_found);

#endif
