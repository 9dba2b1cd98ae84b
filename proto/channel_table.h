/* channel_table - which connection a key last spoke over.
 *
 * Strangers choose their keys and can connect with as many as they like, so the table has a
 * fixed size and a secret hash: it is a set-associative cache, in which a new key takes the place
 * of the one in its set that was silent for longest. A peer that lost its place is found again at
 * its next message.
 *
 * Pure; one owner. */
#ifndef DUGNAD_PROTO_CHANNEL_TABLE_H
#define DUGNAD_PROTO_CHANNEL_TABLE_H

#include "proto/identity.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CHANNEL_TABLE_SETS = 8192,
    CHANNEL_TABLE_WAYS = 8,
    CHANNEL_TABLE_MAX = CHANNEL_TABLE_SETS * CHANNEL_TABLE_WAYS,
    CHANNEL_ROUTING_ID_BYTES = 5 /* as libzmq makes them */
};

struct channel_connection {
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint8_t routing_id[CHANNEL_ROUTING_ID_BYTES];
    bool used;
    int fd;                     /* -1: not known */
    struct sockaddr_in6 remote; /* of fd when it was learnt: numbers of closed ones come back */
    uint64_t spoke;             /* a count of calls, not a time */
};

struct channel_table;

/* Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status channel_table_new(struct channel_table **out);
void channel_table_free(struct channel_table *self); /* NULL is allowed. */

/* The connection of a key; NULL: none. Valid until the next channel_table_touch(). */
struct channel_connection *channel_table_find(struct channel_table *self,
                                              const uint8_t curve_key[IDENTITY_KEY_BYTES]);

/* Finds or adds the key and marks that it spoke just now. A new entry has fd -1 and a routing id
 * of zeros. Never NULL. */
struct channel_connection *channel_table_touch(struct channel_table *self,
                                               const uint8_t curve_key[IDENTITY_KEY_BYTES]);

#endif
