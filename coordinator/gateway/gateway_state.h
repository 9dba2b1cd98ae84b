/* gateway_state - what the files of the gateway program share; nobody else includes it. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_STATE_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_STATE_H

#include "coordinator/gateway/gateway_facts.h"
#include "coordinator/gateway/gateway_lines.h"
#include "coordinator/gateway/gateway_link.h"
#include "coordinator/gateway/gateway_mail.h"
#include "proto/channel_incidents.h"

enum {
    GATEWAY_CROWDED_BYTES = 8 * 1024 * 1024, /* towards the core: no more is heard meanwhile, */
    GATEWAY_CHUNKS_BYTES = 6 * 1024 * 1024,  /* nor from here on at the port for chunks */
    GATEWAY_QUEUE_BYTES_MAX = 32 * 1024 * 1024
};

/* A client that the core has connect. */
struct gateway_call {
    uint64_t number;
    struct channel_client *client; /* NULL: it could not, or said what it may not */
    size_t body_bytes_max;
    uint64_t unanswered; /* of what was said to it */
    struct gateway_mail mail;
    struct gateway_line told; /* the latest that the core knows */
};

struct gateway {
    struct gateway_link *link; /* to the core */
    int events_fd;             /* an epoll of the link, so that one wait serves all */
    bool watches_out;
    struct identity identity; /* its CURVE half alone */
    struct channel_set *set;
    struct channel_server *servers[GATEWAY_PORTS];
    struct gateway_lines *lines;
    struct gateway_call calls[CHANNEL_ENDPOINTS_MAX];
    size_t call_count;
    struct channel_incidents incidents; /* of what is checked here */
    uint64_t ping;                      /* not answered yet; 0: none */
    unsigned ping_turns;
    uint64_t told_ms;            /* when slow facts were told */
    uint64_t due_ms;             /* the earliest try of mail that waits; UINT64_MAX: none waits */
    bool failed;                 /* the core takes nothing any more */
    struct wire_message message; /* scratch: it is large */
    uint8_t head[GATEWAY_HEAD_MAX]; /* scratch */
};

/* Connections as the core knows them: which server has one, and its number there. */
static inline struct channel_server *gateway_server_of(const struct gateway *self, uint64_t number)
{
    return self->servers[number % GATEWAY_PORTS];
}

static inline uint64_t gateway_inner_number(uint64_t number)
{
    return number / GATEWAY_PORTS;
}

static inline uint64_t gateway_outer_number(enum gateway_port port, uint64_t number)
{
    return number * GATEWAY_PORTS + port;
}

/* Tells the core; when its queue is full even so, the gateway ends. */
void gateway_tell(struct gateway *self, const struct gateway_frame *frame);

/* What the core orders (gateway_orders.c). Errors: PROTOCOL, STALE (it is gone). */
MUST_CHECK enum status gateway_take_orders(struct gateway *self, uint64_t now_ms);

/* Mail to connections, and what the core is told of them (gateway_send.c). */
void gateway_send(struct gateway *self, const struct gateway_frame *frame, uint64_t now_ms);
void gateway_admit(struct gateway *self, uint64_t connection);
void gateway_drop_line(struct gateway *self, uint64_t connection);
void gateway_send_turn(struct gateway *self, uint64_t now_ms, bool tells);

/* Clients (gateway_calls.c). */
void gateway_dial_out(struct gateway *self, uint64_t number, const struct gateway_dial *dial);
void gateway_call_say(struct gateway *self, const struct gateway_frame *frame, uint64_t now_ms);
void gateway_hang_up(struct gateway *self, uint64_t number, bool at_once);
void gateway_calls_turn(struct gateway *self, uint64_t now_ms, bool tells);

#endif
