#include "tests/unit/journal_originals.h"

#include <fcntl.h>
#include <unistd.h>

static bool all_same;

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

static bool step_stands_behind(size_t index)
{
    bool step = false;
    for (size_t i = index + 1; i < original_count; i++) {
        step = step || originals[i].record.type == JOURNAL_STEP;
    }
    return step;
}

/* Damage that a crash cannot have done: something behind it was written after a sync. */
static bool was_durable(size_t index)
{
    bool last = index + 1 == original_count;
    return step_stands_behind(index) || (!last && originals[index].record.type == JOURNAL_STEP) ||
           originals[index].record.segment != originals[original_count - 1].record.segment;
}

static bool fault_fits(const struct journal_fault *fault, const struct damaged_file *file,
                       uint64_t offset)
{
    return fault->found && strcmp(fault->path, scratch_path(file->name)) == 0 &&
           fault->offset <= offset && strlen(fault->text) > 0;
}

/* With all payloads checked, nothing escapes; without, only that of a step that is not the last
 * may, and reading it tells. */
static bool flip_is_found(const struct damaged_file *file, uint64_t offset, bool check_payloads)
{
    struct fixture_end end;
    size_t index = record_at(file, offset);
    all_same = true;
    wrong_payloads = 0;
    fixture_read(UINT64_MAX, check_payloads, compare, &end);
    bool escaped = !check_payloads && payload_holds(index, offset) && step_stands_behind(index) &&
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
            unsigned flip = way == 2 ? 0xFF : 1U << (i + 4 * way) % 8;
            put_byte(fd, (uint8_t)(file.data[i] ^ flip), i);
            if (!flip_is_found(&file, i, way != 1)) {
                missed++;
                (void)fprintf(stderr, "%s: flipped byte %zu (way %u) is missed\n", name, i, way);
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
    bool whole = size_bytes > 0 && index > 0 && originals[index - 1].end == size_bytes &&
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

static void flip_in(const char *name, uint64_t offset)
{
    size_t size_bytes = 0;
    uint8_t *data = scratch_read(name, &size_bytes);
    CU_ASSERT_TRUE_FATAL(offset < size_bytes);
    data[offset] ^= 1;
    scratch_write(name, data, size_bytes);
    free(data);
}

/* Where a step is as short as a lease, that something stands behind it tells that it was durable.
 */
static void short_step_before_leases_was_durable(void)
{
    scratch_begin();
    struct journal *journal = NULL;
    struct journal_state state = fixture_state(0);
    CU_ASSERT_EQUAL_FATAL(journal_create(scratch_folder, &state, &journal), STATUS_OK);
    uint64_t lease_at = journal_bytes(journal);
    fixture_append_lease(journal, 1);
    uint64_t step_at = journal_bytes(journal);
    fixture_append_step(journal, 0, 8);
    uint64_t payload_at = journal_bytes(journal) - 8;
    fixture_append_lease(journal, 2);
    journal_close(journal);
    flip_in(FIXTURE_SEGMENT_0, payload_at);
    fixture_assert_damage(FIXTURE_SEGMENT_0, step_at, 2);
    flip_in(FIXTURE_SEGMENT_0, lease_at + 130);
    fixture_assert_damage(FIXTURE_SEGMENT_0, lease_at, 1);
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
    /* of another course of the same run */
    CU_ASSERT_EQUAL(unlink(scratch_path("journal/000000000001.journal")), 0);
    CU_ASSERT_EQUAL(unlink(scratch_path("journal/000000000003.journal")), 0);
    CU_ASSERT_EQUAL(rename(scratch_path("journal"), scratch_path("first")), 0);
    CU_ASSERT_EQUAL_FATAL(journal_create(scratch_folder, &state, &journal), STATUS_OK);
    for (uint64_t i = 0; i < 7; i++) {
        fixture_append_lease(journal, i);
    }
    fixture_append_step(journal, 0, 100);
    state = fixture_state(2);
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

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(flip_of_any_byte_is_found),
        SUITE_TEST(cut_at_any_length_is_found),
        SUITE_TEST(leases_lost_before_others_are_a_torn_tail),
        SUITE_TEST(short_step_before_leases_was_durable),
        SUITE_TEST(missing_swapped_or_foreign_segments_are_damage),
        SUITE_TEST(segment_of_another_run_is_damage),
        SUITE_TEST(step_that_does_not_follow_is_damage),
    };
    return suite_run("journal_damage", tests, sizeof tests / sizeof tests[0]);
}
