#include "common/fault.h"
#include "common/random.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/data/dataset.h"
#include "trainer/data/ingest/data_build.h"

#include <jansson.h>

enum { TEXT_BYTES = 40000, TOKENS_ROOM = 3 * TEXT_BYTES, END_ID = 260 };

/* The byte tokenizer's vocabulary, three merges on top of it, and an end-of-text token. */
static void write_tokenizer(const char *folder)
{
    static const char *const MORE[] = {"\xc4\xa0t", "he", "\xc4\xa0the", "in", "<|endoftext|>"};
    struct tokenizer *bytes = NULL;
    char path[FILES_PATH_MAX];
    json_error_t error;
    CU_ASSERT_EQUAL_FATAL(files_make_folder(scratch_path(folder)), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &bytes), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(tokenizer_write(bytes, scratch_path(folder)), STATUS_OK);
    tokenizer_free(bytes);
    CU_ASSERT_EQUAL(files_join(scratch_path(folder), "tokenizer.json", path), STATUS_OK);
    json_t *root = json_load_file(path, 0, &error);
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    CU_ASSERT_EQUAL_FATAL(json_object_size(vocab), 256);
    for (json_int_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(json_object_set_new(vocab, MORE[i], json_integer(256 + i)), 0);
    }
    CU_ASSERT_EQUAL(remove(path), 0);
    CU_ASSERT_EQUAL(files_join(scratch_path(folder), "tokenizer_config.json", path), STATUS_OK);
    CU_ASSERT_EQUAL(remove(path), 0);
    CU_ASSERT_EQUAL(files_join(scratch_path(folder), "vocab.json", path), STATUS_OK);
    CU_ASSERT_EQUAL(json_dump_file(vocab, path, 0), 0);
    json_decref(root);
    CU_ASSERT_EQUAL(files_join(scratch_path(folder), "merges.txt", path), STATUS_OK);
    static const char MERGES[] = "#version: 0.2\n\xc4\xa0 t\nh e\n\xc4\xa0t he\ni n\n";
    CU_ASSERT_EQUAL(files_write_atomic(path, MERGES, sizeof MERGES - 1, 0644), STATUS_OK);
}

/* Words, white space of all kinds, characters of several bytes and bytes that are no UTF-8. */
static void make_text(uint8_t *out, size_t length, uint64_t seed)
{
    static const char *const PARTS[] = {
        " the", "in",    "  ",   "\n",  "\n\n\n", "\xc3\xa5\xe2\x82\xac",
        "'s",   "12345", "\xff", "...", "other",  "\t "};
    size_t at = 0;
    for (uint64_t i = seed; at < length; i++) {
        const char *part = PARTS[random_mix(i) % (sizeof PARTS / sizeof PARTS[0])];
        for (; *part != '\0' && at < length; part++) {
            out[at++] = (uint8_t)*part;
        }
    }
}

static void append_expected(const struct tokenizer *tokenizer, const uint8_t *text, size_t length,
                            uint16_t *out, size_t *count)
{
    uint16_t *ids = NULL;
    size_t id_count = 0;
    CU_ASSERT_EQUAL_FATAL(tokenizer_encode(tokenizer, text, length, &ids, &id_count), STATUS_OK);
    CU_ASSERT_FATAL(id_count < TOKENS_ROOM - *count);
    memcpy(out + *count, ids, id_count * sizeof *ids);
    *count += id_count;
    out[(*count)++] = END_ID;
    free(ids);
}

static void expect_ids(const struct pipeline_options *options, const uint16_t *expected,
                       size_t expected_count)
{
    struct pipeline *pipeline = NULL;
    struct pipeline_piece piece;
    size_t count = 0;
    bool found = true;
    CU_ASSERT_EQUAL_FATAL(pipeline_new(options, &pipeline), STATUS_OK);
    while (found) {
        CU_ASSERT_EQUAL_FATAL(pipeline_next(pipeline, &piece, &found), STATUS_OK);
        if (found) {
            CU_ASSERT_FATAL(piece.count <= expected_count - count);
            CU_ASSERT_EQUAL(memcmp(piece.ids, expected + count, piece.count * sizeof *expected), 0);
            count += piece.count;
        }
    }
    CU_ASSERT_EQUAL(count, expected_count);
    pipeline_free(pipeline);
}

static void write_documents_as_json(const char *name, const uint8_t *text, size_t length,
                                    size_t each)
{
    FILE *out = fopen(scratch_path(name), "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    for (size_t at = 0; at < length; at += each) {
        (void)fputs("{\"text\":\"", out);
        for (size_t i = at; i < at + each && i < length; i++) {
            if (text[i] < 0x20) {
                (void)fprintf(out, "\\u%04x", text[i]);
            } else {
                (void)fputc(text[i], out);
            }
        }
        (void)fputs("\"}\n", out);
    }
    CU_ASSERT_EQUAL(fclose(out), 0);
}

/* However the text is cut and by whom it is encoded: the ids are those of whole documents. */
static void pieces_give_the_ids_of_whole_documents(void)
{
    struct tokenizer *tokenizer = NULL;
    struct random random;
    uint8_t *text = malloc(TEXT_BYTES);
    uint16_t *expected = calloc(TOKENS_ROOM, sizeof *expected);
    size_t count = 0;
    CU_ASSERT_FATAL(text != NULL && expected != NULL);
    scratch_begin();
    write_tokenizer("tok");
    CU_ASSERT_EQUAL_FATAL(tokenizer_new(scratch_path("tok"), &tokenizer), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(tokenizer_end_id(tokenizer), END_ID);
    make_text(text, TEXT_BYTES, 1);
    scratch_write("a.txt", text, TEXT_BYTES);
    append_expected(tokenizer, text, TEXT_BYTES, expected, &count);
    scratch_write("empty.txt", text, 0);
    write_documents_as_json("b.jsonl", text, TEXT_BYTES, 777);
    for (size_t at = 0; at < TEXT_BYTES; at += 777) {
        size_t rest = TEXT_BYTES - at;
        append_expected(tokenizer, text + at, rest < 777 ? rest : 777, expected, &count);
    }
    const char *files[] = {scratch_path("a.txt"), scratch_path("empty.txt"),
                           scratch_path("b.jsonl")};
    random_init(&random, 5, 0);
    for (size_t i = 0; i < 20; i++) {
        struct pipeline_options options = {
            .files = files,
            .file_count = 3,
            .piece_bytes = 1 + random_next(&random) % (i < 10 ? 100 : 5000),
            .encoder = {.tokenizer = tokenizer, .field = "text", .separate = true},
            .threads = 1 + i % 4};
        expect_ids(&options, expected, count);
    }
    tokenizer_free(tokenizer);
    scratch_end();
    free(expected);
    free(text);
}

static void data_keeps_its_tokenizer(void)
{
    struct data_build_result result;
    struct tokenizer *tokenizer = NULL;
    struct dataset *data = NULL;
    uint8_t text[6000];
    char out_folder[FILES_PATH_MAX];
    scratch_begin();
    write_tokenizer("tok");
    make_text(text, sizeof text, 9);
    scratch_write("a.txt", text, sizeof text);
    (void)snprintf(out_folder, sizeof out_folder, "%s", scratch_path("d"));
    const char *files[] = {scratch_path("a.txt")};
    struct data_build_options options = {.tokenizer_spec = scratch_path("tok"),
                                         .out_folder = out_folder,
                                         .files = files,
                                         .file_count = 1,
                                         .field = "text",
                                         .validation_fraction = 0.2,
                                         .shard_tokens_max = 1 << 20,
                                         .seed = 1};
    CU_ASSERT_EQUAL_FATAL(data_build(&options, &result), STATUS_OK);
    CU_ASSERT_TRUE(result.train_tokens + result.validation_tokens < sizeof text);
    CU_ASSERT_EQUAL_FATAL(dataset_open(out_folder, DATASET_TRAIN, &data), STATUS_OK);
    CU_ASSERT_EQUAL(dataset_vocab_size(data), END_ID + 1);
    CU_ASSERT_EQUAL(strncmp(dataset_tokenizer_name(data), "bpe-", 4), 0);
    CU_ASSERT_EQUAL_FATAL(dataset_tokenizer_new(out_folder, &tokenizer), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(tokenizer_name(tokenizer), dataset_tokenizer_name(data));
    CU_ASSERT_EQUAL(tokenizer_end_id(tokenizer), END_ID);
    tokenizer_free(tokenizer);
    dataset_close(data);

    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &tokenizer), STATUS_OK);
    CU_ASSERT_EQUAL(tokenizer_write(tokenizer, out_folder), STATUS_OK);
    tokenizer_free(tokenizer);
    CU_ASSERT_EQUAL(dataset_tokenizer_new(out_folder, &tokenizer), STATUS_CORRUPT);
    CU_ASSERT_PTR_NULL(tokenizer);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "is bytes with 256 tokens"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "bpe-"));
    scratch_end();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(pieces_give_the_ids_of_whole_documents),
        SUITE_TEST(data_keeps_its_tokenizer),
    };
    return suite_run("data_bpe", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
