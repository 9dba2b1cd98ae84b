/* gateway_lines - the connections that mail waits for, or whose traffic is watched, by number.
 *
 * One owner. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_LINES_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_LINES_H

#include "coordinator/gateway/gateway_mail.h"

enum { GATEWAY_LINES_MAX = 16384, GATEWAY_LINE_BUCKETS = 4096 };

struct gateway_connection {
    struct gateway_connection *next;      /* of its bucket */
    struct gateway_connection *busy_next; /* of the list of busy ones */
    uint64_t number;
    struct gateway_mail mail;
    bool busy;                      /* in the list: there is mail, or something to tell */
    bool watched;                   /* the core wants to know what it carries */
    struct gateway_traffic traffic; /* as told last */
};

struct gateway_lines {
    size_t count;
    struct gateway_connection *busy;
    struct gateway_connection *buckets[GATEWAY_LINE_BUCKETS];
};

void gateway_lines_clear(struct gateway_lines *self);

/* NULL: none. */
struct gateway_connection *gateway_lines_find(struct gateway_lines *self, uint64_t number);

/* Finds or adds. Errors: FULL (GATEWAY_LINES_MAX, or no memory). */
MUST_CHECK enum status gateway_lines_get(struct gateway_lines *self, uint64_t number,
                                         struct gateway_connection **out);

/* Puts it into the list of busy ones. */
void gateway_lines_busy(struct gateway_lines *self, struct gateway_connection *connection);

/* Frees it, which must not be busy. */
void gateway_lines_remove(struct gateway_lines *self, struct gateway_connection *connection);

#endif
