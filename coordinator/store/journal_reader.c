#include "coordinator/store/journal_reader.h"

#include "common/check.h"
#include "common/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status choose_segments(struct journal_reader *self, uint64_t from)
{
    size_t first = 0;
    enum status status = journal_segments(self->run_path, &self->segments, &self->segment_count);
    if (status != STATUS_OK) {
        return status;
    }
    while (from != UINT64_MAX && first < self->segment_count && self->segments[first] != from) {
        first++;
    }
    if (first == self->segment_count) {
        return from == UINT64_MAX
                   ? fault(STATUS_NO_INPUT,
                           "%s/journal holds no segment; is that the folder of a "
                           "run?",
                           self->run_path)
                   : fault(STATUS_NO_INPUT,
                           "%s/journal has no segment that begins at version %" PRIu64
                           "; put a copy of it there",
                           self->run_path, from);
    }
    self->segment_count -= first;
    memmove(self->segments, self->segments + first, self->segment_count * sizeof *self->segments);
    self->from_first = from == UINT64_MAX;
    return STATUS_OK;
}

enum status journal_reader_new(const char *run_path, uint64_t from, struct journal_reader **out)
{
    *out = NULL;
    struct journal_reader *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "not enough memory to read the journal");
    }
    self->file.fd = -1;
    int length = snprintf(self->run_path, sizeof self->run_path, "%s", run_path);
    enum status status =
        length >= 0 && (size_t)length < sizeof self->run_path
            ? choose_segments(self, from)
            : fault(STATUS_NO_INPUT, "the path %.200s is too long; use a shorter one", run_path);
    if (status == STATUS_OK) {
        status = journal_file_open(self->run_path, self->segments[0], &self->file);
    }
    if (status != STATUS_OK) {
        journal_reader_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void journal_reader_free(struct journal_reader *self)
{
    if (self != NULL) {
        journal_file_close(&self->file);
        journal_lists_free(&self->lists);
        free(self->meta);
        free(self->segments);
        free(self);
    }
}

void journal_reader_faults(const struct journal_reader *self, struct journal_fault *out_torn,
                           struct journal_fault *out_damage)
{
    *out_torn = self->torn;
    *out_damage = self->damage;
}

static void end_with(struct journal_reader *self, struct journal_fault *fault, uint64_t offset,
                     const char *text)
{
    self->ended = true;
    fault->found = true;
    fault->offset = offset;
    (void)snprintf(fault->path, sizeof fault->path, "%s", self->file.path);
    (void)snprintf(fault->text, sizeof fault->text, "%.255s", text);
}

/* What is at `offset` is not whole. `bad`: as journal_search_behind. */
static enum status end_at_bad_place(struct journal_reader *self, uint64_t offset, const char *text,
                                    const struct journal_found *bad)
{
    bool durable = false;
    enum status status = journal_search_behind(self, offset, bad, &durable);
    if (status == STATUS_OK) {
        end_with(self, durable ? &self->damage : &self->torn, offset, text);
    }
    return status;
}

static void end_with_damage(struct journal_reader *self, const char *text)
{
    end_with(self, &self->damage, self->found.offset, text);
}

static enum status open_next(struct journal_reader *self)
{
    journal_file_close(&self->file);
    self->segment_index++;
    self->before_end = self->end;
    self->end = 0;
    return journal_file_open(self->run_path, self->segments[self->segment_index], &self->file);
}

/* What fills the place up to the next record is not hashed, but it is known, and is only there when
 * that record is. */
static enum status check_padding(struct journal_reader *self)
{
    uint8_t bytes[JOURNAL_ALIGN] = {0};
    uint64_t next = journal_align(self->end);
    if (next == self->end) {
        return STATUS_OK;
    }
    if (next >= self->file.size_bytes) {
        return end_at_bad_place(self, self->end, "the file ends inside a record", NULL);
    }
    size_t count = (size_t)(next - self->end);
    enum status status = journal_file_read(&self->file, self->end, bytes, count);
    bool zeros = true;
    for (size_t i = 0; i < count; i++) {
        zeros = zeros && bytes[i] == 0;
    }
    if (status == STATUS_OK && !zeros) {
        status = end_at_bad_place(self, self->end, "what fills up a record is not zeros", NULL);
    }
    return status;
}

static enum status read_meta(struct journal_reader *self)
{
    size_t meta_bytes = self->found.header.meta_bytes;
    if (meta_bytes > self->meta_capacity) {
        free(self->meta);
        self->meta = malloc(meta_bytes);
        self->meta_capacity = self->meta != NULL ? meta_bytes : 0;
    }
    if (self->meta_capacity < meta_bytes) {
        return fault(STATUS_NO_MEMORY, "not enough memory for a journal record of %zu bytes",
                     meta_bytes);
    }
    return journal_file_meta(&self->file, &self->found, self->meta);
}

/* A record that is missing is told at the end of the segment that should hold it. */
static void end_with_gap(struct journal_reader *self)
{
    static const char text[] = "records are missing behind this place";
    if (self->found.offset > 0) {
        end_with_damage(self, text);
        return;
    }
    end_with(self, &self->damage, self->before_end, text);
    if (journal_segment_path(self->run_path, self->segments[self->segment_index - 1],
                             self->damage.path) != STATUS_OK) {
        self->damage.path[0] = '\0';
    }
}

static bool chain_fits(struct journal_reader *self)
{
    static const struct digest zeros = {{0}};
    const struct journal_header *header = &self->found.header;
    bool segment = header->type == JOURNAL_SEGMENT;
    if (segment != (self->found.offset == 0)) {
        end_with_damage(self, segment ? "a segment begins inside another"
                                      : "a segment does not begin with the state of the run");
    } else if (!self->started) {
        if (self->from_first &&
            (header->sequence != 0 || !digest_equal(&header->previous, &zeros))) {
            end_with_damage(self, "the segments before this one are missing");
        }
    } else if (header->sequence > self->sequence) {
        end_with_gap(self);
    } else if (header->sequence < self->sequence) {
        end_with_damage(self, "a record stands here for the second time");
    } else if (!digest_equal(&header->previous, &self->previous)) {
        end_with_damage(self, "a record does not follow the one before it");
    }
    return !self->ended;
}

static bool facts_fit(struct journal_reader *self, const struct journal_record *record)
{
    if (record->type == JOURNAL_SEGMENT) {
        const struct journal_state *state = &record->as.state;
        if (state->version != record->segment ||
            (self->started && state->version != self->version)) {
            end_with_damage(self, "a segment begins at another version than it should");
        } else if (self->started && !digest_equal(&state->run_id, &self->run_id)) {
            end_with_damage(self, "a segment belongs to another run");
        } else {
            self->version = state->version;
            self->run_id = state->run_id;
        }
    } else if (record->type == JOURNAL_STEP) {
        if (record->as.step.step != self->version) {
            end_with_damage(self, "a step is not the one that follows");
        } else {
            self->version++;
        }
    }
    return !self->ended;
}

static enum status check_payload(struct journal_reader *self, bool check_payloads)
{
    const struct journal_found *found = &self->found;
    const char *wrong = NULL;
    enum status status = STATUS_OK;
    if (found->header.type != JOURNAL_STEP) {
        return STATUS_OK;
    }
    if (!check_payloads && journal_file_holds_payload(&self->file, found)) {
        status = journal_search_is_last(self, found, &check_payloads);
    } else {
        check_payloads = true;
    }
    if (status == STATUS_OK && check_payloads) {
        status = journal_file_check_payload(&self->file, found, &wrong);
    }
    return status == STATUS_OK && wrong != NULL
               ? end_at_bad_place(self, found->offset, wrong, found)
               : status;
}

/* A header and meta part of the right hash are in self->found and self->meta. */
static enum status accept_record(struct journal_reader *self, bool check_payloads,
                                 struct journal_record *out)
{
    const struct journal_header *header = &self->found.header;
    *out = (struct journal_record){.type = header->type,
                                   .sequence = header->sequence,
                                   .hash = header->own,
                                   .segment = self->segments[self->segment_index],
                                   .offset = self->found.offset,
                                   .payload_bytes = header->payload_bytes,
                                   .condensed = header->condensed && header->type == JOURNAL_STEP};
    if (!chain_fits(self)) {
        return STATUS_OK;
    }
    enum status status = journal_meta_decode(self->meta, header->meta_bytes, &self->lists, out);
    if (status == STATUS_BAD_DATA) {
        end_with_damage(self, fault_text());
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = check_payload(self, check_payloads);
    }
    if (status != STATUS_OK || self->ended || !facts_fit(self, out)) {
        return status;
    }
    self->end = self->found.offset + journal_record_bytes(header);
    self->sequence = header->sequence + 1;
    self->previous = header->own;
    self->started = true;
    return STATUS_OK;
}

/* Gives the place of the next record, or ends the reading. */
static enum status go_to_next(struct journal_reader *self)
{
    if (self->started && self->end == self->file.size_bytes) {
        if (self->segment_index + 1 == self->segment_count) {
            self->ended = true;
            return STATUS_OK;
        }
        return open_next(self);
    }
    return check_padding(self);
}

enum status journal_read(struct journal_reader *self, bool check_payloads,
                         struct journal_record *out, bool *out_more)
{
    *out_more = false;
    enum status status = self->ended ? STATUS_OK : go_to_next(self);
    if (status != STATUS_OK || self->ended) {
        return status;
    }
    uint64_t offset = journal_align(self->end);
    status = journal_file_head(&self->file, offset, &self->found);
    if (status == STATUS_OK && self->found.wrong == NULL) {
        status = read_meta(self);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (self->found.wrong != NULL) {
        return end_at_bad_place(self, offset, self->found.wrong, NULL);
    }
    status = accept_record(self, check_payloads, out);
    *out_more = status == STATUS_OK && !self->ended;
    return status;
}

enum status journal_read_payload(struct journal_reader *self, uint8_t *out, size_t size_bytes)
{
    const struct journal_header *header = &self->found.header;
    CHECK(!self->ended && header->type == JOURNAL_STEP && size_bytes == header->payload_bytes);
    if (header->condensed) {
        return fault(STATUS_CORRUPT,
                     "%s: the payload of the step at offset %" PRIu64
                     " was dropped; begin at a later checkpoint",
                     self->file.path, self->found.offset);
    }
    enum status status = journal_file_read(
        &self->file, self->found.offset + JOURNAL_HEADER_BYTES + header->meta_bytes, out,
        size_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    struct digest found = digest_of(out, size_bytes);
    return digest_equal(&found, &header->payload)
               ? STATUS_OK
               : fault(STATUS_CORRUPT,
                       "%s is damaged: the payload of the step at offset %" PRIu64
                       " has a wrong hash",
                       self->file.path, self->found.offset);
}
