#include "coordinator/server/sessions.h"

#include "coordinator/core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What members can make the server and its core keep for each of them, besides the few
 * contributions that are being fetched: a session, and an offer with its ranges. */
enum { SESSIONS_BYTES_MAX = 192 << 20 };
_Static_assert(SESSIONS_MAX *(sizeof(struct session) + sizeof(struct wire_contribution) +
                              CORE_RANGES_MAX * sizeof(struct core_range)) <= SESSIONS_BYTES_MAX,
               "all sessions together stay below their ceiling");

struct session *sessions_find(struct sessions *self, const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    for (uint32_t i = 0; i < self->end; i++) {
        struct session *session = &self->items[i];
        if (session->used && memcmp(session->curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
            return session;
        }
    }
    return NULL;
}

/* Counts different keys; past SESSIONS_KEYS_MAX the count stands still. */
static enum status note_seen(struct sessions *self, const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    if (self->seen == NULL) {
        self->seen = calloc(SESSIONS_KEYS_MAX, sizeof *self->seen);
        if (self->seen == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    for (uint32_t i = 0; i < self->seen_count; i++) {
        if (memcmp(self->seen[i], curve_key, IDENTITY_KEY_BYTES) == 0) {
            return STATUS_OK;
        }
    }
    if (self->seen_count < SESSIONS_KEYS_MAX) {
        memcpy(self->seen[self->seen_count++], curve_key, IDENTITY_KEY_BYTES);
    }
    return STATUS_OK;
}

/* Fills the first free place; NULL: there is none. The session is away until it is counted. */
static struct session *take_place(struct sessions *self, const uint8_t *public_key,
                                  const uint8_t *curve_key)
{
    uint32_t index = 0;
    while (index < self->end && self->items[index].used) {
        index++;
    }
    if (index == SESSIONS_MAX) {
        return NULL;
    }
    struct session *session = &self->items[index];
    *session = (struct session){.used = true, .away = true};
    memcpy(session->public_key, public_key, IDENTITY_KEY_BYTES);
    memcpy(session->curve_key, curve_key, IDENTITY_KEY_BYTES);
    identity_name(public_key, session->id);
    self->end = index >= self->end ? index + 1 : self->end;
    return session;
}

enum status sessions_return(struct sessions *self, struct session *session,
                            const struct wire_hello *hello)
{
    enum status status = note_seen(self, session->curve_key);
    if (status != STATUS_OK) {
        return status;
    }
    blob_senders_clear(&session->downloads); /* it asks again for what is missing */
    session->threads = hello->thread_count;
    (void)snprintf(session->name, sizeof session->name, "%s", hello->name);
    self->count += session->away ? 1 : 0;
    session->away = false;
    return STATUS_OK;
}

enum status sessions_add(struct sessions *self, const struct wire_hello *hello,
                         const uint8_t curve_key[IDENTITY_KEY_BYTES], struct session **out)
{
    struct session *session = take_place(self, hello->public_key, curve_key);
    if (session == NULL) {
        return STATUS_FULL;
    }
    enum status status = sessions_return(self, session, hello);
    if (status != STATUS_OK) {
        sessions_remove(self, session);
        return status;
    }
    *out = session;
    return STATUS_OK;
}

enum status sessions_add_away(struct sessions *self, const uint8_t public_key[IDENTITY_KEY_BYTES],
                              struct session **out)
{
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    if (identity_curve_of(public_key, curve_key) != STATUS_OK) {
        return STATUS_BAD_DATA;
    }
    *out = take_place(self, public_key, curve_key);
    return *out != NULL ? STATUS_OK : STATUS_FULL;
}

void session_drop_upload(struct session *self)
{
    blob_receiver_free(self->receiver);
    free(self->offer);
    self->receiver = NULL;
    self->offer = NULL;
    self->upload = UPLOAD_NONE;
    self->upload_owed = false;
}

void sessions_remove(struct sessions *self, struct session *session)
{
    session_drop_upload(session);
    blob_senders_clear(&session->downloads);
    session->used = false;
    self->count -= session->away ? 0 : 1;
    while (self->end > 0 && !self->items[self->end - 1].used) {
        self->end--;
    }
}

uint32_t sessions_index(const struct sessions *self, const struct session *session)
{
    return (uint32_t)(session - self->items);
}

void sessions_deinit(struct sessions *self)
{
    for (uint32_t i = 0; i < self->end; i++) {
        if (self->items[i].used) {
            session_drop_upload(&self->items[i]);
            blob_senders_clear(&self->items[i].downloads);
        }
    }
    free(self->seen);
    memset(self, 0, sizeof *self);
}
