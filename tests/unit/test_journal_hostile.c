#include "common/clock.h"
#include "common/random.h"
#include "tests/unit/journal_originals.h"

#include <fcntl.h>
#include <unistd.h>

enum { SEARCH_MS_MAX = 20000 };

/* A last record of the right hash, made by someone who knows how. */
static void append_forged(size_t meta_bytes, const uint8_t *meta, struct journal_header header)
{
    uint8_t bytes[JOURNAL_HEADER_BYTES + META_MAX + FIXTURE_PAYLOAD_MAX] = {0};
    size_t payload_bytes = header.type == JOURNAL_STEP ? FIXTURE_PAYLOAD_2 : 0;
    size_t size_bytes = 0;
    uint8_t *data = scratch_read(FIXTURE_SEGMENT_2, &size_bytes);
    memcpy(bytes + JOURNAL_HEADER_BYTES, meta, meta_bytes);
    fixture_payload(3, bytes + JOURNAL_HEADER_BYTES + meta_bytes, payload_bytes);
    header.payload = digest_of(bytes + JOURNAL_HEADER_BYTES + meta_bytes, payload_bytes);
    journal_header_encode(&header, bytes);
    (void)journal_header_seal(bytes, bytes + JOURNAL_HEADER_BYTES, meta_bytes);
    FILE *file = fopen(scratch_path(FIXTURE_SEGMENT_2), "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    size_t before = (size_t)originals[original_count - 1].end;
    size_t forged = JOURNAL_HEADER_BYTES + meta_bytes + payload_bytes;
    CU_ASSERT_EQUAL(fwrite(data, 1, before, file), before);
    CU_ASSERT_EQUAL(fwrite(bytes, 1, forged, file), forged);
    CU_ASSERT_EQUAL(fclose(file), 0);
    free(data);
}

static size_t accepted;
static const uint8_t *forged_meta;
static size_t forged_bytes;

/* A record that is taken says exactly what its bytes say. */
static void expect_forged(size_t index, struct journal_reader *reader,
                          const struct journal_record *record)
{
    static uint8_t meta[META_MAX];
    size_t meta_bytes = 0;
    (void)reader;
    if (index == FIXTURE_RECORDS) {
        accepted++;
        CU_ASSERT_EQUAL_FATAL(journal_meta_size(record, &meta_bytes), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(meta_bytes, forged_bytes);
        journal_meta_encode(record, meta);
        CU_ASSERT_EQUAL(memcmp(meta, forged_meta, meta_bytes), 0);
    }
}

static struct journal_header forged_header(const struct original *like)
{
    struct journal_header header = {.type = like->record.type,
                                    .meta_bytes = (uint32_t)like->meta_bytes,
                                    .payload_bytes =
                                        like->record.type == JOURNAL_STEP ? FIXTURE_PAYLOAD_2 : 0,
                                    .sequence = FIXTURE_RECORDS,
                                    .previous = originals[FIXTURE_RECORDS - 1].record.hash};
    return header;
}

static void facts_forged_with_right_hashes_are_taken_or_refused_whole(void)
{
    enum { ROUNDS = 3000 };
    static const size_t kinds[] = {1, 10, 12, 13};
    struct random random;
    struct fixture_end end;
    begin_original();
    random_init(&random, 4, 0);
    accepted = 0;
    size_t refused = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        const struct original *like = &originals[kinds[i % 4]];
        uint8_t meta[META_MAX];
        memcpy(meta, like->meta, like->meta_bytes);
        if (like->record.type == JOURNAL_STEP) {
            meta[0] = 3; /* the step that follows */
        }
        for (uint64_t j = random_below(&random, 4); j > 0; j--) {
            meta[8 + random_below(&random, like->meta_bytes - 8)] =
                (uint8_t)(random_below(&random, 4) * 85);
        }
        forged_meta = meta;
        forged_bytes = like->meta_bytes;
        append_forged(like->meta_bytes, meta, forged_header(like));
        fixture_read(UINT64_MAX, true, expect_forged, &end);
        CU_ASSERT_FALSE(end.torn.found);
        CU_ASSERT_EQUAL(end.count, end.damage.found ? FIXTURE_RECORDS : FIXTURE_RECORDS + 1);
        refused += end.damage.found;
    }
    CU_ASSERT_TRUE(accepted > ROUNDS / 10);
    CU_ASSERT_TRUE(refused > ROUNDS / 10);
    scratch_end();
}

static void put_le(uint8_t *at, uint64_t value, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static void record_forged_for_another_place_is_damage(void)
{
    struct fixture_end end;
    begin_original();
    const struct original *like = &originals[FIXTURE_RECORDS - 1];
    for (int i = 0; i < 6; i++) {
        struct journal_header header = forged_header(like);
        header.sequence += i == 1;
        header.sequence -= i == 2;
        header.previous.bytes[31] ^= i == 3;
        header.type = i == 4 ? JOURNAL_SEGMENT : i == 5 ? JOURNAL_EVENT : header.type;
        append_forged(like->meta_bytes, like->meta, header);
        fixture_read(UINT64_MAX, false, NULL, &end);
        CU_ASSERT_FALSE(end.torn.found);
        CU_ASSERT_EQUAL(end.damage.found, i != 0);
        CU_ASSERT_EQUAL(end.count, FIXTURE_RECORDS + (i == 0));
        CU_ASSERT_TRUE(i == 0 || end.damage.offset == journal_align(like->end));
    }
    scratch_end();
}

static void segment_that_begins_with_a_lease_is_damage(void)
{
    struct fixture_end end;
    uint8_t bytes[JOURNAL_HEADER_BYTES + META_MAX];
    begin_original();
    const struct original *like = &originals[FIXTURE_RECORDS - 1];
    struct journal_header header = forged_header(like);
    header.sequence = 0;
    header.previous = (struct digest){{0}};
    header.payload = digest_of(NULL, 0);
    memcpy(bytes + JOURNAL_HEADER_BYTES, like->meta, like->meta_bytes);
    journal_header_encode(&header, bytes);
    (void)journal_header_seal(bytes, bytes + JOURNAL_HEADER_BYTES, like->meta_bytes);
    scratch_write(FIXTURE_SEGMENT_0, bytes, JOURNAL_HEADER_BYTES + like->meta_bytes);
    CU_ASSERT_EQUAL(unlink(scratch_path(FIXTURE_SEGMENT_2)), 0);
    fixture_read(UINT64_MAX, true, NULL, &end);
    CU_ASSERT_TRUE(end.damage.found);
    CU_ASSERT_EQUAL(end.count, 0);
    scratch_end();
}

static void meta_part_past_the_limit_is_no_record(void)
{
    enum { TOO_LARGE = JOURNAL_META_BYTES_MAX + 8 };
    struct fixture_end end;
    uint8_t head[JOURNAL_HEADER_BYTES];
    begin_original();
    struct journal_header header = forged_header(&originals[13]);
    uint8_t *meta = calloc(1, TOO_LARGE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(meta);
    header.meta_bytes = TOO_LARGE;
    journal_header_encode(&header, head);
    (void)journal_header_seal(head, meta, TOO_LARGE);
    free(meta);
    uint64_t before = originals[FIXTURE_RECORDS - 1].end;
    int fd = open(scratch_path(FIXTURE_SEGMENT_2), O_WRONLY | O_APPEND | O_CLOEXEC);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, head, sizeof head), sizeof head);
    CU_ASSERT_EQUAL(ftruncate(fd, (off_t)(before + JOURNAL_HEADER_BYTES + TOO_LARGE)), 0);
    CU_ASSERT_EQUAL(close(fd), 0);
    fixture_read(UINT64_MAX, true, NULL, &end);
    CU_ASSERT_TRUE(end.torn.found); /* were it read, its facts would be damage */
    CU_ASSERT_EQUAL(end.count, FIXTURE_RECORDS);
    scratch_end();
}

static void huge_lengths_and_counts_are_refused(void)
{
    enum { CONTRIBUTION_COUNT_AT = 100, RANGE_COUNT_AT = 104 + 48, RANGES_AT = RANGE_COUNT_AT + 8 };
    static const uint64_t huge[] = {JOURNAL_META_BYTES_MAX,  UINT32_MAX - 7,   UINT64_C(1) << 60,
                                    (UINT64_C(1) << 63) - 8, UINT64_MAX - 127, UINT64_MAX};
    struct fixture_end end;
    begin_original();
    const struct original *like = &originals[13];
    for (size_t i = 0; i < 4 * sizeof huge / sizeof huge[0]; i++) {
        uint64_t value = huge[i / 4];
        uint8_t meta[META_MAX];
        memcpy(meta, like->meta, like->meta_bytes);
        meta[0] = 3;
        struct journal_header header = forged_header(like);
        switch (i % 4) {
        case 0:
            header.meta_bytes = (uint32_t)value;
            break;
        case 1:
            header.payload_bytes = value;
            break;
        case 2:
            put_le(meta + CONTRIBUTION_COUNT_AT, value, 4);
            break;
        default:
            put_le(meta + RANGE_COUNT_AT, value, 8);
            break;
        }
        append_forged(like->meta_bytes, meta, header);
        fixture_read(UINT64_MAX, i % 8 < 4, NULL, &end);
        CU_ASSERT_EQUAL(end.count, FIXTURE_RECORDS);
        CU_ASSERT_TRUE(i % 4 < 2 ? end.torn.found : end.damage.found);
    }
    scratch_end();
}

static void garbage_is_never_a_record(void)
{
    enum { ROUNDS = 300, GARBAGE_MAX = 20000 };
    static uint8_t garbage[GARBAGE_MAX];
    struct random random;
    struct fixture_end end;
    begin_original();
    random_init(&random, 5, 0);
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t size_bytes = (size_t)random_below(&random, GARBAGE_MAX);
        for (size_t j = 0; j < size_bytes; j++) {
            garbage[j] = (uint8_t)random_below(&random, i % 2 == 0 ? 256 : 2);
        }
        for (size_t j = 0; i % 3 == 0 && j + 8 <= size_bytes; j += 8) {
            memcpy(garbage + j, "DGJ1", 4);
            garbage[j + 4] = (uint8_t)random_below(&random, 6);
        }
        scratch_write(FIXTURE_SEGMENT_2, garbage, size_bytes);
        fixture_read(UINT64_MAX, true, NULL, &end);
        CU_ASSERT_EQUAL(end.count, 9);
        CU_ASSERT_TRUE(end.torn.found);
        CU_ASSERT_EQUAL(end.torn.offset, 0);
        CU_ASSERT_STRING_EQUAL(end.torn.path, scratch_path(FIXTURE_SEGMENT_2));
    }
    scratch_end();
}

/* Each of them claims a megabyte that would have to be hashed to see that it is none. */
static void flood_of_headers_is_given_up_in_time(void)
{
    enum { FLOOD_BYTES = 4 << 20 };
    struct fixture_end end;
    struct journal_header header = {.type = JOURNAL_STEP,
                                    .meta_bytes = 1 << 20,
                                    .payload_bytes = 8,
                                    .sequence = UINT64_C(1) << 40};
    begin_original();
    uint8_t *flood = malloc(FLOOD_BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(flood);
    for (size_t i = 0; i < FLOOD_BYTES; i += JOURNAL_HEADER_BYTES) {
        journal_header_encode(&header, flood + i);
    }
    scratch_write(FIXTURE_SEGMENT_2, flood, FLOOD_BYTES);
    uint64_t begin_ms = clock_now_ms();
    fixture_read(UINT64_MAX, true, NULL, &end);
    CU_ASSERT_TRUE(clock_now_ms() - begin_ms < SEARCH_MS_MAX);
    CU_ASSERT_TRUE(end.damage.found); /* with no time to tell */
    CU_ASSERT_EQUAL(end.count, 9);
    free(flood);
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(facts_forged_with_right_hashes_are_taken_or_refused_whole),
        SUITE_TEST(record_forged_for_another_place_is_damage),
        SUITE_TEST(segment_that_begins_with_a_lease_is_damage),
        SUITE_TEST(meta_part_past_the_limit_is_no_record),
        SUITE_TEST(huge_lengths_and_counts_are_refused),
        SUITE_TEST(garbage_is_never_a_record),
        SUITE_TEST(flood_of_headers_is_given_up_in_time),
    };
    return suite_run("journal_hostile", tests, sizeof tests / sizeof tests[0]);
}
