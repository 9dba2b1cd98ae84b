#include "trainer/tokenizer/added_set.h"

#include "common/fault.h"
#include "trainer/tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t *text_of(const struct added_set *self, size_t place, size_t *out_length)
{
    return recipe_bytes(self->recipe, self->sorted[place].id, out_length);
}

/* Insertion by halves needs no comparison function with a hidden recipe. */
static enum status insert_sorted(struct added_set *self, const struct added_token *token)
{
    size_t length = 0;
    const uint8_t *text = recipe_bytes(self->recipe, token->id, &length);
    size_t low = 0;
    size_t high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        size_t other_length = 0;
        const uint8_t *other = text_of(self, middle, &other_length);
        int order = memcmp(other, text, other_length < length ? other_length : length);
        if (order == 0 && other_length == length) {
            return fault(STATUS_BAD_DATA, "the added tokens %u and %u have the same text",
                         self->sorted[middle].id, token->id);
        }
        if (order < 0 || (order == 0 && other_length < length)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    memmove(&self->sorted[low + 1], &self->sorted[low],
            (self->count - low) * sizeof(*self->sorted));
    self->sorted[low] = *token;
    self->count++;
    self->begins[text[0]] = true;
    self->longest = length > self->longest ? length : self->longest;
    self->strips_left = self->strips_left || token->strip_left;
    return STATUS_OK;
}

enum status added_set_init(struct added_set *self, const struct recipe *recipe, bool normalized)
{
    *self = (struct added_set){.recipe = recipe};
    self->sorted = calloc(recipe->added_count + 1, sizeof(*self->sorted));
    if (self->sorted == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer");
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < recipe->added_count; i++) {
        if (recipe->added[i].normalized == normalized) {
            status = insert_sorted(self, &recipe->added[i]);
        }
    }
    return status;
}

void added_set_deinit(struct added_set *self)
{
    free(self->sorted);
    *self = (struct added_set){0};
}

/* Tokens [low, high) begin with the same `depth` bytes. Keeps those that go on with `byte`. */
static void narrow(const struct added_set *self, size_t depth, uint8_t byte, size_t *low,
                   size_t *high)
{
    size_t edges[2] = {*low, *low};
    for (unsigned i = 0; i < 2; i++) {
        size_t end = *high;
        while (edges[i] < end) {
            size_t middle = (edges[i] + end) / 2;
            size_t length = 0;
            const uint8_t *text = text_of(self, middle, &length);
            int found = depth < length ? text[depth] : -1;
            if (found < byte + (int)i) {
                edges[i] = middle + 1;
            } else {
                end = middle;
            }
        }
    }
    *low = edges[0];
    *high = edges[1];
}

/* The longest token that `text` begins with; *out_unfinished when a longer one may come. */
static const struct added_token *longest_at(const struct added_set *self, const uint8_t *text,
                                            size_t length, bool *out_unfinished)
{
    const struct added_token *found = NULL;
    size_t low = 0;
    size_t high = self->count;
    size_t depth = 0;
    while (depth < length && low < high) {
        narrow(self, depth, text[depth], &low, &high);
        depth++;
        size_t token_length = 0;
        if (low < high) {
            (void)text_of(self, low, &token_length);
        }
        if (token_length == depth) {
            found = &self->sorted[low++]; /* the others are longer */
        }
    }
    *out_unfinished = low < high;
    return found;
}

struct added_match added_set_find(const struct added_set *self, const uint8_t *text, size_t from,
                                  size_t end)
{
    struct added_match match = {.start = end, .end = end};
    for (size_t at = from; self->count > 0 && at < end; at++) {
        bool unfinished = false;
        if (!self->begins[text[at]]) {
            continue;
        }
        match.token = longest_at(self, text + at, end - at, &unfinished);
        if (match.token != NULL) {
            size_t length = 0;
            (void)recipe_bytes(self->recipe, match.token->id, &length);
            match.start = at;
            match.end = at + length;
            break;
        }
    }
    if (match.token != NULL && match.token->strip_left) {
        match.start -= utf8_spaces_at_end(text + from, match.start - from);
    }
    if (match.token != NULL && match.token->strip_right) {
        match.end += utf8_spaces_at_start(text + match.end, end - match.end);
    }
    return match;
}

size_t added_set_unfinished(const struct added_set *self, const uint8_t *text, size_t length)
{
    size_t at = length > self->longest ? length - self->longest : 0;
    for (; self->count > 0 && at < length; at++) {
        bool unfinished = false;
        if (self->begins[text[at]]) {
            (void)longest_at(self, text + at, length - at, &unfinished);
        }
        if (unfinished) {
            break;
        }
    }
    return self->count > 0 ? at : length;
}
