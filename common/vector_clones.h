/* vector_clones - a function compiled for wider vectors too, and chosen when the program loads.
 *
 * Sanitizer runtimes are not ready when that choice runs, so builds with one go without, as do
 * compilers and CPUs other than GCC's x86-64. All versions give the same bits where contraction is
 * off and the order of sums is fixed. */
#ifndef DUGNAD_COMMON_VECTOR_CLONES_H
#define DUGNAD_COMMON_VECTOR_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define VECTOR_CLONES
#endif

#endif
