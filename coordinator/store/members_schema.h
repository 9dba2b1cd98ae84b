/* members_schema - the tables of members.db, and what must agree in them. Internal to members*.c.
 */
#ifndef DUGNAD_COORDINATOR_STORE_MEMBERS_SCHEMA_H
#define DUGNAD_COORDINATOR_STORE_MEMBERS_SCHEMA_H

#include "coordinator/store/sql_file.h"

enum { MEMBERS_APPLICATION_ID = 0x44676e6d /* "Dgnm", in the file's header */ };

/* That of this release. */
const struct sql_schema *members_schema_current(void);

#endif
