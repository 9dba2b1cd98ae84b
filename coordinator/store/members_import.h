/* members_import - what earlier releases kept in RUN/invites.json. Internal to members*.c. */
#ifndef DUGNAD_COORDINATOR_STORE_MEMBERS_IMPORT_H
#define DUGNAD_COORDINATOR_STORE_MEMBERS_IMPORT_H

#include "coordinator/store/members_db.h"

/* Reads run_path/invites.json, if there is one, into the tables, as invites for any number of peers
 * and without an end, as they were; then the file is invites.json.imported. Invites that are in the
 * tables stay as they are, so that a crash in between does nothing. Errors: BAD_DATA (the file is
 * damaged), IO, NO_MEMORY, with a sentence. */
MUST_CHECK enum status members_import(const char *run_path, struct members_db *db);

#endif
