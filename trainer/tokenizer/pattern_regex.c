#include "trainer/tokenizer/pattern_regex.h"

#include "common/fault.h"
#include "trainer/tokenizer/pattern.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char SPACES[] = "\\t-\\r\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
                             "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

struct translation {
    const char *regex; /* for sentences */
    const char *at;
    char *out;
    size_t used;
    bool in_class;
    bool class_begins; /* a ']' here is an ordinary character */
};

static void put(struct translation *self, const char *text, size_t length)
{
    memcpy(self->out + self->used, text, length);
    self->used += length;
}

static void put_text(struct translation *self, const char *text)
{
    put(self, text, strlen(text));
}

static enum status refuse(const struct translation *self, const char *what)
{
    return fault(STATUS_BAD_DATA,
                 "the tokenizer's pattern uses %s, which is not supported here: %.300s", what,
                 self->regex);
}

static enum status translate_escape(struct translation *self)
{
    static const char LETTERS[] = "dDpPrntfvx";
    char escaped = self->at[1];
    if (escaped == 's') {
        put_text(self, self->in_class ? "" : "[");
        put_text(self, SPACES);
        put_text(self, self->in_class ? "" : "]");
    } else if (escaped == 'S' && !self->in_class) {
        put_text(self, "[^");
        put_text(self, SPACES);
        put_text(self, "]");
    } else if (escaped != '\0' &&
               (ispunct((unsigned char)escaped) || strchr(LETTERS, escaped) != NULL)) {
        put(self, self->at, 2);
    } else {
        const char name[] = {'\\', escaped, '\0'};
        return refuse(self, name);
    }
    self->at += 2;
    return STATUS_OK;
}

/* Groups that only group, and looks ahead, may stay. */
static enum status check_group(const struct translation *self)
{
    static const char *const allowed[] = {"(?:", "(?i:", "(?=", "(?!", "(?>"};
    if (self->at[1] == '*') {
        return refuse(self, "(*");
    }
    for (size_t i = 0; self->at[1] == '?' && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (strncmp(self->at, allowed[i], strlen(allowed[i])) == 0) {
            return STATUS_OK;
        }
    }
    return self->at[1] == '?' ? refuse(self, "a group other than (?:, (?i:, (?=, (?! and (?>")
                              : STATUS_OK;
}

static enum status translate_in_class(struct translation *self)
{
    char c = *self->at++;
    bool first = self->class_begins;
    self->class_begins = first && c == '^';
    if (c == '[' || (c == '&' && *self->at == '&')) {
        return refuse(self, "a set inside a set");
    }
    if (c == ']') {
        if (first) {
            return refuse(self, "an empty set");
        }
        self->in_class = false;
    }
    put(self, &c, 1);
    return STATUS_OK;
}

static enum status translate_outside(struct translation *self)
{
    char c = *self->at;
    enum status status = STATUS_OK;
    if (c == '^' || c == '$') {
        return refuse(self, "^ or $");
    }
    if (c == '(') {
        status = check_group(self);
    }
    if (c == '[') {
        self->in_class = true;
        self->class_begins = true;
    }
    put(self, &c, 1);
    self->at++;
    return status;
}

enum status pattern_regex_translate(const char *regex, char **out)
{
    size_t length = strlen(regex);
    *out = NULL;
    if (length > PATTERN_LENGTH_MAX) {
        return fault(STATUS_BAD_DATA, "the tokenizer's pattern has %zu bytes; at most %d are read",
                     length, PATTERN_LENGTH_MAX);
    }
    struct translation self = {.regex = regex, .at = regex};
    /* Each two characters become SPACES and three more at most. */
    self.out = malloc((length / 2 + 1) * (sizeof(SPACES) + 3) + 1);
    if (self.out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer's pattern");
    }
    enum status status = STATUS_OK;
    while (status == STATUS_OK && *self.at != '\0') {
        if (*self.at == '\\') {
            self.class_begins = false;
            status = translate_escape(&self);
        } else {
            status = self.in_class ? translate_in_class(&self) : translate_outside(&self);
        }
    }
    self.out[self.used] = '\0';
    if (status != STATUS_OK) {
        free(self.out);
        return status;
    }
    *out = self.out;
    return STATUS_OK;
}
