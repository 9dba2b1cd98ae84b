#include "coordinator/store/sample_count.h"

#include "common/fault.h"

#include <stdlib.h>

static int compare_ranges(const void *a, const void *b)
{
    uint64_t x = ((const struct sample_range *)a)->first;
    uint64_t y = ((const struct sample_range *)b)->first;
    return (x > y) - (x < y);
}

static size_t gather(const struct journal_step *step, struct sample_range *out)
{
    size_t count = 0;
    for (size_t i = 0; i < step->contribution_count; i++) {
        const struct journal_contribution *item = &step->contributions[i];
        for (size_t j = 0; j < item->range_count; j++) {
            if (out != NULL) {
                out[count] = item->ranges[j];
            }
            count++;
        }
    }
    return count;
}

/* Walks over sorted ranges; `next` is the first sample that no range before has reached. */
static void count_sorted(const struct journal_step *step, const struct sample_range *ranges,
                         size_t range_count, struct sample_count *out)
{
    uint64_t next = step->samples.first;
    for (size_t i = 0; i < range_count; i++) {
        uint64_t end = ranges[i].first + ranges[i].count;
        uint64_t fresh_first = ranges[i].first > next ? ranges[i].first : next;
        uint64_t fresh = end > fresh_first ? end - fresh_first : 0;
        out->missing += ranges[i].first > next ? ranges[i].first - next : 0;
        out->applied += fresh;
        out->duplicated += ranges[i].count - fresh;
        next = end > next ? end : next;
    }
    out->missing += step->samples.first + step->samples.count - next;
}

enum status sample_count_of(const struct journal_step *step, struct sample_count *out)
{
    size_t range_count = gather(step, NULL);
    struct sample_range *ranges = calloc(range_count > 0 ? range_count : 1, sizeof *ranges);
    *out = (struct sample_count){0};
    if (ranges == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to check the samples of a step");
    }
    (void)gather(step, ranges);
    qsort(ranges, range_count, sizeof *ranges, compare_ranges);
    count_sorted(step, ranges, range_count, out);
    free(ranges);
    return STATUS_OK;
}
