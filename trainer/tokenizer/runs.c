#include "trainer/tokenizer/runs.h"

#include "trainer/tokenizer/utf8.h"

void runs_init(struct runs *self, const struct added_set *raw, const struct added_set *normalized,
               const uint8_t *text, size_t length)
{
    *self = (struct runs){.raw = raw, .normalized = normalized, .text = text, .length = length};
}

static bool take_added(struct runs *self, const struct added_match *match, struct run *out)
{
    *out = (struct run){
        .kind = RUN_ADDED, .start = self->at, .end = match->end, .token = match->token};
    self->at = match->end;
    return true;
}

bool runs_next(struct runs *self, struct run *out)
{
    if (self->at >= self->length) {
        return false;
    }
    if (!self->raw_is_known) {
        self->next_raw = added_set_find(self->raw, self->text, self->at, self->length);
        self->raw_is_known = true;
    }
    if (self->at == self->next_raw.start) {
        self->raw_is_known = false;
        self->normalized_is_known = false;
        return take_added(self, &self->next_raw, out);
    }
    if (!self->normalized_is_known) {
        self->next_normalized =
            added_set_find(self->normalized, self->text, self->at, self->next_raw.start);
        self->normalized_is_known = true;
        self->valid_end = self->at;
    }
    size_t end = self->next_normalized.start;
    if (self->at == end) {
        self->normalized_is_known = false;
        return take_added(self, &self->next_normalized, out);
    }
    if (self->valid_end <= self->at) {
        self->valid_end = self->at + utf8_valid_prefix(self->text + self->at, end - self->at);
    }
    bool valid = self->valid_end > self->at;
    *out = (struct run){.kind = valid ? RUN_TEXT : RUN_BYTE,
                        .start = self->at,
                        .end = valid ? self->valid_end : self->at + 1};
    self->at = out->end;
    return true;
}
