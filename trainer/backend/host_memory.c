#include "trainer/backend/ref.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_ALIGN_BYTES = 64 }; /* a cache line, and the widest vector register */

void *host_allocate(size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - BUFFER_ALIGN_BYTES) {
        return NULL;
    }
    size_t bytes = (size_bytes + BUFFER_ALIGN_BYTES - 1) / BUFFER_ALIGN_BYTES * BUFFER_ALIGN_BYTES;
    bytes = bytes > 0 ? bytes : BUFFER_ALIGN_BYTES;
    void *buffer = aligned_alloc(BUFFER_ALIGN_BYTES, bytes);
    if (buffer != NULL) {
        memset(buffer, 0, bytes);
    }
    return buffer;
}

void host_release(void *buffer)
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

const struct cells *host_floats_as_cells(struct cells *scratch, const float *x, size_t count)
{
    (void)scratch;
    (void)count;
    return (const struct cells *)(const void *)x;
}
