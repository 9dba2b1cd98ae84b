#include "coordinator/server/median.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return left < right ? -1 : left > right ? 1 : 0;
}

double median(double *values, size_t count)
{
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        if (values[i] > 0.0) {
            values[known++] = values[i];
        }
    }
    qsort(values, known, sizeof *values, compare);
    return known > 0 ? values[known / 2] : 0.0;
}
