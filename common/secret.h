/* secret - memory for keys and tokens.
 *
 * What secret_new gives is locked (it does not go to swap), left out of core dumps, lies between
 * guard pages, and is wiped when it is given back. Thread-safe. The simulator has its own. */
#ifndef DUGNAD_COMMON_SECRET_H
#define DUGNAD_COMMON_SECRET_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory; NULL when there is none. Each takes at least four pages: for keys, not for data.
 * The caller owns it: secret_free(). */
void *secret_new(size_t size_bytes);

/* Makes it read-only until secret_free: a stray write ends the process instead of changing a key.
 */
void secret_seal(void *secret);

void secret_free(void *secret); /* NULL is allowed; may be sealed */

/* False once the system refused to lock one of them (RLIMIT_MEMLOCK): they may go to swap. */
bool secret_all_locked(void);

/* For the log line that says so. */
#define SECRET_NOT_LOCKED_ADVICE                                                                   \
    "advice=\"secret keys may be swapped to disk; allow 64 KiB of locked memory (ulimit -l)\""

/* Zeroes memory that the compiler sees nobody read again. */
void secret_wipe(void *data, size_t size_bytes);

/* Zeroes the stack below the caller's frame: what functions that handled a secret left there. */
void secret_wipe_stack(void);

#endif
