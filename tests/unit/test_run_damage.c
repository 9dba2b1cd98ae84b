/* Every file of a small run with a bit flipped, cut, emptied or gone: what is loaded then is a
 * state that the run was in, or nothing, and `verify` answers for what it has to. */
#include "common/fault.h"
#include "tests/unit/damage_fixture.h"

#include <ctype.h>
#include <inttypes.h>

enum {
    FLIPS_SETTINGS_MAX = 1000, /* in a file of the run's own folder: all of it */
    FLIPS_JOURNAL_MAX = 220,   /* in one segment */
    FLIPS_MAX = 16,            /* in a file of a checkpoint */
    CUTS_MAX = 10,             /* of one file */
    REOPENED_EVERY = 8,        /* trials whose run is opened once more */
    COMPLAINTS_MAX = 20
};

enum damage_kind { FLIPPED, CUT, GONE, DAMAGE_KINDS };

struct damage {
    const struct file *file;
    enum damage_kind kind;
    size_t at; /* the byte with the bit, or the length that is left */
    unsigned bit;
};

enum outcome { SAME, EARLIER, REFUSED, OUTCOMES };

static size_t counts[DAMAGE_KINDS][OUTCOMES];
static size_t verify_told;
static size_t trial_count;
static size_t complaint_count;
static const char nothing_said[] = "nothing was said";

static void complain(const struct damage *damage, const char *what)
{
    static const char *const kinds[] = {"flipped", "cut", "gone"};
    if (complaint_count++ < COMPLAINTS_MAX) {
        printf("\n%s %s at %zu bit %u: %s (fault: %s; notes: %s)", damage->file->path,
               kinds[damage->kind], damage->at, damage->bit, what, fault_text(), notes);
    }
}

static bool same_state(const struct journal_state *a, const struct journal_state *b)
{
    const struct live_settings *x = &a->settings;
    const struct live_settings *y = &b->settings;
    return digest_equal(&a->run_id, &b->run_id) && a->version == b->version &&
           a->sample_first == b->sample_first && a->tokens == b->tokens && a->paused == b->paused &&
           a->loss_first == b->loss_first && a->loss_last == b->loss_last &&
           x->learning_rate == y->learning_rate && x->target_batch == y->target_batch &&
           x->codec == y->codec && x->mean_codec == y->mean_codec;
}

static bool in_folder(const struct damage *damage, const char *name)
{
    return strstr(damage->file->path, name) != NULL;
}

static bool in_last_segment(const struct damage *damage)
{
    char name[64];
    (void)snprintf(name, sizeof name, "/journal/%012" PRIu64 ".journal",
                   truth.moments[truth.moment_count - 1].segment);
    return in_folder(damage, name);
}

/* The first moment whose record the damage reached; moment_count: none. Damage to what lies before
 * the newest checkpoint reaches none. */
static size_t first_reached(const struct damage *damage)
{
    if (!in_last_segment(damage)) {
        return truth.moment_count;
    }
    const struct moment *last = &truth.moments[truth.moment_count - 1];
    size_t at = damage->kind == GONE ? 0 : damage->at;
    for (size_t i = 0; i < truth.moment_count; i++) {
        if (truth.moments[i].segment == last->segment && at < truth.moments[i].end) {
            return i;
        }
    }
    return truth.moment_count;
}

/* What a run is made with can only be what it was; what may be edited may differ. */
static bool same_course(const struct run_config *found)
{
    const struct run_config *config = &truth.config;
    struct schedule schedule = found->schedule;
    schedule.learning_rate = config->schedule.learning_rate;
    schedule.step_count = config->schedule.step_count;
    return found->seed == config->seed && found->context == config->context &&
           memcmp(&found->model, &config->model, sizeof config->model) == 0 &&
           memcmp(&found->optimizer, &config->optimizer, sizeof config->optimizer) == 0 &&
           memcmp(&schedule, &config->schedule, sizeof schedule) == 0;
}

static void check_leases(const struct damage *damage, const struct store *store)
{
    size_t count = 0;
    const struct journal_lease *leases = store_leases(store, &count);
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t j = 0; j < truth.lease_count && !known; j++) {
            known = memcmp(&leases[i], &truth.leases[j], sizeof leases[i]) == 0;
        }
        if (!known) {
            complain(damage, "a lease that was never given");
        }
    }
}

/* The moment that the store stands at, the latest where there are equal ones; moment_count: none.
 */
static size_t find_moment(const struct opened *opened)
{
    const struct journal_state *state = store_state(opened->store);
    struct digest whole = hash_master(opened->master, opened->value_count);
    for (size_t i = truth.moment_count; i-- > 0;) {
        if (same_state(&truth.moments[i].state, state) &&
            digest_equal(&whole, &truth.whole[state->version])) {
            return i;
        }
    }
    return truth.moment_count;
}

static enum outcome check_opened(const struct damage *damage, const struct opened *opened)
{
    size_t moment = find_moment(opened);
    size_t reached = first_reached(damage);
    if (moment == truth.moment_count ||
        master_version(opened->master) != store_state(opened->store)->version) {
        complain(damage, "a state that the run was never in");
        return EARLIER;
    }
    if (!same_course(&opened->run.config)) {
        complain(damage, "another seed, context, model, optimizer or schedule");
    }
    if (master_codec(opened->master) != store_state(opened->store)->settings.codec) {
        complain(damage, "a master of another codec");
    }
    check_leases(damage, opened->store);
    if (same_state(&truth.moments[truth.moment_count - 1].state, &truth.moments[moment].state)) {
        return SAME;
    }
    if (moment + 1 < reached) {
        complain(damage, "more is lost than was damaged");
    }
    const char *name = strrchr(damage->file->path, '/') + 1;
    if (damage->kind == FLIPPED && strstr(notes, name) == NULL) {
        complain(damage, "no note names the file");
    }
    return EARLIER;
}

/* Whether `verify` has to tell of it. The bytes of a file in RUN/journal and RUN/checkpoints are
 * its business, but for those that a crash could take and what is there for others to read. */
static bool must_be_told(const struct damage *damage, enum outcome outcome)
{
    if (in_folder(damage, "/checkpoints/")) {
        bool upper = damage->kind == FLIPPED && damage->bit == 5 && /* hexadecimal is either */
                     isalpha(damage->file->data[damage->at]) && in_folder(damage, "state.json");
        return (in_folder(damage, "state.json") && !upper) || in_folder(damage, "weights.saf") ||
               in_folder(damage, "model.saf") || in_folder(damage, "moment") ||
               in_folder(damage, "residual");
    }
    if (!in_last_segment(damage)) {
        return in_folder(damage, "/journal/") || outcome == EARLIER;
    }
    /* A file that ends early looks like one that was never longer. */
    size_t reached = first_reached(damage);
    return damage->kind == FLIPPED && reached < truth.moment_count && truth.moments[reached].synced;
}

static void apply(const struct damage *damage, struct sim_disk *disk)
{
    const struct file *file = damage->file;
    switch (damage->kind) {
    case FLIPPED:
        CU_ASSERT_TRUE_FATAL(sim_disk_rot(disk, file->path, 8 * damage->at + damage->bit));
        break;
    case CUT:
        CU_ASSERT_TRUE_FATAL(sim_disk_put(disk, file->path, file->data, damage->at));
        break;
    case GONE:
        CU_ASSERT_TRUE_FATAL(disk_unlink(file->path));
        break;
    case DAMAGE_KINDS:
        break;
    }
}

static bool verify_tells(const struct damage *damage)
{
    struct run_dir run;
    struct store_report report;
    if (run_dir_open(RUN_PATH, &run) != STATUS_OK) {
        return true;
    }
    enum status status = store_verify(&run, 1, &report);
    run_dir_close(&run);
    if (status == STATUS_OK && report.ok && report.steps > VERSIONS_MAX - 1) {
        complain(damage, "verify counts steps that were not made");
    }
    return status != STATUS_OK || !report.ok;
}

/* What was settled once stays so. */
static void open_again(const struct damage *damage, enum outcome outcome)
{
    struct opened opened;
    if (open_all(&opened) != STATUS_OK) {
        complain(damage, "it was opened once, and not again");
        return;
    }
    size_t moment = find_moment(&opened);
    if (moment == truth.moment_count ||
        (outcome == SAME && store_state(opened.store)->version != VERSIONS_MAX - 1)) {
        complain(damage, "opened again, it is another state");
    }
    close_opened(&opened);
}

static void try_damage(const struct damage *damage)
{
    struct opened opened;
    struct sim_disk *disk = sim_disk_copy(truth.disk);
    sim_disk_use(disk);
    apply(damage, disk);
    notes[0] = '\0';
    bool told = verify_tells(damage);
    enum outcome outcome = REFUSED;
    (void)fault(STATUS_IO, "%s", nothing_said);
    enum status status = open_all(&opened);
    if (status == STATUS_OK) {
        outcome = check_opened(damage, &opened);
        close_opened(&opened);
    } else if (strcmp(fault_text(), nothing_said) == 0) {
        complain(damage, "refused without a word");
    }
    if (!told && (outcome == REFUSED || must_be_told(damage, outcome))) {
        complain(damage, "verify says that all is well");
    }
    (void)status_file_port(RUN_PATH);
    if (outcome != REFUSED && trial_count % REOPENED_EVERY == 0) {
        open_again(damage, outcome);
    }
    counts[damage->kind][outcome]++;
    verify_told += told;
    trial_count++;
    sim_disk_use(truth.disk);
    sim_disk_free(disk);
}

static void flip_bits(const struct file *file)
{
    size_t most = strstr(file->path, "/journal/") != NULL       ? FLIPS_JOURNAL_MAX
                  : strstr(file->path, "/checkpoints/") != NULL ? FLIPS_MAX
                                                                : FLIPS_SETTINGS_MAX;
    size_t count = file->size_bytes < most ? file->size_bytes : most;
    for (size_t i = 0; i < count; i++) {
        size_t at = i * file->size_bytes / count;
        try_damage(&(struct damage){
            .file = file, .kind = FLIPPED, .at = at, .bit = (unsigned)(i * 5 + at / 8) % 8});
    }
}

static void cut_short(const struct file *file)
{
    size_t count = file->size_bytes < CUTS_MAX ? file->size_bytes : CUTS_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t left = i * file->size_bytes / count; /* nothing, at first */
        try_damage(&(struct damage){.file = file, .kind = CUT, .at = left});
    }
    try_damage(&(struct damage){.file = file, .kind = CUT, .at = file->size_bytes - 1});
    try_damage(&(struct damage){.file = file, .kind = GONE});
}

static void report(const char *what)
{
    printf("\n%s: %zu trials, same/earlier/refused: flips %zu/%zu/%zu, cuts %zu/%zu/%zu, gone "
           "%zu/%zu/%zu; verify told of %zu\n",
           what, trial_count, counts[FLIPPED][SAME], counts[FLIPPED][EARLIER],
           counts[FLIPPED][REFUSED], counts[CUT][SAME], counts[CUT][EARLIER], counts[CUT][REFUSED],
           counts[GONE][SAME], counts[GONE][EARLIER], counts[GONE][REFUSED], verify_told);
    CU_ASSERT_TRUE(trial_count > 500);
    CU_ASSERT_TRUE(verify_told > trial_count / 4);
    CU_ASSERT_EQUAL(complaint_count, 0);
    memset(counts, 0, sizeof counts);
    trial_count = 0;
    verify_told = 0;
    complaint_count = 0;
}

static void flipped_bit_is_detected_or_harmless(void)
{
    for (size_t i = 0; i < truth.file_count; i++) {
        flip_bits(&truth.files[i]);
    }
    report("flips");
}

static void file_that_is_cut_or_gone_is_detected_or_harmless(void)
{
    for (size_t i = 0; i < truth.file_count; i++) {
        cut_short(&truth.files[i]);
    }
    report("cuts");
}

static void undamaged_run_is_whole(void)
{
    make_truth();
    struct opened opened;
    struct sim_disk *disk = sim_disk_copy(truth.disk);
    sim_disk_use(disk);
    CU_ASSERT_FALSE(verify_tells(&(struct damage){.file = truth.files}));
    CU_ASSERT_EQUAL_FATAL(open_all(&opened), STATUS_OK);
    CU_ASSERT_EQUAL(find_moment(&opened), truth.moment_count - 1);
    CU_ASSERT_EQUAL(truth.lease_count, LEASES_MAX);
    close_opened(&opened);
    sim_disk_use(truth.disk);
    sim_disk_free(disk);
    size_t total = 0;
    for (size_t i = 0; i < truth.file_count; i++) {
        total += truth.files[i].size_bytes;
    }
    printf("\n%zu files, %zu bytes, %zu records\n", truth.file_count, total, truth.moment_count);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(undamaged_run_is_whole), /* makes what the others damage */
        SUITE_TEST(flipped_bit_is_detected_or_harmless),
        SUITE_TEST(file_that_is_cut_or_gone_is_detected_or_harmless),
    };
    int failed = suite_run("run_damage", tests, sizeof tests / sizeof tests[0]);
    free_truth();
    return failed;
}
