/* sim_memory - the memory of the simulator's own machinery.
 *
 * Apart from malloc, because a simulated process may be refused memory, and what it held is thrown
 * away when it crashes: what stands for its hardware must live on. Never fails: the program ends
 * where there is none. */
#ifndef DUGNAD_TESTS_SIM_SIM_MEMORY_H
#define DUGNAD_TESTS_SIM_SIM_MEMORY_H

#include <stddef.h>

/* count * item_bytes bytes, zeroed. The caller owns it: sim_memory_free. */
void *sim_memory_new(size_t count, size_t item_bytes);

/* Makes `old` (NULL is allowed) larger or smaller; new bytes are not set. */
void *sim_memory_resize(void *old, size_t count, size_t item_bytes);

void sim_memory_free(void *memory); /* NULL is allowed. */

#endif
