/* sim_blocks - the memory of simulated processes: a process that dies loses its own and no other.
 *
 * The program is linked so that malloc and its kin of everything linked statically come here
 * (--wrap). What a process allocates while it runs stands in its table; what a library allocated
 * for itself does not, and goes to the C library when it is freed. A process can be given a malloc
 * that fails. */
#ifndef DUGNAD_TESTS_SIM_SIM_BLOCKS_H
#define DUGNAD_TESTS_SIM_SIM_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_blocks {
    void **slots; /* open addressing; NULL: empty */
    size_t capacity;
    size_t count;
    uint64_t allocations; /* so far */
    uint64_t fail_at;     /* this allocation fails; 0: none */
    uint64_t failed_count;
};

/* Whose memory malloc takes from here on; NULL: the simulator's own. Returns what it was. */
struct sim_blocks *sim_blocks_use(struct sim_blocks *memory);

/* Frees all that is left. */
void sim_blocks_wipe(struct sim_blocks *self);
void sim_blocks_deinit(struct sim_blocks *self);

/* The simulator's own memory, whoever is running. Ends the program when there is none. */
void *sim_outer_alloc(size_t size_bytes);                  /* zeroed */
void *sim_outer_realloc(void *pointer, size_t size_bytes); /* not zeroed */
void sim_outer_free(void *pointer);

#endif
