#include "coordinator/store/members_notes.h"

#include <stdio.h>
#include <string.h>

static bool same_source(const struct incident *a, const struct incident *b)
{
    return a->has_key == b->has_key && memcmp(a->key, b->key, sizeof a->key) == 0 &&
           strcmp(a->host, b->host) == 0 && strcmp(a->kind, b->kind) == 0;
}

/* What goes on; NULL: it is new. */
static struct note *find_alike(struct members_notes *self, const struct incident *incident)
{
    for (size_t i = 0; i < self->count; i++) {
        struct incident *other = &self->items[i].incident;
        if (same_source(other, incident) && incident->first_ms - other->first_ms < NOTES_ALIKE_MS) {
            return &self->items[i];
        }
    }
    return NULL;
}

/* A free place, or that of what was written longest ago; NULL: all wait to be written. */
static struct note *find_place(struct members_notes *self)
{
    struct note *oldest = NULL;
    if (self->count < NOTES_MAX) {
        return &self->items[self->count++];
    }
    for (size_t i = 0; i < NOTES_MAX; i++) {
        struct note *note = &self->items[i];
        if (!note->unwritten &&
            (oldest == NULL || note->incident.last_ms < oldest->incident.last_ms)) {
            oldest = note;
        }
    }
    return oldest;
}

static bool is_crowded(struct members_notes *self, uint64_t unix_ms)
{
    if (unix_ms - self->second_ms >= NOTES_SECOND_MS) {
        self->second_ms = unix_ms;
        self->apart = 0;
    }
    return self->apart++ >= NOTES_APART_MAX;
}

static void repeat(struct note *note, const struct incident *incident)
{
    uint64_t room = MEMBERS_COUNT_MAX - note->incident.count;
    note->incident.count += incident->count < room ? incident->count : room;
    note->incident.last_ms = incident->first_ms;
    note->unwritten = true;
}

bool members_notes_add(struct members_notes *self, const struct incident *incident)
{
    struct incident fresh = *incident;
    struct note *note = find_alike(self, &fresh);
    if (note == NULL && is_crowded(self, fresh.first_ms)) {
        fresh.has_key = false;
        memset(fresh.key, 0, sizeof fresh.key);
        fresh.host[0] = '\0';
        (void)snprintf(fresh.text, sizeof fresh.text, "many at once, counted together");
        note = find_alike(self, &fresh);
    }
    if (note != NULL) {
        repeat(note, &fresh);
        return false;
    }
    note = find_place(self);
    if (note != NULL) {
        fresh.number = 0;
        fresh.count = fresh.count < MEMBERS_COUNT_MAX ? fresh.count : MEMBERS_COUNT_MAX;
        fresh.last_ms = fresh.first_ms;
        *note = (struct note){.incident = fresh, .unwritten = true};
    }
    return note != NULL;
}

size_t members_notes_due(struct members_notes *self, struct incident **out)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (self->items[i].unwritten) {
            out[count++] = &self->items[i].incident;
        }
    }
    return count;
}

void members_notes_written(struct members_notes *self)
{
    for (size_t i = 0; i < self->count; i++) {
        self->items[i].unwritten = false;
    }
}
