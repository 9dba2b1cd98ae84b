/* channel_set - what an endpoint asks of the set that it is in.
 *
 * One owner. */
#ifndef DUGNAD_PROTO_CHANNEL_SET_H
#define DUGNAD_PROTO_CHANNEL_SET_H

#include "proto/channel.h"
#include "proto/channel/door.h"
#include "proto/channel/zap.h"

enum { CHANNEL_MONITOR_NAME_MAX = 40 };

/* A new socket in the set's context. Errors: OS with a sentence. */
MUST_CHECK enum status channel_set_socket(struct channel_set *self, int type, void **out);

/* Runs the set's ZAP handler if it does not run yet. Errors: OS with a sentence, NO_MEMORY. */
MUST_CHECK enum status channel_set_check_keys(struct channel_set *self);

/* The handler; NULL: it does not run yet. */
struct zap *channel_set_zap(struct channel_set *self);

/* Has a socket's events told on a new socket, which the caller closes after
 * zmq_socket_monitor(socket, NULL, 0). Nothing waits when they are not read soon.
 * Errors: OS with a sentence. */
MUST_CHECK enum status channel_set_monitor(struct channel_set *self, void *socket, int events,
                                           void **out);

/* Reads one event and its number; false: there is none (now). */
MUST_CHECK bool channel_set_event(void *monitor, uint16_t *out_event, uint32_t *out_value);

/* From now on the set waits for `socket`, and calls tend(owner) before it does.
 * Errors: FULL with a sentence. */
MUST_CHECK enum status channel_set_add(struct channel_set *self, void *socket, void *owner,
                                       void (*tend)(void *owner));
void channel_set_remove(struct channel_set *self, const void *owner); /* Fine when not in it. */

/* Takes the door of a server that is freed: nobody comes in any more, and it ends with the set, so
 * that what libzmq still has to say goes out. */
void channel_set_keep_door(struct channel_set *self, struct door *door);

/* A queue was full: the next wait is short. */
void channel_set_crowded(struct channel_set *self);

#endif
