/* sample_output - what `dugnad sample` prints: text as it comes, or a JSON object a sample.
 *
 * One owner. */
#ifndef DUGNAD_TRAINER_CLI_SAMPLE_OUTPUT_H
#define DUGNAD_TRAINER_CLI_SAMPLE_OUTPUT_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is known when a sample is complete. */
struct sample_facts {
    const uint8_t *prompt;
    size_t prompt_bytes;
    size_t prompt_tokens;
    const uint16_t *tokens; /* (token_count): generated, also those behind a stop string */
    size_t token_count;
    uint64_t seed;
    const char *stop_reason;
    const char *stop;    /* the stop string that was found; NULL: none */
    double tokens_per_s; /* 0: too short to be measured */
};

struct sample_output;

/* To stdout. The caller owns *out. Errors: NO_MEMORY. */
MUST_CHECK enum status sample_output_new(bool json, struct sample_output **out);
void sample_output_free(struct sample_output *self); /* NULL is allowed. */

/* Begins a sample with its prompt, which only the plain form prints. */
MUST_CHECK enum status sample_output_begin(struct sample_output *self, const uint8_t *prompt,
                                           size_t prompt_bytes);

/* Adds text, at once on stdout in the plain form. Errors: IO (stdout is closed or full). */
MUST_CHECK enum status sample_output_put(struct sample_output *self, const uint8_t *bytes,
                                         size_t count);

/* Ends the sample. Errors: IO, NO_MEMORY. */
MUST_CHECK enum status sample_output_end(struct sample_output *self,
                                         const struct sample_facts *facts);

#endif
