/* journal_format - the bytes of a journal's records, and every bound on them.
 *
 * What is encoded went through the same checks as what is decoded, so the reader never meets a
 * record that the writer should have refused. Decoding takes any bytes. docs/durability.md has the
 * layout. Pure; no I/O. */
#ifndef DUGNAD_COORDINATOR_STORE_JOURNAL_FORMAT_H
#define DUGNAD_COORDINATOR_STORE_JOURNAL_FORMAT_H

#include "coordinator/store/journal.h"

enum {
    JOURNAL_HEADER_BYTES = 128,
    JOURNAL_ALIGN = 8, /* records begin at multiples of it */
    JOURNAL_LEASE_RECORD_BYTES = JOURNAL_HEADER_BYTES + IDENTITY_KEY_BYTES + 32,
    /* No record but a step is longer. */
    JOURNAL_SMALL_RECORD_MAX = JOURNAL_HEADER_BYTES + 48 + JOURNAL_TEXT_MAX
};

/* Checked as far as the 128 bytes go. */
struct journal_header {
    enum journal_type type;
    bool condensed; /* a step: its payload is not here; a segment: that of no step is */
    uint32_t meta_bytes;
    uint64_t payload_bytes;
    uint64_t sequence;
    struct digest payload; /* its hash */
    struct digest previous;
    struct digest own;
};

/* Everything but `own`, which journal_header_seal adds. */
void journal_header_encode(const struct journal_header *header, uint8_t out[JOURNAL_HEADER_BYTES]);

/* Fills in the own hash of an encoded header and its meta part, and returns it. */
struct digest journal_header_seal(uint8_t head[JOURNAL_HEADER_BYTES], const uint8_t *meta,
                                  size_t meta_bytes);

/* Marks an encoded header as condensed; the hash does not cover the mark. */
void journal_header_condense(uint8_t head[JOURNAL_HEADER_BYTES]);

/* False when the bytes cannot be a header. */
bool journal_header_decode(const uint8_t head[JOURNAL_HEADER_BYTES], struct journal_header *out);

/* True when a header may begin with these four bytes. */
bool journal_header_begins(const uint8_t bytes[4]);

/* The own hash in pieces: begin, then digest_update with the meta part, then digest_end. */
void journal_header_hash_begin(const uint8_t head[JOURNAL_HEADER_BYTES], struct digest_stream *out);

/* Bytes of the record in its file, and where the next begins when the record begins at `offset`.
 * Neither overflows for a header whose record lies in a file. */
uint64_t journal_record_bytes(const struct journal_header *header);
uint64_t journal_align(uint64_t offset);

/* What a decoded step points to. Zeroed it is empty. */
struct journal_lists {
    struct journal_contribution *contributions;
    size_t contribution_capacity;
    struct sample_range *ranges;
    size_t range_capacity;
};
void journal_lists_free(struct journal_lists *lists);

/* Checks record->as and returns the size of its meta part, a multiple of 8.
 * Errors: FULL (past a limit), OUT_OF_RANGE (a fact that cannot be); both with a sentence. */
MUST_CHECK enum status journal_meta_size(const struct journal_record *record, size_t *out_bytes);

/* Writes the journal_meta_size bytes of a record that was checked. */
void journal_meta_encode(const struct journal_record *record, uint8_t *out);

/* Fills record->as from the meta part of a record of record->type; lists live in `lists`.
 * Errors: BAD_DATA (with a sentence), NO_MEMORY. */
MUST_CHECK enum status journal_meta_decode(const uint8_t *meta, size_t size_bytes,
                                           struct journal_lists *lists,
                                           struct journal_record *record);

#endif
