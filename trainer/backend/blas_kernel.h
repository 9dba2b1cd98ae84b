/* blas_kernel - which of OpenBLAS's kernels run.
 *
 * OpenBLAS chooses its kernels when it is loaded, and Debian's 0.3.21 does not know CPUs newer
 * than itself: it takes some for a Haswell and some for a Prescott, which costs half to four
 * fifths of the speed. Its environment variable OPENBLAS_CORETYPE decides, so a program that finds
 * itself without one sets it by CPUID and starts itself again, once.
 *
 * The library also starts threads of its own when it is loaded, one for each processor. All
 * products here are single-threaded, so these would only take memory and be in the way of a
 * sandbox, which holds threads that come later: OPENBLAS_NUM_THREADS=1 is set in the same way. */
#ifndef DUGNAD_TRAINER_BACKEND_BLAS_KERNEL_H
#define DUGNAD_TRAINER_BACKEND_BLAS_KERNEL_H

/* The first thing in main(), before any thread, file or output: may start the program again with
 * the same arguments. A value of OPENBLAS_CORETYPE that the user set is kept. When starting again
 * fails the program goes on with what OpenBLAS chose. */
void blas_kernel_choose(char **argv);

/* The kernel in use ("Cooperlake"), and who chose it: "cpuid", "OPENBLAS_CORETYPE" (the user) or
 * "openblas". Static strings. */
const char *blas_kernel_name(void);
const char *blas_kernel_chosen_by(void);

#endif
