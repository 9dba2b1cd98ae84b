/* channel_incidents - incidents that wait to be told, few at a time, whatever strangers do.
 *
 * With a key, each key tells at most one a second; those without a key, and those of more keys than
 * there is room for, are told as one of each reason a second, counted together.
 *
 * Pure; one owner. */
#ifndef DUGNAD_PROTO_CHANNEL_INCIDENTS_H
#define DUGNAD_PROTO_CHANNEL_INCIDENTS_H

#include "common/status.h"
#include "proto/channel_incident.h"

enum { CHANNEL_INCIDENTS_MAX = 256, CHANNEL_INCIDENT_MS = 1000 };

/* Of one key and reason, or of one reason without keys. */
struct channel_incident_line {
    bool used;
    uint64_t told_ms;                /* 0: never */
    struct channel_incident pending; /* count 0: told, and kept for the next second */
};

struct channel_incidents {
    struct channel_incident_line keyed[CHANNEL_INCIDENTS_MAX];
    struct channel_incident_line others[CHANNEL_REASON_END]; /* by reason */
    size_t end;                                              /* none of `keyed` is used from here */
};

/* Zeros are a new one. Counts as many for the reason as the incident does, or 1 when that is 0;
 * `incident` is borrowed. */
void channel_incidents_add(struct channel_incidents *self, const struct channel_incident *incident,
                           uint64_t now_ms);

/* The next that is due; false: none. now_ms > 0. */
MUST_CHECK bool channel_incidents_next(struct channel_incidents *self, uint64_t now_ms,
                                       struct channel_incident *out);

#endif
