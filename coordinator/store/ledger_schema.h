/* ledger_schema - the ledger's tables, and what must agree in them.
 *
 * Internal to ledger*.c and its test. */
#ifndef DUGNAD_COORDINATOR_STORE_LEDGER_SCHEMA_H
#define DUGNAD_COORDINATOR_STORE_LEDGER_SCHEMA_H

#include "coordinator/store/sql_file.h"

enum { LEDGER_APPLICATION_ID = 0x44676e64 /* "Dgnd", in the file's header */ };

/* What the sentence of a damaged file ends with. */
#define LEDGER_REMEDY                                                                              \
    "nothing is lost: 'dugnad-coordinator rebuild-ledger' makes it again from the journal"

/* That of this release. */
const struct sql_schema *ledger_schema_current(void);

#endif
