/* memory - how much the machine has left, so that a plan can be refused before it starts. */
#ifndef DUGNAD_COMMON_MEMORY_H
#define DUGNAD_COMMON_MEMORY_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

/* The least of what the kernel calls available, what the control group leaves (v1 or v2) and
 * RLIMIT_AS, in bytes. UINT64_MAX when nothing can be read. */
uint64_t memory_available_bytes(void);

/* Refuses a plan that does not fit: NO_MEMORY with a sentence that names `what`, the need, what
 * is left, and `advice` (what to change). */
MUST_CHECK enum status memory_check_fits(const char *what, uint64_t need_bytes, const char *advice);

#endif
