/* pace - how fast a peer may send and receive, and how fast it does.
 *
 * All that is sent in chunks, to whomever, shares one cap; those that have something to send take
 * turns, a message each. What is received is capped where it is asked for. The meters say what the
 * line carries: up by what the other sides' kernels confirm, since what a queue took is not there
 * yet, and down by what comes while something is asked for.
 *
 * Pure. One owner. */
#ifndef DUGNAD_PEER_DAEMON_PACE_H
#define DUGNAD_PEER_DAEMON_PACE_H

#include "proto/rate.h"
#include "proto/wire.h"

enum { PACE_LOOK_MS = 20, PACE_TELL_MS = 1000, PACE_BACKLOG_BYTES = 64 * 1024 };

enum {
    PACE_ANSWER_MS_MAX = 1000,
    PACE_BEGIN_MS_MAX = 5000,
    PACE_FLOOD_MS = 5000,
    PACE_OTHERS_MS_MAX = 4000 /* of what others than the coordinator send unasked */
};

/* What one connection was handed and has delivered. A zeroed one is idle. */
struct pace_flow {
    uint64_t delivered_bytes; /* as the kernel counts, at the last look */
    uint64_t backlog_bytes;   /* handed over and not delivered */
};

void pace_flow_add(struct pace_flow *self, uint64_t bytes);

/* The kernel's count now (0: there is no such connection); what was delivered since the last look.
 */
uint64_t pace_flow_look(struct pace_flow *self, uint64_t delivered_bytes);

/* One look at all flows. */
struct pace_look {
    uint64_t delivered_bytes; /* of all, since the last look */
    uint32_t senders;         /* flows with a backlog, or that have more to send */
    uint32_t receivers;       /* who was asked for something that has not come */
};

/* How many are at work, and how many were at most since nobody was. */
struct pace_crowd {
    uint32_t peak;
    bool busy; /* at the last look */
};

struct pace {
    struct token_bucket up;
    struct token_bucket down;
    struct rate_meter up_meter;
    struct rate_meter down_meter;
    uint64_t came_bytes; /* since the last look */
    struct pace_crowd senders;
    struct pace_crowd receivers;
    uint64_t looked_ms;
    uint64_t told_ms;
    uint64_t told_bytes; /* that the told rates rest on */
};

/* Caps in bytes a second; 0: none. */
void pace_init(struct pace *self, uint64_t up_max, uint64_t down_max, uint64_t now_ms);

/* A message may be sent now; and it was. */
bool pace_may_send(struct pace *self, uint64_t now_ms);
void pace_sent(struct pace *self, uint64_t bytes, uint64_t now_ms);

/* How many bytes may be asked for now (a chunk more is fine); and so many were. */
uint64_t pace_may_ask(struct pace *self, uint64_t now_ms);
void pace_asked(struct pace *self, uint64_t bytes, uint64_t now_ms);

/* A chunk came. */
void pace_came(struct pace *self, uint64_t bytes);

/* An answer that the other side waits for may go now: the cap is overdrawn by little. The first
 * chunk of what it asked for may as well, where it is overdrawn by more. */
bool pace_may_answer(struct pace *self, uint64_t now_ms);
bool pace_may_begin(struct pace *self, uint64_t now_ms);

/* A message came that was not asked for; and what may be read now has long been overdrawn, so that
 * the line's own brake is left to work. From others than the coordinator it counts up to
 * PACE_OTHERS_MS_MAX: whatever they send, it is heard. */
void pace_came_unasked(struct pace *self, uint64_t bytes, uint64_t now_ms);
void pace_came_from_others(struct pace *self, uint64_t bytes, uint64_t now_ms);
bool pace_is_flooded(struct pace *self, uint64_t now_ms);

/* Milliseconds until something may be sent; 0: now. */
uint64_t pace_wait_ms(struct pace *self, uint64_t now_ms);

/* True when it is time for a look; then pace_look. */
bool pace_look_is_due(const struct pace *self, uint64_t now_ms);
void pace_look(struct pace *self, uint64_t now_ms, const struct pace_look *look);

/* What to tell the coordinator, if there is something new, at most once a second. */
bool pace_tell(struct pace *self, uint64_t now_ms, struct wire_rates *out);

#endif
