#include "coordinator/server/sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum status sessions_add(struct sessions *self, const struct wire_hello *hello,
                         const uint8_t curve_key[IDENTITY_KEY_BYTES], struct session **out)
{
    uint32_t index = 0;
    while (index < self->end && self->items[index].used) {
        index++;
    }
    if (index == SESSIONS_MAX) {
        return STATUS_FULL;
    }
    enum status status = note_seen(self, curve_key);
    if (status != STATUS_OK) {
        return status;
    }
    struct session *session = &self->items[index];
    *session = (struct session){.used = true, .threads = hello->thread_count};
    memcpy(session->curve_key, curve_key, IDENTITY_KEY_BYTES);
    memcpy(session->public_key, hello->public_key, IDENTITY_KEY_BYTES);
    identity_name(hello->public_key, session->id);
    (void)snprintf(session->name, sizeof session->name, "%s", hello->name);
    self->end = index >= self->end ? index + 1 : self->end;
    self->count++;
    *out = session;
    return STATUS_OK;
}

void session_drop_upload(struct session *self)
{
    blob_receiver_free(self->receiver);
    free(self->offer);
    self->receiver = NULL;
    self->offer = NULL;
    self->upload = UPLOAD_NONE;
}

void sessions_remove(struct sessions *self, struct session *session)
{
    session_drop_upload(session);
    session->used = false;
    self->count--;
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
        }
    }
    free(self->seen);
    memset(self, 0, sizeof *self);
}
