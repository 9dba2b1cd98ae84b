#include "proto/channel_incidents.h"

#include <string.h>

const char *channel_reason_name(enum channel_reason reason)
{
    switch (reason) {
    case CHANNEL_MALFORMED:
        return "malformed";
    case CHANNEL_OVERSIZE:
        return "oversize";
    case CHANNEL_UNFINISHED:
        return "unfinished";
    case CHANNEL_NO_KEY:
        return "no_key";
    case CHANNEL_NOT_ADMITTED:
        return "not_admitted";
    case CHANNEL_CROWDED:
        return "crowded";
    case CHANNEL_TOO_FAST:
        return "too_fast";
    case CHANNEL_SLOW_READER:
        return "slow_reader";
    case CHANNEL_BARRED:
        return "barred";
    case CHANNEL_BARRED_CAME:
        return "barred_key";
    case CHANNEL_REASON_END:
    default:
        return "unknown";
    }
}

static bool same_key(const struct channel_incident *a, const struct channel_incident *b)
{
    return memcmp(a->curve_key, b->curve_key, IDENTITY_KEY_BYTES) == 0;
}

/* The line of the incident's key and reason, or a free one; NULL: there is no room. */
static struct channel_incident_line *line_of(struct channel_incidents *self,
                                             const struct channel_incident *incident)
{
    struct channel_incident_line *room = NULL;
    for (size_t i = 0; i < self->end; i++) {
        struct channel_incident_line *line = &self->keyed[i];
        if (!line->used) {
            room = room == NULL ? line : room;
        } else if (line->pending.reason == incident->reason && same_key(&line->pending, incident)) {
            return line;
        }
    }
    if (room == NULL && self->end < CHANNEL_INCIDENTS_MAX) {
        room = &self->keyed[self->end++];
    }
    return room;
}

/* Lines that were told, and whose second is over, make room. */
static void forget_told(struct channel_incidents *self, uint64_t now_ms)
{
    for (size_t i = 0; i < self->end; i++) {
        struct channel_incident_line *line = &self->keyed[i];
        line->used =
            line->used && (line->pending.count > 0 || now_ms - line->told_ms < CHANNEL_INCIDENT_MS);
    }
    while (self->end > 0 && !self->keyed[self->end - 1].used) {
        self->end--;
    }
}

static void count(struct channel_incident_line *line, const struct channel_incident *incident)
{
    uint64_t before = line->pending.count;
    bool several = before > 0 && line->pending.connection != incident->connection;
    line->used = true;
    line->pending = *incident;
    line->pending.count = before + (incident->count > 0 ? incident->count : 1);
    line->pending.connection = several ? 0 : incident->connection;
}

void channel_incidents_add(struct channel_incidents *self, const struct channel_incident *incident,
                           uint64_t now_ms)
{
    if (incident->reason <= 0 || incident->reason >= CHANNEL_REASON_END) {
        return;
    }
    struct channel_incident_line *line = NULL;
    forget_told(self, now_ms);
    if (incident->has_key) {
        line = line_of(self, incident);
    }
    if (line != NULL) {
        if (!line->used) {
            *line = (struct channel_incident_line){.told_ms = 0};
        }
        count(line, incident);
        return;
    }
    struct channel_incident nameless = *incident;
    nameless.has_key = false;
    memset(nameless.curve_key, 0, sizeof nameless.curve_key);
    count(&self->others[incident->reason], &nameless);
}

static bool is_due(const struct channel_incident_line *line, uint64_t now_ms)
{
    return line->used && line->pending.count > 0 &&
           (line->told_ms == 0 || now_ms - line->told_ms >= CHANNEL_INCIDENT_MS);
}

/* Another reason of the same key was told within the second. */
static bool key_was_told(const struct channel_incidents *self,
                         const struct channel_incident_line *line, uint64_t now_ms)
{
    bool told = false;
    for (size_t i = 0; i < self->end && !told; i++) {
        const struct channel_incident_line *other = &self->keyed[i];
        told = other->used && other->told_ms > 0 && now_ms - other->told_ms < CHANNEL_INCIDENT_MS &&
               same_key(&other->pending, &line->pending);
    }
    return told;
}

static bool tell(struct channel_incident_line *line, uint64_t now_ms, struct channel_incident *out)
{
    *out = line->pending;
    line->pending.count = 0;
    line->told_ms = now_ms;
    return true;
}

bool channel_incidents_next(struct channel_incidents *self, uint64_t now_ms,
                            struct channel_incident *out)
{
    for (size_t i = 0; i < CHANNEL_REASON_END; i++) {
        if (is_due(&self->others[i], now_ms)) {
            return tell(&self->others[i], now_ms, out);
        }
    }
    for (size_t i = 0; i < self->end; i++) {
        struct channel_incident_line *line = &self->keyed[i];
        if (is_due(line, now_ms) && !key_was_told(self, line, now_ms)) {
            return tell(line, now_ms, out);
        }
    }
    return false;
}
