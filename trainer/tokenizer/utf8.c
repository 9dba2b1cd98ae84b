#include "trainer/tokenizer/utf8.h"

#include <stdbool.h>
#include <string.h>

enum { CHARACTER_BYTES_MAX = 4 };

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0U) == 0x80U;
}

static size_t length_by_first_byte(uint8_t byte)
{
    if (byte < 0x80) {
        return 1;
    }
    if (byte >= 0xc2 && byte <= 0xdf) {
        return 2;
    }
    if (byte >= 0xe0 && byte <= 0xef) {
        return 3;
    }
    return byte >= 0xf0 && byte <= 0xf4 ? 4 : 0;
}

/* The length of the valid character at the start, or 0. */
static size_t character_length(const uint8_t *text, size_t length)
{
    size_t need = length_by_first_byte(text[0]);
    if (need == 0 || need > length) {
        return 0;
    }
    for (size_t i = 1; i < need; i++) {
        if (!is_continuation(text[i])) {
            return 0;
        }
    }
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool surrogate = text[0] == 0xed && text[1] > 0x9f;
    bool too_large = text[0] == 0xf4 && text[1] > 0x8f;
    return overlong || surrogate || too_large ? 0 : need;
}

size_t utf8_valid_prefix(const uint8_t *text, size_t length)
{
    const uint64_t high_bits = 0x8080808080808080U;
    size_t at = 0;
    while (at < length) {
        uint64_t eight = high_bits;
        if (length - at >= sizeof(eight)) {
            memcpy(&eight, text + at, sizeof(eight));
        }
        if ((eight & high_bits) == 0) {
            at += sizeof(eight);
            continue;
        }
        size_t step = character_length(text + at, length - at);
        if (step == 0) {
            break;
        }
        at += step;
    }
    return at;
}

size_t utf8_unfinished_tail(const uint8_t *text, size_t length)
{
    for (size_t back = 1; back < CHARACTER_BYTES_MAX && back <= length; back++) {
        uint8_t byte = text[length - back];
        if (!is_continuation(byte)) {
            return length_by_first_byte(byte) > back ? back : 0;
        }
    }
    return 0;
}

/* The same list as the pattern's \s: Unicode's White_Space. */
static bool is_space(const uint8_t *character, size_t length)
{
    uint32_t code = character[0];
    if (length == 2) {
        code = (code & 0x1fU) << 6 | (character[1] & 0x3fU);
    } else if (length == 3) {
        code = (code & 0x0fU) << 12 | (character[1] & 0x3fU) << 6 | (character[2] & 0x3fU);
    } else if (length == 4) {
        return false;
    }
    return (code >= 0x09 && code <= 0x0d) || code == 0x20 || code == 0x85 || code == 0xa0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

size_t utf8_spaces_at_start(const uint8_t *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        size_t step = character_length(text + at, length - at);
        if (step == 0 || !is_space(text + at, step)) {
            break;
        }
        at += step;
    }
    return at;
}

size_t utf8_spaces_at_end(const uint8_t *text, size_t length)
{
    size_t end = length;
    while (end > 0) {
        size_t step = 1;
        while (step < CHARACTER_BYTES_MAX && step < end && is_continuation(text[end - step])) {
            step++;
        }
        const uint8_t *character = text + end - step;
        if (character_length(character, step) != step || !is_space(character, step)) {
            break;
        }
        end -= step;
    }
    return length - end;
}
