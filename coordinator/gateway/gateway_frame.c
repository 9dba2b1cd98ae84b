#include "coordinator/gateway/gateway_frame.h"

#include "common/check.h"
#include "coordinator/gateway/gateway_facts.h"
#include "proto/little_endian.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { AT_TYPE = 0, AT_HEAD_SIZE = 4, AT_BODY_SIZE = 8, AT_ZERO = 12, AT_NUMBER = 16 };

enum numbered { NO_NUMBER, NUMBERED, MAYBE_NUMBERED };

static const uint64_t numbers_end = UINT64_C(1) << GATEWAY_NUMBER_BITS;

/* What a frame of a type may be; head_max 0: it has no head. */
struct rule {
    uint32_t head_min;
    uint32_t head_max;
    uint32_t body_max;
    enum numbered numbered;
};

static const struct rule core_rules[GATEWAY_CORE_END] = {
    [GATEWAY_START] = {GATEWAY_START_BYTES, GATEWAY_START_BYTES, 0, NO_NUMBER},
    [GATEWAY_SEND] = {1, WIRE_HEAD_MAX, WIRE_BODY_MAX, NUMBERED},
    [GATEWAY_ADMIT] = {0, 0, 0, NUMBERED},
    [GATEWAY_CUT] = {0, 0, 0, NUMBERED},
    [GATEWAY_BAR] = {GATEWAY_BAR_BYTES, GATEWAY_BAR_BYTES, 0, NO_NUMBER},
    [GATEWAY_DIAL] = {GATEWAY_DIAL_BYTES_MIN, GATEWAY_DIAL_BYTES_MAX, 0, NUMBERED},
    [GATEWAY_TELL] = {1, WIRE_HEAD_MAX, WIRE_BODY_MAX, NUMBERED},
    [GATEWAY_HANG_UP] = {GATEWAY_HANG_UP_BYTES, GATEWAY_HANG_UP_BYTES, 0, NUMBERED},
    [GATEWAY_PING] = {0, 0, 0, NUMBERED},
};

static const struct rule outside_rules[GATEWAY_OUTSIDE_END] = {
    [GATEWAY_READY] = {GATEWAY_READY_BYTES_MIN, GATEWAY_READY_BYTES_MIN + GATEWAY_TEXT_MAX, 0,
                       NO_NUMBER},
    [GATEWAY_FAILED] = {1, GATEWAY_TEXT_MAX, 0, NO_NUMBER},
    [GATEWAY_HEARD] = {GATEWAY_SENDER_BYTES + 1, GATEWAY_HEAD_MAX, WIRE_BODY_MAX, NUMBERED},
    [GATEWAY_TAKEN] = {GATEWAY_TAKEN_BYTES, GATEWAY_TAKEN_BYTES, 0, NUMBERED},
    [GATEWAY_GONE] = {0, 0, 0, NUMBERED},
    [GATEWAY_TRAFFIC] = {GATEWAY_TRAFFIC_BYTES, GATEWAY_TRAFFIC_BYTES, 0, NUMBERED},
    [GATEWAY_INCIDENT] = {GATEWAY_INCIDENT_BYTES, GATEWAY_INCIDENT_BYTES, 0, MAYBE_NUMBERED},
    [GATEWAY_ANSWERED] = {1, WIRE_HEAD_MAX, WIRE_BODY_MAX, NUMBERED},
    [GATEWAY_TOLD] = {GATEWAY_TAKEN_BYTES, GATEWAY_TAKEN_BYTES, 0, NUMBERED},
    [GATEWAY_LINE] = {GATEWAY_LINE_BYTES, GATEWAY_LINE_BYTES, 0, NUMBERED},
    [GATEWAY_PONG] = {0, 0, 0, NUMBERED},
};

/* NULL: no such frame of that side. */
static const struct rule *rule_of(enum gateway_side from, unsigned type)
{
    if (from == GATEWAY_CORE) {
        return type >= GATEWAY_START && type < GATEWAY_CORE_END ? &core_rules[type] : NULL;
    }
    return type >= GATEWAY_READY && type < GATEWAY_OUTSIDE_END ? &outside_rules[type] : NULL;
}

static bool keeps(const struct rule *rule, uint64_t head_bytes, uint64_t body_bytes,
                  uint64_t number)
{
    bool number_fits =
        rule->numbered == NO_NUMBER
            ? number == 0
            : number < numbers_end && (rule->numbered == MAYBE_NUMBERED || number > 0);
    return number_fits && head_bytes >= rule->head_min && head_bytes <= rule->head_max &&
           body_bytes <= rule->body_max;
}

void gateway_frame_header(const struct gateway_frame *frame, uint8_t out[GATEWAY_HEADER_BYTES])
{
    enum gateway_side from = frame->type < GATEWAY_CORE_END ? GATEWAY_CORE : GATEWAY_OUTSIDE;
    const struct rule *rule = rule_of(from, frame->type);
    CHECK(rule != NULL &&
          keeps(rule, frame->head_size_bytes, frame->body_size_bytes, frame->number));
    memset(out, 0, GATEWAY_HEADER_BYTES);
    out[AT_TYPE] = (uint8_t)frame->type;
    little_endian_put(out + AT_HEAD_SIZE, frame->head_size_bytes, 4);
    little_endian_put(out + AT_BODY_SIZE, frame->body_size_bytes, 4);
    little_endian_put(out + AT_NUMBER, frame->number, 8);
}

struct gateway_reader {
    enum gateway_side from;
    size_t first; /* of the bytes that are not read yet */
    size_t end;
    uint8_t bytes[GATEWAY_BUFFER_BYTES];
};

enum status gateway_reader_new(enum gateway_side from, struct gateway_reader **out)
{
    *out = malloc(sizeof **out); /* what it holds is written before it is read */
    if (*out == NULL) {
        return STATUS_NO_MEMORY;
    }
    (*out)->from = from;
    (*out)->first = 0;
    (*out)->end = 0;
    return STATUS_OK;
}

void gateway_reader_free(struct gateway_reader *self)
{
    free(self);
}

/* A frame that is not whole has room for its rest: bytes move at most once for each frame's worth
 * of them. */
size_t gateway_reader_space(struct gateway_reader *self, uint8_t **out)
{
    if (self->first == self->end) {
        self->first = 0;
        self->end = 0;
    } else if (GATEWAY_BUFFER_BYTES - self->first < GATEWAY_FRAME_MAX ||
               self->end == GATEWAY_BUFFER_BYTES) {
        memmove(self->bytes, self->bytes + self->first, self->end - self->first);
        self->end -= self->first;
        self->first = 0;
    }
    *out = self->bytes + self->end;
    return GATEWAY_BUFFER_BYTES - self->end;
}

void gateway_reader_filled(struct gateway_reader *self, size_t size_bytes)
{
    CHECK(size_bytes <= GATEWAY_BUFFER_BYTES - self->end);
    self->end += size_bytes;
}

void gateway_reader_wipe(struct gateway_reader *self)
{
    sodium_memzero(self->bytes, self->first); /* those that are read already */
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

enum status gateway_reader_next(struct gateway_reader *self, struct gateway_frame *out)
{
    const uint8_t *header = self->bytes + self->first;
    size_t there = self->end - self->first;
    if (there < GATEWAY_HEADER_BYTES) {
        return STATUS_AGAIN;
    }
    uint64_t head_bytes = little_endian_get(header + AT_HEAD_SIZE, 4);
    uint64_t body_bytes = little_endian_get(header + AT_BODY_SIZE, 4);
    uint64_t number = little_endian_get(header + AT_NUMBER, 8);
    const struct rule *rule = rule_of(self->from, header[AT_TYPE]);
    if (rule == NULL || !keeps(rule, head_bytes, body_bytes, number) ||
        !is_zero(header + AT_TYPE + 1, AT_HEAD_SIZE - AT_TYPE - 1) ||
        !is_zero(header + AT_ZERO, AT_NUMBER - AT_ZERO)) {
        return STATUS_PROTOCOL; /* and again: nothing goes past it */
    }
    size_t frame_bytes = GATEWAY_HEADER_BYTES + (size_t)head_bytes + (size_t)body_bytes;
    if (there < frame_bytes) {
        return STATUS_AGAIN;
    }
    *out = (struct gateway_frame){.type = (enum gateway_frame_type)header[AT_TYPE],
                                  .number = number,
                                  .head = header + GATEWAY_HEADER_BYTES,
                                  .head_size_bytes = (size_t)head_bytes,
                                  .body = header + GATEWAY_HEADER_BYTES + head_bytes,
                                  .body_size_bytes = (size_t)body_bytes};
    self->first += frame_bytes;
    return STATUS_OK;
}
