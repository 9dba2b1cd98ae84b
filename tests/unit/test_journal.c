#include "coordinator/store/journal_format.h"
#include "tests/unit/journal_fixture.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

static bool same_settings(const struct live_settings *a, const struct live_settings *b)
{
    return a->learning_rate == b->learning_rate && a->target_batch == b->target_batch &&
           a->codec == b->codec && a->mean_codec == b->mean_codec &&
           a->update_codec == b->update_codec;
}

static void assert_state(const struct journal_state *state, uint64_t version)
{
    struct journal_state expected = fixture_state(version);
    CU_ASSERT_TRUE(digest_equal(&state->run_id, &expected.run_id));
    CU_ASSERT_EQUAL(state->version, expected.version);
    CU_ASSERT_EQUAL(state->sample_first, expected.sample_first);
    CU_ASSERT_EQUAL(state->tokens, expected.tokens);
    CU_ASSERT(state->loss_first == expected.loss_first);
    CU_ASSERT(state->loss_last == expected.loss_last);
    CU_ASSERT_EQUAL(state->serial, expected.serial);
    CU_ASSERT_EQUAL(state->paused, expected.paused);
    CU_ASSERT_TRUE(same_settings(&state->settings, &expected.settings));
}

static void assert_lease(const struct journal_lease *lease, uint64_t lease_id)
{
    struct journal_lease expected = fixture_lease(lease_id);
    CU_ASSERT_EQUAL(memcmp(lease->key, expected.key, sizeof lease->key), 0);
    CU_ASSERT_EQUAL(lease->lease_id, expected.lease_id);
    CU_ASSERT_EQUAL(lease->step, expected.step);
    CU_ASSERT_EQUAL(lease->samples.first, expected.samples.first);
    CU_ASSERT_EQUAL(lease->samples.count, expected.samples.count);
}

static void assert_step(const struct journal_step *step, uint64_t number)
{
    struct journal_contribution contributions[2];
    struct sample_range ranges[3];
    struct journal_step expected = fixture_step(number, contributions, ranges);
    CU_ASSERT_EQUAL(step->step, expected.step);
    CU_ASSERT_EQUAL(step->samples.first, expected.samples.first);
    CU_ASSERT_EQUAL(step->samples.count, expected.samples.count);
    CU_ASSERT_EQUAL(step->tokens, expected.tokens);
    CU_ASSERT(step->loss_sum == expected.loss_sum);
    CU_ASSERT(step->grad_l2 == expected.grad_l2);
    CU_ASSERT(step->learning_rate == expected.learning_rate);
    CU_ASSERT_EQUAL(step->unix_ms, expected.unix_ms);
    CU_ASSERT_TRUE(digest_equal(&step->digest, &expected.digest));
    CU_ASSERT_EQUAL(step->mean_codec, expected.mean_codec);
    CU_ASSERT_EQUAL_FATAL(step->contribution_count, expected.contribution_count);
    for (size_t i = 0; i < step->contribution_count; i++) {
        const struct journal_contribution *a = &step->contributions[i];
        const struct journal_contribution *b = &contributions[i];
        CU_ASSERT_EQUAL(memcmp(a->key, b->key, sizeof a->key), 0);
        CU_ASSERT_EQUAL(a->tokens, b->tokens);
        CU_ASSERT(a->loss_sum == b->loss_sum);
        CU_ASSERT_EQUAL_FATAL(a->range_count, b->range_count);
        CU_ASSERT_EQUAL(memcmp(a->ranges, b->ranges, a->range_count * sizeof *a->ranges), 0);
    }
}

static void assert_event(const struct journal_event *event, enum journal_event_type type,
                         const char *text)
{
    struct live_settings settings = fixture_settings();
    CU_ASSERT_EQUAL(event->type, type);
    CU_ASSERT_EQUAL(event->version, 1);
    CU_ASSERT_EQUAL(event->unix_ms, 1700000000123);
    CU_ASSERT_STRING_EQUAL(event->text, text);
    CU_ASSERT_TRUE(type != JOURNAL_SETTINGS || same_settings(&event->settings, &settings));
}

static void assert_payload(struct journal_reader *reader, const struct journal_record *record)
{
    uint8_t expected[FIXTURE_PAYLOAD_MAX];
    uint8_t payload[FIXTURE_PAYLOAD_MAX];
    CU_ASSERT_TRUE_FATAL(record->payload_bytes <= sizeof payload);
    size_t size_bytes = (size_t)record->payload_bytes;
    fixture_payload(record->as.step.step, expected, size_bytes);
    CU_ASSERT_EQUAL_FATAL(journal_read_payload(reader, payload, size_bytes), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(payload, expected, size_bytes), 0);
}

static void assert_facts(size_t index, const struct journal_record *record)
{
    static const enum journal_type types[FIXTURE_RECORDS] = {
        JOURNAL_SEGMENT, JOURNAL_EVENT,   JOURNAL_LEASE, JOURNAL_LEASE,
        JOURNAL_STEP,    JOURNAL_EVENT,   JOURNAL_LEASE, JOURNAL_STEP,
        JOURNAL_LEASE,   JOURNAL_SEGMENT, JOURNAL_EVENT, JOURNAL_LEASE,
        JOURNAL_LEASE,   JOURNAL_STEP,    JOURNAL_LEASE, JOURNAL_LEASE};
    static const uint64_t numbers[FIXTURE_RECORDS] = {0, 0, 0, 1, 0, 0, 2, 1,
                                                      3, 2, 0, 4, 5, 2, 6, 7};
    CU_ASSERT_TRUE_FATAL(index < FIXTURE_RECORDS);
    CU_ASSERT_EQUAL_FATAL(record->type, types[index]);
    CU_ASSERT_EQUAL(record->sequence, index);
    CU_ASSERT_EQUAL(record->segment, index < 9 ? 0 : 2);
    CU_ASSERT_EQUAL(record->offset % 8, 0);
    switch (record->type) {
    case JOURNAL_SEGMENT:
        assert_state(&record->as.state, numbers[index]);
        break;
    case JOURNAL_LEASE:
        assert_lease(&record->as.lease, numbers[index]);
        break;
    case JOURNAL_STEP:
        assert_step(&record->as.step, numbers[index]);
        break;
    case JOURNAL_EVENT:
        assert_event(&record->as.event,
                     index == 1   ? JOURNAL_SERVED
                     : index == 5 ? JOURNAL_NOTE
                                  : JOURNAL_SETTINGS,
                     index == 1   ? ""
                     : index == 5 ? "a note: b\xC3\xA5t"
                                  : "asked for");
        break;
    }
}

static void see_record(size_t index, struct journal_reader *reader,
                       const struct journal_record *record)
{
    assert_facts(index, record);
    CU_ASSERT_FALSE(record->condensed);
    if (record->type == JOURNAL_STEP) {
        assert_payload(reader, record);
    }
}

static void assert_whole(const struct fixture_end *end, size_t count)
{
    CU_ASSERT_EQUAL(end->count, count);
    CU_ASSERT_FALSE(end->torn.found);
    CU_ASSERT_FALSE(end->damage.found);
}

static size_t file_bytes(const char *name)
{
    size_t size_bytes = 0;
    free(scratch_read(name, &size_bytes));
    return size_bytes;
}

static void read_gives_back_every_record_and_payload(void)
{
    scratch_begin();
    struct fixture_end end;
    struct journal *journal = fixture_write();
    CU_ASSERT_EQUAL(journal_sequence(journal), FIXTURE_RECORDS - 1);
    CU_ASSERT_EQUAL(journal_bytes(journal), file_bytes(FIXTURE_SEGMENT_2));
    for (int i = 0; i < 2; i++) {
        fixture_read(UINT64_MAX, i == 0, see_record, &end);
        assert_whole(&end, FIXTURE_RECORDS);
    }
    struct digest hash = journal_hash(journal);
    CU_ASSERT_TRUE(digest_equal(&hash, &end.last.hash));
    journal_close(journal);
    fixture_read(2, true, NULL, &end);
    assert_whole(&end, 7);
    struct journal_reader *reader = NULL;
    CU_ASSERT_EQUAL(journal_reader_new(scratch_folder, 1, &reader), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NULL(reader);
    scratch_end();
}

static void create_over_a_journal_is_refused(void)
{
    scratch_begin();
    uint64_t *segments = NULL;
    size_t count = 1;
    struct journal_state state = fixture_state(0);
    struct journal *journal = NULL;
    CU_ASSERT_EQUAL(journal_segments(scratch_folder, &segments, &count), STATUS_OK);
    CU_ASSERT_EQUAL(count, 0);
    free(segments);
    journal_close(fixture_write());
    CU_ASSERT_EQUAL(journal_create(scratch_folder, &state, &journal), STATUS_CANNOT_CREATE);
    CU_ASSERT_PTR_NULL(journal);
    CU_ASSERT_EQUAL_FATAL(journal_segments(scratch_folder, &segments, &count), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, 2);
    CU_ASSERT_EQUAL(segments[0], 0);
    CU_ASSERT_EQUAL(segments[1], 2);
    free(segments);
    scratch_end();
}

static void roll_without_a_step_begins_no_segment(void)
{
    scratch_begin();
    struct fixture_end end;
    struct journal *journal = fixture_write();
    struct journal_state state = fixture_state(2);
    uint64_t sequence = journal_sequence(journal);
    fixture_read(UINT64_MAX, true, NULL, &end);
    journal_close(journal);
    state = fixture_state(2);
    CU_ASSERT_EQUAL_FATAL(journal_open(scratch_folder, &end.last, false, &journal), STATUS_OK);
    CU_ASSERT_EQUAL(journal_sequence(journal), sequence);
    CU_ASSERT_EQUAL(journal_roll(journal, &state), STATUS_OK);
    CU_ASSERT_EQUAL(journal_sequence(journal), sequence);
    state = fixture_state(3);
    CU_ASSERT_EQUAL(journal_roll(journal, &state), STATUS_OK);
    CU_ASSERT_EQUAL(journal_sequence(journal), sequence + 1);
    journal_close(journal);
    fixture_read(UINT64_MAX, true, NULL, &end);
    assert_whole(&end, FIXTURE_RECORDS + 1);
    CU_ASSERT_EQUAL(end.last.segment, 3);
    scratch_end();
}

static void see_condensed(size_t index, struct journal_reader *reader,
                          const struct journal_record *record)
{
    uint8_t payload[FIXTURE_PAYLOAD_MAX];
    assert_facts(index, record);
    CU_ASSERT_EQUAL(record->condensed, record->type == JOURNAL_STEP && index < 9);
    if (record->condensed) {
        CU_ASSERT_EQUAL(journal_read_payload(reader, payload, (size_t)record->payload_bytes),
                        STATUS_CORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "000000000000.journal"));
    }
}

static void condense_drops_payloads_and_keeps_the_chain(void)
{
    scratch_begin();
    struct fixture_end end;
    journal_close(fixture_write());
    size_t before = file_bytes(FIXTURE_SEGMENT_0);
    size_t last = file_bytes(FIXTURE_SEGMENT_2);
    CU_ASSERT_EQUAL(journal_condense(scratch_folder, 1), STATUS_OK);
    CU_ASSERT_EQUAL(file_bytes(FIXTURE_SEGMENT_0), before);
    for (int i = 0; i < 2; i++) { /* the second time finds nothing to do */
        CU_ASSERT_EQUAL(journal_condense(scratch_folder, 100), STATUS_OK);
        CU_ASSERT_TRUE(file_bytes(FIXTURE_SEGMENT_0) <=
                       before - FIXTURE_PAYLOAD_0 - FIXTURE_PAYLOAD_1);
        CU_ASSERT_EQUAL(file_bytes(FIXTURE_SEGMENT_2), last);
        fixture_read(UINT64_MAX, true, see_condensed, &end);
        assert_whole(&end, FIXTURE_RECORDS);
    }
    scratch_end();
}

static void condense_leaves_a_damaged_segment_alone(void)
{
    scratch_begin();
    size_t size_bytes = 0;
    size_t after_bytes = 0;
    journal_close(fixture_write());
    uint8_t *data = scratch_read(FIXTURE_SEGMENT_0, &size_bytes);
    data[700] ^= 1;
    scratch_write(FIXTURE_SEGMENT_0, data, size_bytes);
    CU_ASSERT_EQUAL(journal_condense(scratch_folder, 2), STATUS_OK);
    uint8_t *after = scratch_read(FIXTURE_SEGMENT_0, &after_bytes);
    CU_ASSERT_EQUAL_FATAL(after_bytes, size_bytes);
    CU_ASSERT_EQUAL(memcmp(after, data, size_bytes), 0);
    CU_ASSERT_FALSE(files_exists(scratch_path(FIXTURE_SEGMENT_0 ".tmp")));
    free(after);
    free(data);
    scratch_end();
}

/* Encodes settings, puts `codecs` in the place of theirs, and decodes that. */
static enum status decode_settings(const struct live_settings *settings, uint32_t codecs,
                                   struct live_settings *out)
{
    enum { CODECS_AT = 36 }; /* docs/durability.md */
    uint8_t meta[64];
    size_t size_bytes = 0;
    struct journal_lists lists = {0};
    struct journal_record record = {.type = JOURNAL_EVENT,
                                    .as.event = {.type = JOURNAL_SETTINGS, .settings = *settings}};
    CU_ASSERT_EQUAL_FATAL(journal_meta_size(&record, &size_bytes), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(size_bytes <= sizeof meta);
    journal_meta_encode(&record, meta);
    if (codecs != 0) {
        memcpy(meta + CODECS_AT, &codecs, sizeof codecs);
    }
    enum status status = journal_meta_decode(meta, size_bytes, &lists, &record);
    *out = record.as.event.settings;
    journal_lists_free(&lists);
    return status;
}

static void settings_of_before_have_one_codec_for_all(void)
{
    struct live_settings settings = fixture_settings();
    struct live_settings found;
    CU_ASSERT_EQUAL(decode_settings(&settings, 0, &found), STATUS_OK);
    CU_ASSERT_TRUE(same_settings(&found, &settings));
    CU_ASSERT_EQUAL(decode_settings(&settings, CODEC_BF16, &found), STATUS_OK); /* as then */
    CU_ASSERT_EQUAL(found.codec, CODEC_BF16);
    CU_ASSERT_EQUAL(found.update_codec, CODEC_BF16);
    CU_ASSERT_EQUAL(decode_settings(&settings, CODEC_MX8 | CODEC_FP32 << 16U, &found), STATUS_OK);
    CU_ASSERT_EQUAL(found.update_codec, CODEC_FP32);
    static const uint32_t wrong[] = {CODEC_MX8 | CODEC_MX8 << 16U, /* it would say nothing */
                                     CODEC_MX8 | 5U << 16U, CODEC_MX4 << 16U, 5};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CU_ASSERT_EQUAL(decode_settings(&settings, wrong[i], &found), STATUS_BAD_DATA);
    }
    settings.update_codec = settings.codec;
    CU_ASSERT_EQUAL(decode_settings(&settings, 0, &found), STATUS_OK);
    CU_ASSERT_TRUE(same_settings(&found, &settings));
}

static void append_of_facts_that_cannot_be_is_refused(void)
{
    scratch_begin();
    static const uint8_t payload[8] = {0};
    struct journal *journal = fixture_write();
    struct journal_lease lease = fixture_lease(1);
    struct journal_contribution contributions[2];
    struct sample_range ranges[3];
    struct journal_event event = {.type = JOURNAL_SETTINGS, .settings = fixture_settings()};
    uint64_t bytes = journal_bytes(journal);
    lease.samples.count = 0;
    CU_ASSERT_EQUAL(journal_append_lease(journal, &lease), STATUS_OUT_OF_RANGE);
    lease.samples = (struct sample_range){.first = UINT64_MAX, .count = 1};
    CU_ASSERT_EQUAL(journal_append_lease(journal, &lease), STATUS_OUT_OF_RANGE);
    event.settings.learning_rate = HUGE_VAL - HUGE_VAL;
    CU_ASSERT_EQUAL(journal_append_event(journal, &event), STATUS_OUT_OF_RANGE);
    event.settings = fixture_settings();
    event.settings.mean_codec = CODEC_MX4; /* codec may be it */
    CU_ASSERT_EQUAL(journal_append_event(journal, &event), STATUS_OUT_OF_RANGE);
    event.settings = fixture_settings();
    event.settings.update_codec = (enum codec)5;
    CU_ASSERT_EQUAL(journal_append_event(journal, &event), STATUS_OUT_OF_RANGE);
    event = (struct journal_event){.type = (enum journal_event_type)99};
    CU_ASSERT_EQUAL(journal_append_event(journal, &event), STATUS_OUT_OF_RANGE);
    for (int i = 0; i < 8; i++) {
        struct journal_step step = fixture_step(3, contributions, ranges);
        step.loss_sum = i == 0 ? HUGE_VAL : step.loss_sum;
        step.mean_codec = i == 1 ? (enum codec)77 : step.mean_codec;
        ranges[1].first -= i == 2;                               /* overlaps */
        ranges[2].count += i == 3;                               /* past the step */
        contributions[1].range_count = i == 4 ? 0 : 1;           /* of nothing */
        contributions[1].tokens = i == 5 ? UINT64_MAX - 39 : 24; /* the sum overflows */
        contributions[0].loss_sum = i == 6 ? -HUGE_VAL : 1.0;
        step.mean_codec = i == 7 ? CODEC_MX4 : step.mean_codec;
        CU_ASSERT_EQUAL(journal_append_step(journal, &step, payload, sizeof payload),
                        STATUS_OUT_OF_RANGE);
    }
    CU_ASSERT_EQUAL(journal_bytes(journal), bytes);
    fixture_append_step(journal, 3, 100); /* and it still works */
    journal_close(journal);
    scratch_end();
}

static void largest_step_is_written_and_a_larger_one_refused(void)
{
    scratch_begin();
    static const uint8_t payload[8] = {0};
    struct fixture_end end;
    struct journal *journal = fixture_write();
    struct journal_contribution *contributions =
        calloc(JOURNAL_CONTRIBUTIONS_MAX + 1, sizeof *contributions);
    struct sample_range *ranges = calloc(JOURNAL_RANGES_MAX, sizeof *ranges);
    CU_ASSERT_TRUE_FATAL(contributions != NULL && ranges != NULL);
    for (size_t i = 0; i < JOURNAL_RANGES_MAX; i++) {
        ranges[i] = (struct sample_range){.first = i, .count = 1};
    }
    for (size_t i = 0; i <= JOURNAL_CONTRIBUTIONS_MAX; i++) {
        contributions[i].range_count = 16;
        contributions[i].ranges = ranges + 16 * (i % JOURNAL_CONTRIBUTIONS_MAX);
        contributions[i].tokens = i;
    }
    struct journal_step step = {.step = 3,
                                .samples = {.first = 0, .count = JOURNAL_RANGES_MAX},
                                .mean_codec = CODEC_FP32,
                                .contribution_count = JOURNAL_CONTRIBUTIONS_MAX + 1,
                                .contributions = contributions};
    CU_ASSERT_EQUAL(journal_append_step(journal, &step, payload, sizeof payload), STATUS_FULL);
    step.contribution_count = 1;
    contributions[0].range_count = JOURNAL_RANGES_MAX + 1;
    CU_ASSERT_EQUAL(journal_append_step(journal, &step, payload, sizeof payload), STATUS_FULL);
    contributions[0].range_count = 16;
    step.contribution_count = JOURNAL_CONTRIBUTIONS_MAX;
    CU_ASSERT_EQUAL(journal_append_step(journal, &step, payload, sizeof payload), STATUS_OK);
    journal_close(journal);
    fixture_read(UINT64_MAX, true, NULL, &end);
    assert_whole(&end, FIXTURE_RECORDS + 1);
    CU_ASSERT_EQUAL(end.last.as.step.contribution_count, JOURNAL_CONTRIBUTIONS_MAX);
    free(contributions);
    free(ranges);
    scratch_end();
}

static void text_of_an_event_is_made_plain(void)
{
    scratch_begin();
    struct fixture_end end;
    struct journal *journal = fixture_write();
    struct journal_event event = {.type = JOURNAL_NOTE};
    memset(event.text, 'x', sizeof event.text); /* no end */
    event.text[0] = '\x1B';
    CU_ASSERT_EQUAL(journal_append_event(journal, &event), STATUS_OK);
    journal_close(journal);
    fixture_read(UINT64_MAX, true, NULL, &end);
    assert_whole(&end, FIXTURE_RECORDS + 1);
    CU_ASSERT_EQUAL(strlen(end.last.as.event.text), JOURNAL_TEXT_MAX - 1);
    CU_ASSERT_EQUAL(end.last.as.event.text[0], '?');
    scratch_end();
}

static void open_cuts_a_torn_tail_and_goes_on(void)
{
    scratch_begin();
    struct fixture_end end;
    size_t size_bytes = 0;
    journal_close(fixture_write());
    uint8_t *data = scratch_read(FIXTURE_SEGMENT_2, &size_bytes);
    scratch_write(FIXTURE_SEGMENT_2, data, size_bytes - 5);
    free(data);
    scratch_write_text("journal/000000000003.journal", "begun");
    scratch_write_text("journal/000000000000.journal.tmp", "left over");
    fixture_read(UINT64_MAX, false, NULL, &end);
    CU_ASSERT_TRUE(end.torn.found);
    CU_ASSERT_EQUAL(end.count, FIXTURE_RECORDS - 1);
    struct journal *journal = NULL;
    CU_ASSERT_EQUAL_FATAL(journal_open(scratch_folder, &end.last, false, &journal), STATUS_OK);
    CU_ASSERT_FALSE(files_exists(scratch_path("journal/000000000003.journal")));
    CU_ASSERT_FALSE(files_exists(scratch_path("journal/000000000000.journal.tmp")));
    fixture_append_lease(journal, 7);
    fixture_read(UINT64_MAX, true, see_record, &end);
    assert_whole(&end, FIXTURE_RECORDS);
    fixture_append_step(journal, 3, 100);
    struct journal_state state = fixture_state(4);
    CU_ASSERT_EQUAL(journal_roll(journal, &state), STATUS_OK);
    journal_close(journal);
    fixture_read(UINT64_MAX, true, NULL, &end);
    assert_whole(&end, FIXTURE_RECORDS + 2);
    scratch_end();
}

static void assert_holds(const char *name, const uint8_t *expected, size_t size_bytes)
{
    size_t found_bytes = 0;
    uint8_t *found = scratch_read(name, &found_bytes);
    CU_ASSERT_EQUAL_FATAL(found_bytes, size_bytes);
    CU_ASSERT_EQUAL(memcmp(found, expected, size_bytes), 0);
    free(found);
}

static void open_behind_damage_keeps_the_rest_aside(void)
{
    scratch_begin();
    struct fixture_end end;
    char kept[128];
    size_t size_bytes = 0;
    size_t later_bytes = 0;
    journal_close(fixture_write());
    uint8_t *data = scratch_read(FIXTURE_SEGMENT_0, &size_bytes);
    uint8_t *later = scratch_read(FIXTURE_SEGMENT_2, &later_bytes);
    data[700] ^= 1;
    scratch_write(FIXTURE_SEGMENT_0, data, size_bytes);
    scratch_write_text("journal/damaged-006-x", "of before");
    fixture_read(UINT64_MAX, true, NULL, &end);
    CU_ASSERT_TRUE_FATAL(end.damage.found);
    struct journal *journal = NULL;
    CU_ASSERT_EQUAL_FATAL(journal_open(scratch_folder, &end.last, true, &journal), STATUS_OK);
    uint64_t offset = end.damage.offset;
    (void)snprintf(kept, sizeof kept, "journal/damaged-007-000000000000-at-%llu",
                   (unsigned long long)offset);
    assert_holds(kept, data + offset, size_bytes - offset);
    assert_holds("journal/damaged-007-000000000002-at-0", later, later_bytes);
    fixture_append_step(journal, 0, 200);
    journal_close(journal);
    fixture_read(UINT64_MAX, true, NULL, &end);
    CU_ASSERT_FALSE(end.damage.found || end.torn.found);
    CU_ASSERT_EQUAL(end.last.type, JOURNAL_STEP);
    free(data);
    free(later);
    scratch_end();
}

static void open_never_removes_a_whole_segment(void)
{
    scratch_begin();
    struct journal_record last = {.type = JOURNAL_LEASE};
    struct fixture_end end;
    size_t later_bytes = 0;
    struct journal *journal = fixture_write();
    journal_close(journal);
    uint8_t *later = scratch_read(FIXTURE_SEGMENT_2, &later_bytes);
    CU_ASSERT_EQUAL(rename(scratch_path(FIXTURE_SEGMENT_2), scratch_path("later")), 0);
    fixture_read(UINT64_MAX, true, NULL, &end);
    last = end.last;
    CU_ASSERT_EQUAL(rename(scratch_path("later"), scratch_path(FIXTURE_SEGMENT_2)), 0);
    CU_ASSERT_EQUAL_FATAL(journal_open(scratch_folder, &last, false, &journal), STATUS_OK);
    journal_close(journal);
    assert_holds("journal/damaged-000-000000000002-at-0", later, later_bytes);
    last.hash.bytes[3] ^= 1; /* not what is there */
    CU_ASSERT_EQUAL(journal_open(scratch_folder, &last, false, &journal), STATUS_IO);
    CU_ASSERT_PTR_NULL(journal);
    free(later);
    scratch_end();
}

static void failed_write_leaves_nothing_but_closing(void)
{
    scratch_begin();
    struct rlimit kept;
    struct fixture_end end;
    struct journal *journal = fixture_write();
    struct journal_lease lease = fixture_lease(8);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &kept), 0);
    CU_ASSERT_TRUE_FATAL(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    struct rlimit small = {.rlim_cur = journal_bytes(journal) + 50, .rlim_max = kept.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum status first = journal_append_lease(journal, &lease);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &kept), 0);
    CU_ASSERT_EQUAL(first, STATUS_IO);
    CU_ASSERT_EQUAL(journal_append_lease(journal, &lease), STATUS_IO);
    CU_ASSERT_EQUAL(journal_sync(journal), STATUS_IO);
    journal_close(journal);
    fixture_read(UINT64_MAX, true, NULL, &end);
    CU_ASSERT_TRUE(end.torn.found);
    CU_ASSERT_EQUAL(end.count, FIXTURE_RECORDS);
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(read_gives_back_every_record_and_payload),
        SUITE_TEST(create_over_a_journal_is_refused),
        SUITE_TEST(roll_without_a_step_begins_no_segment),
        SUITE_TEST(condense_drops_payloads_and_keeps_the_chain),
        SUITE_TEST(condense_leaves_a_damaged_segment_alone),
        SUITE_TEST(settings_of_before_have_one_codec_for_all),
        SUITE_TEST(append_of_facts_that_cannot_be_is_refused),
        SUITE_TEST(largest_step_is_written_and_a_larger_one_refused),
        SUITE_TEST(text_of_an_event_is_made_plain),
        SUITE_TEST(open_cuts_a_torn_tail_and_goes_on),
        SUITE_TEST(open_behind_damage_keeps_the_rest_aside),
        SUITE_TEST(open_never_removes_a_whole_segment),
        SUITE_TEST(failed_write_leaves_nothing_but_closing),
    };
    return suite_run("journal", tests, sizeof tests / sizeof tests[0]);
}
