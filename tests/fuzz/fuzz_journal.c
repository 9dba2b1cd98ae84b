/* A journal's folder. With what = 0 the input is a segment as it lies on disk; otherwise it says
 * what the meta parts of records are, whose headers and chain of hashes are made here and then
 * spoilt as it wishes, so that no hash stands before what is read. */
#include "coordinator/store/journal_bytes.h"
#include "coordinator/store/journal_format.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The reader's buffer. */
enum { BASE_BYTES = 24 * 1024 };

enum {
    SEGMENT_BYTES_MAX = 1 << 16,
    RECORDS_MAX = 24,
    PAYLOAD_BYTES_MAX = 64,
    PATH_BYTES = 64,
    OWN_AT = 96
};

/* How a record is spoilt. */
enum {
    SPOIL_SEQUENCE = 1,
    SPOIL_PREVIOUS = 2,
    SPOIL_OWN = 4,
    SPOIL_PAYLOAD = 8,
    SPOIL_FILL = 16,
    SPOIL_LENGTH = 32,
    CONDENSED = 64,
    NEW_FILE = 128
};

struct maker {
    struct fuzz_bytes in;
    uint8_t bytes[SEGMENT_BYTES_MAX]; /* of the present segment */
    size_t size_bytes;
    uint64_t version;
    uint64_t sequence;
    struct digest previous;
};

static void end_segment(struct maker *self)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "/run/journal/%012" PRIu64 ".journal", self->version);
    fuzz_disk_put(path, self->bytes, self->size_bytes);
    self->size_bytes = 0;
}

static void add(struct maker *self, const void *data, size_t size_bytes)
{
    if (size_bytes <= sizeof self->bytes - self->size_bytes) {
        memcpy(self->bytes + self->size_bytes, data, size_bytes);
        self->size_bytes += size_bytes;
    }
}

static void add_record(struct maker *self)
{
    uint8_t head[JOURNAL_HEADER_BYTES];
    uint8_t payload[PAYLOAD_BYTES_MAX];
    uint8_t fill = 0;
    uint8_t spoil = fuzz_take_u8(&self->in);
    struct journal_header header = {.type = (enum journal_type)fuzz_take_u8(&self->in),
                                    .sequence = self->sequence++,
                                    .previous = self->previous};
    struct fuzz_bytes meta = fuzz_take(&self->in, (size_t)fuzz_take_u8(&self->in) * JOURNAL_ALIGN);
    if ((spoil & NEW_FILE) != 0 && self->size_bytes > 0) {
        end_segment(self);
        self->version = fuzz_take_u8(&self->in);
    }
    header.condensed = (spoil & CONDENSED) != 0;
    header.sequence += (spoil & SPOIL_SEQUENCE) != 0 ? fuzz_take_u64(&self->in) : 0;
    header.previous.bytes[0] ^= (spoil & SPOIL_PREVIOUS) != 0;
    header.meta_bytes = (uint32_t)meta.size_bytes;
    header.meta_bytes += (spoil & SPOIL_LENGTH) != 0 ? fuzz_take_u32(&self->in) : 0;
    if (header.type == JOURNAL_STEP) {
        header.payload_bytes = fuzz_take_u8(&self->in) % PAYLOAD_BYTES_MAX;
        memset(payload, (int)self->sequence, sizeof payload);
        header.payload = digest_of(payload, header.payload_bytes);
        payload[0] ^= (spoil & SPOIL_PAYLOAD) != 0;
    }
    journal_header_encode(&header, head);
    self->previous = journal_header_seal(head, meta.data, meta.size_bytes);
    head[OWN_AT] ^= (spoil & SPOIL_OWN) != 0;
    add(self, head, sizeof head);
    add(self, meta.data, meta.size_bytes);
    add(self, payload, header.condensed ? 0 : header.payload_bytes);
    fill = (spoil & SPOIL_FILL) != 0;
    while (self->size_bytes % JOURNAL_ALIGN != 0 && self->in.size_bytes > 0) {
        add(self, &fill, 1);
    }
}

static void make(struct fuzz_bytes in)
{
    static struct maker maker;
    maker = (struct maker){.in = in};
    for (int i = 0; i < RECORDS_MAX && maker.in.size_bytes > 0; i++) {
        add_record(&maker);
    }
    end_segment(&maker);
}

/* What the reader let through has the bytes that the writer would make. */
static void encode_again(const struct journal_record *record)
{
    struct journal_lists lists = {0};
    struct journal_record again = {.type = record->type};
    size_t size_bytes = 0;
    size_t again_bytes = 0;
    enum status status = journal_meta_size(record, &size_bytes);
    CHECK(status == STATUS_OK);
    uint8_t *meta = fuzz_own_alloc(size_bytes);
    uint8_t *other = fuzz_own_alloc(size_bytes);
    journal_meta_encode(record, meta);
    status = journal_meta_decode(meta, size_bytes, &lists, &again);
    CHECK(status == STATUS_OK || !fuzz_is_calm());
    if (status == STATUS_OK) {
        status = journal_meta_size(&again, &again_bytes);
        CHECK(status == STATUS_OK && again_bytes == size_bytes);
        journal_meta_encode(&again, other);
        CHECK(memcmp(meta, other, size_bytes) == 0);
    }
    journal_lists_free(&lists);
    fuzz_own_free(meta);
    fuzz_own_free(other);
}

static void go_on_behind(const struct journal_record *last, bool damaged)
{
    struct journal *journal = NULL;
    const struct journal_event event = {.type = JOURNAL_NOTE, .text = "fuzz"};
    if (journal_open("/run", last, damaged, &journal) == STATUS_OK) {
        fuzz_ignore(journal_append_event(journal, &event));
        fuzz_ignore(journal_sync(journal));
        CHECK(journal_sequence(journal) >= last->sequence);
    }
    journal_close(journal);
}

static void read_all(uint64_t from, bool check_payloads)
{
    struct journal_reader *reader = NULL;
    struct journal_record record;
    struct journal_record last = {.type = JOURNAL_EVENT};
    bool more = true;
    uint8_t payload[SEGMENT_BYTES_MAX];
    enum status status = journal_reader_new("/run", from, &reader);
    size_t count = 0;
    while (status == STATUS_OK && more) {
        status = journal_read(reader, check_payloads, &record, &more);
        if (status == STATUS_OK && more) {
            encode_again(&record);
            last = record;
            count++;
        }
        if (status == STATUS_OK && more && record.type == JOURNAL_STEP &&
            record.payload_bytes <= sizeof payload) {
            fuzz_ignore(journal_read_payload(reader, payload, record.payload_bytes));
        }
    }
    struct journal_fault torn = {.found = false};
    struct journal_fault damage = {.found = false};
    if (status == STATUS_OK) {
        journal_reader_faults(reader, &torn, &damage);
        CHECK(!torn.found || !damage.found);
    }
    journal_reader_free(reader);
    if (status == STATUS_OK && count > 0) {
        go_on_behind(&last, damage.found);
    }
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    uint8_t what = fuzz_take_u8(&in);
    if (what == 0) {
        fuzz_disk_put("/run/journal/000000000000.journal", in.data, in.size_bytes);
    } else {
        make(in);
    }
    fuzz_ignore(journal_refresh("/run"));
    if ((what & 4) != 0) {
        fuzz_ignore(journal_condense("/run", fuzz_take_u8(&in)));
    }
    fuzz_memory_begin();
    read_all((what & 8) != 0 ? 1 : UINT64_MAX, (what & 2) != 0);
    fuzz_memory_end(size_bytes, BASE_BYTES);
}
