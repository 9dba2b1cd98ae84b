#include "peer/daemon/pace.h"

enum { USER = 0 /* the turns are taken by whoever asks */, MS_PER_S = 1000 };

void pace_flow_add(struct pace_flow *self, uint64_t bytes)
{
    self->backlog_bytes += bytes;
}

/* The kernel counts more than was handed over, what the transport adds to it: so a backlog ends a
 * little early, and never stays. */
uint64_t pace_flow_look(struct pace_flow *self, uint64_t delivered_bytes)
{
    uint64_t fresh = delivered_bytes;
    if (delivered_bytes >= self->delivered_bytes) {
        fresh -= self->delivered_bytes;
    } else {
        self->backlog_bytes = 0; /* another connection: what the old one had is lost */
    }
    self->delivered_bytes = delivered_bytes;
    self->backlog_bytes =
        delivered_bytes > 0 && self->backlog_bytes > fresh ? self->backlog_bytes - fresh : 0;
    return fresh;
}

void pace_init(struct pace *self, uint64_t up_max, uint64_t down_max, uint64_t now_ms)
{
    *self = (struct pace){.looked_ms = now_ms, .told_ms = now_ms};
    token_bucket_init(&self->up, up_max, now_ms);
    token_bucket_init(&self->down, down_max, now_ms);
    rate_meter_init(&self->up_meter);
    rate_meter_init(&self->down_meter);
}

bool pace_may_send(struct pace *self, uint64_t now_ms)
{
    return token_bucket_ask(&self->up, USER, now_ms) > 0;
}

void pace_sent(struct pace *self, uint64_t bytes, uint64_t now_ms)
{
    token_bucket_take(&self->up, USER, bytes, now_ms);
}

uint64_t pace_may_ask(struct pace *self, uint64_t now_ms)
{
    return token_bucket_ask(&self->down, USER, now_ms);
}

void pace_asked(struct pace *self, uint64_t bytes, uint64_t now_ms)
{
    token_bucket_take(&self->down, USER, bytes, now_ms);
}

void pace_came(struct pace *self, uint64_t bytes)
{
    self->came_bytes += bytes;
}

bool pace_may_answer(struct pace *self, uint64_t now_ms)
{
    return token_bucket_wait_ms(&self->up, now_ms) <= PACE_ANSWER_MS_MAX;
}

bool pace_may_begin(struct pace *self, uint64_t now_ms)
{
    return token_bucket_wait_ms(&self->up, now_ms) <= PACE_BEGIN_MS_MAX;
}

void pace_came_unasked(struct pace *self, uint64_t bytes, uint64_t now_ms)
{
    token_bucket_take(&self->down, USER, bytes, now_ms);
}

void pace_came_from_others(struct pace *self, uint64_t bytes, uint64_t now_ms)
{
    uint64_t wait_ms = token_bucket_wait_ms(&self->down, now_ms);
    uint64_t room_ms = wait_ms < PACE_OTHERS_MS_MAX ? PACE_OTHERS_MS_MAX - wait_ms : 0;
    uint64_t room_bytes = self->down.bytes_per_s * room_ms / MS_PER_S;
    token_bucket_take(&self->down, USER, bytes < room_bytes ? bytes : room_bytes, now_ms);
}

bool pace_is_flooded(struct pace *self, uint64_t now_ms)
{
    return token_bucket_wait_ms(&self->down, now_ms) > PACE_FLOOD_MS;
}

uint64_t pace_wait_ms(struct pace *self, uint64_t now_ms)
{
    return token_bucket_wait_ms(&self->up, now_ms);
}

bool pace_look_is_due(const struct pace *self, uint64_t now_ms)
{
    return now_ms - self->looked_ms >= PACE_LOOK_MS;
}

/* Whether this line is what holds back those at work. While most of those that began together are
 * still there it is; the last ones wait for the lines of others. A time counts when it began and
 * ended so. Where a cap holds a line back, that says nothing about the line. */
static bool is_busy(struct pace_crowd *self, uint32_t count, bool capped)
{
    bool before = self->busy;
    self->peak = count == 0 ? 0 : count > self->peak ? count : self->peak;
    self->busy = !capped && count > 0 && count > self->peak / 2;
    return before && self->busy;
}

void pace_look(struct pace *self, uint64_t now_ms, const struct pace_look *look)
{
    bool up_capped = token_bucket_wait_ms(&self->up, now_ms) > 0;
    bool down_capped = token_bucket_wait_ms(&self->down, now_ms) > 0;
    rate_meter_add(&self->up_meter, look->delivered_bytes, now_ms,
                   is_busy(&self->senders, look->senders, up_capped));
    rate_meter_add(&self->down_meter, self->came_bytes, now_ms,
                   is_busy(&self->receivers, look->receivers, down_capped));
    self->came_bytes = 0;
    self->looked_ms = now_ms;
}

bool pace_tell(struct pace *self, uint64_t now_ms, struct wire_rates *out)
{
    uint64_t bytes =
        rate_meter_measured_bytes(&self->up_meter) + rate_meter_measured_bytes(&self->down_meter);
    uint64_t up = rate_meter_bytes_per_s(&self->up_meter);
    uint64_t down = rate_meter_bytes_per_s(&self->down_meter);
    if (bytes == self->told_bytes || up + down == 0 || now_ms - self->told_ms < PACE_TELL_MS) {
        return false;
    }
    self->told_bytes = bytes;
    self->told_ms = now_ms;
    out->up_bytes_per_s = up < WIRE_RATE_MAX ? up : WIRE_RATE_MAX;
    out->down_bytes_per_s = down < WIRE_RATE_MAX ? down : WIRE_RATE_MAX;
    out->count = 0;
    return true;
}
