#include "common/fault.h"
#include "peer/daemon/offers.h"
#include "peer/daemon/progress.h"
#include "peer/daemon/state_dir.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct offer *add_offer(struct offers *offers, uint64_t id, size_t size_bytes)
{
    uint8_t *data = malloc(size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    memset(data, (int)id, size_bytes);
    return offers_add(offers, id, CODEC_MX8, data, size_bytes);
}

/* The ids that are kept, oldest first, and each with its own bytes. */
static void expect_offers(struct offers *offers, const uint64_t *ids, size_t count)
{
    CU_ASSERT_EQUAL_FATAL(offers->count, count);
    for (size_t i = 0; i < count; i++) {
        const struct offer *offer = offers_find(offers, ids[i]);
        CU_ASSERT_PTR_EQUAL_FATAL(offer, &offers->items[i]);
        struct blob_ref again =
            blob_describe(BLOB_CONTRIBUTION, ids[i], offer->data, 10 + ids[i], WIRE_BODY_MAX, NULL);
        CU_ASSERT_EQUAL(offer->facts.codec, CODEC_MX8);
        CU_ASSERT_EQUAL(offer->facts.blob.chunk_bytes,
                        codec_encoded_bytes(CODEC_MX8, CODEC_CHUNK_VALUES));
        CU_ASSERT_EQUAL(offer->data[0], ids[i]);
        CU_ASSERT_EQUAL(offer->facts.blob.kind, BLOB_CONTRIBUTION);
        CU_ASSERT_EQUAL(offer->facts.blob.size_bytes, 10 + ids[i]);
        CU_ASSERT_TRUE(digest_equal(&offer->facts.blob.root, &again.root));
    }
}

static void offers_stay_until_they_are_dropped(void)
{
    static struct offers offers;
    const uint64_t all[OFFERS_MAX] = {1, 2, 3, 4};
    const uint64_t some[2] = {1, 3};
    CU_ASSERT_PTR_NULL(offers_find(&offers, 0));
    for (uint64_t id = 1; id <= OFFERS_MAX; id++) {
        (void)add_offer(&offers, id, 10 + id);
        expect_offers(&offers, all, id);
    }
    CU_ASSERT_PTR_NULL(offers_find(&offers, 0));
    offers_drop(&offers, 2);
    offers_drop(&offers, 4);
    offers_drop(&offers, 2);
    expect_offers(&offers, some, 2);
    CU_ASSERT_PTR_NULL(offers_find(&offers, 4));
    (void)add_offer(&offers, 9, 19);
    expect_offers(&offers, (const uint64_t[]){1, 3, 9}, 3);
    offers_clear(&offers);
    expect_offers(&offers, NULL, 0);
    CU_ASSERT_PTR_NULL(offers_find(&offers, 1));
    offers_clear(&offers);
}

static void every_chunk_of_an_offer_brings_its_proof(void)
{
    static struct offers offers;
    enum { CHUNKS = 5 };
    const size_t chunk_bytes = codec_encoded_bytes(CODEC_MX8, CODEC_CHUNK_VALUES);
    struct offer_chunk chunk;
    struct blob_chunk_header header;
    struct offer *offer = add_offer(&offers, 6, CHUNKS * chunk_bytes - 100);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL_FATAL(offer_chunk(offer, i, &chunk), STATUS_OK);
        CU_ASSERT_EQUAL(chunk.size_bytes, i < CHUNKS - 1 ? chunk_bytes : chunk_bytes - 100);
        CU_ASSERT_PTR_EQUAL(chunk.data, offer->data + i * chunk_bytes);
        CU_ASSERT_EQUAL(blob_header_read(chunk.head, chunk.head_bytes, &header), STATUS_OK);
        struct digest hash = digest_of(chunk.data, chunk.size_bytes);
        CU_ASSERT_TRUE(digest_equal(&header.hash, &hash));
        CU_ASSERT_TRUE(header.index == i && header.id == 6);
        CU_ASSERT_TRUE(
            blob_tree_proves(&offer->facts.blob.root, CHUNKS, chunk.head, chunk.head_bytes));
    }
    CU_ASSERT_EQUAL(offer_chunk(offer, CHUNKS, &chunk), STATUS_OUT_OF_RANGE);
    free(offer->tree); /* as if there had been no memory */
    offer->tree = NULL;
    const struct digest root = offer->facts.blob.root;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL_FATAL(offer_chunk(offer, i, &chunk), STATUS_OK);
        CU_ASSERT_TRUE(blob_tree_proves(&root, CHUNKS, chunk.head, chunk.head_bytes));
    }
    CU_ASSERT_TRUE(digest_equal(&offer->facts.blob.root, &root));
    offers_clear(&offers);
}

static void samples_of_all_offers_are_sorted_and_merged(void)
{
    static struct offers offers;
    struct work_range out[WORK_RANGES_MAX];
    CU_ASSERT_EQUAL(offers_samples(&offers, out), 0);
    struct wire_contribution *facts = &add_offer(&offers, 1, 1)->facts;
    facts->range_count = 2;
    facts->ranges[0] = (struct sample_range){20, 4};
    facts->ranges[1] = (struct sample_range){30, 1};
    facts = &add_offer(&offers, 2, 1)->facts;
    facts->range_count = 2;
    facts->ranges[0] = (struct sample_range){10, 2};
    facts->ranges[1] = (struct sample_range){24, 6};
    CU_ASSERT_EQUAL_FATAL(offers_samples(&offers, out), 2);
    CU_ASSERT_EQUAL(out[0].first, 10);
    CU_ASSERT_EQUAL(out[0].count, 2);
    CU_ASSERT_EQUAL(out[1].first, 20);
    CU_ASSERT_EQUAL(out[1].count, 11);
    facts = &add_offer(&offers, 3, 1)->facts; /* too scattered to be told on top of the others */
    facts->range_count = WIRE_RANGES_MAX;
    for (uint64_t i = 0; i < WIRE_RANGES_MAX; i++) {
        facts->ranges[i] = (struct sample_range){100 + 2 * i, 1};
    }
    facts = &add_offer(&offers, 4, 1)->facts;
    facts->range_count = 1;
    facts->ranges[0] = (struct sample_range){50, 1};
    CU_ASSERT_EQUAL_FATAL(offers_samples(&offers, out), 3);
    CU_ASSERT_EQUAL(out[1].count, 11);
    CU_ASSERT_EQUAL(out[2].first, 50);
    offers_clear(&offers);
}

/* Opens the state in a process of its own (the lock ends with it) and returns the status; the
 * key's short name goes to out_name. */
static enum status open_apart(const char *path, char out_name[IDENTITY_NAME_BYTES])
{
    struct {
        enum status status;
        char name[IDENTITY_NAME_BYTES];
    } answer = {.status = STATUS_COUNT};
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct identity identity;
        struct sequence sequence;
        answer.status = state_dir_open(path, &identity, &sequence);
        if (answer.status == STATUS_OK) {
            identity_name(identity.public_key, answer.name);
        }
        _exit(write(ends[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
    }
    CU_ASSERT_EQUAL(read(ends[0], &answer, sizeof answer), sizeof answer);
    CU_ASSERT_EQUAL(waitpid(child, NULL, 0), child);
    (void)close(ends[0]);
    (void)close(ends[1]);
    memcpy(out_name, answer.name, IDENTITY_NAME_BYTES);
    return answer.status;
}

static void state_is_made_once_and_locked(void)
{
    char first[IDENTITY_NAME_BYTES];
    char second[IDENTITY_NAME_BYTES];
    char other[IDENTITY_NAME_BYTES];
    struct identity identity;
    struct sequence sequence;
    struct stat facts;
    scratch_begin();
    CU_ASSERT_EQUAL(open_apart(scratch_path("a/b/state"), first), STATUS_OK);
    CU_ASSERT_EQUAL(stat(scratch_path("a/b/state/identity.key"), &facts), 0);
    CU_ASSERT_EQUAL(facts.st_mode & 07777U, 0600);
    CU_ASSERT_EQUAL(open_apart(scratch_path("a/b/state"), second), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(first, second);
    CU_ASSERT_EQUAL(open_apart(scratch_path("other"), other), STATUS_OK);
    CU_ASSERT_STRING_NOT_EQUAL(first, other);
    CU_ASSERT_EQUAL(state_dir_open(scratch_path("a/b/state"), &identity, &sequence), STATUS_OK);
    CU_ASSERT_EQUAL(open_apart(scratch_path("a/b/state"), second), STATUS_UNAVAILABLE);
    uint8_t key[IDENTITY_KEY_BYTES]; /* while somebody holds the lock */
    CU_ASSERT_EQUAL(state_dir_key(scratch_path("a/b/state"), key), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(key, identity.public_key, sizeof key), 0);
    identity_wipe(&identity);
    CU_ASSERT_EQUAL(chmod(scratch_path("other/identity.key"), 0644), 0);
    CU_ASSERT_EQUAL(open_apart(scratch_path("other"), other), STATUS_REFUSED);
    scratch_write_text("file", "x");
    CU_ASSERT_EQUAL(state_dir_open(scratch_path("file"), &identity, &sequence),
                    STATUS_CANNOT_CREATE);
    scratch_end();
}

static void state_without_a_path_lies_where_the_system_says(void)
{
    char name[IDENTITY_NAME_BYTES];
    struct identity identity;
    struct sequence sequence;
    scratch_begin();
    CU_ASSERT_EQUAL(setenv("XDG_STATE_HOME", scratch_path("xdg"), 1), 0);
    CU_ASSERT_EQUAL(setenv("HOME", scratch_path("home"), 1), 0);
    CU_ASSERT_EQUAL(open_apart(NULL, name), STATUS_OK);
    CU_ASSERT_TRUE(files_exists(scratch_path("xdg/dugnad/identity.key")));
    CU_ASSERT_FALSE(files_exists(scratch_path("home")));
    CU_ASSERT_EQUAL(setenv("XDG_STATE_HOME", "relative", 1), 0); /* the standard: ignore it */
    CU_ASSERT_EQUAL(open_apart(NULL, name), STATUS_OK);
    CU_ASSERT_TRUE(files_exists(scratch_path("home/.local/state/dugnad/identity.key")));
    CU_ASSERT_EQUAL(unsetenv("XDG_STATE_HOME"), 0);
    CU_ASSERT_EQUAL(unsetenv("HOME"), 0);
    CU_ASSERT_EQUAL(state_dir_open(NULL, &identity, &sequence), STATUS_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--state"));
    scratch_end();
}

static int stderr_kept = -1;

/* Sends stderr to scratch/stderr until capture_end. */
static void capture_begin(void)
{
    int fd = open(scratch_path("stderr"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    stderr_kept = dup(STDERR_FILENO);
    CU_ASSERT_FATAL(fd >= 0 && stderr_kept >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    (void)close(fd);
}

/* What came, as text; the caller frees it. */
static char *capture_end(void)
{
    size_t size_bytes = 0;
    (void)fflush(stderr);
    CU_ASSERT_FATAL(dup2(stderr_kept, STDERR_FILENO) >= 0);
    (void)close(stderr_kept);
    return (char *)scratch_read("stderr", &size_bytes);
}

static void rate_is_measured_over_two_seconds(void)
{
    struct progress progress;
    progress_init(&progress, 1000);
    progress_count(&progress, 100, 1500);
    CU_ASSERT(progress.tokens_per_s == 0.0);
    progress_count(&progress, 300, 3000);
    CU_ASSERT(progress.tokens_per_s == 200.0);
    progress_count(&progress, 50, 4999);
    CU_ASSERT(progress.tokens_per_s == 200.0);
    progress_count(&progress, 50, 5000);
    CU_ASSERT(progress.tokens_per_s == 50.0);
    CU_ASSERT_EQUAL(progress.tokens, 500);
    progress_count(&progress, 0, 9000);
    CU_ASSERT(progress.tokens_per_s == 0.0);
}

static void terminal_line_is_rewritten_at_most_four_times_a_second(void)
{
    struct progress progress;
    scratch_begin();
    capture_begin();
    progress_init(&progress, 1000);
    progress.terminal = true;
    progress_show(&progress, "waiting", 1000);
    progress_show(&progress, "hidden", 1249);
    progress_step(&progress, 7, 2.5);
    progress_show(&progress, "computing", 1250);
    progress_break(&progress);
    progress_break(&progress);
    char *text = capture_end();
    CU_ASSERT_STRING_EQUAL(
        text, "\r\033[Kstep 0  loss -  0 tokens/s here  0 tokens given  waiting"
              "\r\033[Kstep 7  loss 2.5000  0 tokens/s here  0 tokens given  computing\n");
    free(text);
    scratch_end();
}

static void log_gets_a_line_for_each_step(void)
{
    struct progress progress;
    scratch_begin();
    capture_begin();
    progress_init(&progress, 1000);
    progress.terminal = false;
    progress_show(&progress, "waiting", 9000);
    progress_step(&progress, 7, 2.5);
    progress_break(&progress);
    char *text = capture_end();
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "event=step step=7 loss=2.5000 tokens=0"));
    CU_ASSERT_PTR_NULL(strstr(text, "waiting"));
    free(text);
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(offers_stay_until_they_are_dropped),
        SUITE_TEST(every_chunk_of_an_offer_brings_its_proof),
        SUITE_TEST(samples_of_all_offers_are_sorted_and_merged),
        SUITE_TEST(state_is_made_once_and_locked),
        SUITE_TEST(state_without_a_path_lies_where_the_system_says),
        SUITE_TEST(rate_is_measured_over_two_seconds),
        SUITE_TEST(terminal_line_is_rewritten_at_most_four_times_a_second),
        SUITE_TEST(log_gets_a_line_for_each_step),
    };
    return suite_run("peer_daemon", tests, sizeof tests / sizeof tests[0]);
}
