#include "trainer/sampling/terminal_text.h"

static const char REPLACEMENT[] = "\xef\xbf\xbd";

/* Bytes of the character that this byte begins; 0 when it begins none (RFC 3629, section 4). */
static size_t character_length(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return 2;
    }
    if (first >= 0xe0 && first <= 0xef) {
        return 3;
    }
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* The second byte's range rules out overlong forms, surrogates and what is above U+10FFFF. */
static bool continues(const struct terminal_text *self, uint8_t byte)
{
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    if (self->pending_count == 1) {
        switch (self->pending[0]) {
        case 0xe0:
            low = 0xa0;
            break;
        case 0xed:
            high = 0x9f;
            break;
        case 0xf0:
            low = 0x90;
            break;
        case 0xf4:
            high = 0x8f;
            break;
        default:
            break;
        }
    }
    return byte >= low && byte <= high;
}

static bool is_control(const struct terminal_text *self)
{
    uint8_t first = self->pending[0];
    if (self->pending_count == 1) {
        return (first < 0x20 && first != '\n' && first != '\t') || first == 0x7f;
    }
    return first == 0xc2 && self->pending[1] < 0xa0; /* U+0080 to U+009F */
}

static void put_replacement(struct terminal_text *self)
{
    (void)fputs(REPLACEMENT, self->stream);
    self->pending_count = 0;
}

static void put_byte(struct terminal_text *self, uint8_t byte)
{
    if (self->pending_count > 0 && !continues(self, byte)) {
        put_replacement(self);
    }
    self->pending[self->pending_count++] = byte;
    size_t length = character_length(self->pending[0]);
    if (length == 0) {
        put_replacement(self);
    } else if (self->pending_count == length) {
        if (!self->keeps_controls && is_control(self)) {
            put_replacement(self);
            return;
        }
        (void)fwrite(self->pending, 1, length, self->stream);
        self->pending_count = 0;
    }
}

void terminal_text_init(struct terminal_text *self, FILE *stream)
{
    *self = (struct terminal_text){.stream = stream};
}

void terminal_text_init_controls(struct terminal_text *self, FILE *stream)
{
    *self = (struct terminal_text){.stream = stream, .keeps_controls = true};
}

void terminal_text_put(struct terminal_text *self, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_byte(self, bytes[i]);
    }
    (void)fflush(self->stream);
}

void terminal_text_end(struct terminal_text *self)
{
    if (self->pending_count > 0) {
        put_replacement(self);
    }
    (void)fflush(self->stream);
}
