#include "trainer/backend/ref.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    BUFFER_ALIGN_BYTES = 64, /* a cache line, and the widest vector register */
    HUGE_PAGE_BYTES = 2 << 20,
    HUGE_BUFFER_BYTES = 4 * HUGE_PAGE_BYTES /* from here on the address space lost is small */
};

/* Large buffers are read from end to end, and with 4 KiB pages the walks through the page tables
 * take up to a fifth of that time. Whole huge pages only, so that no more memory is used; where the
 * system has none to give, nothing changes. */
static void prefer_huge_pages(void *buffer, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    (void)madvise(buffer, bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES, MADV_HUGEPAGE);
#else
    (void)buffer;
    (void)bytes;
#endif
}

void *host_allocate(size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - HUGE_PAGE_BYTES) {
        return NULL;
    }
    bool large = size_bytes >= HUGE_BUFFER_BYTES;
    size_t bytes = (size_bytes + BUFFER_ALIGN_BYTES - 1) / BUFFER_ALIGN_BYTES * BUFFER_ALIGN_BYTES;
    bytes = bytes > 0 ? bytes : BUFFER_ALIGN_BYTES;
    void *buffer = NULL;
    if (posix_memalign(&buffer, large ? HUGE_PAGE_BYTES : BUFFER_ALIGN_BYTES, bytes) != 0) {
        return NULL;
    }
    if (large) {
        prefer_huge_pages(buffer, bytes);
    }
    memset(buffer, 0, bytes);
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
