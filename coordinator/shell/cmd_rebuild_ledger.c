#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/store.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

static const char help[] =
    "dugnad-coordinator rebuild-ledger --dir RUN\n"
    "\n"
    "Makes ledger.db, who did what, again from the journal of a run that nobody serves.\n"
    "Names that peers gave themselves come back when they join again.\n";

static enum status rebuild(struct run_dir *run)
{
    uint64_t records = 0;
    enum status status = run_dir_lock(run);
    if (status == STATUS_OK) {
        status = store_rebuild_ledger(run, &records);
    }
    if (status == STATUS_OK) {
        (void)printf("the ledger of %s holds %" PRIu64 " records of its journal\n",
                     run->config.name, records);
    }
    return status;
}

enum status cmd_rebuild_ledger(int argc, char **argv)
{
    struct command_dir options;
    struct run_dir run;
    enum status status = command_dir(argc, argv, help, NULL, &options);
    if (status != STATUS_OK || options.helped) {
        return status;
    }
    status = run_dir_open(options.path, &run);
    if (status == STATUS_OK) {
        status = rebuild(&run);
        run_dir_close(&run);
    }
    return status;
}
