/* fault - the one sentence a user reads when something outside the program went wrong.
 *
 * A function that meets such trouble returns fault(STATUS_..., "sentence"); callers hand the
 * status up unchanged, and main prints the sentence. The sentence names the thing (file, line,
 * address) and says what to do about it.
 *
 * The sentence is kept per thread, like errno. */
#ifndef DUGNAD_COMMON_FAULT_H
#define DUGNAD_COMMON_FAULT_H

#include "common/status.h"

enum { FAULT_TEXT_MAX = 1024 };

/* Keeps the formatted sentence (cut at FAULT_TEXT_MAX - 1 bytes; control characters become '?') for
 * this thread and returns `status`, so that it can stand behind `return`. status != STATUS_OK. */
__attribute__((format(printf, 2, 3))) enum status fault(enum status status, const char *format,
                                                        ...);

/* This thread's latest sentence; "" when there was none. Valid until the next fault(). */
const char *fault_text(void);

/* Prints "program: sentence" to stderr (the status text when there is no sentence) and returns
 * the exit code for main. */
MUST_CHECK int fault_report(const char *program, enum status status);

#endif
