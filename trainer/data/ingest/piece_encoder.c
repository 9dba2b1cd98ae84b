#include "trainer/data/ingest/piece_encoder.h"

#include "common/fault.h"
#include "trainer/data/ingest/piece_documents.h"

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

enum status piece_encode(const struct piece_encoder *self, struct text_piece *piece,
                         struct piece_tokens *out)
{
    struct piece_documents documents;
    const uint8_t *text = NULL;
    size_t length = 0;
    bool is_json = piece->format == TEXT_FORMAT_JSON_LINES;
    *out = (struct piece_tokens){0};
    piece_documents_init(&documents, piece, self->field);
    for (;;) {
        bool found = false;
        enum status status = piece_documents_next(&documents, &text, &length, &found);
        if (status != STATUS_OK) {
            return status;
        }
        if (!found) {
            break;
        }
        out->text_bytes += length;
        status = append_text(self, text, length, out);
        if (status != STATUS_OK) {
            return name_file(piece, status);
        }
        status = is_json ? append_separator(self, piece->format, out) : STATUS_OK;
        if (status != STATUS_OK) {
            return status;
        }
    }
    return piece->ends_file && !is_json ? append_separator(self, piece->format, out) : STATUS_OK;
}
