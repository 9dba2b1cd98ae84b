#include "proto/rate.h"

#include "common/check.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* A window may be shorter where so much came that neither a burst nor the clock's millisecond
 * matters. */
static const double window_bytes_plenty = 8.0 * 1024 * 1024;
static const uint64_t window_ms_min = 20;

void rate_meter_init(struct rate_meter *self)
{
    *self = (struct rate_meter){.credit_bytes = RATE_BURST_BYTES};
}

/* The third quartile of the windows that are kept; of two the lower. */
static double high_quartile(const struct rate_meter *self)
{
    double sorted[RATE_WINDOWS] = {0};
    CHECK(self->window_count > 0);
    for (uint32_t i = 0; i < self->window_count; i++) {
        uint32_t j = i;
        for (; j > 0 && sorted[j - 1] > self->windows[i]; j--) {
            sorted[j] = sorted[j - 1];
        }
        sorted[j] = self->windows[i];
    }
    return sorted[(self->window_count - 1) * 3 / 4];
}

static void keep_window(struct rate_meter *self, double bytes_per_s)
{
    self->windows[self->window_next] = bytes_per_s;
    self->window_next = (self->window_next + 1) % RATE_WINDOWS;
    if (self->window_count < RATE_WINDOWS) {
        self->window_count++;
    }
}

/* Up: half the way at each window. Down: with time. */
static void follow(struct rate_meter *self, uint64_t elapsed_ms)
{
    double target = high_quartile(self);
    if (self->estimate <= 0.0 || self->window_count <= 2) {
        self->estimate = target;
    } else if (target >= self->estimate) {
        self->estimate += 0.5 * (target - self->estimate);
    } else {
        double faded = self->estimate * RATE_FALL_MS / ((double)elapsed_ms + RATE_FALL_MS);
        self->estimate = fmax(target, faded);
    }
}

static bool window_full(const struct rate_meter *self)
{
    bool usual = self->window_ms >= RATE_WINDOW_MS && self->window_bytes >= RATE_WINDOW_BYTES;
    bool plenty = self->window_ms >= window_ms_min && self->window_bytes >= window_bytes_plenty;
    bool silent = self->window_bytes <= 0.0;
    return usual || plenty ||
           self->window_ms >= (silent ? RATE_SILENCE_MS_MAX : RATE_WINDOW_MS_MAX);
}

static void end_window(struct rate_meter *self)
{
    keep_window(self, self->window_bytes * 1000.0 / (double)self->window_ms);
    follow(self, self->window_ms);
    self->window_bytes = 0.0;
    self->window_ms = 0;
}

static void count_measured(struct rate_meter *self, uint64_t bytes)
{
    uint64_t sum = self->measured_bytes + bytes;
    self->measured_bytes = sum < bytes ? UINT64_MAX : sum;
}

void rate_meter_add(struct rate_meter *self, uint64_t bytes, uint64_t now_ms, bool busy)
{
    bool later = self->started && now_ms > self->last_ms;
    uint64_t elapsed_ms = later ? now_ms - self->last_ms : 0;
    if (later || !self->started) {
        self->last_ms = now_ms;
    }
    self->started = true;
    if (!busy) {
        /* An idle link saves up as fast as it could have carried; one not yet known, at once. */
        double saved =
            self->estimate > 0.0 ? self->estimate * (double)elapsed_ms / 1000.0 : RATE_BURST_BYTES;
        double credit = self->credit_bytes + saved - (double)bytes;
        self->credit_bytes = fmin(fmax(credit, 0.0), RATE_BURST_BYTES);
        return;
    }
    if (bytes > 0 && self->window_bytes <= 0.0 && self->window_ms >= RATE_WINDOW_MS_MAX) {
        self->window_ms = 0;
    }
    double burst = fmin(self->credit_bytes, (double)bytes);
    self->credit_bytes -= burst;
    self->window_bytes += (double)bytes - burst;
    self->window_ms += elapsed_ms;
    count_measured(self, bytes);
    if (window_full(self)) {
        end_window(self);
    }
}

void rate_meter_probe(struct rate_meter *self, uint64_t bytes, uint64_t elapsed_ms)
{
    if (bytes <= RATE_BURST_BYTES || elapsed_ms < 2) {
        return;
    }
    double rate = (double)(bytes - RATE_BURST_BYTES) * 1000.0 / (double)elapsed_ms;
    count_measured(self, bytes);
    keep_window(self, rate);
    if (rate < self->estimate) {
        self->estimate = 0.5 * (self->estimate + rate);
    } else {
        follow(self, 0);
    }
}

uint64_t rate_meter_bytes_per_s(const struct rate_meter *self)
{
    if (self->window_count == 0) {
        return 0;
    }
    /* Once there was a window the link is known, even if nothing came through it. */
    return (uint64_t)fmin(fmax(self->estimate, 1.0), 1e15);
}

uint64_t rate_meter_measured_bytes(const struct rate_meter *self)
{
    return self->measured_bytes;
}

bool rate_differs(uint64_t bytes_per_s, uint64_t other_bytes_per_s, double factor)
{
    CHECK(factor > 1.0);
    if (bytes_per_s == 0 || other_bytes_per_s == 0) {
        return bytes_per_s != other_bytes_per_s;
    }
    double ratio = (double)bytes_per_s / (double)other_bytes_per_s;
    return ratio > factor || ratio < 1.0 / factor;
}

static const uint64_t bucket_rate_max = UINT64_C(1) << 40;
static const uint64_t bucket_burst_min = 4096;
static const int64_t bucket_level_min = -(INT64_C(1) << 60);

static int64_t burst_milli(const struct token_bucket *self)
{
    uint64_t burst = self->bytes_per_s / 10;
    return (int64_t)(burst < bucket_burst_min ? bucket_burst_min : burst) * 1000;
}

void token_bucket_init(struct token_bucket *self, uint64_t bytes_per_s, uint64_t now_ms)
{
    *self = (struct token_bucket){.bytes_per_s =
                                      bytes_per_s < bucket_rate_max ? bytes_per_s : bucket_rate_max,
                                  .last_ms = now_ms,
                                  .free_ms = now_ms};
    self->level_milli = burst_milli(self);
}

/* Bytes a second are thousandths of a byte a millisecond, so nothing is rounded. */
static void refill(struct token_bucket *self, uint64_t now_ms)
{
    if (now_ms <= self->last_ms || self->bytes_per_s == 0) {
        return;
    }
    uint64_t elapsed_ms = now_ms - self->last_ms;
    uint64_t missing = (uint64_t)(burst_milli(self) - self->level_milli);
    bool was_free = self->level_milli > 0;
    if (elapsed_ms > missing / self->bytes_per_s) {
        self->level_milli = burst_milli(self);
    } else {
        self->level_milli += (int64_t)(elapsed_ms * self->bytes_per_s);
    }
    self->last_ms = now_ms;
    if (!was_free && self->level_milli > 0) {
        self->free_ms = now_ms;
    }
}

static void remove_from_line(struct token_bucket *self, uint32_t index)
{
    self->line_count--;
    memmove(&self->line[index], &self->line[index + 1],
            (self->line_count - index) * sizeof self->line[0]);
}

static uint32_t find_in_line(const struct token_bucket *self, uint32_t user)
{
    uint32_t index = 0;
    while (index < self->line_count && self->line[index].user != user) {
        index++;
    }
    return index;
}

/* Whoever could have sent and did not ask must not hold up the others. */
static void drop_absent(struct token_bucket *self, uint64_t now_ms)
{
    while (self->line_count > 0) {
        uint64_t asked_ms = self->line[0].asked_ms;
        uint64_t since_ms = asked_ms > self->free_ms ? asked_ms : self->free_ms;
        if (now_ms < since_ms || now_ms - since_ms <= TOKEN_PATIENCE_MS) {
            return;
        }
        remove_from_line(self, 0);
    }
}

uint64_t token_bucket_ask(struct token_bucket *self, uint32_t user, uint64_t now_ms)
{
    if (self->bytes_per_s == 0) {
        return UINT64_MAX;
    }
    refill(self, now_ms);
    uint32_t index = find_in_line(self, user);
    if (index == self->line_count && index < TOKEN_USERS_MAX) {
        self->line[self->line_count++].user = user;
    }
    if (index < TOKEN_USERS_MAX) {
        self->line[index].asked_ms = now_ms;
    }
    if (self->level_milli <= 0) {
        return 0;
    }
    drop_absent(self, now_ms);
    if (self->line_count == 0 || self->line[0].user != user) {
        return 0;
    }
    uint64_t free_bytes = (uint64_t)self->level_milli / 1000;
    return free_bytes > 0 ? free_bytes : 1;
}

void token_bucket_take(struct token_bucket *self, uint32_t user, uint64_t bytes, uint64_t now_ms)
{
    refill(self, now_ms);
    token_bucket_leave(self, user);
    if (self->bytes_per_s > 0) {
        uint64_t counted = bytes < bucket_rate_max ? bytes : bucket_rate_max;
        int64_t level = self->level_milli - (int64_t)counted * 1000;
        self->level_milli = level > bucket_level_min ? level : bucket_level_min;
    }
}

void token_bucket_leave(struct token_bucket *self, uint32_t user)
{
    uint32_t index = find_in_line(self, user);
    if (index < self->line_count) {
        remove_from_line(self, index);
    }
}

uint64_t token_bucket_wait_ms(struct token_bucket *self, uint64_t now_ms)
{
    refill(self, now_ms);
    if (self->bytes_per_s == 0 || self->level_milli > 0) {
        return 0;
    }
    return (uint64_t)-self->level_milli / self->bytes_per_s + 1;
}
