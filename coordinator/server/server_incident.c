#include "coordinator/server/server_incident.h"

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/server/server_members.h"
#include "coordinator/server/server_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* An incident of now, once. */
static struct incident make(const uint8_t *public_key, const char *host, const char *kind,
                            const char *text)
{
    struct incident incident = {
        .first_ms = clock_unix_ms(), .count = 1, .has_key = public_key != NULL};
    if (public_key != NULL) {
        memcpy(incident.key, public_key, sizeof incident.key);
    }
    (void)snprintf(incident.host, sizeof incident.host, "%s", host);
    (void)snprintf(incident.kind, sizeof incident.kind, "%s", kind);
    (void)snprintf(incident.text, sizeof incident.text, "%s", text);
    return incident;
}

static void note(struct server *self, const uint8_t *public_key, const char *host, const char *kind,
                 const char *text)
{
    char id[IDENTITY_NAME_BYTES] = "unknown";
    const struct incident incident = make(public_key, host, kind, text);
    if (!members_note(self->members, &incident)) {
        return; /* its like was logged already */
    }
    if (public_key != NULL) {
        identity_name(public_key, id);
    }
    log_warn("peers", "incident", "kind=%s peer=%s host=%s reason=\"%s\"", kind, id,
             host[0] != '\0' ? host : "unknown", text);
}

void server_incident(struct server *self, const struct session *session, const char *host,
                     const char *kind, const char *text)
{
    note(self, session != NULL ? session->public_key : NULL, host, kind, text);
}

void server_incident_by(struct server *self, const uint8_t public_key[IDENTITY_KEY_BYTES],
                        const char *host, const char *kind, const char *text)
{
    note(self, public_key, host, kind, text);
}

/* A handshake that was refused is told once a minute and key, as what a peer does; each
 * connection that was cut, as often as may be told. */
static void take(struct server *self, const struct channel_incident *cut)
{
    const uint8_t *key = cut->has_key ? server_members_name(self, cut->curve_key) : NULL;
    bool came = cut->reason == CHANNEL_BARRED_CAME;
    const char *kind = channel_reason_name(cut->reason);
    char id[IDENTITY_NAME_BYTES] = "unknown";
    struct incident incident =
        make(key, cut->host, kind, came ? "handshake refused" : "connection cut");
    incident.count = cut->count;
    bool fresh = members_note(self->members, &incident);
    if (key != NULL) {
        identity_name(key, id);
    }
    if ((fresh || !came) && server_may_tell(self)) {
        log_warn("gate", came ? "refused" : "cut", "reason=%s peer=%s host=%s count=%" PRIu64, kind,
                 id, cut->host[0] != '\0' ? cut->host : "unknown", cut->count);
    }
}

void server_incident_take(struct server *self)
{
    struct channel_incident cut;
    while (channel_server_incident(self->channel, &cut)) {
        take(self, &cut);
    }
}
