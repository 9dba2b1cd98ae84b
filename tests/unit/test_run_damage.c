/* Every file of a small run with a bit flipped, cut, emptied or gone: what is loaded then is a state
 * that the run was in, or nothing, and `verify` answers for what it has to. */
#include "common/fault.h"
#include "coordinator/store/course.h"
#include "coordinator/store/invites.h"
#include "coordinator/store/status_file.h"
#include "coordinator/store/store.h"
#include "tests/sim/sim_disk.h"
#include "tests/unit/suite.h"
#include "trainer/data/ingest/data_build.h"
#include "trainer/optimizer/master_step.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_PATH SIM_DISK_ROOT "/run"

enum {
    FILES_MAX = 64,
    FILE_BYTES_MAX = 1 << 20,
    VERSIONS_MAX = 9, /* steps and the beginning */
    MOMENTS_MAX = 64,
    LEASES_MAX = 4,
    FLIPS_SETTINGS_MAX = 1000, /* in a file of the run's own folder: all of it */
    FLIPS_JOURNAL_MAX = 400,   /* in one segment */
    FLIPS_MAX = 40,            /* in a file of a checkpoint */
    CUTS_MAX = 10,             /* of one file */
    REOPENED_EVERY = 8,        /* trials whose run is opened once more */
    COMPLAINTS_MAX = 20
};

static const char run_yaml[] = "name: tiny\n"
                               "seed: 7\n"
                               "model: {type: llama, hidden_size: 4, layers: 1, heads: 1}\n"
                               "data: {path: shards, context: 16}\n"
                               "training: {steps: 50, target_batch: 8, codec: mx8, journal: mx8,\n"
                               "  checkpoint_every: 10, checkpoints_kept: 3}\n"
                               "optimizer: {learning_rate: 0.01, warmup_steps: 2}\n";

struct file {
    char path[FILES_PATH_MAX];
    uint8_t *data; /* (size_bytes) */
    size_t size_bytes;
};

/* Where the run stood behind one record of its journal. */
struct moment {
    struct journal_state state;
    uint64_t segment;
    uint64_t end; /* of the record in its segment */
    bool synced;
};

/* The run as it was before anything was damaged. */
static struct truth {
    struct sim_disk *disk;
    struct run_config config;
    struct file files[FILES_MAX];
    size_t file_count;
    struct digest whole[VERSIONS_MAX]; /* of all that a master holds, by version */
    struct moment moments[MOMENTS_MAX];
    size_t moment_count;
    struct journal_lease leases[LEASES_MAX];
    size_t lease_count;
    uint8_t token[LINK_TOKEN_BYTES];
} truth;

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
static char notes[4096];
static const char nothing_said[] = "nothing was said";

static void take_note(const char *sentence)
{
    size_t used = strlen(notes);
    (void)snprintf(notes + used, sizeof notes - used, "%s\n", sentence);
}

static void complain(const struct damage *damage, const char *what)
{
    static const char *const kinds[] = {"flipped", "cut", "gone"};
    if (complaint_count++ < COMPLAINTS_MAX) {
        printf("\n%s %s at %zu bit %u: %s (fault: %s; notes: %s)", damage->file->path,
               kinds[damage->kind], damage->at, damage->bit, what, fault_text(), notes);
    }
}

static struct digest hash_master(struct master *master, size_t value_count)
{
    struct digest_stream stream;
    size_t bytes = value_count * sizeof(float);
    digest_begin(&stream);
    digest_update(&stream, master_params(master), bytes);
    digest_update(&stream, master_weights(master), bytes);
    for (size_t i = 0; i < optimizer_state_count(master_kind(master)); i++) {
        size_t count = 0;
        const float *values = master_state(master, i, &count);
        digest_update(&stream, values, count * sizeof *values);
    }
    if (master_residual(master) != NULL) {
        digest_update(&stream, master_residual(master), bytes);
    }
    return digest_end(&stream);
}

/* A run that is open. */
struct opened {
    struct run_dir run;
    struct master *master;
    struct slices *slices;
    struct store *store;
    size_t value_count;
};

static void close_opened(struct opened *self)
{
    store_close(self->store);
    slices_free(self->slices);
    master_free(self->master);
    run_dir_close(&self->run);
}

/* Closed again on error. */
static enum status open_all(struct opened *self)
{
    *self = (struct opened){.store = NULL};
    notes[0] = '\0';
    enum status status = run_dir_open(RUN_PATH, &self->run);
    if (status != STATUS_OK) {
        return status;
    }
    self->value_count = layout_value_count(self->run.layout);
    status = run_dir_master_new(&self->run, &self->master);
    if (status == STATUS_OK) {
        status = slices_new(1, self->value_count, MASTER_SLICE_ALIGN, &self->slices);
    }
    if (status == STATUS_OK) {
        status = store_open(&self->run, self->master, self->slices, take_note, &self->store);
    }
    if (status != STATUS_OK) {
        close_opened(self);
    }
    return status;
}

/* One step of two contributions, whose gradient follows from its number. */
static void commit(struct opened *self)
{
    const struct journal_state *state = store_state(self->store);
    uint64_t batch = state->settings.target_batch;
    uint64_t tokens = batch * self->run.config.context;
    const struct exact_grid grid = exact_grid_for(tokens);
    int64_t *sums = calloc(self->value_count, sizeof *sums);
    uint8_t *update = malloc(self->value_count * sizeof(float));
    struct sample_range ranges[2];
    struct journal_contribution contributions[2];
    struct master_step_result result;
    CU_ASSERT_FATAL(sums != NULL && update != NULL);
    for (size_t i = 0; i < self->value_count; i++) {
        int noise = (int)((i * 7919 + state->version * 104729) % 1009) - 500;
        sums[i] = (int64_t)noise * (int64_t)tokens * (INT64_C(1) << (grid.shift - 16));
    }
    CU_ASSERT_EQUAL_FATAL(master_step_from_sums(self->master, self->slices, sums, &grid, tokens,
                                                update, &result),
                          STATUS_OK);
    for (size_t p = 0; p < 2; p++) {
        ranges[p] = (struct sample_range){.first = state->sample_first + p * batch / 2,
                                          .count = batch / 2};
        contributions[p] = (struct journal_contribution){.tokens = tokens / 2,
                                                         .loss_sum = (double)tokens,
                                                         .range_count = 1,
                                                         .ranges = &ranges[p]};
        memset(contributions[p].key, (int)p + 1, sizeof contributions[p].key);
    }
    struct journal_step step = {.step = state->version,
                                .samples = {.first = state->sample_first, .count = batch},
                                .tokens = tokens,
                                .loss_sum = (double)tokens * 2.0,
                                .grad_l2 = result.grad_l2,
                                .learning_rate = result.learning_rate,
                                .unix_ms = 1700000000000 + state->version,
                                .digest = result.digest,
                                .mean_codec = state->settings.mean_codec,
                                .contribution_count = 2,
                                .contributions = contributions};
    CU_ASSERT_EQUAL_FATAL(store_commit(self->store, &step), STATUS_OK);
    truth.whole[state->version] = hash_master(self->master, self->value_count);
    free(sums);
    free(update);
}

static void note_event(struct opened *self, enum journal_event_type type, const char *text)
{
    const struct journal_state *state = store_state(self->store);
    struct journal_event event = {.type = type,
                                  .version = state->version,
                                  .unix_ms = 1700000000000,
                                  .settings = state->settings};
    (void)snprintf(event.text, sizeof event.text, "%s", text);
    if (type == JOURNAL_SETTINGS) {
        event.settings.learning_rate = 0.004;
        event.settings.target_batch = 4;
    }
    CU_ASSERT_EQUAL_FATAL(store_event(self->store, &event), STATUS_OK);
}

static void lease(struct opened *self, uint64_t id)
{
    const struct journal_state *state = store_state(self->store);
    struct journal_lease *item = &truth.leases[truth.lease_count++];
    *item = (struct journal_lease){.lease_id = id,
                                   .step = state->version,
                                   .samples = {.first = state->sample_first + id, .count = 1}};
    memset(item->key, (int)id, sizeof item->key);
    CU_ASSERT_EQUAL_FATAL(store_lease(self->store, item), STATUS_OK);
}

static void make_data(void)
{
    char text_path[] = "/tmp/dugnad-test-XXXXXX"; /* ingestion reads real files */
    char text[8192];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + (i * i + i / 7) % 26);
    }
    int fd = mkstemp(text_path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(write(fd, text, sizeof text), (ssize_t)sizeof text);
    CU_ASSERT_EQUAL(close(fd), 0);
    const char *file = text_path;
    struct data_build_options options = {.tokenizer_spec = "bytes",
                                         .out_folder = SIM_DISK_ROOT "/shards",
                                         .files = &file,
                                         .file_count = 1,
                                         .validation_fraction = 0.1,
                                         .shard_tokens_max = 1 << 20,
                                         .seed = 1};
    struct data_build_result result;
    CU_ASSERT_EQUAL_FATAL(data_build(&options, &result), STATUS_OK);
    CU_ASSERT_EQUAL(unlink(text_path), 0);
}

/* Eight steps; checkpoints 2, 4 and 6, the journal condensed before the first of them. */
static void live(struct opened *self)
{
    char path[FILES_PATH_MAX];
    for (int i = 0; i < 6; i++) {
        commit(self);
        if (i % 2 == 1) {
            CU_ASSERT_EQUAL_FATAL(store_checkpoint(self->store, path), STATUS_OK);
        }
        if (i == 4) {
            lease(self, 1);
            note_event(self, JOURNAL_SETTINGS, "");
        }
    }
    note_event(self, JOURNAL_PAUSED, "");
    commit(self);
    lease(self, 2);
    commit(self);
    note_event(self, JOURNAL_RESUMED, "");
    note_event(self, JOURNAL_NOTE, "a word to whom it may concern");
    lease(self, 3);
    lease(self, 4);
}

static void read_moments(void)
{
    struct journal_reader *reader = NULL;
    struct journal_record record;
    struct journal_state state = {.version = 0};
    bool more = true;
    CU_ASSERT_EQUAL_FATAL(journal_reader_new(RUN_PATH, UINT64_MAX, &reader), STATUS_OK);
    while (true) {
        CU_ASSERT_EQUAL_FATAL(journal_read(reader, true, &record, &more), STATUS_OK);
        struct moment *before = truth.moment_count > 0 ? &truth.moments[truth.moment_count - 1]
                                                       : NULL;
        if (before != NULL) {
            before->end = more && record.segment == before->segment ? record.offset : UINT64_MAX;
        }
        if (!more) {
            break;
        }
        CU_ASSERT_FATAL(truth.moment_count < MOMENTS_MAX);
        course_take(&state, &record);
        truth.moments[truth.moment_count++] = (struct moment){
            .state = state, .segment = record.segment, .synced = record.type != JOURNAL_LEASE};
    }
    journal_reader_free(reader);
}

static bool add_file(void *context, const char *name)
{
    const char *folder = context;
    char path[FILES_PATH_MAX];
    CU_ASSERT_EQUAL_FATAL(files_join(folder, name, path), STATUS_OK);
    if (disk_kind_of(path) == DISK_FOLDER) {
        return disk_list(path, add_file, path);
    }
    struct file *file = &truth.files[truth.file_count++];
    CU_ASSERT_FATAL(truth.file_count <= FILES_MAX);
    (void)snprintf(file->path, sizeof file->path, "%s", path);
    CU_ASSERT_EQUAL_FATAL(files_read(path, FILE_BYTES_MAX, &file->data, &file->size_bytes),
                          STATUS_OK);
    return true;
}

static void make_truth(void)
{
    struct opened opened;
    static char root[] = RUN_PATH;
    truth.disk = sim_disk_new(3);
    sim_disk_use(truth.disk);
    make_data();
    CU_ASSERT_TRUE(sim_disk_put(truth.disk, SIM_DISK_ROOT "/run.yaml", run_yaml, strlen(run_yaml)));
    CU_ASSERT_EQUAL_FATAL(run_dir_create(SIM_DISK_ROOT "/run.yaml", RUN_PATH), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(invites_create(RUN_PATH, truth.token), STATUS_OK);
    const struct run_status status = {.name = "tiny", .state = "running", .port = 7700};
    CU_ASSERT_EQUAL_FATAL(status_file_write(RUN_PATH, &status), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(open_all(&opened), STATUS_OK);
    truth.config = opened.run.config;
    truth.whole[0] = hash_master(opened.master, opened.value_count);
    live(&opened);
    const struct journal_state last = *store_state(opened.store);
    close_opened(&opened);
    read_moments();
    CU_ASSERT_EQUAL(truth.moments[truth.moment_count - 1].state.version, last.version);
    CU_ASSERT_EQUAL(last.version, 8);
    CU_ASSERT_TRUE(disk_list(RUN_PATH, add_file, root));
    sim_disk_settle(truth.disk);
}

static void free_truth(void)
{
    for (size_t i = 0; i < truth.file_count; i++) {
        free(truth.files[i].data);
    }
    sim_disk_free(truth.disk);
}

static bool same_state(const struct journal_state *a, const struct journal_state *b)
{
    const struct live_settings *x = &a->settings;
    const struct live_settings *y = &b->settings;
    return digest_equal(&a->run_id, &b->run_id) && a->version == b->version &&
           a->sample_first == b->sample_first && a->tokens == b->tokens &&
           a->paused == b->paused && a->loss_first == b->loss_first &&
           a->loss_last == b->loss_last && x->learning_rate == y->learning_rate &&
           x->target_batch == y->target_batch && x->codec == y->codec &&
           x->mean_codec == y->mean_codec;
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

/* The moment that the store stands at, the latest where there are equal ones; moment_count: none. */
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
    if (moment == truth.moment_count || master_version(opened->master) !=
                                            store_state(opened->store)->version) {
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

/* Whether `verify` has to tell of it. The bytes of a file in RUN/journal and RUN/checkpoints are its
 * business, but for those that a crash could take and what is there for others to read. */
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
    if (status == STATUS_OK && report.ok && report.steps > 8) {
        complain(damage, "verify counts steps that were not made");
    }
    return status != STATUS_OK || !report.ok;
}

/* What was settled once stays so. */
static void open_again(const struct damage *damage, enum outcome outcome)
{
    struct opened opened;
    size_t before = outcome == SAME ? truth.moment_count : 0;
    if (open_all(&opened) != STATUS_OK) {
        complain(damage, "it was opened once, and not again");
        return;
    }
    size_t moment = find_moment(&opened);
    if (moment == truth.moment_count ||
        (before > 0 && store_state(opened.store)->version != VERSIONS_MAX - 1)) {
        complain(damage, "opened again, it is another state");
    }
    close_opened(&opened);
}

static void try_damage(const struct damage *damage)
{
    struct opened opened;
    uint8_t other[LINK_TOKEN_BYTES] = {1};
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
    if (invites_known(RUN_PATH, other)) {
        complain(damage, "a token that was never made is known");
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
