#include "trainer/tokenizer/byte_level.h"

static bool is_printable(unsigned byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

enum { CODE_COUNT = BYTE_LEVEL_COUNT + 68 }; /* 68 bytes are not printable */

static unsigned code_of_byte(unsigned byte)
{
    if (is_printable(byte)) {
        return byte;
    }
    if (byte <= ' ') {
        return BYTE_LEVEL_COUNT + byte;
    }
    return byte <= 0xa0 ? BYTE_LEVEL_COUNT + 33 + byte - 0x7f : CODE_COUNT - 1;
}

/* -1 when the character stands for no byte. */
static int byte_of_code(unsigned code)
{
    if (code < BYTE_LEVEL_COUNT) {
        return is_printable(code) ? (int)code : -1;
    }
    if (code >= CODE_COUNT) {
        return -1;
    }
    unsigned place = code - BYTE_LEVEL_COUNT;
    if (place <= ' ') {
        return (int)place;
    }
    return code == CODE_COUNT - 1 ? 0xad : (int)(place - 33 + 0x7f);
}

void byte_level_write(const uint8_t *bytes, size_t length, char *out)
{
    for (size_t i = 0; i < length; i++) {
        unsigned code = code_of_byte(bytes[i]);
        if (code >= 0x80) {
            *out++ = (char)(0xc0U | (code >> 6));
            code = 0x80U | (code & 0x3fU);
        }
        *out++ = (char)code;
    }
    *out = '\0';
}

bool byte_level_read(const char *text, size_t length, uint8_t *out, size_t *out_length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned code = (uint8_t)text[i];
        if (code >= 0x80) {
            if ((code & 0xe0U) != 0xc0U || i + 1 == length) {
                return false;
            }
            code = (code & 0x1fU) << 6 | ((uint8_t)text[++i] & 0x3fU);
        }
        int byte = byte_of_code(code);
        if (byte < 0) {
            return false;
        }
        out[count++] = (uint8_t)byte;
    }
    *out_length = count;
    return true;
}

uint8_t byte_level_by_order(unsigned place)
{
    unsigned seen = 0;
    for (unsigned code = 0; code < CODE_COUNT; code++) {
        int byte = byte_of_code(code);
        if (byte >= 0 && seen++ == place) {
            return (uint8_t)byte;
        }
    }
    return 0;
}
