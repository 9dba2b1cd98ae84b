#include "common/cores.h"

#include <sched.h>

size_t cores_usable(size_t most)
{
    cpu_set_t set;
    size_t count = sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
    return count < most ? count : most;
}
