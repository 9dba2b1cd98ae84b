/* journal_fixture - a small journal of two segments with a record of every kind, and what reading
 * it gives. Lies in scratch_folder. */
#ifndef DUGNAD_TESTS_UNIT_JOURNAL_FIXTURE_H
#define DUGNAD_TESTS_UNIT_JOURNAL_FIXTURE_H

#include "common/fault.h"
#include "coordinator/store/journal.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

enum {
    FIXTURE_PAYLOAD_0 = 333, /* no multiple of 8: the record is filled up */
    FIXTURE_PAYLOAD_1 = 500,
    FIXTURE_PAYLOAD_2 = 401,
    FIXTURE_PAYLOAD_MAX = 512,
    FIXTURE_RECORDS = 16
};

#define FIXTURE_SEGMENT_0 "journal/000000000000.journal"
#define FIXTURE_SEGMENT_2 "journal/000000000002.journal"

static const struct sample_range fixture_ranges[] = {
    {.first = 0, .count = 3}, {.first = 3, .count = 1}, {.first = 6, .count = 2}};

static inline struct live_settings fixture_settings(void)
{
    return (struct live_settings){.learning_rate = 3e-4,
                                  .target_batch = 8,
                                  .codec = CODEC_MX8,
                                  .mean_codec = CODEC_FP32,
                                  .update_codec = CODEC_MX4};
}

static inline struct journal_state fixture_state(uint64_t version)
{
    struct journal_state state = {.version = version,
                                  .sample_first = 8 * version,
                                  .tokens = 64 * version,
                                  .loss_first = version > 0 ? 4.5 : 0.0,
                                  .loss_last = version > 0 ? 4.25 : 0.0,
                                  .serial = 7,
                                  .paused = version > 0,
                                  .settings = fixture_settings()};
    state.run_id = digest_of("run", 3);
    return state;
}

static inline struct journal_lease fixture_lease(uint64_t lease_id)
{
    struct journal_lease lease = {
        .lease_id = lease_id, .step = lease_id / 2, .samples = {.first = 8 * lease_id, .count = 5}};
    memset(lease.key, (int)(0x40 + lease_id), sizeof lease.key);
    return lease;
}

static inline void fixture_payload(uint64_t step, uint8_t *out, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        out[i] = (uint8_t)(i * 31 + step * 7);
    }
}

/* Two contributors, three ranges; `contributions` (2) is the caller's. */
static inline struct journal_step fixture_step(uint64_t number,
                                               struct journal_contribution *contributions,
                                               struct sample_range *ranges)
{
    for (size_t i = 0; i < 3; i++) {
        ranges[i] = fixture_ranges[i];
        ranges[i].first += 8 * number;
    }
    contributions[0] = (struct journal_contribution){
        .tokens = 40, .loss_sum = 180.5, .range_count = 2, .ranges = ranges};
    contributions[1] = (struct journal_contribution){
        .tokens = 24, .loss_sum = 99.25, .range_count = 1, .ranges = ranges + 2};
    memset(contributions[0].key, 0xA0, IDENTITY_KEY_BYTES);
    memset(contributions[1].key, 0xB1, IDENTITY_KEY_BYTES);
    struct journal_step step = {.step = number,
                                .samples = {.first = 8 * number, .count = 8},
                                .tokens = 64,
                                .loss_sum = 279.75,
                                .grad_l2 = 1.25,
                                .learning_rate = 1e-4,
                                .unix_ms = 1700000000000 + number,
                                .mean_codec = CODEC_MX8,
                                .contribution_count = 2,
                                .contributions = contributions};
    step.digest = digest_of(&number, sizeof number);
    return step;
}

static inline void fixture_append_step(struct journal *journal, uint64_t number, size_t size_bytes)
{
    uint8_t payload[FIXTURE_PAYLOAD_MAX];
    struct journal_contribution contributions[2];
    struct sample_range ranges[3];
    fixture_payload(number, payload, size_bytes);
    struct journal_step step = fixture_step(number, contributions, ranges);
    CU_ASSERT_EQUAL_FATAL(journal_append_step(journal, &step, payload, size_bytes), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(journal_sync(journal), STATUS_OK);
}

static inline void fixture_append_lease(struct journal *journal, uint64_t lease_id)
{
    struct journal_lease lease = fixture_lease(lease_id);
    CU_ASSERT_EQUAL_FATAL(journal_append_lease(journal, &lease), STATUS_OK);
}

static inline void fixture_append_event(struct journal *journal, enum journal_event_type type,
                                        const char *text)
{
    struct journal_event event = {.type = type, .version = 1, .unix_ms = 1700000000123};
    if (type == JOURNAL_SETTINGS) {
        event.settings = fixture_settings();
    }
    (void)snprintf(event.text, sizeof event.text, "%s", text);
    CU_ASSERT_EQUAL_FATAL(journal_append_event(journal, &event), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(journal_sync(journal), STATUS_OK);
}

/* Segment 0: state, served, lease 0, lease 1, step 0, note, lease 2, step 1, lease 3.
 * Segment 2: state, settings, lease 4, lease 5, step 2, lease 6, lease 7. */
static inline struct journal *fixture_write(void)
{
    struct journal *journal = NULL;
    struct journal_state state = fixture_state(0);
    CU_ASSERT_EQUAL_FATAL(journal_create(scratch_folder, &state, &journal), STATUS_OK);
    fixture_append_event(journal, JOURNAL_SERVED, "");
    fixture_append_lease(journal, 0);
    fixture_append_lease(journal, 1);
    fixture_append_step(journal, 0, FIXTURE_PAYLOAD_0);
    fixture_append_event(journal, JOURNAL_NOTE, "a note: b\xC3\xA5t");
    fixture_append_lease(journal, 2);
    fixture_append_step(journal, 1, FIXTURE_PAYLOAD_1);
    fixture_append_lease(journal, 3);
    state = fixture_state(2);
    CU_ASSERT_EQUAL_FATAL(journal_roll(journal, &state), STATUS_OK);
    fixture_append_event(journal, JOURNAL_SETTINGS, "asked for");
    fixture_append_lease(journal, 4);
    fixture_append_lease(journal, 5);
    fixture_append_step(journal, 2, FIXTURE_PAYLOAD_2);
    fixture_append_lease(journal, 6);
    fixture_append_lease(journal, 7);
    return journal;
}

/* Where the journal could be read to. */
struct fixture_end {
    size_t count; /* records */
    struct journal_record last;
    struct journal_fault torn;
    struct journal_fault damage;
};

/* Reads all there is; `visit` (NULL is allowed) sees each record. */
static inline void fixture_read(uint64_t from, bool check_payloads,
                                void (*visit)(size_t index, struct journal_reader *reader,
                                              const struct journal_record *record),
                                struct fixture_end *out)
{
    struct journal_reader *reader = NULL;
    bool more = true;
    memset(out, 0, sizeof *out);
    CU_ASSERT_EQUAL_FATAL(journal_reader_new(scratch_folder, from, &reader), STATUS_OK);
    while (more) {
        struct journal_record record;
        CU_ASSERT_EQUAL_FATAL(journal_read(reader, check_payloads, &record, &more), STATUS_OK);
        if (more) {
            if (visit != NULL) {
                visit(out->count, reader, &record);
            }
            out->count++;
            out->last = record;
        }
    }
    journal_reader_faults(reader, &out->torn, &out->damage);
    journal_reader_free(reader);
    CU_ASSERT_FALSE(out->torn.found && out->damage.found);
}

/* Damage is found at this place after `count` records. */
static inline void fixture_assert_damage(const char *name, uint64_t offset, size_t count)
{
    struct fixture_end end;
    fixture_read(UINT64_MAX, true, NULL, &end);
    CU_ASSERT_TRUE(end.damage.found);
    CU_ASSERT_STRING_EQUAL(end.damage.path, scratch_path(name));
    CU_ASSERT_EQUAL(end.damage.offset, offset);
    CU_ASSERT_EQUAL(end.count, count);
    CU_ASSERT_TRUE(strlen(end.damage.text) > 0);
}

#endif
