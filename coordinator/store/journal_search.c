/* What tells a torn tail from damage. Records reach the disk in order only as far as they are
 * synced, and steps are: whatever stands behind a step was written when it was durable already, and
 * so is all before it. Leases are not: between two syncs a crash may leave any of them out. */
#include "coordinator/store/journal_reader.h"

/* Bytes hashed for nothing, as a multiple of the file's size, before a search gives up. */
enum { WORK_FACTOR = 4, WORK_BYTES_MIN = 1 << 20 };

static uint64_t work_for(const struct journal_file *file)
{
    return file->size_bytes < (UINT64_MAX - WORK_BYTES_MIN) / WORK_FACTOR
               ? WORK_FACTOR * file->size_bytes + WORK_BYTES_MIN
               : UINT64_MAX;
}

/* Too many bytes that look like records: with no time to tell, the careful answer is damage. */
static bool gave_up(const struct journal_found *found)
{
    return found->wrong != NULL;
}

/* True when leases alone do not fill the place between `offset`, where record `sequence` should be,
 * and what was found: a step or an event stood there, and those are synced before anything follows
 * them. */
static bool held_more_than_leases(uint64_t offset, uint64_t sequence,
                                  const struct journal_found *found)
{
    uint64_t missing = found->header.sequence - sequence;
    uint64_t distance = found->offset - journal_align(offset);
    return distance % JOURNAL_LEASE_RECORD_BYTES != 0 ||
           distance / JOURNAL_LEASE_RECORD_BYTES != missing;
}

/* A step behind the bad place was durable when its payload is whole; otherwise it is the torn end
 * of the same unsynced tail. What stands behind it is looked at next in any case. */
static enum status judge(const struct journal_reader *self, uint64_t offset,
                         const struct journal_found *found, bool *out_durable)
{
    const char *wrong = NULL;
    enum status status = STATUS_OK;
    *out_durable = gave_up(found) || held_more_than_leases(offset, self->sequence, found);
    if (!*out_durable && found->header.type == JOURNAL_STEP) {
        status = journal_file_check_payload(&self->file, found, &wrong);
        *out_durable = wrong == NULL;
    }
    return status;
}

static enum status search_file(const struct journal_reader *self, uint64_t offset,
                               const struct journal_found *bad, bool *out_durable)
{
    struct journal_found found = {0};
    bool more = true;
    bool step_before = bad != NULL;
    uint64_t work_bytes = work_for(&self->file);
    uint64_t at = offset + 1;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && more && !*out_durable) {
        status = journal_file_search(&self->file, at, self->sequence, &work_bytes, &found, &more);
        if (status == STATUS_OK && more) {
            at = found.offset + JOURNAL_HEADER_BYTES;
            *out_durable = step_before;
            step_before = found.header.type == JOURNAL_STEP;
        }
        if (status == STATUS_OK && more && !*out_durable) {
            status = judge(self, offset, &found, out_durable);
        }
    }
    return status;
}

/* A segment is begun when the one before it is durable, and becomes visible when its own first
 * record is. */
static enum status search_segments(const struct journal_reader *self, bool *out_durable)
{
    enum status status = STATUS_OK;
    for (size_t i = self->segment_index + 1;
         i < self->segment_count && status == STATUS_OK && !*out_durable; i++) {
        struct journal_file file;
        struct journal_found found;
        status = journal_file_open(self->run_path, self->segments[i], &file);
        if (status != STATUS_OK) {
            return status;
        }
        uint64_t work_bytes = work_for(&file);
        status = journal_file_search(&file, 0, self->sequence, &work_bytes, &found, out_durable);
        journal_file_close(&file);
    }
    return status;
}

enum status journal_search_behind(const struct journal_reader *self, uint64_t offset,
                                  const struct journal_found *bad, bool *out_durable)
{
    *out_durable = false;
    enum status status = search_segments(self, out_durable);
    return status == STATUS_OK && !*out_durable ? search_file(self, offset, bad, out_durable)
                                                : status;
}

enum status journal_search_is_last(const struct journal_reader *self,
                                   const struct journal_found *step, bool *out_last)
{
    struct journal_found found = *step;
    *out_last = self->segment_index + 1 == self->segment_count;
    enum status status = STATUS_OK;
    bool whole = true;
    while (status == STATUS_OK && *out_last && whole) {
        uint64_t next = journal_align(found.offset + journal_record_bytes(&found.header));
        status = journal_file_look(&self->file, next, &found);
        whole = found.wrong == NULL;
        *out_last = !whole || found.header.type != JOURNAL_STEP;
    }
    return status;
}
