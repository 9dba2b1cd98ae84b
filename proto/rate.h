/* rate - what a link carries, measured from transfers; an owner's caps; rates as people write them.
 *
 * Time is handed in, in milliseconds of a clock that never jumps (one that does is taken to stand
 * still). Pure. One owner per struct; nothing is allocated. */
#ifndef DUGNAD_PROTO_RATE_H
#define DUGNAD_PROTO_RATE_H

#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RATE_WINDOWS = 12,
    RATE_BURST_BYTES = 64 * 1024,   /* what buckets and buffers may hand over at once */
    RATE_WINDOW_BYTES = 512 * 1024, /* large against a burst */
    RATE_WINDOW_MS = 150,
    RATE_WINDOW_MS_MAX = 2000,
    RATE_SILENCE_MS_MAX = 20000, /* of a window in which nothing comes */
    RATE_FALL_MS = 12000,        /* of busy time: how long the estimate takes to fall to 1/e */
    TOKEN_USERS_MAX = 64,
    TOKEN_PATIENCE_MS = 200
};

/* What a link can carry, from what it did carry. The bytes of busy time are cut into windows of at
 * least RATE_WINDOW_MS and RATE_WINDOW_BYTES; the estimate is a high quartile of the latest ones,
 * for a transfer that somebody else's link held back says nothing about this one. It rises within
 * a few windows and falls no faster than RATE_FALL_MS allows. Where nothing came at all the other
 * side may have said nothing: such a window is much longer, and ends with the first byte. Bytes
 * that a token bucket or a kernel's buffer had saved up while the link was idle are left out. */
struct rate_meter {
    uint64_t last_ms;
    bool started;
    double credit_bytes; /* saved up for a burst */
    double window_bytes;
    uint64_t window_ms;
    double windows[RATE_WINDOWS]; /* bytes/s, a ring */
    uint32_t window_count;
    uint32_t window_next;
    double estimate; /* bytes/s; 0: unknown */
    uint64_t measured_bytes;
};

void rate_meter_init(struct rate_meter *self);

/* `bytes` came through since the last call. busy: in all that time there was more to carry, and
 * nothing but this link is known to have held it back. Before a transfer begins on an idle link,
 * this is called with 0 bytes and busy false; so it is when the last one ends early. */
void rate_meter_add(struct rate_meter *self, uint64_t bytes, uint64_t now_ms, bool busy);

/* `bytes` came through in elapsed_ms for no other purpose than to see how fast they would. Counts
 * for more than a transfer: what the link did not carry now, it cannot. Probes no larger than a
 * burst, or quicker than the clock can tell, say nothing. */
void rate_meter_probe(struct rate_meter *self, uint64_t bytes, uint64_t elapsed_ms);

/* 0: unknown. */
uint64_t rate_meter_bytes_per_s(const struct rate_meter *self);

/* How many bytes the estimate rests on: all that came in busy time and in probes. */
uint64_t rate_meter_measured_bytes(const struct rate_meter *self);

/* True when two rates differ by more than `factor` > 1 either way, or one alone is known (not 0):
 * what was planned with the one should be planned again with the other. */
bool rate_differs(uint64_t bytes_per_s, uint64_t other_bytes_per_s, double factor);

/* An owner's cap. Messages go whole, so one that is let go may overdraw; the next waits until
 * that is paid back. Over any time t at most bytes_per_s * t + a tenth of a second's worth (at
 * least 4 KiB) + one message goes. Several users take turns, a message each. */
struct token_bucket {
    uint64_t bytes_per_s; /* 0: no cap */
    int64_t level_milli;  /* thousandths of a byte; below 0: overdrawn */
    uint64_t last_ms;
    uint64_t free_ms; /* since when somebody may send */
    struct {
        uint32_t user;
        uint64_t asked_ms;
    } line[TOKEN_USERS_MAX]; /* whose turn it is, in order */
    uint32_t line_count;
};

/* Starts full. bytes_per_s: 0 for no cap; above 2^40 counts as that. */
void token_bucket_init(struct token_bucket *self, uint64_t bytes_per_s, uint64_t now_ms);

/* How many bytes are free for `user` now: it may send a message, and says so with
 * token_bucket_take. 0: not yet, or others are before it; it has a place in the line, which it
 * loses when it does not ask again within TOKEN_PATIENCE_MS. With TOKEN_USERS_MAX waiting,
 * further ones get 0 and no place. UINT64_MAX: no cap. */
uint64_t token_bucket_ask(struct token_bucket *self, uint32_t user, uint64_t now_ms);

/* `user` sent a message of `bytes`, whose size may pass what was free; the next turn is another's.
 */
void token_bucket_take(struct token_bucket *self, uint32_t user, uint64_t bytes, uint64_t now_ms);

/* The user needs nothing any more. */
void token_bucket_leave(struct token_bucket *self, uint32_t user);

/* Milliseconds until somebody may send; 0: now. */
uint64_t token_bucket_wait_ms(struct token_bucket *self, uint64_t now_ms);

/* Reads "20mbit", "800kbit", "1gbit" (bits a second, thousands) or "2.5MB", "300kB", "1GB" (bytes a
 * second, thousands), with or without "/s", at least 1 kB and at most 1000 GB a second. `option`
 * names it in the sentence. Errors: USAGE with a sentence. */
MUST_CHECK enum status rate_from_text(const char *option, const char *text,
                                      uint64_t *out_bytes_per_s);

#endif
