/* values - the vectors of a master: zero at first, aligned for the widest loads. Private to
 * trainer/optimizer. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_VALUES_H
#define DUGNAD_TRAINER_OPTIMIZER_VALUES_H

#include <stdlib.h>
#include <string.h>

enum { VALUES_ALIGN_BYTES = 64 };

/* End it with free(). NULL: no memory. */
static inline float *values_new(size_t count)
{
    const size_t align = VALUES_ALIGN_BYTES;
    size_t size_bytes = (count * sizeof(float) + align - 1) / align * align;
    float *values = aligned_alloc(align, size_bytes);
    if (values != NULL) {
        memset(values, 0, size_bytes);
    }
    return values;
}

#endif
