/* process - what a program that holds secrets asks of the kernel for itself. */
#ifndef DUGNAD_COMMON_PROCESS_H
#define DUGNAD_COMMON_PROCESS_H

#include "common/status.h"

/* Set to 1 in the environment to debug: core dumps, debuggers and profilers work as usual. */
#define PROCESS_DEBUG_VARIABLE "DUGNAD_DEBUGGABLE"

/* The first thing in main(): no core dumps, and no other process of this user may read this one's
 * memory or attach to it. Does not outlast an exec. Errors: OS with a sentence. */
MUST_CHECK enum status process_protect(void);

/* Zeroes a program argument, so that /proc/PID/cmdline and ps no longer
 * show it. `argument` is one of main's. */
void process_hide_argument(char *argument);

#endif
