/* cores - how many processors this process may use. Thread-safe. */
#ifndef DUGNAD_COMMON_CORES_H
#define DUGNAD_COMMON_CORES_H

#include <stddef.h>

/* The processors of the calling thread's affinity, at least 1 and at most `most` (> 0). */
size_t cores_usable(size_t most);

#endif
