#include "trainer/data/ingest/text_source.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/data/ingest/byte_source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t BYTE_ORDER_MARK[] = {0xef, 0xbb, 0xbf};

struct text_source {
    struct text_source_options options;
    size_t next_index; /* of the file to open next */
    /* The open file. */
    struct byte_source *bytes; /* NULL: none */
    const char *file;
    enum text_format format;
    uint64_t line;       /* of the next piece's first byte */
    uint64_t text_bytes; /* handed out */
    /* Text that stood behind the latest cut. */
    uint8_t *carry; /* (carry_length) */
    size_t carry_length;
    size_t carry_room;
    uint64_t closed_bytes; /* of the files before */
};

enum status text_source_check(const char *const *files, size_t file_count, uint64_t *out_bytes)
{
    bool known = true;
    *out_bytes = 0;
    for (size_t i = 0; i < file_count; i++) {
        struct stat facts;
        if (strcmp(files[i], "-") == 0) {
            known = false;
            continue;
        }
        /* Not opened: a pipe can be opened only once. */
        if (stat(files[i], &facts) != 0 || access(files[i], R_OK) != 0) {
            return fault(STATUS_NO_INPUT, "cannot read %s: %s", files[i], strerror(errno));
        }
        if (S_ISDIR(facts.st_mode)) {
            return fault(STATUS_NO_INPUT, "%s is a folder; name the text files in it", files[i]);
        }
        known = known && S_ISREG(facts.st_mode);
        *out_bytes += facts.st_size > 0 ? (uint64_t)facts.st_size : 0;
    }
    *out_bytes = known ? *out_bytes : 0;
    return STATUS_OK;
}

enum status text_source_new(const struct text_source_options *options, struct text_source **out)
{
    CHECK(options->piece_bytes > 0 && options->piece_bytes <= TEXT_SOURCE_PIECE_MAX);
    struct text_source *self = calloc(1, sizeof(*self));
    *out = self;
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to read text");
    }
    self->options = *options;
    return STATUS_OK;
}

void text_source_free(struct text_source *self)
{
    if (self != NULL) {
        byte_source_close(self->bytes);
        free(self->carry);
        free(self);
    }
}

void text_piece_deinit(struct text_piece *self)
{
    free(self->data);
    *self = (struct text_piece){0};
}

static enum status grow(uint8_t **data, size_t *room, size_t wanted)
{
    if (wanted <= *room) {
        return STATUS_OK;
    }
    uint8_t *grown = realloc(*data, wanted);
    if (grown == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for %zu bytes of text", wanted);
    }
    *data = grown;
    *room = wanted;
    return STATUS_OK;
}

static enum text_format format_of(const char *file, enum text_format asked)
{
    static const char *const ENDINGS[] = {".jsonl", ".ndjson"};
    size_t length = 0;
    (void)byte_source_packing(file, &length);
    if (asked != TEXT_FORMAT_BY_NAME) {
        return asked;
    }
    for (size_t i = 0; i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++) {
        size_t ending = strlen(ENDINGS[i]);
        if (length > ending && strncasecmp(file + length - ending, ENDINGS[i], ending) == 0) {
            return TEXT_FORMAT_JSON_LINES;
        }
    }
    return TEXT_FORMAT_PLAIN;
}

/* The mark's bytes stay behind as text when they are not a whole mark. */
static enum status skip_byte_order_mark(struct text_source *self)
{
    size_t got = 0;
    enum status status = grow(&self->carry, &self->carry_room, sizeof(BYTE_ORDER_MARK));
    if (status == STATUS_OK) {
        status = byte_source_read(self->bytes, self->carry, sizeof(BYTE_ORDER_MARK), &got);
    }
    if (status == STATUS_OK) {
        bool is_mark = got == sizeof(BYTE_ORDER_MARK) &&
                       memcmp(self->carry, BYTE_ORDER_MARK, sizeof(BYTE_ORDER_MARK)) == 0;
        self->carry_length = is_mark ? 0 : got;
    }
    return status;
}

static enum status open_next(struct text_source *self)
{
    self->file = self->options.files[self->next_index++];
    self->format = format_of(self->file, self->options.format);
    self->line = 1;
    self->text_bytes = 0;
    enum status status = byte_source_open(self->file, self->options.stop, &self->bytes);
    return status == STATUS_OK ? skip_byte_order_mark(self) : status;
}

static void close_file(struct text_source *self)
{
    self->closed_bytes += byte_source_used(self->bytes);
    byte_source_close(self->bytes);
    self->bytes = NULL;
    self->carry_length = 0;
}

static enum status refuse_length(const struct text_source *self)
{
    int limit_mib = TEXT_SOURCE_PIECE_MAX >> 20;
    if (self->format == TEXT_FORMAT_JSON_LINES) {
        return fault(STATUS_BAD_DATA,
                     "%s:%" PRIu64 ": the line is longer than %d MiB; split its document",
                     self->file, self->line, limit_mib);
    }
    return fault(STATUS_BAD_DATA,
                 "%s: there is no word that ends in the %d MiB of text behind byte "
                 "%" PRIu64 "; is it text?",
                 self->file, limit_mib, self->text_bytes);
}

/* How many of the piece's bytes can be encoded without what follows; the first `looked` bytes
 * were asked about before and had no such place. */
static size_t find_cut(const struct text_source *self, const struct text_piece *piece,
                       size_t looked)
{
    if (self->format != TEXT_FORMAT_JSON_LINES) {
        return self->options.safe_length(self->options.safe_context, piece->data, piece->length);
    }
    const uint8_t *last = memrchr(piece->data + looked, '\n', piece->length - looked);
    return last == NULL ? 0 : (size_t)(last - piece->data) + 1;
}

/* Reads more until the piece can be cut or the file ends. */
static enum status fill(struct text_source *self, struct text_piece *piece, size_t *out_cut)
{
    size_t target = self->options.piece_bytes;
    size_t looked = 0;
    for (;;) {
        size_t got = 0;
        target = target > piece->length ? target : piece->length + 1;
        enum status status = grow(&piece->data, &piece->room, target);
        if (status == STATUS_OK) {
            status = byte_source_read(self->bytes, piece->data + piece->length,
                                      target - piece->length, &got);
        }
        if (status != STATUS_OK) {
            return status;
        }
        piece->length += got;
        if (piece->length < target) {
            *out_cut = piece->length;
            piece->ends_file = true;
            return STATUS_OK;
        }
        *out_cut = find_cut(self, piece, looked);
        if (*out_cut > 0) {
            return STATUS_OK;
        }
        if (piece->length > TEXT_SOURCE_PIECE_MAX) {
            return refuse_length(self);
        }
        looked = piece->length;
        /* Doubling keeps the work linear; one byte over the limit shows that it is passed. */
        target = piece->length > TEXT_SOURCE_PIECE_MAX / 2 ? TEXT_SOURCE_PIECE_MAX + 1
                                                           : 2 * piece->length;
    }
}

static uint64_t count_lines(const uint8_t *text, size_t length)
{
    uint64_t count = 0;
    for (size_t i = 0; i < length; i++) {
        count += text[i] == '\n';
    }
    return count;
}

/* Keeps what stands behind the cut for the next piece. */
static enum status cut(struct text_source *self, struct text_piece *piece, size_t length)
{
    size_t rest = piece->length - length;
    enum status status = grow(&self->carry, &self->carry_room, rest);
    if (status != STATUS_OK) {
        return status;
    }
    if (rest > 0) {
        memcpy(self->carry, piece->data + length, rest);
    }
    self->carry_length = rest;
    piece->length = length;
    self->text_bytes += length;
    if (self->format == TEXT_FORMAT_JSON_LINES) {
        self->line += count_lines(piece->data, length);
    }
    return STATUS_OK;
}

static enum status read_piece(struct text_source *self, struct text_piece *piece)
{
    size_t length = 0;
    enum status status = grow(&piece->data, &piece->room, self->carry_length);
    if (status != STATUS_OK) {
        return status;
    }
    if (self->carry_length > 0) {
        memcpy(piece->data, self->carry, self->carry_length);
    }
    piece->length = self->carry_length;
    piece->file = self->file;
    piece->format = self->format;
    piece->first_line = self->line;
    piece->ends_file = false;
    status = fill(self, piece, &length);
    if (status == STATUS_OK) {
        status = cut(self, piece, length);
    }
    if (status == STATUS_OK) {
        piece->input_bytes = self->closed_bytes + byte_source_used(self->bytes);
    }
    return status;
}

enum status text_source_next(struct text_source *self, struct text_piece *piece, bool *out_found)
{
    *out_found = false;
    while (!*out_found) {
        if (self->bytes == NULL) {
            if (self->next_index == self->options.file_count) {
                return STATUS_OK;
            }
            enum status status = open_next(self);
            if (status != STATUS_OK) {
                return status;
            }
        }
        enum status status = read_piece(self, piece);
        if (status != STATUS_OK) {
            return status;
        }
        *out_found = self->text_bytes > 0;
        if (piece->ends_file) {
            close_file(self);
        }
    }
    return STATUS_OK;
}
