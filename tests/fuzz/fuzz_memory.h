/* fuzz_memory - malloc and its kin as a target's parser sees them (--wrap): counted, and made to
 * fail. Who calls from a library that is linked dynamically goes to the C library.
 *
 * For fuzz.c alone. */
#ifndef DUGNAD_TESTS_FUZZ_FUZZ_MEMORY_H
#define DUGNAD_TESTS_FUZZ_FUZZ_MEMORY_H

#include <stdint.h>

/* Begins to count, and makes allocation fail_at (1: the first) fail; 0: none. */
void fuzz_memory_arm(uint64_t fail_at);

/* Ends both; returns how many allocations there were. */
uint64_t fuzz_memory_disarm(void);

#endif
