#define PCRE2_CODE_UNIT_WIDTH 8

#include "trainer/tokenizer/pattern.h"

#include "common/fault.h"
#include "trainer/tokenizer/pattern_ascii.h"
#include "trainer/tokenizer/pattern_regex.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* How many boundaries pattern_safe_length goes back for a safe one, and how many steps PCRE2 may
 * take for one piece. */
enum { BOUNDARIES_MAX = 64, STEPS_MAX = 100000000 };

struct pattern {
    enum pattern_family family;
    pcre2_code *code; /* NULL for PATTERN_NONE */
    pcre2_match_context *limits;
};

static const struct {
    enum pattern_family family;
    const char *regex;
} KNOWN[] = {
    {PATTERN_GPT2, "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                   "|\\s+(?!\\S)|\\s+"},
    {PATTERN_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                   "|\\s+(?!\\S)|\\s+"},
    {PATTERN_CL100K, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
                     "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {PATTERN_CL100K, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}"
                     "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
    {PATTERN_CL100K, "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}"
                     "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
    {PATTERN_QWEN2, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
                    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
};

enum { KNOWN_COUNT = sizeof(KNOWN) / sizeof(KNOWN[0]) };

const char *pattern_regex(enum pattern_family family)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (KNOWN[i].family == family) {
            return KNOWN[i].regex;
        }
    }
    return NULL;
}

static enum pattern_family family_of_regex(const char *regex)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(KNOWN[i].regex, regex) == 0) {
            return KNOWN[i].family;
        }
    }
    return PATTERN_OTHER;
}

static enum status check_compiled(const struct pattern *self, const char *regex)
{
    uint32_t look_behind = 0;
    uint32_t matches_empty = 0;
    (void)pcre2_pattern_info(self->code, PCRE2_INFO_MAXLOOKBEHIND, &look_behind);
    (void)pcre2_pattern_info(self->code, PCRE2_INFO_MATCHEMPTY, &matches_empty);
    if (look_behind > 0 || matches_empty != 0) {
        return fault(STATUS_BAD_DATA, "the tokenizer's pattern %s, which is not supported: %.300s",
                     look_behind > 0 ? "looks behind" : "matches the empty text", regex);
    }
    return STATUS_OK;
}

static enum status compile(struct pattern *self, const char *regex)
{
    char *translated = NULL;
    enum status status = pattern_regex_translate(regex, &translated);
    if (status != STATUS_OK) {
        return status;
    }
    int error = 0;
    PCRE2_SIZE place = 0;
    self->code =
        pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &place, NULL);
    free(translated);
    if (self->code == NULL) {
        char text[128] = "";
        (void)pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
        return fault(STATUS_BAD_DATA, "the tokenizer's pattern cannot be used (%s): %.300s", text,
                     regex);
    }
    self->limits = pcre2_match_context_create(NULL);
    if (self->limits == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer's pattern");
    }
    (void)pcre2_set_match_limit(self->limits, STEPS_MAX);
    /* Without a JIT for this machine the same is interpreted, only slower. */
    (void)pcre2_jit_compile(self->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    return check_compiled(self, regex);
}

enum status pattern_new(const char *regex, struct pattern **out)
{
    *out = NULL;
    struct pattern *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer's pattern");
    }
    if (regex != NULL) {
        self->family = family_of_regex(regex);
        const char *plain = pattern_regex(self->family);
        enum status status = compile(self, plain != NULL ? plain : regex);
        if (status != STATUS_OK) {
            pattern_free(self);
            return status;
        }
    }
    *out = self;
    return STATUS_OK;
}

void pattern_free(struct pattern *self)
{
    if (self != NULL) {
        pcre2_match_context_free(self->limits);
        pcre2_code_free(self->code);
        free(self);
    }
}

enum pattern_family pattern_family_of(const struct pattern *self)
{
    return self->family;
}

enum status pattern_cursor_init(struct pattern_cursor *self, const struct pattern *pattern)
{
    self->pattern = pattern;
    self->match = NULL;
    if (pattern->code != NULL) {
        self->match = pcre2_match_data_create(1, NULL);
        if (self->match == NULL) {
            return fault(STATUS_NO_MEMORY, "no memory to cut text into pieces");
        }
    }
    return STATUS_OK;
}

void pattern_cursor_deinit(struct pattern_cursor *self)
{
    pcre2_match_data_free(self->match);
    self->match = NULL;
}

static size_t next_in_ascii(const struct pattern_cursor *self, const uint8_t *text, size_t length,
                            size_t at)
{
    switch (self->pattern->family) {
    case PATTERN_GPT2:
        return pattern_ascii_gpt2(text, length, at);
    case PATTERN_CL100K:
        return pattern_ascii_cl100k(text, length, at, 3);
    case PATTERN_QWEN2:
        return pattern_ascii_cl100k(text, length, at, 1);
    case PATTERN_NONE:
    case PATTERN_OTHER:
        break;
    }
    return 0;
}

/* PCRE2's result for the text from `at` on. The pattern does not look behind, so the subject may
 * begin there. */
static int match(const struct pattern_cursor *self, const uint8_t *text, size_t length, size_t at,
                 uint32_t options)
{
    options |= PCRE2_NO_UTF_CHECK;
    int result = pcre2_match(self->pattern->code, text + at, length - at, 0, options, self->match,
                             self->pattern->limits);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
        result = pcre2_match(self->pattern->code, text + at, length - at, 0, options | PCRE2_NO_JIT,
                             self->match, self->pattern->limits);
    }
    return result;
}

/* What stands before the match is a piece, then the match. */
static size_t end_of_match(const struct pattern_cursor *self, size_t at)
{
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(self->match);
    return at + (found[0] > 0 ? found[0] : found[1]);
}

enum status pattern_next(struct pattern_cursor *self, const uint8_t *text, size_t length, size_t at,
                         size_t *out_end)
{
    *out_end = length;
    if (self->pattern->code == NULL) {
        return STATUS_OK;
    }
    size_t end = next_in_ascii(self, text, length, at);
    if (end > 0) {
        *out_end = end;
        return STATUS_OK;
    }
    int result = match(self, text, length, at, 0);
    if (result >= 0) {
        *out_end = end_of_match(self, at);
        return STATUS_OK;
    }
    if (result == PCRE2_ERROR_NOMATCH) {
        return STATUS_OK;
    }
    if (result == PCRE2_ERROR_NOMEMORY) {
        return fault(STATUS_NO_MEMORY, "no memory to cut text into pieces");
    }
    return fault(STATUS_BAD_DATA,
                 "the tokenizer's pattern needs too many steps for this text (PCRE2 error %d)",
                 result);
}

/* As pattern_next, but 0 when more text could change the result, or on an error. A partial match
 * is one that looked at the end of the text. */
static size_t next_for_certain(const struct pattern_cursor *self, const uint8_t *text,
                               size_t length, size_t at)
{
    size_t end = next_in_ascii(self, text, length, at);
    if (end > 0) {
        return end;
    }
    int result = match(self, text, length, at, PCRE2_PARTIAL_HARD);
    return result < 0 ? 0 : end_of_match(self, at);
}

/* Does text that ends at `cut` have the same pieces from `at` on as text that goes on? The last
 * ones may differ: "\t\t" alone is one piece, but before a letter two. */
static bool is_same_when_cut(struct pattern_cursor *self, const uint8_t *text, size_t length,
                             size_t at, size_t cut)
{
    while (at < cut) {
        size_t whole = next_for_certain(self, text, length, at);
        size_t alone = 0;
        if (pattern_next(self, text, cut, at, &alone) != STATUS_OK || alone != whole) {
            return false;
        }
        at = whole;
    }
    return true;
}

size_t pattern_safe_length(struct pattern_cursor *self, const uint8_t *text, size_t length)
{
    if (self->pattern->code == NULL) {
        return 0;
    }
    size_t boundaries[BOUNDARIES_MAX] = {0}; /* a ring */
    size_t count = 0;
    size_t at = 0;
    for (size_t end = 0; at < length; at = end) {
        boundaries[count++ % BOUNDARIES_MAX] = at;
        end = next_for_certain(self, text, length, at);
        if (end == 0) {
            break;
        }
    }
    size_t kept = count < BOUNDARIES_MAX ? count : BOUNDARIES_MAX;
    /* No piece of a known pattern depends on what stands more than a few pieces later. */
    size_t from =
        self->pattern->family == PATTERN_OTHER ? 0 : boundaries[(count - kept) % BOUNDARIES_MAX];
    for (size_t i = 1; i <= kept; i++) {
        size_t cut = boundaries[(count - i) % BOUNDARIES_MAX];
        if (is_same_when_cut(self, text, length, from, cut)) {
            return cut;
        }
    }
    return 0;
}
