#include "trainer/data/ingest/json_line.h"

#include <stdbool.h>
#include <string.h>

struct scanner {
    uint8_t *at;
    uint8_t *end;
    const char *why; /* the first thing that is wrong */
};

static bool fail(struct scanner *self, const char *why)
{
    if (self->why == NULL) {
        self->why = why;
    }
    return false;
}

static void skip_space(struct scanner *self)
{
    while (self->at < self->end &&
           (*self->at == ' ' || *self->at == '\t' || *self->at == '\r' || *self->at == '\n')) {
        self->at++;
    }
}

/* The next byte behind white space; 0, which is never valid there, at the end. */
static uint8_t next_mark(struct scanner *self)
{
    skip_space(self);
    return self->at < self->end ? *self->at : 0;
}

static bool take(struct scanner *self, uint8_t mark, const char *why)
{
    if (next_mark(self) != mark || self->at == self->end) {
        return fail(self, why);
    }
    self->at++;
    return true;
}

static bool take_hex4(struct scanner *self, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t byte = self->at < self->end ? *self->at : 0;
        uint8_t lower = byte | 0x20;
        uint32_t digit;
        if (byte >= '0' && byte <= '9') {
            digit = (uint32_t)(byte - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            digit = (uint32_t)(lower - 'a' + 10);
        } else {
            return fail(self, "\\u is not followed by four hexadecimal digits");
        }
        *out = *out << 4 | digit;
        self->at++;
    }
    return true;
}

static uint8_t *put_utf8(uint8_t *out, uint32_t point)
{
    if (point < 0x80) {
        *out++ = (uint8_t)point;
    } else if (point < 0x800) {
        *out++ = (uint8_t)(0xc0 | point >> 6);
        *out++ = (uint8_t)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *out++ = (uint8_t)(0xe0 | point >> 12);
        *out++ = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (point & 0x3f));
    } else {
        *out++ = (uint8_t)(0xf0 | point >> 18);
        *out++ = (uint8_t)(0x80 | (point >> 12 & 0x3f));
        *out++ = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (point & 0x3f));
    }
    return out;
}

/* Behind "\u": one code unit, or the two of a surrogate pair. */
static bool take_code_point(struct scanner *self, uint32_t *out)
{
    static const char LONE[] = "\\u gives half of a surrogate pair";
    uint32_t low = 0;
    if (!take_hex4(self, out)) {
        return false;
    }
    if (*out < 0xd800 || *out > 0xdfff) {
        return true;
    }
    if (*out > 0xdbff || self->end - self->at < 2 || self->at[0] != '\\' || self->at[1] != 'u') {
        return fail(self, LONE);
    }
    self->at += 2;
    if (!take_hex4(self, &low)) {
        return false;
    }
    if (low < 0xdc00 || low > 0xdfff) {
        return fail(self, LONE);
    }
    *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* Behind a backslash. */
static bool take_escape(struct scanner *self, uint8_t **out)
{
    static const char MARKS[] = "\"\\/bfnrtu";
    static const char MEANINGS[] = "\"\\/\b\f\n\r\t";
    const char *found = self->at < self->end && *self->at != 0 ? strchr(MARKS, *self->at) : NULL;
    if (found == NULL) {
        return fail(self, "a backslash is not followed by one of \"\\/bfnrtu");
    }
    self->at++;
    if (*found != 'u') {
        *(*out)++ = (uint8_t)MEANINGS[found - MARKS];
        return true;
    }
    uint32_t point = 0;
    if (!take_code_point(self, &point)) {
        return false;
    }
    *out = put_utf8(*out, point);
    return true;
}

/* Length of the bytes at `at` that stand for themselves. */
static size_t plain_length(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *byte = at;
    while (byte < end && *byte != '"' && *byte != '\\' && *byte >= 0x20) {
        byte++;
    }
    return (size_t)(byte - at);
}

static bool take_string(struct scanner *self, uint8_t **out_data, size_t *out_length)
{
    if (!take(self, '"', "a name or string in double quotes is missing")) {
        return false;
    }
    uint8_t *out = self->at;
    *out_data = out;
    for (;;) {
        size_t plain = plain_length(self->at, self->end);
        if (plain > 0 && out != self->at) {
            memmove(out, self->at, plain);
        }
        out += plain;
        self->at += plain;
        if (self->at == self->end) {
            return fail(self, "a string has no end");
        }
        uint8_t mark = *self->at++;
        if (mark == '"') {
            *out_length = (size_t)(out - *out_data);
            return true;
        }
        if (mark != '\\') {
            return fail(self, "a string has a control character that is not escaped");
        }
        if (!take_escape(self, &out)) {
            return false;
        }
    }
}

static size_t take_digits(struct scanner *self)
{
    size_t count = 0;
    while (self->at < self->end && *self->at >= '0' && *self->at <= '9') {
        self->at++;
        count++;
    }
    return count;
}

static bool take_number(struct scanner *self)
{
    static const char WHY[] = "a value is neither string, number, object, array nor true, false, "
                              "null";
    if (self->at < self->end && *self->at == '-') {
        self->at++;
    }
    bool zero = self->at < self->end && *self->at == '0';
    size_t digits = take_digits(self);
    if (digits == 0 || (zero && digits > 1)) {
        return fail(self, WHY);
    }
    if (self->at < self->end && *self->at == '.') {
        self->at++;
        if (take_digits(self) == 0) {
            return fail(self, WHY);
        }
    }
    if (self->at < self->end && (*self->at | 0x20) == 'e') {
        self->at++;
        if (self->at < self->end && (*self->at == '+' || *self->at == '-')) {
            self->at++;
        }
        if (take_digits(self) == 0) {
            return fail(self, WHY);
        }
    }
    return true;
}

/* A value that is neither object nor array. */
static bool skip_scalar(struct scanner *self)
{
    static const char *const WORDS[] = {"true", "false", "null"};
    uint8_t *data = NULL;
    size_t length = 0;
    if (next_mark(self) == '"') {
        return take_string(self, &data, &length);
    }
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        size_t size = strlen(WORDS[i]);
        if ((size_t)(self->end - self->at) >= size && memcmp(self->at, WORDS[i], size) == 0) {
            self->at += size;
            return true;
        }
    }
    return take_number(self);
}

static bool take_name(struct scanner *self)
{
    uint8_t *data = NULL;
    size_t length = 0;
    return take_string(self, &data, &length) && take(self, ':', "a name is not followed by ':'");
}

/* Skips any value, with the open brackets on a stack of its own: recursion would let a line
 * choose the depth of ours. */
static bool skip_value(struct scanner *self)
{
    uint8_t open[JSON_LINE_DEPTH_MAX];
    size_t depth = 0;
    do {
        uint8_t mark = next_mark(self);
        if (mark == '{' || mark == '[') {
            if (depth == JSON_LINE_DEPTH_MAX) {
                return fail(self, "objects and arrays lie too deep in each other");
            }
            open[depth++] = mark == '{' ? '}' : ']';
            self->at++;
            if (next_mark(self) != open[depth - 1]) {
                if (mark == '{' && !take_name(self)) {
                    return false;
                }
                continue;
            }
        } else if (!skip_scalar(self)) {
            return false;
        }
        while (depth > 0 && next_mark(self) == open[depth - 1]) {
            self->at++;
            depth--;
        }
        if (depth > 0 && (!take(self, ',', "an object or array has no end, or lacks a comma") ||
                          (open[depth - 1] == '}' && !take_name(self)))) {
            return false;
        }
    } while (depth > 0);
    return true;
}

/* One `"name": value` of the line's object. *out_is_string is kept when it is another field. */
static bool take_member(struct scanner *self, const char *field, struct json_line_text *out,
                        bool *out_found)
{
    uint8_t *name = NULL;
    size_t name_length = 0;
    if (!take_string(self, &name, &name_length) ||
        !take(self, ':', "a name is not followed by ':'")) {
        return false;
    }
    if (name_length != strlen(field) || memcmp(name, field, name_length) != 0) {
        return skip_value(self);
    }
    *out_found = true;
    out->data = NULL;
    return next_mark(self) == '"' ? take_string(self, &out->data, &out->length) : skip_value(self);
}

static bool take_object(struct scanner *self, const char *field, struct json_line_text *out,
                        bool *out_found)
{
    if (!take(self, '{', "it is not a JSON object")) {
        return false;
    }
    if (next_mark(self) != '}') {
        for (;;) {
            if (!take_member(self, field, out, out_found)) {
                return false;
            }
            if (next_mark(self) != ',') {
                break;
            }
            self->at++;
        }
    }
    if (!take(self, '}', "the object has no end, or lacks a comma")) {
        return false;
    }
    skip_space(self);
    return self->at == self->end || fail(self, "something stands behind the object");
}

enum status json_line_find(uint8_t *line, size_t length, const char *field,
                           struct json_line_text *out)
{
    struct scanner scanner = {.at = line, .end = line + length};
    bool found = false;
    *out = (struct json_line_text){0};
    if (!take_object(&scanner, field, out, &found)) {
        out->why = scanner.why;
        return STATUS_BAD_DATA;
    }
    if (!found) {
        return STATUS_NO_INPUT;
    }
    return out->data != NULL ? STATUS_OK : STATUS_BAD_SHAPE;
}
