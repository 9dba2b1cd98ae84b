/* gateway_mail - messages that a connection's queue has not taken yet, in order, and how many it
 * has taken since that was told.
 *
 * One owner; the caller hands in the time. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_MAIL_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_MAIL_H

#include "coordinator/gateway/gateway_facts.h"

struct gateway_letter {
    struct gateway_letter *next;
    size_t head_size_bytes;
    size_t body_size_bytes;
    uint8_t bytes[];
};

/* Zeros are an empty one. */
struct gateway_mail {
    struct gateway_letter *first; /* NULL: nothing waits */
    struct gateway_letter *last;
    struct gateway_taken taken;
    uint64_t due_ms; /* when to try again */
    uint32_t wait_ms;
};

void gateway_mail_clear(struct gateway_mail *self);

/* Appends a copy. Errors: NO_MEMORY. */
MUST_CHECK enum status gateway_mail_put(struct gateway_mail *self,
                                        const struct gateway_frame *frame);

/* A message of this size was taken, not by way of the mail. */
void gateway_mail_taken(struct gateway_mail *self, size_t size_bytes);

/* The first was taken. */
void gateway_mail_pop(struct gateway_mail *self);

/* The queue was full: the next try comes later each time. */
void gateway_mail_wait(struct gateway_mail *self, uint64_t now_ms);

#endif
