#include "trainer/data/ingest/piece_encoder.h"

#include "common/fault.h"
#include "trainer/data/ingest/json_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDS_ROOM_FIRST = 4096 };

void piece_tokens_deinit(struct piece_tokens *self)
{
    free(self->ids);
    *self = (struct piece_tokens){0};
}

static enum status append(struct piece_tokens *out, const uint16_t *ids, size_t count)
{
    if (count > out->room - out->count) {
        size_t room = out->room < IDS_ROOM_FIRST ? IDS_ROOM_FIRST : 2 * out->room;
        room = room - out->count < count ? out->count + count : room;
        uint16_t *grown = realloc(out->ids, room * sizeof(*grown));
        if (grown == NULL) {
            return fault(STATUS_NO_MEMORY, "no memory for %zu tokens", room);
        }
        out->ids = grown;
        out->room = room;
    }
    if (count > 0) {
        memcpy(out->ids + out->count, ids, count * sizeof(*ids));
    }
    out->count += count;
    return STATUS_OK;
}

static enum status append_text(const struct piece_encoder *self, const uint8_t *text, size_t length,
                               struct piece_tokens *out)
{
    uint16_t *ids = NULL;
    size_t count = 0;
    enum status status = tokenizer_encode(self->tokenizer, text, length, &ids, &count);
    if (status == STATUS_OK && out->ids == NULL) {
        out->ids = ids;
        out->count = count;
        out->room = count;
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = append(out, ids, count);
    }
    free(ids);
    return status;
}

/* Behind a document that has text. */
static enum status append_separator(const struct piece_encoder *self, enum text_format format,
                                    struct piece_tokens *out)
{
    int32_t end_id = tokenizer_end_id(self->tokenizer);
    if (!self->separate) {
        return STATUS_OK;
    }
    if (end_id >= 0) {
        uint16_t id = (uint16_t)end_id;
        return append(out, &id, 1);
    }
    return format == TEXT_FORMAT_JSON_LINES ? append_text(self, (const uint8_t *)"\n", 1, out)
                                            : STATUS_OK;
}

static enum status refuse_line(const struct piece_encoder *self, const struct text_piece *piece,
                               uint64_t line, enum status status, const char *why)
{
    if (status == STATUS_NO_INPUT) {
        return fault(STATUS_BAD_DATA,
                     "%s:%" PRIu64
                     ": the object has no field \"%.100s\"; name the field that holds the text",
                     piece->file, line, self->field);
    }
    if (status == STATUS_BAD_SHAPE) {
        return fault(STATUS_BAD_DATA,
                     "%s:%" PRIu64
                     ": the field \"%.100s\" is no string; name the field that holds the text",
                     piece->file, line, self->field);
    }
    return fault(STATUS_BAD_DATA, "%s:%" PRIu64 ": %s; every line must be one JSON object",
                 piece->file, line, why);
}

static bool is_blank(const uint8_t *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') {
            return false;
        }
    }
    return true;
}

/* Puts the place in front of a sentence of the tokenizer, which does not know it. */
static enum status name_file(const struct text_piece *piece, enum status status)
{
    char why[FAULT_TEXT_MAX];
    if (status == STATUS_NO_MEMORY) {
        return status;
    }
    (void)snprintf(why, sizeof(why), "%s", fault_text());
    return fault(status, "%s: %s", piece->file, why);
}

static enum status encode_line(const struct piece_encoder *self, const struct text_piece *piece,
                               uint64_t number, uint8_t *line, size_t length,
                               struct piece_tokens *out)
{
    struct json_line_text text;
    enum status status = json_line_find(line, length, self->field, &text);
    if (status != STATUS_OK) {
        return refuse_line(self, piece, number, status, text.why);
    }
    if (text.length == 0) {
        return STATUS_OK;
    }
    out->text_bytes += text.length;
    status = append_text(self, text.data, text.length, out);
    if (status != STATUS_OK) {
        return name_file(piece, status);
    }
    return append_separator(self, TEXT_FORMAT_JSON_LINES, out);
}

static enum status encode_lines(const struct piece_encoder *self, const struct text_piece *piece,
                                struct piece_tokens *out)
{
    uint8_t *line = piece->data;
    size_t rest = piece->length;
    for (uint64_t number = piece->first_line; rest > 0; number++) {
        uint8_t *newline = memchr(line, '\n', rest);
        size_t length = newline == NULL ? rest : (size_t)(newline - line);
        if (!is_blank(line, length)) {
            enum status status = encode_line(self, piece, number, line, length, out);
            if (status != STATUS_OK) {
                return status;
            }
        }
        length += newline != NULL ? 1 : 0;
        line += length;
        rest -= length;
    }
    return STATUS_OK;
}

enum status piece_encode(const struct piece_encoder *self, struct text_piece *piece,
                         struct piece_tokens *out)
{
    *out = (struct piece_tokens){0};
    if (piece->format == TEXT_FORMAT_JSON_LINES) {
        return encode_lines(self, piece, out);
    }
    out->text_bytes = piece->length;
    enum status status = append_text(self, piece->data, piece->length, out);
    if (status != STATUS_OK) {
        return name_file(piece, status);
    }
    return piece->ends_file ? append_separator(self, TEXT_FORMAT_PLAIN, out) : STATUS_OK;
}
