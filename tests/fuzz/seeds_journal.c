#include "tests/fuzz/seeds.h"

#include "common/check.h"
#include "common/disk.h"
#include "coordinator/store/journal_format.h"

#include <string.h>

enum { META_BYTES_MAX = 1024, SPOIL_SEQUENCE = 1, NEW_FILE = 128 };

static const struct live_settings settings = {.learning_rate = 3e-4,
                                              .target_batch = 8,
                                              .codec = CODEC_MX8,
                                              .mean_codec = CODEC_FP32,
                                              .update_codec = CODEC_MX4};

/* As fuzz_journal.c reads it. */
static void put_record(struct seed *out, uint8_t spoil, const struct journal_record *record)
{
    uint8_t meta[META_BYTES_MAX];
    size_t meta_bytes = 0;
    CHECK(journal_meta_size(record, &meta_bytes) == STATUS_OK && meta_bytes <= sizeof meta);
    journal_meta_encode(record, meta);
    seed_u8(out, spoil);
    seed_u8(out, (uint8_t)record->type);
    seed_u8(out, (uint8_t)(meta_bytes / JOURNAL_ALIGN));
    seed_bytes(out, meta, meta_bytes);
    if ((spoil & NEW_FILE) != 0) {
        seed_u8(out, (uint8_t)record->as.state.version);
    }
    if (record->type == JOURNAL_STEP) {
        seed_u8(out, 19);
    }
}

static struct journal_record state_record(uint64_t version)
{
    struct journal_record record = {.type = JOURNAL_SEGMENT};
    record.as.state = (struct journal_state){.version = version, .settings = settings};
    record.as.state.run_id = digest_of("run", 3);
    return record;
}

static struct journal_step step_of(uint64_t number,
                                   const struct journal_contribution contributions[2])
{
    return (struct journal_step){.step = number,
                                 .samples = {8 * number, 8},
                                 .tokens = 64,
                                 .loss_sum = 2.5,
                                 .learning_rate = 1e-4,
                                 .mean_codec = CODEC_MX8,
                                 .contribution_count = 2,
                                 .contributions = contributions};
}

static void put_step(struct seed *out, uint64_t number)
{
    const struct sample_range ranges[] = {{8 * number, 3}, {8 * number + 4, 4}};
    const struct journal_contribution contributions[] = {
        {.tokens = 24, .range_count = 1, .ranges = ranges},
        {.tokens = 40, .range_count = 1, .ranges = ranges + 1}};
    struct journal_record record = {.type = JOURNAL_STEP};
    record.as.step = step_of(number, contributions);
    put_record(out, 0, &record);
}

static void put_event(struct seed *out, enum journal_event_type type)
{
    struct journal_record record = {.type = JOURNAL_EVENT};
    record.as.event =
        (struct journal_event){.type = type, .settings = settings, .text = "something"};
    put_record(out, 0, &record);
}

static void put_lease(struct seed *out)
{
    struct journal_record record = {.type = JOURNAL_LEASE};
    record.as.lease = (struct journal_lease){.lease_id = 1, .samples = {0, 5}};
    put_record(out, 0, &record);
}

/* One record is spoilt in each way; behind it stands a whole step. */
static void spoilt(void)
{
    for (uint8_t bit = 0; bit < 7; bit++) {
        for (uint8_t what = 1; what <= 3; what += 2) {
            struct seed seed = {.size_bytes = 0};
            const uint8_t spoil = (uint8_t)(1U << bit);
            struct journal_record first = state_record(0);
            seed_u8(&seed, what);
            put_record(&seed, 0, &first);
            size_t at = seed.size_bytes;
            put_step(&seed, 0);
            seed.bytes[at] = spoil;
            if (spoil == SPOIL_SEQUENCE) {
                /* Its number, behind the meta part, comes before the payload's. */
                seed.size_bytes--;
                seed_u64(&seed, what == 1 ? UINT64_MAX : 3);
                seed_u8(&seed, 19);
            }
            put_step(&seed, 1);
            seed_u8(&seed, 0);
            char name[] = "spoilt-0-0";
            name[7] = (char)('a' + bit);
            name[9] = (char)('0' + what);
            seed_write("journal", name, seed.bytes, seed.size_bytes);
        }
    }
}

/* The second segment is another run's, or a record of it is missing. */
static void other_run(void)
{
    for (uint8_t spoil = 0; spoil < 2; spoil++) {
        struct seed seed = {.size_bytes = 0};
        struct journal_record first = state_record(0);
        struct journal_record second = state_record(1);
        second.as.state.run_id.bytes[0] ^= spoil == 0;
        seed_u8(&seed, 1);
        put_record(&seed, 0, &first);
        put_step(&seed, 0);
        put_record(&seed, (uint8_t)(NEW_FILE | spoil), &second);
        if (spoil != 0) {
            seed_u64(&seed, 2);
        }
        put_step(&seed, 1);
        seed_write("journal", spoil == 0 ? "other-run" : "gap", seed.bytes, seed.size_bytes);
    }
}

static void records(void)
{
    for (uint8_t what = 1; what < 16; what++) {
        struct seed seed = {.size_bytes = 0};
        seed_u8(&seed, what);
        struct journal_record first = state_record(0);
        put_record(&seed, 0, &first);
        for (int type = JOURNAL_SERVED; type <= JOURNAL_NOTE; type++) {
            put_event(&seed, (enum journal_event_type)type);
        }
        put_lease(&seed);
        put_step(&seed, 0);
        struct journal_record second = state_record(1);
        put_record(&seed, NEW_FILE, &second);
        put_step(&seed, 1);
        seed_u8(&seed, 0);
        char name[] = "records-0";
        name[sizeof name - 2] = (char)('a' + what);
        seed_write("journal", name, seed.bytes, seed.size_bytes);
    }
}

/* A segment as the real writer leaves it. */
static void segment(void)
{
    struct seed seed = {.size_bytes = 0};
    struct journal *journal = NULL;
    struct journal_record state = state_record(0);
    const struct sample_range range = {0, 8};
    const struct journal_contribution contributions[] = {
        {.tokens = 24, .range_count = 1, .ranges = &range},
        {.tokens = 40, .range_count = 1, .ranges = &range}};
    const struct journal_event event = {.type = JOURNAL_NOTE, .text = "note"};
    const struct journal_step step = step_of(0, contributions);
    CHECK(journal_create("/run", &state.as.state, &journal) == STATUS_OK);
    CHECK(journal_append_event(journal, &event) == STATUS_OK);
    CHECK(journal_append_step(journal, &step, (const uint8_t *)"payload", 7) == STATUS_OK);
    CHECK(journal_sync(journal) == STATUS_OK);
    journal_close(journal);
    int fd = disk_open("/run/journal/000000000000.journal", DISK_READ, 0);
    int64_t size_bytes = disk_size(fd);
    seed_u8(&seed, 0);
    CHECK(size_bytes > 0 && (size_t)size_bytes < sizeof seed.bytes);
    CHECK(disk_read(fd, 0, seed.bytes + 1, (size_t)size_bytes) && disk_close(fd));
    seed_write("journal", "segment", seed.bytes, 1 + (size_t)size_bytes);
}

void seeds_journal(void)
{
    records();
    spoilt();
    other_run();
    segment();
}
