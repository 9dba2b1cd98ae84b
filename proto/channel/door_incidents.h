/* door_incidents - why connections were cut, kept until the program asks, in bounded space.
 *
 * Those whose key the program knows (by its serial) are kept one by one, as far as there is room;
 * all others are counted together, by their reason.
 *
 * Pure; one owner. */
#ifndef DUGNAD_PROTO_DOOR_INCIDENTS_H
#define DUGNAD_PROTO_DOOR_INCIDENTS_H

#include "proto/channel_incident.h"

#include <stdbool.h>
#include <stdint.h>

enum { DOOR_INCIDENTS_MAX = 256 };

struct door_incident {
    enum channel_reason reason;
    uint64_t serial; /* of the connection's key; 0: of none, or of several */
    uint64_t count;
    char host[CHANNEL_HOST_MAX]; /* the latest one's */
};

/* All zeros is empty. */
struct door_incidents {
    uint32_t first;
    uint32_t count;
    struct door_incident ring[DOOR_INCIDENTS_MAX];
    struct door_incident together[CHANNEL_REASON_END];
};

/* The incident's count is taken as 1. */
void door_incidents_add(struct door_incidents *self, const struct door_incident *incident);

/* The next one; false: none. */
MUST_CHECK bool door_incidents_next(struct door_incidents *self, struct door_incident *out);

#endif
