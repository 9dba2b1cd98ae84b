/* token_choice - draws the next token from a model's logits.
 *
 * Hugging Face's order and definitions (transformers, generation/logits_process.py). With l the
 * logits divided by the temperature:
 *   1. top-k keeps the k largest; what ties with the k-th stays too;
 *   2. top-p (Holtzman et al., arXiv 1904.09751): among what is left, renormalised, keeps the
 *      fewest tokens, likeliest first, whose probabilities sum to at least p; of tokens that are
 *      equally likely the lower ids come first;
 *   3. min-p (Nguyen et al., arXiv 2407.01082) keeps what is at least p times as likely as the
 *      likeliest.
 * The likeliest token always stays. Temperature 0 takes it, the lowest id of equals, and draws
 * nothing.
 *
 * Time is proportional to V whatever the logits are: thresholds come from a radix selection, not
 * from sorting. Additions, multiplications and divisions in a fixed order, no libm: the same
 * logits, settings and seed give the same token on every IEEE machine.
 *
 * Pure; one owner; no allocation after token_choice_new. */
#ifndef DUGNAD_TRAINER_SAMPLING_TOKEN_CHOICE_H
#define DUGNAD_TRAINER_SAMPLING_TOKEN_CHOICE_H

#include "common/random.h"
#include "common/status.h"

#include <stdint.h>

enum { TOKEN_CHOICE_VOCAB_MAX = 65536 }; /* token ids travel as uint16 */

struct token_choice_settings {
    double temperature; /* >= 0 */
    uint32_t top_k;     /* 0: all */
    double top_p;       /* 0 to 1; 1: all */
    double min_p;       /* 0 to 1; 0: all */
};

struct token_choice;

/* For V = `vocab` logits, 1 to TOKEN_CHOICE_VOCAB_MAX; settings are in their ranges (all CHECKed)
 * and copied. The caller owns *out. Errors: NO_MEMORY. */
MUST_CHECK enum status token_choice_new(const struct token_choice_settings *settings,
                                        uint32_t vocab, struct token_choice **out);
void token_choice_free(struct token_choice *self); /* NULL is allowed. */

/* Chooses by logits(V); a logit of minus infinity is never chosen. Takes one number from `random`,
 * none at temperature 0. Errors: OUT_OF_RANGE (a logit is NaN or plus infinity, or all are minus
 * infinity: the model is broken); then nothing is taken. */
MUST_CHECK enum status token_choice_draw(struct token_choice *self, const float *logits,
                                         struct random *random, uint16_t *out);

#endif
