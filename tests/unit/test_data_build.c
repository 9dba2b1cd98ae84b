#include "common/fault.h"
#include "common/random.h"
#include "tests/unit/packed.h"
#include "tests/unit/suite.h"
#include "trainer/data/dataset.h"
#include "trainer/data/ingest/data_build.h"

#include <dirent.h>

enum { LINES = 4000, TEXT_ROOM = 1 << 20 };

/* What one build was asked for; zeroed fields are the defaults. */
struct wish {
    const char *folder;
    const char *files[4]; /* names in the scratch folder, up to a NULL */
    size_t threads;
    size_t piece_bytes;
    bool no_separator;
    const char *field;
    void (*on_progress)(void *, const struct data_build_progress *);
    void *progress_context;
};

static enum status build(const struct wish *wish, struct data_build_result *out)
{
    char paths[4][FILES_PATH_MAX];
    char out_folder[FILES_PATH_MAX];
    const char *files[4];
    size_t count = 0;
    for (; count < 4 && wish->files[count] != NULL; count++) {
        (void)snprintf(paths[count], sizeof paths[count], "%s", scratch_path(wish->files[count]));
        files[count] = paths[count];
    }
    (void)snprintf(out_folder, sizeof out_folder, "%s", scratch_path(wish->folder));
    struct data_build_options options = {.tokenizer_spec = "bytes",
                                         .out_folder = out_folder,
                                         .files = files,
                                         .file_count = count,
                                         .field = wish->field != NULL ? wish->field : "text",
                                         .no_separator = wish->no_separator,
                                         .validation_fraction = 0.1,
                                         .shard_tokens_max = 50000,
                                         .seed = 3,
                                         .threads = wish->threads,
                                         .piece_bytes = wish->piece_bytes,
                                         .on_progress = wish->on_progress,
                                         .progress_context = wish->progress_context};
    return data_build(&options, out);
}

/* The manifest names every shard's hash: equal manifests are equal data. */
static void expect_same_data(const char *left, const char *right)
{
    char name[64];
    size_t sizes[2];
    (void)snprintf(name, sizeof name, "%s/manifest.json", left);
    uint8_t *a = scratch_read(name, &sizes[0]);
    (void)snprintf(name, sizeof name, "%s/manifest.json", right);
    uint8_t *b = scratch_read(name, &sizes[1]);
    CU_ASSERT_STRING_EQUAL((char *)a, (char *)b);
    free(a);
    free(b);
}

static size_t shards_in(const char *folder)
{
    size_t count = 0;
    DIR *entries = opendir(scratch_path(folder));
    if (entries == NULL) {
        return 0;
    }
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(entries);
    return count;
}

/* LINES documents as JSON lines, and the text that the byte tokenizer makes of them. */
struct documents {
    char json[TEXT_ROOM];
    size_t json_length;
    char text[TEXT_ROOM];
    size_t text_length;
};

static void add(char *text, size_t *length, const char *more)
{
    size_t more_length = strlen(more);
    CU_ASSERT_FATAL(more_length < TEXT_ROOM - *length);
    memcpy(text + *length, more, more_length);
    *length += more_length;
}

static struct documents *make_documents(void)
{
    static const char *const PARTS[][2] = {{"plain words ", "plain words "},
                                           {"bl\\u00e5 ", "bl\xc3\xa5 "},
                                           {"\\n", "\n"},
                                           {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
                                           {"\\\"", "\""}};
    struct documents *self = calloc(1, sizeof *self);
    CU_ASSERT_PTR_NOT_NULL_FATAL(self);
    for (uint64_t i = 0; i < LINES; i++) {
        add(self->json, &self->json_length, i % 7 == 0 ? "\r\n{\"text\": \"" : "{\"text\":\"");
        uint64_t parts = i % 50 == 0 ? 0 : 1 + random_mix(i) % 12; /* 0: an empty document */
        for (uint64_t j = 0; j < parts; j++) {
            const char *const *part = PARTS[random_mix(i * 100 + j) % 5];
            add(self->json, &self->json_length, part[0]);
            add(self->text, &self->text_length, part[1]);
        }
        add(self->json, &self->json_length, i % 3 == 0 ? "\",\"n\":[1]}\r\n" : "\"}\n");
        add(self->text, &self->text_length, parts > 0 ? "\n" : "");
    }
    return self;
}

static void output_is_the_same_for_any_threads_and_cuts(void)
{
    static const size_t THREADS[] = {1, 2, 5};
    struct documents *documents = make_documents();
    struct data_build_result result;
    struct random random;
    scratch_begin();
    random_init(&random, 11, 0);
    scratch_write("a.jsonl", documents->json, documents->json_length);
    scratch_write("b.txt", documents->text, documents->text_length);
    scratch_write("c.txt", documents->text, 1);
    struct wish wish = {.folder = "d0", .files = {"b.txt", "a.jsonl", "c.txt", "b.txt"}};
    CU_ASSERT_EQUAL_FATAL(build(&wish, &result), STATUS_OK);
    for (size_t i = 0; i < 9; i++) {
        char folder[32];
        (void)snprintf(folder, sizeof folder, "d%zu", i + 1);
        wish.folder = folder;
        wish.threads = THREADS[i % 3];
        wish.piece_bytes = 50 + random_next(&random) % 20000;
        CU_ASSERT_EQUAL_FATAL(build(&wish, &result), STATUS_OK);
        expect_same_data("d0", folder);
    }
    scratch_end();
    free(documents);
}

/* A text beyond the size that is held back, so that tokens are placed while more are read. */
static void output_of_a_large_text_is_the_same_for_any_threads(void)
{
    enum { SIZE = 9 << 20 };
    struct data_build_result result;
    uint8_t *text = malloc(SIZE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (size_t i = 0; i < SIZE; i++) {
        text[i] = (uint8_t)random_mix(i);
    }
    scratch_begin();
    scratch_write("a.txt", text, SIZE);
    struct wish wish = {.folder = "d0", .files = {"a.txt"}, .threads = 1};
    CU_ASSERT_EQUAL_FATAL(build(&wish, &result), STATUS_OK);
    CU_ASSERT_EQUAL(result.text_bytes, SIZE);
    CU_ASSERT_EQUAL(result.train_tokens + result.validation_tokens, SIZE);
    wish = (struct wish){.folder = "d1", .files = {"a.txt"}, .threads = 3, .piece_bytes = 100001};
    CU_ASSERT_EQUAL_FATAL(build(&wish, &result), STATUS_OK);
    expect_same_data("d0", "d1");
    scratch_end();
    free(text);
}

static void every_source_gives_the_same_data(void)
{
    struct documents *documents = make_documents();
    struct packed *packed = calloc(1, sizeof *packed);
    struct data_build_result result;
    CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
    scratch_begin();
    scratch_write("a.txt", documents->text, documents->text_length);
    packed_add_gzip(packed, documents->text, 1000);
    packed_add_gzip(packed, documents->text + 1000, documents->text_length - 1000);
    scratch_write("b.txt.gz", packed->data, packed->length);
    packed->length = 0;
    packed_add_zstd(packed, documents->text, documents->text_length, 0);
    scratch_write("c.txt.zst", packed->data, packed->length);
    scratch_write("d.jsonl", documents->json, documents->json_length);
    packed->length = 0;
    packed_add_gzip(packed, documents->json, documents->json_length);
    scratch_write("e.ndjson.gz", packed->data, packed->length);
    packed->length = 0;
    packed_add_zstd(packed, documents->json, documents->json_length, 0);
    scratch_write("f.jsonl.zst", packed->data, packed->length);
    static const char *const NAMES[] = {"a.txt",   "b.txt.gz",    "c.txt.zst",
                                        "d.jsonl", "e.ndjson.gz", "f.jsonl.zst"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char folder[32];
        (void)snprintf(folder, sizeof folder, "d%zu", i);
        struct wish wish = {
            .folder = folder, .files = {NAMES[i]}, .threads = 2, .piece_bytes = 5000};
        CU_ASSERT_EQUAL_FATAL(build(&wish, &result), STATUS_OK);
        CU_ASSERT_EQUAL(result.train_tokens + result.validation_tokens, documents->text_length);
        expect_same_data("d0", folder);
    }
    scratch_end();
    free(packed);
    free(documents);
}

static void separators_can_be_left_out(void)
{
    struct data_build_result result;
    char json[20000];
    size_t length = 0;
    scratch_begin();
    for (size_t i = 0; i < 500; i++) {
        length += (size_t)snprintf(json + length, sizeof json - length, "{\"t\":\"%010zu\"}\n", i);
    }
    scratch_write("a.jsonl", json, length);
    struct wish wish = {.folder = "with", .files = {"a.jsonl"}, .field = "t"};
    CU_ASSERT_EQUAL_FATAL(build(&wish, &result), STATUS_OK);
    CU_ASSERT_EQUAL(result.train_tokens + result.validation_tokens, 500 * 11);
    CU_ASSERT_EQUAL(result.text_bytes, 5000);
    wish.folder = "without";
    wish.no_separator = true;
    CU_ASSERT_EQUAL_FATAL(build(&wish, &result), STATUS_OK);
    CU_ASSERT_EQUAL(result.train_tokens + result.validation_tokens, 500 * 10);
    scratch_end();
}

/* An error far into the text, met by different threads: one sentence, and nothing is left. */
static void errors_name_the_line_and_leave_no_shards(void)
{
    static const struct {
        const char *line;
        const char *words;
    } CASES[] = {
        {"{\"text\":\"x\"\n", "a.jsonl:4001: the object has no end"},
        {"{\"body\":\"x\"}\n", "a.jsonl:4001: the object has no field \"text\""},
        {"{\"text\":7}\n", "a.jsonl:4001: the field \"text\" is no string"},
        {"not json\n", "a.jsonl:4001: it is not a JSON object"},
    };
    struct data_build_result result;
    char *json = malloc(TEXT_ROOM);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    scratch_begin();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        size_t length = 0;
        for (size_t j = 0; j < 4000; j++) {
            add(json, &length, j % 2 == 0 ? "{\"text\":\"some words to encode\"}\n" : "\n");
        }
        add(json, &length, CASES[i].line);
        for (size_t j = 0; j < 4000; j++) {
            add(json, &length, "{\"text\":1}\n"); /* errors too, but later ones */
        }
        scratch_write("a.jsonl", json, length);
        for (size_t threads = 1; threads < 6; threads += 2) {
            struct wish wish = {.folder = "d",
                                .files = {"a.jsonl"},
                                .threads = threads,
                                .piece_bytes = 300 + 50 * threads};
            CU_ASSERT_EQUAL(build(&wish, &result), STATUS_BAD_DATA);
            if (strstr(fault_text(), CASES[i].words) == NULL) {
                printf("case %zu: %s\n", i, fault_text());
                CU_FAIL("the sentence says something else");
            }
            CU_ASSERT_EQUAL(shards_in("d"), 0);
        }
    }
    scratch_end();
    free(json);
}

/* By then shards are written: they must go. */
static void a_cut_off_file_leaves_no_shards(void)
{
    enum { SIZE = 6 << 20 };
    struct packed *packed = calloc(1, sizeof *packed);
    struct data_build_result result;
    char *text = malloc(SIZE);
    CU_ASSERT_FATAL(packed != NULL && text != NULL);
    memset(text, 'x', SIZE);
    scratch_begin();
    packed_add_zstd(packed, text, SIZE, 0);
    scratch_write("a.txt.zst", packed->data, packed->length - 1);
    struct wish wish = {.folder = "d", .files = {"a.txt.zst"}, .threads = 2};
    CU_ASSERT_EQUAL(build(&wish, &result), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "a.txt.zst ends after"));
    CU_ASSERT_EQUAL(shards_in("d"), 0);
    scratch_end();
    free(text);
    free(packed);
}

struct seen {
    struct data_build_progress last;
    size_t calls;
    size_t shards_max;
};

static void see(void *context, const struct data_build_progress *now)
{
    struct seen *seen = context;
    size_t shards = shards_in("d");
    CU_ASSERT_TRUE(now->input_bytes >= seen->last.input_bytes);
    CU_ASSERT_TRUE(now->token_count >= seen->last.token_count);
    seen->shards_max = shards > seen->shards_max ? shards : seen->shards_max;
    seen->last = *now;
    seen->calls++;
}

static void progress_reaches_the_whole(void)
{
    enum { SIZE = 6 << 20 };
    struct seen seen = {.calls = 0};
    struct data_build_result result;
    char *text = malloc(SIZE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'x', SIZE);
    scratch_begin();
    scratch_write("a.txt", text, SIZE);
    struct wish wish = {.folder = "d",
                        .files = {"a.txt"},
                        .threads = 2,
                        .on_progress = see,
                        .progress_context = &seen};
    CU_ASSERT_EQUAL(build(&wish, &result), STATUS_OK);
    CU_ASSERT_TRUE(seen.calls >= 12);
    CU_ASSERT_TRUE(seen.shards_max > 1); /* tokens are written while text is read */
    CU_ASSERT_EQUAL(seen.last.input_total, SIZE);
    CU_ASSERT_EQUAL(seen.last.input_bytes, SIZE);
    CU_ASSERT_EQUAL(seen.last.token_count, SIZE);
    CU_ASSERT_EQUAL(seen.last.token_count, result.train_tokens + result.validation_tokens);
    CU_ASSERT_EQUAL(result.input_bytes, SIZE);
    scratch_end();
    free(text);
}

static void another_tokenizer_in_the_folder_is_refused(void)
{
    struct data_build_result result;
    struct tokenizer *tokenizer = NULL;
    char text[6000];
    scratch_begin();
    memset(text, 'x', sizeof text);
    scratch_write("a.txt", text, sizeof text);
    struct wish wish = {.folder = "d", .files = {"a.txt"}};
    CU_ASSERT_EQUAL_FATAL(build(&wish, &result), STATUS_OK);
    CU_ASSERT_EQUAL(dataset_tokenizer_new(scratch_path("d"), &tokenizer), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(tokenizer_name(tokenizer), "bytes");
    tokenizer_free(tokenizer);
    size_t size_bytes = 0;
    char *manifest = (char *)scratch_read("d/manifest.json", &size_bytes);
    char *name = strstr(manifest, "\"bytes\"");
    CU_ASSERT_PTR_NOT_NULL_FATAL(name);
    memcpy(name, "\"bytez\"", 7);
    scratch_write("d/manifest.json", manifest, size_bytes);
    free(manifest);
    CU_ASSERT_EQUAL(dataset_tokenizer_new(scratch_path("d"), &tokenizer), STATUS_CORRUPT);
    CU_ASSERT_PTR_NULL(tokenizer);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "bytez"));
    scratch_end();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(output_is_the_same_for_any_threads_and_cuts),
        SUITE_TEST(output_of_a_large_text_is_the_same_for_any_threads),
        SUITE_TEST(every_source_gives_the_same_data),
        SUITE_TEST(separators_can_be_left_out),
        SUITE_TEST(errors_name_the_line_and_leave_no_shards),
        SUITE_TEST(a_cut_off_file_leaves_no_shards),
        SUITE_TEST(progress_reaches_the_whole),
        SUITE_TEST(another_tokenizer_in_the_folder_is_refused),
    };
    return suite_run("data_build", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
