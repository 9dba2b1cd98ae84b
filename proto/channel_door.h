/* channel_door - who stands at a server's port: how many connections there are, and which of them
 * have said nothing.
 *
 * A key costs nothing, and a connection that proved one could stay for ever. Too many, or silent
 * ones, are cut by the door; what those that speak may do is decided by others.
 *
 * One owner. */
#ifndef DUGNAD_PROTO_CHANNEL_DOOR_H
#define DUGNAD_PROTO_CHANNEL_DOOR_H

#include "proto/channel_set.h"

struct channel_door;

/* Watches a server's socket before it is bound. Errors: OS with a sentence. The caller owns *out.
 */
MUST_CHECK enum status channel_door_new(struct channel_set *set, void *socket,
                                        struct channel_door **out);
void channel_door_free(struct channel_door *self); /* Before the socket. NULL is allowed. */

/* Counts who came and went, and cuts those that are too many or too silent. `port` is the
 * server's. */
void channel_door_tend(struct channel_door *self, uint16_t port, uint64_t now_ms);

/* A good message came over the connection with this file descriptor. */
void channel_door_heard(struct channel_door *self, int fd, uint16_t port, uint64_t now_ms);

/* Connections now. */
size_t channel_door_count(const struct channel_door *self);

#endif
