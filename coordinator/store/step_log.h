/* step_log - steps.jsonl: one line for each committed step, on disk before the step is published.
 *
 * {"step":12,"loss":3.21,"tokens":4096,"grad_l2":..,"learning_rate":..,"digest":"..",
 *  "contributions":[{"peer":"<12 hex digits>","ranges":[[first,count],..]}]} with absolute
 * sample numbers: who reads all lines can check that every sample was applied exactly once. */
#ifndef DUGNAD_COORDINATOR_STORE_STEP_LOG_H
#define DUGNAD_COORDINATOR_STORE_STEP_LOG_H

#include "common/digest.h"
#include "proto/wire.h"

struct step_contribution {
    char peer[IDENTITY_NAME_BYTES];
    size_t range_count;
    struct sample_range *ranges; /* (range_count), owned by the record */
};

struct step_record {
    uint64_t step;
    double loss; /* nats per token */
    uint64_t tokens;
    double grad_l2;
    double learning_rate;
    struct digest digest; /* of P after the step */
    struct step_contribution *contributions;
    size_t contribution_count;
};

/* Adds a contribution; copies the ranges. Errors: NO_MEMORY. */
MUST_CHECK enum status step_record_add(struct step_record *self, const char *peer,
                                       const struct sample_range *ranges, size_t range_count);
/* Forgets the contributions. */
void step_record_clear(struct step_record *self);

struct step_log;

/* What the lines of earlier sessions add up to. */
struct step_log_facts {
    uint64_t tokens;
    double first_loss; /* of step 0; 0 when there is none */
    double last_loss;
};

/* Opens run_path/steps.jsonl for appending and drops all lines from step `version` on: they were
 * committed after the checkpoint that the run goes on from. A last line that a crash left
 * unfinished is dropped as well. Errors: IO, CANNOT_CREATE, BAD_DATA (another line is damaged;
 * nothing is changed, because what stands behind it is the proof of who computed what). */
MUST_CHECK enum status step_log_open(const char *run_path, uint64_t version,
                                     struct step_log_facts *out_facts, struct step_log **out);
void step_log_close(struct step_log *self); /* NULL is allowed. */

/* Appends the line and syncs it. Errors: IO (the run must stop), NO_MEMORY. */
MUST_CHECK enum status step_log_append(struct step_log *self, const struct step_record *record);

#endif
