/* door_inside - a door's parts, for its own files.
 *
 * What is marked as shared is under the door's lock, and only the door's thread writes to `phase`,
 * `number` and the descriptors, so that it may read those without. All else is the thread's. */
#ifndef DUGNAD_PROTO_DOOR_INSIDE_H
#define DUGNAD_PROTO_DOOR_INSIDE_H

#include "proto/channel/door.h"
#include "proto/channel/door_address.h"
#include "proto/channel/door_framing.h"

#include <inttypes.h>
#include <pthread.h>

enum {
    DOOR_READ_BYTES = 64 * 1024, /* at once; of a line that does not take them one such is kept */
    DOOR_NAME_MAX = 80,
    DOOR_ROOM_AGAIN_PART = 8, /* of a window: less room is none */
    DOOR_NOBODY = -1
};

/* Of our end of a unix connection: the slot, then what nobody can guess. */
#define DOOR_NAME_BEGIN "dugnad-door-"
#define DOOR_NAME_FORMAT DOOR_NAME_BEGIN "%08" PRIx32

/* What epoll tells of: a connection's low number, slot and side, or one of these. */
#define DOOR_EVENT_WAKE UINT64_MAX
#define DOOR_EVENT_LISTENER (UINT64_MAX - 1)

enum door_phase {
    DOOR_FREE,
    DOOR_OPENING,  /* the client says its greeting and HELLO */
    DOOR_WELCOME,  /* libzmq's turn */
    DOOR_INITIATE, /* the client's */
    DOOR_READY,    /* libzmq's */
    DOOR_OPEN,     /* the key is proven */
    DOOR_CLOSING,  /* TCP is closed; libzmq has not closed its end yet */
    DOOR_DRAINING  /* libzmq has, but the program may not have taken what it had */
};

/* Bytes that a socket did not take. */
struct door_rest {
    uint8_t *bytes; /* NULL: none */
    size_t at;
    size_t size_bytes;
};

struct door_line {
    int fd;
    uint32_t events; /* that epoll is asked for; 0: it does not know of it */
};

struct door_connection {
    /* Shared. */
    uint64_t number;
    enum door_phase phase;
    struct door_line tcp;
    uint64_t initiate_serial; /* of the counter before the key could be checked */
    uint64_t serial;          /* 0: not matched */
    bool admitted;
    bool cut;                       /* as soon as the thread comes by */
    enum channel_reason cut_reason; /* 0: the caller's own */
    bool called;                    /* in the list of those that the thread is to look at */
    bool stalled;                   /* at its window */
    uint64_t stalled_ms;
    uint64_t flight_bytes;
    uint64_t queued_bytes;
    struct door_bucket small_messages;
    char name[DOOR_NAME_MAX]; /* of our end of the unix connection, without the leading zero */
    char host[CHANNEL_HOST_MAX];
    /* The thread's. */
    struct door_line inner;
    struct door_rest to_inner;
    struct door_rest to_tcp;
    struct door_framing framing;
    struct door_command client_command;
    struct door_command server_command;
    size_t server_greeting_bytes; /* of libzmq's greeting, swallowed so far */
    size_t opening_count;
    uint8_t opening[DOOR_OPENING_BYTES];
    struct door_address *address; /* NULL: left */
    bool proven;
    bool deaf;         /* libzmq takes nothing any more; it may still have something to say */
    bool inner_closed; /* nor that */
    bool dismissed;    /* libzmq was told that it ended */
    bool full;         /* was stalled, and has had no room to speak of since: stalled_ms stays */
    uint64_t since_ms; /* accepted, then proven, then closed */
    uint64_t heard_ms; /* latest bytes of the client */
    uint64_t waits_ms; /* since when to_tcp is not taken */
    uint64_t progress_bytes; /* of it, since waits_ms */
    int32_t older;           /* of the unproven ones; DOOR_NOBODY */
    int32_t newer;
};

struct door {
    struct door_limits limits;
    struct door_inner inner;
    _Atomic uint64_t *counter;
    pthread_t thread;
    int epoll_fd;
    int wake_fd;
    pthread_mutex_t lock;
    /* Shared. */
    struct door_connection *connections; /* (limits.connections_max) */
    uint32_t *called;                    /* (limits.connections_max) slots */
    uint32_t called_count;
    bool look_at_all; /* the ceiling has room again */
    bool ceiling_hit; /* somebody waits for it */
    bool retired;
    bool ending;
    uint64_t flight_bytes;
    uint64_t queued_bytes;
    uint64_t idle_ms;
    uint32_t connection_count;
    uint32_t unproven_count;
    uint32_t slot_count;
    uint64_t refused_count;
    struct door_incidents incidents;
    /* The thread's. */
    int listen_fd;
    int spare_fd; /* given up to accept and close when files run out */
    uint64_t accept_again_ms;
    bool accepting;       /* epoll knows of listen_fd */
    uint32_t *free_slots; /* (limits.connections_max), a stack */
    uint32_t free_count;
    int32_t oldest_unproven;
    int32_t newest_unproven;
    uint64_t leaked_ms;
    uint64_t tended_ms;
    struct door_addresses *addresses;
    uint8_t scratch[DOOR_READ_BYTES];
};

enum door_side { DOOR_SIDE_TCP, DOOR_SIDE_INNER };

static inline uint32_t door_slot(const struct door *self, const struct door_connection *connection)
{
    return (uint32_t)(connection - self->connections);
}

/* door_accept.c: newcomers. */
void door_accept(struct door *self, uint64_t now_ms);
void door_watch_listener(struct door *self, bool watch);
/* Opens the unix connection behind one. False: it is ended. */
MUST_CHECK bool door_connect_inner(struct door *self, struct door_connection *connection,
                                   uint64_t now_ms);

/* door_pump.c: bytes. True: some were read. */
bool door_pump_in(struct door *self, struct door_connection *connection, uint64_t now_ms);
void door_pump_out(struct door *self, struct door_connection *connection, uint64_t now_ms);
/* Sends on what one side did not take before. */
void door_flush_in(struct door *self, struct door_connection *connection);
void door_flush_out(struct door *self, struct door_connection *connection, uint64_t now_ms);
/* Asks epoll for what can be gone on with. */
void door_watch(struct door *self, struct door_connection *connection);

/* door_flow.c: flight and queues. The lock is held. */
uint64_t door_window(const struct door *self, const struct door_connection *connection);
uint64_t door_room(const struct door *self, const struct door_connection *connection); /* in it */
void door_flow_landed(struct door *self, struct door_connection *connection, uint64_t bytes);
void door_flow_unqueued(struct door *self, struct door_connection *connection, uint64_t bytes);
void door_flow_forget(struct door *self, struct door_connection *connection);
/* Has the thread look at a connection soon. */
void door_call(struct door *self, struct door_connection *connection);
void door_wake(struct door *self);

/* door_tend.c: what time brings. */
void door_tend(struct door *self, uint64_t now_ms);

/* door_close.c: ends. */
/* Ends it for a reason, which becomes an incident; 0: in peace, what the kernel has goes out. */
void door_end(struct door *self, struct door_connection *connection, enum channel_reason reason,
              uint64_t now_ms);
/* Of one whose TCP is closed: tells libzmq, once the program has matched it or cannot any more. */
void door_dismiss(struct door *self, struct door_connection *connection, uint64_t now_ms);
/* libzmq closed its end. */
void door_inner_ended(struct door *self, struct door_connection *connection, uint64_t now_ms);
void door_proved(struct door *self, struct door_connection *connection, uint64_t now_ms);
void door_free_slot(struct door *self, struct door_connection *connection);

#endif
