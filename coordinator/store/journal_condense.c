#include "common/fault.h"
#include "coordinator/store/journal_reader.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES = 256 << 10 };

/* Collects what is small, so that a segment of many leases is not as many writes. */
struct batch {
    struct journal_draft draft;
    size_t used;
    uint8_t bytes[BATCH_BYTES];
};

static enum status flush(struct batch *self)
{
    size_t used = self->used;
    self->used = 0;
    return used > 0 ? journal_draft_write(&self->draft, self->bytes, used) : STATUS_OK;
}

static enum status put(struct batch *self, const void *data, size_t size_bytes)
{
    enum status status = STATUS_OK;
    if (size_bytes > sizeof self->bytes - self->used) {
        status = flush(self);
    }
    if (status == STATUS_OK && size_bytes > sizeof self->bytes) {
        return journal_draft_write(&self->draft, data, size_bytes);
    }
    if (status == STATUS_OK) {
        memcpy(self->bytes + self->used, data, size_bytes);
        self->used += size_bytes;
    }
    return status;
}

static enum status put_record(struct batch *self, const struct journal_found *found,
                              const uint8_t *meta)
{
    uint8_t head[JOURNAL_HEADER_BYTES];
    memcpy(head, found->head, sizeof head);
    if (found->header.type == JOURNAL_STEP || found->header.type == JOURNAL_SEGMENT) {
        journal_header_condense(head);
    }
    enum status status = put(self, head, sizeof head);
    return status == STATUS_OK ? put(self, meta, found->header.meta_bytes) : status;
}

/* Writes the segment without payloads. *out_whole is false when it is damaged: then it stays as it
 * is, for whoever looks into it. */
static enum status copy_segment(struct journal_reader *reader, uint64_t segment,
                                struct batch *batch, bool *out_whole)
{
    *out_whole = false;
    bool more = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && more && !*out_whole) {
        struct journal_record record;
        status = journal_read(reader, false, &record, &more);
        if (status == STATUS_OK && more) {
            *out_whole = record.segment != segment;
            status = *out_whole ? flush(batch) : put_record(batch, &reader->found, reader->meta);
        }
    }
    return status;
}

static enum status condense_into(const char *run_path, uint64_t segment,
                                 struct journal_reader *reader, struct batch *batch)
{
    char path[FILES_PATH_MAX];
    bool whole = false;
    enum status status = journal_segment_path(run_path, segment, path);
    if (status == STATUS_OK) {
        status = journal_draft_begin(path, &batch->draft);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = copy_segment(reader, segment, batch, &whole);
    if (status != STATUS_OK || !whole) {
        journal_draft_drop(&batch->draft);
        return status;
    }
    return journal_draft_finish(&batch->draft, run_path, path);
}

static enum status condense_segment(const char *run_path, uint64_t segment)
{
    struct journal_reader *reader = NULL;
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        return fault(STATUS_NO_MEMORY, "not enough memory to condense the journal");
    }
    enum status status = journal_reader_new(run_path, segment, &reader);
    if (status == STATUS_OK) {
        status = condense_into(run_path, segment, reader, batch);
    }
    journal_reader_free(reader);
    free(batch);
    return status;
}

static enum status is_condensed(const char *run_path, uint64_t segment, bool *out)
{
    struct journal_file file;
    struct journal_found found;
    enum status status = journal_file_open(run_path, segment, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = journal_file_head(&file, 0, &found);
    *out = status == STATUS_OK && found.wrong == NULL && found.header.condensed;
    journal_file_close(&file);
    return status;
}

enum status journal_condense(const char *run_path, uint64_t version)
{
    uint64_t *segments = NULL;
    size_t count = 0;
    size_t end = 0;
    bool done = false;
    enum status status = journal_segments(run_path, &segments, &count);
    /* The last one is being written, and never condensed. */
    while (status == STATUS_OK && end + 1 < count && segments[end + 1] <= version) {
        end++;
    }
    /* They are condensed in order, so before one that is, all are. */
    size_t first = end;
    while (status == STATUS_OK && first > 0 && !done) {
        status = is_condensed(run_path, segments[first - 1], &done);
        first -= status == STATUS_OK && !done;
    }
    for (size_t i = first; i < end && status == STATUS_OK; i++) {
        status = condense_segment(run_path, segments[i]);
    }
    free(segments);
    return status;
}
