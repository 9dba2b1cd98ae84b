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
    uint64_t end = step->samples.first + step->samples.count;
    for (size_t i = 0; i < range_count; i++) {
        uint64_t first = ranges[i].first;
        uint64_t last = first + ranges[i].count;
        uint64_t inside_first = first < step->samples.first ? step->samples.first : first;
        uint64_t inside_last = last > end ? end : last;
        uint64_t inside = inside_last > inside_first ? inside_last - inside_first : 0;
        out->foreign += ranges[i].count - inside;
        if (inside == 0) {
            continue;
        }
        out->missing += inside_first > next ? inside_first - next : 0;
        uint64_t fresh_first = inside_first > next ? inside_first : next;
        uint64_t fresh = inside_last > fresh_first ? inside_last - fresh_first : 0;
        out->applied += fresh;
        out->duplicated += inside - fresh;
        next = inside_last > next ? inside_last : next;
    }
    out->missing += end - next;
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
