#include "trainer/data/ingest/piece_documents.h"

#include "common/fault.h"
#include "trainer/data/ingest/json_line.h"

#include <inttypes.h>
#include <string.h>

void piece_documents_init(struct piece_documents *self, struct text_piece *piece, const char *field)
{
    *self = (struct piece_documents){.piece = piece, .field = field, .line = piece->first_line};
}

static enum status refuse_line(const struct piece_documents *self, uint64_t line,
                               enum status status, const char *why)
{
    const char *file = self->piece->file;
    if (status == STATUS_BAD_DATA) {
        return fault(STATUS_BAD_DATA, "%s:%" PRIu64 ": %s; every line must be one JSON object",
                     file, line, why);
    }
    return fault(STATUS_BAD_DATA,
                 "%s:%" PRIu64 ": the %s \"%.100s\"%s; name the field that holds the text", file,
                 line, status == STATUS_NO_INPUT ? "object has no field" : "field", self->field,
                 status == STATUS_NO_INPUT ? "" : " is no string");
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

/* The next line without its end; its number goes to *out_number. */
static uint8_t *take_line(struct piece_documents *self, size_t *out_length, uint64_t *out_number)
{
    uint8_t *line = self->piece->data + self->at;
    size_t rest = self->piece->length - self->at;
    const uint8_t *newline = memchr(line, '\n', rest);
    *out_length = newline == NULL ? rest : (size_t)(newline - line);
    *out_number = self->line++;
    self->at += newline == NULL ? rest : *out_length + 1;
    return line;
}

enum status piece_documents_next(struct piece_documents *self, const uint8_t **out_text,
                                 size_t *out_length, bool *out_found)
{
    *out_found = false;
    if (self->piece->format != TEXT_FORMAT_JSON_LINES) {
        *out_text = self->piece->data + self->at;
        *out_length = self->piece->length - self->at;
        *out_found = *out_length > 0;
        self->at = self->piece->length;
        return STATUS_OK;
    }
    while (self->at < self->piece->length && !*out_found) {
        struct json_line_text text;
        uint64_t number = 0;
        size_t length = 0;
        uint8_t *line = take_line(self, &length, &number);
        if (is_blank(line, length)) {
            continue;
        }
        enum status status = json_line_find(line, length, self->field, &text);
        if (status != STATUS_OK) {
            return refuse_line(self, number, status, text.why);
        }
        *out_text = text.data;
        *out_length = text.length;
        *out_found = text.length > 0;
    }
    return STATUS_OK;
}
