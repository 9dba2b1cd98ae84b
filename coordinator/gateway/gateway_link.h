/* gateway_link - frames over the socket between the coordinator and its gateway.
 *
 * Nothing here waits: what the socket does not take stands in a queue with a limit, and goes out
 * with a later flush.
 *
 * One owner. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_LINK_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_LINK_H

#include "coordinator/gateway/gateway_frame.h"

struct gateway_link;

/* Takes `fd`, a stream socket that does not block, whatever the result. Reads what `from` says;
 * queues at most queue_bytes_max. Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status gateway_link_new(int fd, enum gateway_side from, size_t queue_bytes_max,
                                        struct gateway_link **out);
void gateway_link_free(struct gateway_link *self); /* NULL is allowed. */

int gateway_link_fd(const struct gateway_link *self);

/* Bytes that wait to go out. */
size_t gateway_link_queued_bytes(const struct gateway_link *self);

/* Copies a frame and sends it, now or with a later flush. Errors: FULL, NO_MEMORY. */
MUST_CHECK enum status gateway_link_put(struct gateway_link *self,
                                        const struct gateway_frame *frame);

/* Sends what the socket takes; true: nothing waits any more. That the other side is gone shows when
 * it is read. */
bool gateway_link_flush(struct gateway_link *self);

/* The next frame, valid until the next call. Errors: AGAIN, PROTOCOL, STALE. */
MUST_CHECK enum status gateway_link_read(struct gateway_link *self, struct gateway_frame *out);

/* Overwrites the frame that was read last: it held a secret. */
void gateway_link_wipe(struct gateway_link *self);

/* No more is said; the other side reads what was. */
void gateway_link_end(struct gateway_link *self);

#endif
