/* median - what half of some measured values lie below. Pure. */
#ifndef DUGNAD_COORDINATOR_SERVER_MEDIAN_H
#define DUGNAD_COORDINATOR_SERVER_MEDIAN_H

#include <stddef.h>

/* The median of those of values(count) that are known (above 0); 0: none is. Sorts them. */
double median(double *values, size_t count);

#endif
