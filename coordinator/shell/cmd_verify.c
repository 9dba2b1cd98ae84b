#include "common/cores.h"
#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/store.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "dugnad-coordinator verify --dir RUN [--json] [--threads N]\n"
    "\n"
    "Proves a run that nobody serves: every record of its journal, that each sample was applied\n"
    "exactly once, the credit of its peers, the hashes of its checkpoints, and the arithmetic, "
    "done\n"
    "again from the oldest checkpoint that the journal still has the gradients for.\n"
    "Ends with 65 and the first fault when something is wrong. Changes nothing.\n"
    "  --json       one line for programs\n"
    "  --threads N  threads that replay the optimizer (the machine's cores)\n";

/* jansson escapes what a path may hold. Errors: NO_MEMORY. */
static enum status print_json(const struct store_report *report)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(&report->digest, hex);
    (void)printf("{\"steps\":%" PRIu64 ",\"digest\":\"%s\",\"samples_applied\":%" PRIu64
                 ",\"samples_duplicated\":%" PRIu64 ",\"samples_missing\":%" PRIu64
                 ",\"credit_tokens\":%" PRIu64 ",\"trained_tokens\":%" PRIu64 ",\"ok\":%s",
                 report->steps, hex, report->samples_applied, report->samples_duplicated,
                 report->samples_missing, report->credit_tokens, report->trained_tokens,
                 report->ok ? "true" : "false");
    if (!report->ok) {
        json_t *fault_json = json_string(report->fault);
        char *text = fault_json != NULL ? json_dumps(fault_json, JSON_ENCODE_ANY) : NULL;
        (void)printf(",\"fault\":%s", text != NULL ? text : "\"\"");
        free(text);
        json_decref(fault_json);
    }
    (void)puts("}");
    return STATUS_OK;
}

static void print_text(const struct store_report *report)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(&report->digest, hex);
    (void)printf("%" PRIu64 " steps, %" PRIu64 " of them replayed; parameters %.16s...\n",
                 report->steps, report->replayed, hex);
    (void)printf("samples: %" PRIu64 " applied, %" PRIu64 " duplicated, %" PRIu64 " missing\n",
                 report->samples_applied, report->samples_duplicated, report->samples_missing);
    (void)printf("tokens: %" PRIu64 " trained, %" PRIu64 " credited\n", report->trained_tokens,
                 report->credit_tokens);
    if (report->ok) {
        (void)puts("the run is as it should be");
    }
}

static enum status verify(struct run_dir *run, size_t thread_count, bool as_json)
{
    struct store_report report;
    enum status status = run_dir_lock(run);
    if (status == STATUS_OK) {
        status = store_verify(run, thread_count, &report);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (as_json) {
        status = print_json(&report);
    } else {
        print_text(&report);
    }
    return status == STATUS_OK && !report.ok ? fault(STATUS_CORRUPT, "%s", report.fault) : status;
}

enum status cmd_verify(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = NULL;
    bool as_json = false;
    size_t thread_count = cores_usable(SLICES_THREADS_MAX);
    enum status status = STATUS_OK;
    for (int option;
         status == STATUS_OK && (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            path = optarg;
            break;
        case 'j':
            as_json = true;
            break;
        case 't':
            status = command_threads(optarg, &thread_count);
            break;
        case 'h':
            (void)fputs(help, stdout);
            return STATUS_OK;
        default:
            return fault(STATUS_USAGE, "see 'dugnad-coordinator verify --help'");
        }
    }
    if (status == STATUS_OK) {
        status = path != NULL ? command_end(argc, argv, optind)
                              : fault(STATUS_USAGE, "verify needs --dir RUN");
    }
    struct run_dir run;
    if (status == STATUS_OK) {
        status = run_dir_open(path, &run);
    }
    if (status == STATUS_OK) {
        status = verify(&run, thread_count, as_json);
        run_dir_close(&run);
    }
    return status;
}
