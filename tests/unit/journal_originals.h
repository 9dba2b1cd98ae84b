/* journal_originals - the records of the fixture's journal before anything is done to it. */
#ifndef DUGNAD_TESTS_UNIT_JOURNAL_ORIGINALS_H
#define DUGNAD_TESTS_UNIT_JOURNAL_ORIGINALS_H

#include "coordinator/store/journal_format.h"
#include "tests/unit/journal_fixture.h"

enum { META_MAX = 1024 };

/* The journal before it is damaged. */
struct original {
    struct journal_record record;
    uint64_t end; /* in its file, before what fills it up */
    size_t meta_bytes;
    uint8_t meta[META_MAX];
};
static struct original originals[FIXTURE_RECORDS];
static size_t original_count;

static inline void remember(size_t index, struct journal_reader *reader,
                            const struct journal_record *record)
{
    (void)reader;
    CU_ASSERT_TRUE_FATAL(index < FIXTURE_RECORDS);
    struct original *original = &originals[index];
    original->record = *record;
    CU_ASSERT_EQUAL_FATAL(journal_meta_size(record, &original->meta_bytes), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(original->meta_bytes <= META_MAX);
    journal_meta_encode(record, original->meta);
    original->end = record->offset + JOURNAL_HEADER_BYTES + original->meta_bytes +
                    (record->condensed ? 0 : record->payload_bytes);
    original_count = index + 1;
}

static inline void begin_original(void)
{
    struct fixture_end end;
    scratch_begin();
    journal_close(fixture_write());
    fixture_read(UINT64_MAX, true, remember, &end);
    CU_ASSERT_EQUAL_FATAL(original_count, FIXTURE_RECORDS);
}

#endif
