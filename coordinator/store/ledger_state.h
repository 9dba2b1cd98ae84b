/* ledger_state - what an open ledger holds. Internal to ledger*.c. */
#ifndef DUGNAD_COORDINATOR_STORE_LEDGER_STATE_H
#define DUGNAD_COORDINATOR_STORE_LEDGER_STATE_H

#include "coordinator/store/ledger.h"
#include "coordinator/store/ledger_statements.h"
#include "coordinator/store/sql_query.h"

#include <stdbool.h>

struct ledger {
    struct sql_file file;
    struct sql_statements statements;
    char path[FILES_PATH_MAX];
    char run_name[WIRE_NAME_MAX];
    uint64_t next_sequence; /* of the journal; leases are counted in it but not on disk */
    bool read_only;
    bool in_batch; /* between ledger_begin and ledger_end */
    bool batch_lost;
    uint64_t batch_sequence; /* next_sequence at ledger_begin */
};

#endif
