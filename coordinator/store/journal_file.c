#include "coordinator/store/journal_file.h"

#include "common/disk.h"
#include "common/fault.h"

#include <errno.h>
#include <string.h>

enum { PIECE_BYTES = 64 << 10, WINDOW_BYTES = 16 << 10 };

static const char cut_short[] = "the file ends inside a record";
static const char no_record[] = "what is there is not a record";
static const char wrong_hash[] = "a record's hash is wrong";
static const char wrong_payload[] = "the hash of a step's payload is wrong";
static const char too_many[] = "too much is there that looks like records";

enum status journal_file_open(const char *run_path, uint64_t version, struct journal_file *out)
{
    out->fd = -1;
    enum status status = journal_segment_path(run_path, version, out->path);
    if (status != STATUS_OK) {
        return status;
    }
    out->fd = disk_open(out->path, DISK_READ, 0);
    if (out->fd < 0) {
        return fault(STATUS_NO_INPUT, "cannot read %s: %s", out->path, strerror(errno));
    }
    int64_t size_bytes = disk_size(out->fd);
    if (size_bytes < 0) {
        status = fault(STATUS_IO, "%s is not a plain file: %s", out->path, strerror(errno));
        journal_file_close(out);
        return status;
    }
    out->size_bytes = (uint64_t)size_bytes;
    return STATUS_OK;
}

void journal_file_close(struct journal_file *self)
{
    if (self->fd >= 0) {
        (void)disk_close(self->fd);
        self->fd = -1;
    }
}

enum status journal_file_read(const struct journal_file *self, uint64_t offset, void *out,
                              size_t size_bytes)
{
    return disk_read(self->fd, offset, out, size_bytes)
               ? STATUS_OK
               : fault(STATUS_IO, "reading %s failed: %s", self->path, strerror(errno));
}

static enum status hash_part(const struct journal_file *self, uint64_t offset, uint64_t size_bytes,
                             struct digest_stream *stream)
{
    uint8_t piece[PIECE_BYTES];
    enum status status = STATUS_OK;
    while (status == STATUS_OK && size_bytes > 0) {
        size_t count = size_bytes < sizeof piece ? (size_t)size_bytes : sizeof piece;
        status = journal_file_read(self, offset, piece, count);
        if (status == STATUS_OK) {
            digest_update(stream, piece, count);
        }
        offset += count;
        size_bytes -= count;
    }
    return status;
}

static bool lies_within(const struct journal_file *self, uint64_t offset, uint64_t size_bytes)
{
    return offset <= self->size_bytes && size_bytes <= self->size_bytes - offset;
}

enum status journal_file_head(const struct journal_file *self, uint64_t offset,
                              struct journal_found *out)
{
    *out = (struct journal_found){.offset = offset, .wrong = cut_short};
    if (!lies_within(self, offset, JOURNAL_HEADER_BYTES)) {
        return STATUS_OK;
    }
    enum status status = journal_file_read(self, offset, out->head, sizeof out->head);
    if (status != STATUS_OK) {
        return status;
    }
    if (!journal_header_decode(out->head, &out->header)) {
        out->wrong = no_record;
    } else if (lies_within(self, offset + JOURNAL_HEADER_BYTES, out->header.meta_bytes)) {
        out->wrong = NULL;
    }
    return STATUS_OK;
}

static enum status check_own(const struct journal_file *self, struct journal_found *found)
{
    struct digest_stream stream;
    journal_header_hash_begin(found->head, &stream);
    enum status status =
        hash_part(self, found->offset + JOURNAL_HEADER_BYTES, found->header.meta_bytes, &stream);
    struct digest own = digest_end(&stream);
    found->wrong = digest_equal(&own, &found->header.own) ? NULL : wrong_hash;
    return status;
}

enum status journal_file_look(const struct journal_file *self, uint64_t offset,
                              struct journal_found *out)
{
    enum status status = journal_file_head(self, offset, out);
    return status == STATUS_OK && out->wrong == NULL ? check_own(self, out) : status;
}

enum status journal_file_meta(const struct journal_file *self, struct journal_found *found,
                              uint8_t *out)
{
    struct digest_stream stream;
    uint32_t meta_bytes = found->header.meta_bytes;
    enum status status =
        journal_file_read(self, found->offset + JOURNAL_HEADER_BYTES, out, meta_bytes);
    if (status == STATUS_OK) {
        journal_header_hash_begin(found->head, &stream);
        digest_update(&stream, out, meta_bytes);
        struct digest own = digest_end(&stream);
        found->wrong = digest_equal(&own, &found->header.own) ? NULL : wrong_hash;
    }
    return status;
}

bool journal_file_holds_payload(const struct journal_file *self, const struct journal_found *found)
{
    uint64_t at = found->offset + JOURNAL_HEADER_BYTES + found->header.meta_bytes;
    return found->header.condensed || lies_within(self, at, found->header.payload_bytes);
}

enum status journal_file_check_payload(const struct journal_file *self,
                                       const struct journal_found *found, const char **out_wrong)
{
    const struct journal_header *header = &found->header;
    *out_wrong = journal_file_holds_payload(self, found) ? NULL : cut_short;
    if (header->condensed || header->payload_bytes == 0 || *out_wrong != NULL) {
        return STATUS_OK;
    }
    struct digest_stream stream;
    digest_begin(&stream);
    enum status status = hash_part(self, found->offset + JOURNAL_HEADER_BYTES + header->meta_bytes,
                                   header->payload_bytes, &stream);
    struct digest payload = digest_end(&stream);
    *out_wrong = digest_equal(&payload, &header->payload) ? NULL : wrong_payload;
    return status;
}

/* A place where four bytes look right: a record that fits, and not more work than is left. */
static enum status try_place(const struct journal_file *self, uint64_t offset,
                             uint64_t sequence_min, uint64_t *work_bytes, struct journal_found *out,
                             bool *out_more)
{
    *out_more = false;
    enum status status = journal_file_head(self, offset, out);
    if (status != STATUS_OK || out->wrong != NULL || out->header.sequence < sequence_min) {
        return status;
    }
    uint64_t cost = JOURNAL_HEADER_BYTES + (uint64_t)out->header.meta_bytes;
    if (cost > *work_bytes) {
        out->wrong = too_many;
        *out_more = true;
        return STATUS_OK;
    }
    *work_bytes -= cost;
    status = check_own(self, out);
    *out_more = status == STATUS_OK && out->wrong == NULL;
    return status;
}

enum status journal_file_search(const struct journal_file *self, uint64_t offset,
                                uint64_t sequence_min, uint64_t *work_bytes,
                                struct journal_found *out, bool *out_more)
{
    uint8_t window[WINDOW_BYTES];
    *out_more = false;
    enum status status = STATUS_OK;
    for (uint64_t at = journal_align(offset);
         status == STATUS_OK && lies_within(self, at, JOURNAL_HEADER_BYTES); at += sizeof window) {
        uint64_t left = self->size_bytes - at;
        size_t count = left < sizeof window ? (size_t)left : sizeof window;
        status = journal_file_read(self, at, window, count);
        for (size_t i = 0; status == STATUS_OK && i + sizeof(uint32_t) <= count;
             i += JOURNAL_ALIGN) {
            if (journal_header_begins(window + i)) {
                status = try_place(self, at + i, sequence_min, work_bytes, out, out_more);
            }
            if (*out_more) {
                return status;
            }
        }
    }
    return status;
}
