/* sandbox_parts - what sandbox_enter() is made of; for sandbox.c and its tests. */
#ifndef DUGNAD_COMMON_SANDBOX_PARTS_H
#define DUGNAD_COMMON_SANDBOX_PARTS_H

#include "common/sandbox.h"

/* Versions of Landlock's interface, and the kernels that brought them. */
enum {
    LANDLOCK_ABI_TRUNCATE = 3, /* 6.2 */
    LANDLOCK_ABI_TCP = 4,      /* 6.7 */
    LANDLOCK_ABI_DEVICES = 5,  /* 6.10 */
    LANDLOCK_ABI_SCOPES = 6    /* 6.12 */
};

/* The version that this kernel speaks; 0: it has none, or whoever runs us forbids it. */
int sandbox_landlock_abi(void);

/* Applies the rules of files, TCP and scopes that version `abi` > 0 has, no newer than the
 * kernel's. Errors: OS with a sentence. */
MUST_CHECK enum status sandbox_enter_landlock(const struct sandbox_rules *rules, int abi);

/* Writes what is not held with version `abi` (0: nothing is) and sets files and network. */
void sandbox_tell_landlock(const struct sandbox_rules *rules, int abi, struct sandbox_result *out,
                           char missing[SANDBOX_MISSING_MAX]);

bool sandbox_has_filters(void); /* seccomp with filters */

/* Errors: OS with a sentence. */
MUST_CHECK enum status sandbox_enter_filter(const struct sandbox_rules *rules);

#endif
