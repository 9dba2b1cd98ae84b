/* channel_connections - a server's connections, by their numbers, from the first message on.
 *
 * Strangers can connect as often as they like, so there is room for so many and no more: a new one
 * takes the place of one that has ended, or of the stranger that came first. Numbers are the
 * server's own, so nobody can choose where in the table they fall.
 *
 * Pure but for memory; one owner. */
#ifndef DUGNAD_PROTO_CHANNEL_CONNECTIONS_H
#define DUGNAD_PROTO_CHANNEL_CONNECTIONS_H

#include "proto/channel/door.h"

#include <stddef.h>

enum { CHANNEL_ROUTING_ID_BYTES = 5 }; /* as libzmq makes them */

enum channel_standing { CHANNEL_STRANGER, CHANNEL_MEMBER, CHANNEL_CUT };

struct channel_connection {
    uint64_t number; /* 0: the place is free */
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint8_t routing_id[CHANNEL_ROUTING_ID_BYTES];
    char host[CHANNEL_HOST_MAX];
    enum channel_standing standing;
    unsigned messages; /* of a stranger */
    uint64_t ended_ms; /* when it was cut or found closed; 0: it stands */
    struct door_ref door;
    struct channel_connection *next; /* with the same hash, or free */
};

struct channel_connections;

/* Room for connections_max > 0. Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status channel_connections_new(size_t connections_max,
                                               struct channel_connections **out);
void channel_connections_free(struct channel_connections *self); /* NULL is allowed. */

/* The connection with this number; NULL: there is none. Valid until it is removed. */
struct channel_connection *channel_connections_find(struct channel_connections *self,
                                                    uint64_t number);

/* A new connection, a stranger's; NULL: there is no room. No other has the number. */
struct channel_connection *channel_connections_add(struct channel_connections *self,
                                                   uint64_t number);

/* Who would make room: one that has ended, else the stranger that came first; NULL: nobody. */
struct channel_connection *channel_connections_spare(struct channel_connections *self);

void channel_connections_remove(struct channel_connections *self,
                                struct channel_connection *connection);

/* Goes through all of them: the one at or after *cursor (0: the first), which moves past it; NULL:
 * no more. The one it gave may be removed in between. */
struct channel_connection *channel_connections_next(struct channel_connections *self,
                                                    size_t *cursor);

#endif
