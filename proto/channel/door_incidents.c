#include "proto/channel/door_incidents.h"

#include <stdio.h>

void door_incidents_add(struct door_incidents *self, const struct door_incident *incident)
{
    if (incident->serial != 0 && self->count < DOOR_INCIDENTS_MAX) {
        struct door_incident *one = &self->ring[(self->first + self->count++) % DOOR_INCIDENTS_MAX];
        *one = *incident;
        one->count = 1;
        return;
    }
    struct door_incident *together = &self->together[incident->reason];
    together->reason = incident->reason;
    together->count++;
    (void)snprintf(together->host, sizeof together->host, "%s", incident->host);
}

bool door_incidents_next(struct door_incidents *self, struct door_incident *out)
{
    if (self->count > 0) {
        *out = self->ring[self->first];
        self->first = (self->first + 1) % DOOR_INCIDENTS_MAX;
        self->count--;
        return true;
    }
    for (unsigned i = 0; i < CHANNEL_REASON_END; i++) {
        if (self->together[i].count > 0) {
            *out = self->together[i];
            self->together[i].count = 0;
            return true;
        }
    }
    return false;
}
