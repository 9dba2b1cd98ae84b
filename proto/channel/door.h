/* door - stands between a public TCP port and libzmq, which trusts whoever connects with its
 * memory.
 *
 * For each TCP connection that has said a greeting and a HELLO the door opens one unix connection
 * to libzmq's private address and copies bytes both ways. It reads the plain-text framing of ZMTP,
 * and so refuses what libzmq has no option for: crowds, slow handshakes, frames that are too large,
 * messages without an end, readers that do not read. Bytes that libzmq has and the program has not
 * taken as whole messages are a connection's flight; at its window the door stops reading it.
 *
 * A thread of its own does the copying. The functions below are for the program's thread (or any
 * other): each takes the door's lock for a moment. */
#ifndef DUGNAD_PROTO_DOOR_H
#define DUGNAD_PROTO_DOOR_H

#include "proto/channel/door_incidents.h"
#include "proto/channel/door_limits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct door;

/* A connection of a door; what is gone stays nobody's. */
struct door_ref {
    uint64_t number; /* from the program's counter; never 0 */
    uint32_t slot;
};

struct door_inner {
    struct sockaddr_un address; /* where libzmq listens */
    socklen_t address_bytes;
};

/* Starts to accept at listen_fd, a TCP socket that listens and does not block, which is the door's
 * from then on (not on error). `counter` numbers the connections and outlives the door; the serials
 * that the check of keys gives come from it as well.
 * Errors: OS with a sentence. The caller owns *out. */
MUST_CHECK enum status door_new(int listen_fd, const struct door_inner *inner,
                                const struct door_limits *limits, _Atomic uint64_t *counter,
                                struct door **out);

/* Lets nobody in any more: the port is free. What is connected goes on. */
void door_retire(struct door *self);

/* Ends the thread, once libzmq has closed its ends and what it said is with the kernel; after
 * DOOR_END_MS_MAX in any case. NULL is allowed. */
enum { DOOR_END_MS_MAX = 1000 };
void door_free(struct door *self);

/* Which connection is behind `fd`, libzmq's end of a unix connection, whose key was given `serial`
 * when it was checked. False: none, or one that came to `fd` later; numbers of closed files come
 * back, and then the message that named `fd` is of a connection that is gone. A connection is
 * matched once. */
MUST_CHECK bool door_match(struct door *self, int fd, uint64_t serial, struct door_ref *out,
                           char host[CHANNEL_HOST_MAX]);

/* From now on it has a member's limits. Fine when it is gone. */
void door_admit(struct door *self, struct door_ref ref);

/* Cuts a connection; no incident is told, since the caller knows why.
 * What the kernel has taken still goes out. Fine when it is gone. */
void door_cut(struct door *self, struct door_ref ref);

/* Cuts all that may have proved a key and are not matched: nobody knows yet which keys these are.
 */
void door_cut_silent(struct door *self);

/* Whether it is connected. */
MUST_CHECK bool door_stands(struct door *self, struct door_ref ref);

/* The program took a whole message of two frames from it. False: it has said too many small ones,
 * and is cut (TOO_FAST). */
MUST_CHECK bool door_taken(struct door *self, struct door_ref ref, size_t head_size_bytes,
                           size_t body_size_bytes);

/* libzmq has no whole message for the program at this moment. */
void door_idle(struct door *self);

/* Room for a message to it, which is taken: before it is given to libzmq.
 * Errors: AGAIN (too much waits for its reader), STALE (gone). */
MUST_CHECK enum status door_reserve(struct door *self, struct door_ref ref, size_t head_size_bytes,
                                    size_t body_size_bytes);
/* It was not sent after all. */
void door_release(struct door *self, struct door_ref ref, size_t head_size_bytes,
                  size_t body_size_bytes);

/* Bytes that the other side's kernel has confirmed; 0: gone. */
uint64_t door_delivered_bytes(struct door *self, struct door_ref ref);

/* Bytes that came from it, as the kernel counts; 0: gone. */
uint64_t door_received_bytes(struct door *self, struct door_ref ref);

/* The next connection that was cut by the door itself; false: none. */
MUST_CHECK bool door_incident(struct door *self, struct door_incident *out);

/* For tests and figures. */
struct door_figures {
    uint32_t connections; /* with TCP behind them */
    uint32_t unproven;
    uint32_t slots; /* in use: connections, and closed ones of which libzmq may still have bytes */
    uint64_t flight_bytes;
    uint64_t queued_bytes;
    uint64_t refused; /* at accept */
};
void door_figures_now(struct door *self, struct door_figures *out);

#endif
