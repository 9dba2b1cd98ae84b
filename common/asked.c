#include "common/asked.h"

#include "common/check.h"

/* The place of a piece; self->count: it is not there. */
static uint32_t place_of(const struct asked *self, uint32_t index)
{
    uint32_t place = 0;
    while (place < self->count && self->pieces[place].index != index) {
        place++;
    }
    return place;
}

static void remove_at(struct asked *self, uint32_t place)
{
    self->count--;
    self->pieces[place] = self->pieces[self->count];
}

bool asked_has(const struct asked *self, uint32_t index)
{
    return place_of(self, index) < self->count;
}

void asked_add(struct asked *self, uint32_t index, uint64_t now_ms)
{
    CHECK(self->count < ASKED_MAX && !asked_has(self, index));
    self->pieces[self->count++] = (struct asked_piece){.index = index, .asked_ms = now_ms};
}

void asked_forget(struct asked *self, uint32_t index)
{
    uint32_t place = place_of(self, index);
    if (place < self->count) {
        remove_at(self, place);
        self->came = true;
    }
}

uint32_t asked_expire(struct asked *self, uint64_t now_ms, uint64_t retry_ms)
{
    uint32_t lowest = UINT32_MAX;
    if (self->came) {
        self->came = false;
        self->heard_ms = now_ms;
    }
    for (uint32_t i = self->count; i > 0; i--) {
        const struct asked_piece *piece = &self->pieces[i - 1];
        uint64_t since_ms = piece->asked_ms > self->heard_ms ? piece->asked_ms : self->heard_ms;
        if (now_ms >= since_ms && now_ms - since_ms >= retry_ms) {
            lowest = piece->index < lowest ? piece->index : lowest;
            remove_at(self, i - 1);
        }
    }
    return lowest;
}
