/* cpu_features - which vector instructions this CPU has and the operating system lets us use.
 *
 * Asks CPUID, XCR0 and (for tiles) the Linux kernel each time; changes nothing. All false where
 * the CPU is not an x86-64. Thread-safe. */
#ifndef DUGNAD_TRAINER_BACKEND_CPU_FEATURES_H
#define DUGNAD_TRAINER_BACKEND_CPU_FEATURES_H

#include <stdbool.h>

struct cpu_features {
    bool avx2;
    bool fma;
    bool avx512;      /* F, CD, BW, DQ and VL together: what Skylake servers and later have */
    bool avx512_bf16; /* beside avx512 */
    bool amx_bf16;    /* tiles of bfloat16; a process must still ask for them (oneDNN does) */
};

struct cpu_features cpu_features_here(void);

#endif
