#include "common/clock.h"
#include "common/random.h"
#include "coordinator/store/journal_format.h"
#include "tests/unit/journal_fixture.h"

#include <fcntl.h>
#include <unistd.h>

enum { META_MAX = 1024, SEARCH_MS_MAX = 20000 };

/* The journal before it is damaged. */
struct original {
    struct journal_record record;
    uint64_t end; /* in its file, before what fills it up */
    size_t meta_bytes;
    uint8_t meta[META_MAX];
};
static struct original originals[FIXTURE_RECORDS];
static size_t original_count;
static bool all_same;

static void remember(size_t index, struct journal_reader *reader,
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

static bool payload_same(struct journal_reader *reader, const struct journal_record *record,
                         bool *out_right)
{
    uint8_t payload[FIXTURE_PAYLOAD_MAX];
    uint8_t expected[FIXTURE_PAYLOAD_MAX];
    size_t size_bytes = (size_t)record->payload_bytes;
    enum status status = journal_read_payload(reader, payload, size_bytes);
    *out_right = status == STATUS_OK;
    fixture_payload(record->as.step.step, expected, size_bytes);
    return status == STATUS_CORRUPT || memcmp(payload, expected, size_bytes) == 0;
}

static size_t wrong_payloads;

/* What is read is what was written, or it is not given. */
static void compare(size_t index, struct journal_reader *reader,
                    const struct journal_record *record)
{
    uint8_t meta[META_MAX];
    size_t meta_bytes = 0;
    bool right = true;
    const struct original *original = &originals[index];
    bool same =
        index < original_count && record->type == original->record.type &&
        record->sequence == original->record.sequence &&
        record->segment == original->record.segment && record->offset == original->record.offset &&
        record->payload_bytes == original->record.payload_bytes &&
        record->condensed == original->record.condensed &&
        digest_equal(&record->hash, &original->record.hash) &&
        journal_meta_size(record, &meta_bytes) == STATUS_OK && meta_bytes == original->meta_bytes;
    if (same) {
        journal_meta_encode(record, meta);
        same = memcmp(meta, original->meta, meta_bytes) == 0;
    }
    if (same && record->type == JOURNAL_STEP && !record->condensed) {
        same = payload_same(reader, record, &right);
    }
    wrong_payloads += !right;
    all_same = all_same && same;
}

struct damaged_file {
    const char *name;
    uint64_t segment;
    uint8_t *data;
    size_t size_bytes;
};

static void damaged_begin(const char *name, uint64_t segment, struct damaged_file *out)
{
    *out = (struct damaged_file){.name = name, .segment = segment};
    out->data = scratch_read(name, &out->size_bytes);
}

/* The record that the byte belongs to; those that fill up a record belong to the next. */
static size_t record_at(const struct damaged_file *file, uint64_t offset)
{
    size_t index = 0;
    while (index < original_count &&
           (originals[index].record.segment != file->segment || originals[index].end <= offset)) {
        index++;
    }
    return index;
}

static bool payload_holds(size_t index, uint64_t offset)
{
    const struct original *original = &originals[index];
    return original->record.type == JOURNAL_STEP &&
           offset >= original->record.offset + JOURNAL_HEADER_BYTES + original->meta_bytes;
}

/* Damage that a crash cannot have done: something behind it was written after a sync. */
static bool was_durable(size_t index)
{
    bool durable = originals[index].record.type == JOURNAL_STEP && index + 1 < original_count;
    for (size_t i = index + 1; i < original_count; i++) {
        durable = durable || originals[i].record.type == JOURNAL_STEP ||
                  originals[i].record.segment != originals[index].record.segment;
    }
    return durable;
}

static bool fault_fits(const struct journal_fault *fault, const struct damaged_file *file,
                       uint64_t offset)
{
    return fault->found && strcmp(fault->path, scratch_path(file->name)) == 0 &&
           fault->offset <= offset && strlen(fault->text) > 0;
}

/* With all payloads checked, nothing escapes; without, only a payload may, and reading it tells. */
static bool flip_is_found(const struct damaged_file *file, uint64_t offset, bool check_payloads)
{
    struct fixture_end end;
    size_t index = record_at(file, offset);
    all_same = true;
    wrong_payloads = 0;
    fixture_read(UINT64_MAX, check_payloads, compare, &end);
    bool escaped = !check_payloads && payload_holds(index, offset) && index + 1 < original_count &&
                   !end.damage.found && !end.torn.found;
    if (escaped) {
        return all_same && wrong_payloads == 1 && end.count == original_count;
    }
    const struct journal_fault *fault = was_durable(index) ? &end.damage : &end.torn;
    return all_same && wrong_payloads == 0 && end.count == index && fault_fits(fault, file, offset);
}

static void put_byte(int fd, uint8_t byte, uint64_t offset)
{
    CU_ASSERT_EQUAL_FATAL(pwrite(fd, &byte, 1, (off_t)offset), 1);
}

static void flip_each_byte(const char *name, uint64_t segment)
{
    struct damaged_file file;
    damaged_begin(name, segment, &file);
    int fd = open(scratch_path(name), O_WRONLY | O_CLOEXEC);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    size_t missed = 0;
    for (size_t i = 0; i < file.size_bytes; i++) {
        for (unsigned way = 0; way < 3; way++) {
            put_byte(fd, file.data[i] ^ (uint8_t)(way == 2 ? 0xFF : 1U << (i + 4 * way) % 8), i);
            if (!flip_is_found(&file, i, way != 1)) {
                missed++;
                (void)fprintf(stderr, "%s: flipped byte %zu (way %d) is missed\n", name, i, way);
            }
        }
        put_byte(fd, file.data[i], i);
    }
    CU_ASSERT_EQUAL(missed, 0);
    CU_ASSERT_EQUAL(close(fd), 0);
    free(file.data);
}

static bool cut_is_found(const struct damaged_file *file, bool last_segment, uint64_t size_bytes)
{
    struct fixture_end end;
    size_t index = record_at(file, size_bytes);
    bool whole = size_bytes > 0 && originals[index - 1].end == size_bytes &&
                 originals[index - 1].record.segment == file->segment;
    all_same = true;
    wrong_payloads = 0;
    fixture_read(UINT64_MAX, size_bytes % 2 == 0, compare, &end);
    if (!all_same || wrong_payloads > 0 || end.count != index) {
        return false;
    }
    if (last_segment && whole) {
        return !end.torn.found && !end.damage.found;
    }
    return fault_fits(last_segment ? &end.torn : &end.damage, file, size_bytes);
}

static void cut_at_each_length(const char *name, uint64_t segment, bool last_segment)
{
    struct damaged_file file;
    damaged_begin(name, segment, &file);
    size_t missed = 0;
    for (size_t size_bytes = file.size_bytes; size_bytes-- > 0;) {
        CU_ASSERT_EQUAL_FATAL(truncate(scratch_path(name), (off_t)size_bytes), 0);
        if (!cut_is_found(&file, last_segment, size_bytes)) {
            missed++;
            (void)fprintf(stderr, "%s: cut to %zu bytes is missed\n", name, size_bytes);
        }
    }
    CU_ASSERT_EQUAL(missed, 0);
    scratch_write(name, file.data, file.size_bytes);
    free(file.data);
}

static void begin_original(void)
{
    struct fixture_end end;
    scratch_begin();
    journal_close(fixture_write());
    fixture_read(UINT64_MAX, true, remember, &end);
    CU_ASSERT_EQUAL_FATAL(original_count, FIXTURE_RECORDS);
}

static void condense_original(void)
{
    struct fixture_end end;
    CU_ASSERT_EQUAL_FATAL(journal_condense(scratch_folder, 2), STATUS_OK);
    fixture_read(UINT64_MAX, true, remember, &end);
    CU_ASSERT_EQUAL_FATAL(original_count, FIXTURE_RECORDS);
    CU_ASSERT_TRUE_FATAL(originals[4].record.condensed);
}

static void flip_of_any_byte_is_found(void)
{
    begin_original();
    flip_each_byte(FIXTURE_SEGMENT_0, 0);
    flip_each_byte(FIXTURE_SEGMENT_2, 2);
    condense_original();
    flip_each_byte(FIXTURE_SEGMENT_0, 0);
    scratch_end();
}

static void cut_at_any_length_is_found(void)
{
    begin_original();
    cut_at_each_length(FIXTURE_SEGMENT_0, 0, false);
    cut_at_each_length(FIXTURE_SEGMENT_2, 2, true);
    condense_original();
    cut_at_each_length(FIXTURE_SEGMENT_0, 0, false);
    scratch_end();
}

/* A crash leaves any part of what was not synced, in any order: here leases without a step behind.
 */
static void leases_lost_before_others_are_a_torn_tail(void)
{
    struct fixture_end end;
    size_t size_bytes = 0;
    begin_original();
    uint8_t *data = scratch_read(FIXTURE_SEGMENT_2, &size_bytes);
    memset(data + originals[14].record.offset, 0, 100);
    scratch_write(FIXTURE_SEGMENT_2, data, size_bytes);
    fixture_read(UINT64_MAX, false, NULL, &end);
    CU_ASSERT_TRUE(end.torn.found);
    CU_ASSERT_EQUAL(end.torn.offset, originals[14].record.offset);
    /* A step whose payload did not arrive either proves nothing; one with it was a step. */
    for (int i = 0; i < 2; i++) {
        size_t lost = (size_t)originals[12].record.offset;
        data[lost + 130] ^= i == 0;
        size_t cut = (size_t)originals[13].end - (i == 0 ? 1 : 0);
        scratch_write(FIXTURE_SEGMENT_2, data, cut);
        fixture_read(UINT64_MAX, false, NULL, &end);
        const struct journal_fault *fault = i == 0 ? &end.torn : &end.damage;
        CU_ASSERT_TRUE(fault->found);
        CU_ASSERT_EQUAL(fault->offset, lost);
    }
    free(data);
    scratch_end();
}

static void missing_swapped_or_foreign_segments_are_damage(void)
{
    size_t size_bytes = 0;
    begin_original();
    struct journal_state state = fixture_state(0);
    struct journal *journal = NULL;
    CU_ASSERT_EQUAL(rename(scratch_path(FIXTURE_SEGMENT_0), scratch_path("kept")), 0);
    fixture_assert_damage(FIXTURE_SEGMENT_2, 0, 0);
    /* as of another version */
    CU_ASSERT_EQUAL(rename(scratch_path("kept"), scratch_path(FIXTURE_SEGMENT_0)), 0);
    CU_ASSERT_EQUAL(
        rename(scratch_path(FIXTURE_SEGMENT_2), scratch_path("journal/000000000003.journal")), 0);
    fixture_assert_damage("journal/000000000003.journal", 0, 9);
    /* the same segment twice */
    uint8_t *data = scratch_read(FIXTURE_SEGMENT_0, &size_bytes);
    scratch_write("journal/000000000001.journal", data, size_bytes);
    fixture_assert_damage("journal/000000000001.journal", 0, 9);
    free(data);
    /* of a run that is like this one but for its name */
    CU_ASSERT_EQUAL(unlink(scratch_path("journal/000000000001.journal")), 0);
    CU_ASSERT_EQUAL(unlink(scratch_path("journal/000000000003.journal")), 0);
    CU_ASSERT_EQUAL(rename(scratch_path("journal"), scratch_path("first")), 0);
    CU_ASSERT_EQUAL_FATAL(journal_create(scratch_folder, &state, &journal), STATUS_OK);
    for (uint64_t i = 0; i < 7; i++) {
        fixture_append_lease(journal, i);
    }
    fixture_append_step(journal, 0, 100);
    state = fixture_state(2);
    state.run_id.bytes[0] ^= 1;
    CU_ASSERT_EQUAL_FATAL(journal_roll(journal, &state), STATUS_OK);
    journal_close(journal);
    fixture_assert_damage(FIXTURE_SEGMENT_2, 0, 9); /* version 2 after one step */
    CU_ASSERT_EQUAL(rename(scratch_path(FIXTURE_SEGMENT_2), scratch_path("first/2")), 0);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("journal")), STATUS_OK);
    CU_ASSERT_EQUAL(rename(scratch_path("first"), scratch_path("journal")), 0);
    CU_ASSERT_EQUAL(rename(scratch_path("journal/2"), scratch_path(FIXTURE_SEGMENT_2)), 0);
    fixture_assert_damage(FIXTURE_SEGMENT_2, 0, 9); /* it does not follow by its hash */
    scratch_end();
}

static void segment_of_another_run_is_damage(void)
{
    scratch_begin();
    struct fixture_end end;
    struct journal *journal = NULL;
    struct journal_state state = fixture_state(0);
    CU_ASSERT_EQUAL_FATAL(journal_create(scratch_folder, &state, &journal), STATUS_OK);
    fixture_append_step(journal, 0, 100);
    state = fixture_state(1);
    state.run_id.bytes[31] ^= 1;
    CU_ASSERT_EQUAL_FATAL(journal_roll(journal, &state), STATUS_OK);
    journal_close(journal);
    fixture_assert_damage("journal/000000000001.journal", 0, 2);
    fixture_read(1, true, NULL, &end);
    CU_ASSERT_EQUAL(end.count, 1);
    scratch_end();
}

static void step_that_does_not_follow_is_damage(void)
{
    scratch_begin();
    struct journal *journal = NULL;
    struct journal_state state = fixture_state(0);
    CU_ASSERT_EQUAL_FATAL(journal_create(scratch_folder, &state, &journal), STATUS_OK);
    uint64_t offset = journal_bytes(journal);
    fixture_append_step(journal, 1, 104);
    fixture_assert_damage(FIXTURE_SEGMENT_0, offset, 1);
    journal_close(journal);
    scratch_end();
}

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
        SUITE_TEST(flip_of_any_byte_is_found),
        SUITE_TEST(cut_at_any_length_is_found),
        SUITE_TEST(leases_lost_before_others_are_a_torn_tail),
        SUITE_TEST(missing_swapped_or_foreign_segments_are_damage),
        SUITE_TEST(segment_of_another_run_is_damage),
        SUITE_TEST(step_that_does_not_follow_is_damage),
        SUITE_TEST(facts_forged_with_right_hashes_are_taken_or_refused_whole),
        SUITE_TEST(huge_lengths_and_counts_are_refused),
        SUITE_TEST(garbage_is_never_a_record),
        SUITE_TEST(flood_of_headers_is_given_up_in_time),
    };
    return suite_run("journal_damage", tests, sizeof tests / sizeof tests[0]);
}
