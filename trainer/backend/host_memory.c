#include "trainer/backend/ref.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_ALIGN_BYTES = 64 }; /* a cache line, and the widest vector register */

float *host_allocate(size_t count)
{
    if (count > SIZE_MAX / sizeof(float) - BUFFER_ALIGN_BYTES) {
        return NULL;
    }
    size_t bytes = count * sizeof(float);
    bytes = (bytes + BUFFER_ALIGN_BYTES - 1) / BUFFER_ALIGN_BYTES * BUFFER_ALIGN_BYTES;
    bytes = bytes > 0 ? bytes : BUFFER_ALIGN_BYTES;
    float *buffer = aligned_alloc(BUFFER_ALIGN_BYTES, bytes);
    if (buffer != NULL) {
        memset(buffer, 0, bytes);
    }
    return buffer;
}

void host_release(float *buffer)
{
    free(buffer);
}

void host_copy(float *to, const float *from, size_t count)
{
    memcpy(to, from, count * sizeof(float));
}

void host_fill_zero(float *out, size_t count)
{
    memset(out, 0, count * sizeof(float));
}
