#include "common/disk.h"
#include "tests/sim/sim_disk.h"
#include "tests/unit/journal_fixture.h"

#include <setjmp.h>

enum { RECORDS_MAX = 32, LUCKS = 40, LUCKS_CRASHED_AGAIN = 4, SECOND_LUCKS = 2 };

static jmp_buf crashed;
static uint64_t acknowledged; /* records that a sync made durable */
static struct digest written[RECORDS_MAX];
static size_t written_count;
static size_t told_as_damage;
static size_t recoveries;

static void crash(void *context)
{
    (void)context;
    longjmp(crashed, 1);
}

static struct sim_disk *begin_disk(uint64_t seed)
{
    struct sim_disk *disk = sim_disk_new(seed);
    sim_disk_use(disk);
    (void)snprintf(scratch_folder, sizeof scratch_folder, "%s/run", SIM_DISK_ROOT);
    CU_ASSERT_TRUE_FATAL(disk_make_folder(scratch_folder, 0755));
    sim_disk_settle(disk);
    return disk;
}

static void acknowledge(const struct journal *journal)
{
    acknowledged = journal_sequence(journal) + 1;
}

static void roll(struct journal *journal, uint64_t version)
{
    struct journal_state state = fixture_state(version);
    CU_ASSERT_EQUAL_FATAL(journal_roll(journal, &state), STATUS_OK);
    acknowledge(journal);
}

static void step(struct journal *journal, uint64_t number, size_t size_bytes)
{
    fixture_append_step(journal, number, size_bytes);
    acknowledge(journal);
}

/* What a coordinator does, with payloads shorter and longer than a sector. */
static void work(void)
{
    struct journal *journal = NULL;
    struct journal_state state = fixture_state(0);
    CU_ASSERT_EQUAL_FATAL(journal_create(scratch_folder, &state, &journal), STATUS_OK);
    acknowledge(journal);
    fixture_append_event(journal, JOURNAL_SERVED, "");
    acknowledge(journal);
    fixture_append_lease(journal, 0);
    fixture_append_lease(journal, 1);
    step(journal, 0, 13);
    fixture_append_lease(journal, 2);
    fixture_append_lease(journal, 3);
    fixture_append_lease(journal, 4);
    step(journal, 1, FIXTURE_PAYLOAD_1);
    roll(journal, 2);
    fixture_append_event(journal, JOURNAL_SETTINGS, "asked for");
    acknowledge(journal);
    fixture_append_lease(journal, 5);
    CU_ASSERT_EQUAL_FATAL(journal_condense(scratch_folder, 2), STATUS_OK);
    step(journal, 2, FIXTURE_PAYLOAD_2);
    fixture_append_lease(journal, 6);
    roll(journal, 3);
    CU_ASSERT_EQUAL_FATAL(journal_condense(scratch_folder, 3), STATUS_OK);
    step(journal, 3, 8);
    fixture_append_lease(journal, 7);
    journal_close(journal);
}

static void remember(size_t index, struct journal_reader *reader,
                     const struct journal_record *record)
{
    (void)reader;
    CU_ASSERT_TRUE_FATAL(index < RECORDS_MAX);
    written[index] = record->hash;
    written_count = index + 1;
}

static void compare(size_t index, struct journal_reader *reader,
                    const struct journal_record *record)
{
    (void)reader;
    CU_ASSERT_TRUE(index < written_count && digest_equal(&written[index], &record->hash));
}

/* Reads what is there and goes on behind it; the number of records read. NULL when there is no
 * journal yet. */
static struct journal *recover(size_t *out_count, bool *out_damage)
{
    struct fixture_end end;
    struct journal *journal = NULL;
    uint64_t *segments = NULL;
    *out_damage = false;
    CU_ASSERT_EQUAL_FATAL(journal_segments(scratch_folder, &segments, out_count), STATUS_OK);
    free(segments);
    if (*out_count == 0) {
        return NULL;
    }
    recoveries++;
    fixture_read(UINT64_MAX, false, compare, &end);
    CU_ASSERT_TRUE_FATAL(end.count > 0);
    CU_ASSERT_EQUAL_FATAL(journal_open(scratch_folder, &end.last, end.damage.found, &journal),
                          STATUS_OK);
    *out_count = end.count;
    *out_damage = end.damage.found;
    return journal;
}

static void end_machine(struct sim_disk *disk, bool power_lost)
{
    sim_disk_crash(disk);
    if (power_lost) {
        sim_disk_lose_power(disk);
    }
}

/* What a recovery found and went on with is as good as acknowledged: the machine may end now. */
static void recover_and_lose_power(struct sim_disk *disk)
{
    size_t count = 0;
    bool damage = false;
    journal_close(recover(&count, &damage));
    CU_ASSERT_TRUE(count >= acknowledged);
    acknowledged = count;
    end_machine(disk, true);
}

/* Nothing that was acknowledged is gone, and what is appended now is found again. */
static void check_recovery(bool power_lost)
{
    struct fixture_end end;
    size_t count = 0;
    bool damage = false;
    struct journal *journal = recover(&count, &damage);
    CU_ASSERT_TRUE(count >= acknowledged);
    CU_ASSERT_TRUE(power_lost || !damage);
    told_as_damage += damage;
    if (journal == NULL) {
        struct journal_state state = fixture_state(0);
        CU_ASSERT_EQUAL_FATAL(journal_create(scratch_folder, &state, &journal), STATUS_OK);
        count = 1;
    }
    fixture_append_event(journal, JOURNAL_NOTE, "went on");
    journal_close(journal);
    CU_ASSERT_EQUAL(journal_condense(scratch_folder, 3), STATUS_OK);
    fixture_read(UINT64_MAX, true, NULL, &end);
    CU_ASSERT_EQUAL(end.count, count + 1);
    CU_ASSERT_FALSE(end.torn.found || end.damage.found);
}

/* True when the work ended before the crash that was planned. */
static bool work_until(struct sim_disk *disk, uint64_t call, enum sim_disk_moment moment)
{
    acknowledged = 0;
    sim_disk_crash_at(disk, call, moment, crash, NULL);
    if (setjmp(crashed) != 0) {
        return false;
    }
    work();
    return true;
}

static bool recover_until(struct sim_disk *disk, uint64_t call)
{
    size_t count = 0;
    bool damage = false;
    sim_disk_crash_at(disk, call, SIM_DISK_MIDDLE, crash, NULL);
    if (setjmp(crashed) != 0) {
        return false;
    }
    journal_close(recover(&count, &damage));
    return true;
}

/* Ends the recovery at each of its calls too. */
static void crash_again(const struct sim_disk *crashed_disk, bool power_lost)
{
    bool whole = false;
    for (uint64_t call = 1; !whole; call++) {
        for (uint64_t luck = 0; luck < SECOND_LUCKS; luck++) {
            struct sim_disk *disk = sim_disk_copy(crashed_disk);
            sim_disk_use(disk);
            sim_disk_seed(disk, luck);
            whole = recover_until(disk, call);
            end_machine(disk, power_lost);
            check_recovery(power_lost);
            sim_disk_use(NULL);
            sim_disk_free(disk);
        }
    }
}

static bool crash_once(uint64_t call, enum sim_disk_moment moment, uint64_t luck)
{
    bool power_lost = luck % 2 != 0;
    struct sim_disk *disk = begin_disk(luck);
    bool whole = work_until(disk, call, moment);
    end_machine(disk, power_lost);
    if (luck < LUCKS_CRASHED_AGAIN) {
        crash_again(disk, power_lost);
    }
    sim_disk_use(disk);
    recover_and_lose_power(disk);
    check_recovery(true);
    sim_disk_use(NULL);
    sim_disk_free(disk);
    return whole;
}

static void crash_at_each_call_loses_nothing_acknowledged(void)
{
    static const enum sim_disk_moment moments[] = {SIM_DISK_BEFORE, SIM_DISK_MIDDLE,
                                                   SIM_DISK_AFTER};
    struct fixture_end end;
    struct sim_disk *disk = begin_disk(0);
    work();
    fixture_read(UINT64_MAX, true, remember, &end);
    CU_ASSERT_FALSE(end.torn.found || end.damage.found);
    sim_disk_use(NULL);
    sim_disk_free(disk);
    bool whole = false;
    uint64_t call = 0;
    while (!whole) {
        call++;
        for (size_t i = 0; i < 3; i++) {
            for (uint64_t luck = 0; luck < LUCKS; luck++) {
                whole = crash_once(call, moments[i], luck);
            }
        }
    }
    CU_ASSERT_TRUE(call > 40); /* create, appends, syncs, two rolls, two condensings */
    (void)printf("%llu calls, %zu recoveries, %zu told as damage ", (unsigned long long)call,
                 recoveries, told_as_damage);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(crash_at_each_call_loses_nothing_acknowledged),
    };
    return suite_run("journal_crash", tests, sizeof tests / sizeof tests[0]);
}
