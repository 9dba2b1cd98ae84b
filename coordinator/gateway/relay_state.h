/* relay_state - what the relay*.c files share; nobody else includes it.
 *
 * The relay is proto/channel.h for a program that has no sockets of its own: what a libzmq would do
 * is done by the gateway, another process, which may die or be taken over at any time. So every
 * result is decided here, from what the gateway has confirmed, and everything it says is bounded.
 */
#ifndef DUGNAD_COORDINATOR_GATEWAY_RELAY_STATE_H
#define DUGNAD_COORDINATOR_GATEWAY_RELAY_STATE_H

#include "coordinator/gateway/gateway_facts.h"
#include "coordinator/gateway/gateway_link.h"
#include "coordinator/gateway/relay_connections.h"
#include "coordinator/gateway/relay_process.h"
#include "proto/channel.h"
#include "proto/key_set.h"

enum {
    RELAY_QUEUE_BYTES_MAX = 128 * 1024 * 1024, /* to the gateway, in all */
    /* Unconfirmed messages in all, and those of one connection or client. Chunks are sent again
     * after AGAIN; whoever misses another message is cut, so those find room beside chunks. */
    RELAY_ALL_CHUNKS_BYTES_MAX = 96 * 1024 * 1024,
    RELAY_ALL_BYTES_MAX = 112 * 1024 * 1024,
    RELAY_CHUNKS_BYTES_MAX = 1024 * 1024,
    RELAY_BYTES_MAX = 4 * 1024 * 1024,
    RELAY_CHUNKS_MAX = 448,
    RELAY_MESSAGES_MAX = 512,
    RELAY_INBOX_BYTES_MAX = 8 * 1024 * 1024,
    RELAY_INBOX_MESSAGES_MAX = 4096,
    RELAY_CLIENT_INBOX_BYTES_MAX = 2 * 1024 * 1024,
    RELAY_CLIENT_INBOX_MESSAGES_MAX = 64,
    RELAY_FRAMES_PER_PUMP_MAX = 8192,
    RELAY_INCIDENTS_MAX = 256, /* waiting; and no more come in within a second */
    RELAY_START_MS_MAX = 10000,
    RELAY_STALL_MS = 500, /* between two looks at the gateway: the program was busy */
    RELAY_FENCE_MS_MAX = 2000,
    RELAY_RESTART_MS_MAX = 5000
};

/* A message that came, until it is closed. */
struct relay_letter {
    struct relay_letter *next;
    uint64_t number; /* of the connection, as the gateway counts */
    struct gateway_sender sender;
    size_t head_size_bytes;
    size_t body_size_bytes;
    uint8_t bytes[];
};

struct relay_inbox {
    struct relay_letter *first;
    struct relay_letter *last;
    size_t bytes;
    size_t count;
};

struct channel_server {
    struct channel_set *set;
    int listen_fds[GATEWAY_PORTS];
    uint16_t ports[GATEWAY_PORTS];
    struct relay_connections connections; /* of the gateway that runs */
    struct relay_inbox inbox;
    struct key_set *barred;
    struct channel_incident incidents[RELAY_INCIDENTS_MAX]; /* a ring */
    size_t incident_first;
    size_t incident_count;
    uint64_t incidents_ms; /* when the present second of them began */
    size_t incidents_came; /* within it */
};

struct channel_client {
    struct channel_set *set;
    struct gateway_dial dial;
    uint64_t number; /* with the gateway that runs */
    size_t body_bytes_max;
    struct relay_window window;
    struct relay_inbox inbox;
    struct gateway_line line;
    uint64_t connections_before; /* by gateways before */
};

struct channel_set {
    struct channel_server *server; /* NULL: none yet */
    struct channel_client *clients[CHANNEL_ENDPOINTS_MAX];
    size_t client_count;
    uint64_t numbers; /* given to clients */
    size_t unconfirmed_bytes;
    struct identity identity; /* its CURVE half alone: what gateways are told */
    /* The gateway. */
    struct gateway_link *link; /* NULL: none runs */
    struct relay_process process;
    bool ready;
    uint64_t generation; /* how many were started */
    uint64_t started_ms;
    uint64_t restart_ms; /* when the next may start */
    uint64_t backoff_ms;
    char reason[GATEWAY_TEXT_MAX + 1]; /* why the latest ended */
    /* Signs of life. */
    uint64_t pings;
    uint64_t pongs;
    uint64_t pinged_ms;
    uint64_t silent_ms;
    uint64_t tended_ms;
    uint64_t pumped_ms;
    /* After this program was busy for a while, what others said meanwhile comes before "nothing
     * there": they must not be taken for silent. The ping whose answer comes behind all that. */
    uint64_t fence;
    uint64_t fence_ms; /* and no longer than this */
};

/* The gateway's life (relay_gateway.c): starts it with all that it must know; ends it, with the
 * reason (NULL: it ended by itself, and how is said), so that another is started in time. Errors of
 * the start: as relay_process_start. */
MUST_CHECK enum status relay_gateway_start(struct channel_set *set);
void relay_gateway_lost(struct channel_set *set, const char *reason);

/* Looks after it: starts, pings, gives up on it. */
void relay_gateway_tend(struct channel_set *set, uint64_t now_ms);

/* Asks for a sign of life, which comes behind all that had come to the gateway before. */
uint64_t relay_gateway_ping(struct channel_set *set, uint64_t now_ms);

/* Whether what came to the gateway while this program was busy is still on its way. */
bool relay_gateway_catches_up(const struct channel_set *set, uint64_t now_ms);

/* Says something that must arrive; a gateway that does not take it is ended. Without one nothing is
 * said: the next is told all that counts. */
void relay_say(struct channel_set *set, const struct gateway_frame *frame);

void relay_say_dial(struct channel_client *client); /* by the next number */

/* The number by which the program knows a connection: no two gateways give the same. 0 for 0. */
uint64_t relay_number(const struct channel_set *set, uint64_t number);

/* Sends a message in a window. Errors: AGAIN. */
MUST_CHECK enum status relay_send(struct channel_set *set, struct relay_window *window,
                                  const struct gateway_frame *frame);

/* What was taken leaves the window. False: more than was in it. */
bool relay_confirm(struct channel_set *set, struct relay_window *window,
                   const struct gateway_taken *taken);

/* What a window held is nobody's any more. */
void relay_window_end(struct channel_set *set, struct relay_window *window);

/* Reads what the gateway says, as far as there is room for it (relay_pump.c). */
void relay_pump(struct channel_set *set, uint64_t now_ms);

/* Letters: the head and body of `message`, from whom `like` says. False: limits, or no memory. */
bool relay_inbox_put(struct relay_inbox *self, size_t bytes_max, size_t messages_max,
                     const struct relay_letter *like, const struct gateway_frame *message);
struct relay_letter *relay_inbox_take(struct relay_inbox *self); /* NULL: empty */
void relay_inbox_clear(struct relay_inbox *self);
void relay_hand_over(struct relay_letter *letter, struct channel_message *out);

#endif
