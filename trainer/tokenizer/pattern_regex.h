/* pattern_regex - rewrites a Hugging Face pattern so that PCRE2 matches the same. Pure. */
#ifndef DUGNAD_TRAINER_TOKENIZER_PATTERN_REGEX_H
#define DUGNAD_TRAINER_TOKENIZER_PATTERN_REGEX_H

#include "common/status.h"

/* Writes \s and \S out as Unicode's White_Space. Refused is what the two libraries read
 * differently, and what looks at the text before a piece: then text could not be cut where a
 * stream happens to end. The caller frees *out. Errors: BAD_DATA, NO_MEMORY. */
MUST_CHECK enum status pattern_regex_translate(const char *regex, char **out);

#endif
