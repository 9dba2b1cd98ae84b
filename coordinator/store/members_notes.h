/* members_notes - incidents on their way to members.db: alike ones are counted together, and of
 * different ones so many a second are told apart. Internal to members*.c. Pure. */
#ifndef DUGNAD_COORDINATOR_STORE_MEMBERS_NOTES_H
#define DUGNAD_COORDINATOR_STORE_MEMBERS_NOTES_H

#include "coordinator/store/members.h"

enum {
    NOTES_MAX = 256,
    NOTES_APART_MAX = 32,   /* new ones in a second; those beyond are one for each kind */
    NOTES_ALIKE_MS = 60000, /* one that goes on is told as a new one after this time */
    NOTES_SECOND_MS = 1000
};

struct note {
    struct incident incident;
    bool unwritten; /* it, or its latest count */
};

struct members_notes {
    struct note items[NOTES_MAX];
    size_t count;
    uint64_t second_ms; /* when the present second began */
    uint64_t apart;     /* new ones in it */
};

/* As members_note. While nothing can be written and all places are taken, it is lost. */
bool members_notes_add(struct members_notes *self, const struct incident *incident);

/* Those to be written, into out(NOTES_MAX); returns how many. */
size_t members_notes_due(struct members_notes *self, struct incident **out);
void members_notes_written(struct members_notes *self); /* All that were due. */

#endif
