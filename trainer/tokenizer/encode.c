#include "common/fault.h"
#include "trainer/tokenizer/bytes_hash.h"
#include "trainer/tokenizer/runs.h"
#include "trainer/tokenizer/tokenizer_parts.h"
#include "trainer/tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Pieces repeat: those seen before in the same call are copied. A cached piece is only two places,
 * in the text and in the ids made from it. */
enum { CACHE_BITS_MIN = 4, CACHE_BITS_MAX = 15, CACHED_BYTES_MAX = 64, CACHED_IDS_MAX = 64 };

struct cached_piece {
    size_t text_at;
    size_t ids_at;
    uint32_t hash;
    uint8_t length; /* 0: free */
    uint8_t id_count;
};

struct encoding {
    const struct tokenizer *tokenizer;
    const uint8_t *text;
    uint16_t *ids;
    size_t count;
    struct cached_piece *cache;
    unsigned cache_bits;
    struct pattern_cursor cursor;
};

static bool take_cached(struct encoding *self, uint64_t hash, size_t start, size_t length)
{
    const struct cached_piece *cached = &self->cache[hash >> (64 - self->cache_bits)];
    if (cached->hash != (uint32_t)hash || cached->length != length ||
        memcmp(self->text + cached->text_at, self->text + start, length) != 0) {
        return false;
    }
    memcpy(self->ids + self->count, self->ids + cached->ids_at,
           cached->id_count * sizeof(*self->ids));
    self->count += cached->id_count;
    return true;
}

static enum status add_piece(struct encoding *self, size_t start, size_t end)
{
    const uint8_t *piece = self->text + start;
    size_t length = end - start;
    bool is_short = length <= CACHED_BYTES_MAX;
    uint64_t hash = bytes_hash(piece, length);
    int32_t id = piece_table_find(&self->tokenizer->pieces, hash, piece, length);
    if (id >= 0) {
        self->ids[self->count++] = (uint16_t)id;
        return STATUS_OK;
    }
    if (is_short && take_cached(self, hash, start, length)) {
        return STATUS_OK;
    }
    size_t added = 0;
    enum status status =
        bpe_encode(&self->tokenizer->bpe, piece, length, self->ids + self->count, &added);
    if (status == STATUS_OK && is_short) {
        self->cache[hash >> (64 - self->cache_bits)] =
            (struct cached_piece){.text_at = start,
                                  .ids_at = self->count,
                                  .hash = (uint32_t)hash,
                                  .length = (uint8_t)length,
                                  .id_count = (uint8_t)added};
    }
    self->count += added;
    return status;
}

static enum status add_text(struct encoding *self, size_t start, size_t end)
{
    size_t at = start;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && at < end) {
        size_t piece_end = 0;
        status =
            pattern_next(&self->cursor, self->text + start, end - start, at - start, &piece_end);
        if (status == STATUS_OK) {
            status = add_piece(self, at, start + piece_end);
        }
        at = start + piece_end;
    }
    return status;
}

static enum status encoding_init(struct encoding *self, size_t length)
{
    self->cache_bits = CACHE_BITS_MIN;
    while (self->cache_bits < CACHE_BITS_MAX && ((size_t)8 << self->cache_bits) < length) {
        self->cache_bits++;
    }
    self->ids = malloc((length + 1) * sizeof(*self->ids));
    self->cache = calloc((size_t)1 << self->cache_bits, sizeof(*self->cache));
    if (self->ids == NULL || self->cache == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to encode %zu bytes of text", length);
    }
    return pattern_cursor_init(&self->cursor, self->tokenizer->pattern);
}

static enum status encode_bytes(const uint8_t *text, size_t length, uint16_t **out,
                                size_t *out_count)
{
    *out = malloc((length + 1) * sizeof(**out));
    if (*out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to encode %zu bytes of text", length);
    }
    for (size_t i = 0; i < length; i++) {
        (*out)[i] = text[i];
    }
    *out_count = length;
    return STATUS_OK;
}

enum status tokenizer_encode(const struct tokenizer *self, const uint8_t *text, size_t length,
                             uint16_t **out, size_t *out_count)
{
    *out = NULL;
    *out_count = 0;
    if (self->is_bytes) {
        return encode_bytes(text, length, out, out_count);
    }
    struct encoding encoding = {.tokenizer = self, .text = text};
    struct runs runs;
    struct run run;
    runs_init(&runs, &self->raw, &self->normalized, text, length);
    enum status status = encoding_init(&encoding, length);
    while (status == STATUS_OK && runs_next(&runs, &run)) {
        if (run.kind == RUN_ADDED) {
            encoding.ids[encoding.count++] = run.token->id;
        } else if (run.kind == RUN_BYTE) {
            encoding.ids[encoding.count++] = self->bpe.byte_ids[text[run.start]];
        } else {
            status = add_text(&encoding, run.start, run.end);
        }
    }
    pattern_cursor_deinit(&encoding.cursor);
    free(encoding.cache);
    if (status != STATUS_OK) {
        free(encoding.ids);
        return status;
    }
    uint16_t *fitting = realloc(encoding.ids, (encoding.count + 1) * sizeof(*encoding.ids));
    *out = fitting != NULL ? fitting : encoding.ids;
    *out_count = encoding.count;
    return STATUS_OK;
}

/* Behind this place, text that is still to come may complete a character or an added token, or an
 * added token that takes the spaces before it. */
static size_t decided_length(const struct tokenizer *self, const uint8_t *text, size_t length)
{
    size_t limit = length - utf8_unfinished_tail(text, length);
    size_t raw = added_set_unfinished(&self->raw, text, length);
    size_t normalized = added_set_unfinished(&self->normalized, text, length);
    limit = raw < limit ? raw : limit;
    limit = normalized < limit ? normalized : limit;
    if (self->raw.strips_left || self->normalized.strips_left) {
        limit -= utf8_spaces_at_end(text, limit);
    }
    return limit;
}

size_t tokenizer_safe_length(const struct tokenizer *self, const uint8_t *text, size_t length)
{
    struct pattern_cursor cursor;
    struct runs runs;
    struct run run;
    if (self->is_bytes) {
        return length;
    }
    if (pattern_cursor_init(&cursor, self->pattern) != STATUS_OK) {
        return 0;
    }
    size_t limit = decided_length(self, text, length);
    size_t safe = 0;
    runs_init(&runs, &self->raw, &self->normalized, text, length);
    while (runs_next(&runs, &run) && run.start < limit) {
        if (run.kind == RUN_TEXT && run.end >= limit) {
            safe = run.start + pattern_safe_length(&cursor, text + run.start, limit - run.start);
            break;
        }
        bool open = run.kind == RUN_ADDED &&
                    (run.end > limit || (run.end == limit && run.token->strip_right));
        if (open) {
            break;
        }
        safe = run.end;
    }
    pattern_cursor_deinit(&cursor);
    return safe;
}
