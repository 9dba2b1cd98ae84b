/* members_db - the tables of RUN/members.db, as members.c uses them.
 *
 * The simulator brings its own functions for these. Errors of all: IO, CORRUPT, NO_MEMORY, with a
 * sentence. Internal to members*.c. */
#ifndef DUGNAD_COORDINATOR_STORE_MEMBERS_DB_H
#define DUGNAD_COORDINATOR_STORE_MEMBERS_DB_H

#include "coordinator/store/members.h"

struct members_db;

/* As members_open and members_close. */
MUST_CHECK enum status members_db_open(const char *run_path, struct members_db **out);
void members_db_close(struct members_db *self); /* NULL is allowed. */

/* *out_found: there is one. */
MUST_CHECK enum status members_db_member(struct members_db *self,
                                         const uint8_t key[IDENTITY_KEY_BYTES], struct member *out,
                                         bool *out_found);
MUST_CHECK enum status members_db_invite(struct members_db *self, const struct digest *hash,
                                         struct invite *out, bool *out_found);

/* Pages, as members_list, members_invites and members_incidents. */
MUST_CHECK enum status members_db_list(struct members_db *self,
                                       const uint8_t from[IDENTITY_KEY_BYTES], bool banned_only,
                                       struct member *out, size_t count_max, size_t *out_count);
MUST_CHECK enum status members_db_invites(struct members_db *self, uint64_t from,
                                          struct invite *out, size_t count_max, size_t *out_count);
MUST_CHECK enum status members_db_incidents(struct members_db *self, uint64_t before,
                                            struct incident *out, size_t count_max,
                                            size_t *out_count);

/* How many invites there are, and the highest number of any. */
MUST_CHECK enum status members_db_invite_count(struct members_db *self, uint64_t *out_count,
                                               uint64_t *out_number);

/* What is to be written together: rows by their key, hash or number, in the place of what was
 * there. An incident without a number is a new one and gets its number here. */
struct members_batch {
    const struct member *members; /* (member_count) */
    size_t member_count;
    const struct invite *invites; /* (invite_count) */
    size_t invite_count;
    struct incident **incidents; /* (incident_count) */
    size_t incident_count;
};

/* All or, with an error, nothing; durable when it returns OK. Rows beyond MEMBERS_MAX and
 * MEMBERS_INCIDENTS_MAX go. */
MUST_CHECK enum status members_db_write(struct members_db *self, const struct members_batch *batch);

#endif
