#include "common/fault.h"
#include "common/random.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/data/dataset.h"
#include "trainer/data/ingest/data_build.h"
#include "trainer/data/manifest.h"

#include <unistd.h>

enum { TEXT_BYTES = 60000 };

/* Text without repetitions: a block is found back by its bytes. */
static void write_text(const char *name, size_t first, size_t size_bytes)
{
    uint8_t *text = malloc(size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (size_t i = 0; i < size_bytes; i++) {
        text[i] = (uint8_t)random_mix(first + i);
    }
    scratch_write(name, text, size_bytes);
    free(text);
}

static enum status build(const char *folder, size_t shard_tokens, uint64_t seed,
                         struct data_build_result *out)
{
    char text[FILES_PATH_MAX];
    char more[FILES_PATH_MAX];
    char out_folder[FILES_PATH_MAX];
    (void)snprintf(text, sizeof text, "%s", scratch_path("a.txt"));
    (void)snprintf(more, sizeof more, "%s", scratch_path("b.txt"));
    (void)snprintf(out_folder, sizeof out_folder, "%s", scratch_path(folder));
    const char *files[] = {text, more};
    struct data_build_options options = {.tokenizer_spec = "bytes",
                                         .out_folder = out_folder,
                                         .files = files,
                                         .file_count = files_exists(more) ? 2 : 1,
                                         .validation_fraction = 0.1,
                                         .shard_tokens_max = shard_tokens,
                                         .seed = seed};
    return data_build(&options, out);
}

static uint16_t *read_split(const char *folder, enum dataset_split split, size_t *out_count)
{
    struct dataset *data = NULL;
    CU_ASSERT_EQUAL_FATAL(dataset_open(scratch_path(folder), split, &data), STATUS_OK);
    *out_count = (size_t)dataset_token_count(data);
    uint16_t *tokens = calloc(*out_count + 1, sizeof *tokens);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokens);
    dataset_read(data, 0, *out_count, tokens);
    dataset_close(data);
    return tokens;
}

/* Every token of the text is in exactly one split, in the order of the text. */
static void splits_are_disjoint_and_cover_the_text(void)
{
    struct data_build_result result;
    scratch_begin();
    write_text("a.txt", 0, 41000);
    write_text("b.txt", 41000, TEXT_BYTES - 41000);
    CU_ASSERT_EQUAL_FATAL(build("d", 10000, 1, &result), STATUS_OK);
    CU_ASSERT_EQUAL(result.text_bytes, TEXT_BYTES);
    CU_ASSERT_EQUAL(result.train_tokens + result.validation_tokens, TEXT_BYTES);
    CU_ASSERT_TRUE(result.validation_tokens > TEXT_BYTES / 20);
    CU_ASSERT_TRUE(result.validation_tokens < TEXT_BYTES / 5);
    size_t counts[2];
    uint16_t *splits[2] = {read_split("d", DATASET_TRAIN, &counts[0]),
                           read_split("d", DATASET_VALIDATION, &counts[1])};
    CU_ASSERT_EQUAL_FATAL(counts[0] + counts[1], TEXT_BYTES);
    /* Blocks are 60000 / (4 / 0.1) = 1500 tokens: each is the next one of one of the splits. */
    size_t used[2] = {0, 0};
    size_t current = 0;
    size_t changes = 0;
    for (size_t i = 0; i < TEXT_BYTES; i += 1500) {
        uint16_t block[1500];
        for (size_t j = 0; j < 1500; j++) {
            block[j] = (uint8_t)random_mix(i + j);
        }
        bool in_split[2];
        for (size_t k = 0; k < 2; k++) {
            in_split[k] = used[k] + 1500 <= counts[k] &&
                          memcmp(splits[k] + used[k], block, sizeof block) == 0;
        }
        CU_ASSERT_NOT_EQUAL_FATAL(in_split[0], in_split[1]);
        changes += in_split[current] ? 0 : 1;
        current = in_split[0] ? 0 : 1;
        used[current] += 1500;
    }
    CU_ASSERT_TRUE(changes > 2);
    free(splits[0]);
    free(splits[1]);
    scratch_end();
}

static void build_is_repeatable_and_seeded(void)
{
    struct data_build_result result;
    scratch_begin();
    write_text("a.txt", 0, TEXT_BYTES);
    CU_ASSERT_EQUAL_FATAL(build("d1", 7777, 1, &result), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(build("d2", 7777, 1, &result), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(build("d3", 7777, 2, &result), STATUS_OK);
    size_t sizes[3];
    uint8_t *manifests[3] = {scratch_read("d1/manifest.json", &sizes[0]),
                             scratch_read("d2/manifest.json", &sizes[1]),
                             scratch_read("d3/manifest.json", &sizes[2])};
    CU_ASSERT_STRING_EQUAL((char *)manifests[0], (char *)manifests[1]);
    CU_ASSERT_STRING_NOT_EQUAL((char *)manifests[0], (char *)manifests[2]);
    for (size_t i = 0; i < 3; i++) {
        free(manifests[i]);
    }
    scratch_end();
}

/* The cut into files and shards does not show in the tokens. */
static void reads_span_shards(void)
{
    struct data_build_result result;
    scratch_begin();
    write_text("a.txt", 0, TEXT_BYTES);
    CU_ASSERT_EQUAL_FATAL(build("one", 1 << 20, 1, &result), STATUS_OK);
    CU_ASSERT_EQUAL(result.shard_count, 2);
    CU_ASSERT_EQUAL_FATAL(build("many", 999, 1, &result), STATUS_OK);
    CU_ASSERT_TRUE(result.shard_count > 50);
    size_t count = 0;
    uint16_t *whole = read_split("one", DATASET_TRAIN, &count);
    struct dataset *data = NULL;
    CU_ASSERT_EQUAL_FATAL(dataset_open(scratch_path("many"), DATASET_TRAIN, &data), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(dataset_token_count(data), count);
    CU_ASSERT_EQUAL(dataset_vocab_size(data), 256);
    CU_ASSERT_STRING_EQUAL(dataset_tokenizer_name(data), "bytes");
    uint16_t window[2500];
    for (size_t first = 0; first + 2500 <= count; first += 83) {
        dataset_read(data, first, 2500, window);
        CU_ASSERT_EQUAL_FATAL(memcmp(window, whole + first, sizeof window), 0);
    }
    dataset_read(data, count, 0, window);
    dataset_read(data, count - 1, 1, window);
    CU_ASSERT_EQUAL(window[0], whole[count - 1]);
    dataset_close(data);
    free(whole);
    scratch_end();
}

static void damaged_shards_are_named(void)
{
    struct data_build_result result;
    struct dataset *data = NULL;
    scratch_begin();
    write_text("a.txt", 0, TEXT_BYTES);
    CU_ASSERT_EQUAL_FATAL(build("d", 20000, 1, &result), STATUS_OK);
    size_t size_bytes = 0;
    uint8_t *shard = scratch_read("d/train-00001.bin", &size_bytes);
    shard[size_bytes / 2] ^= 1;
    scratch_write("d/train-00001.bin", shard, size_bytes);
    CU_ASSERT_EQUAL(dataset_open(scratch_path("d"), DATASET_TRAIN, &data), STATUS_CORRUPT);
    CU_ASSERT_PTR_NULL(data);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "train-00001.bin"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "build the data again"));
    CU_ASSERT_EQUAL(dataset_open(scratch_path("d"), DATASET_VALIDATION, &data), STATUS_OK);
    dataset_close(data);
    shard[size_bytes / 2] ^= 1;
    scratch_write("d/train-00001.bin", shard, size_bytes - 2);
    CU_ASSERT_EQUAL(dataset_open(scratch_path("d"), DATASET_TRAIN, &data), STATUS_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "train-00001.bin"));
    CU_ASSERT_EQUAL(unlink(scratch_path("d/train-00001.bin")), 0);
    CU_ASSERT_EQUAL(dataset_open(scratch_path("d"), DATASET_TRAIN, &data), STATUS_NO_INPUT);
    scratch_write("d/train-00001.bin", shard, size_bytes);
    CU_ASSERT_EQUAL(dataset_open(scratch_path("d"), DATASET_TRAIN, &data), STATUS_OK);
    dataset_close(data);
    free(shard);
    scratch_end();
}

#define ZERO_HEX "0000000000000000000000000000000000000000000000000000000000000000"
#define SPLITS(train) "\"splits\":{\"train\":" train ",\"validation\":{\"tokens\":0,\"shards\":[]}}"
#define MANIFEST(file, tokens, sum)                                                                \
    "{\"format\":\"dugnad-data-1\",\"tokenizer\":\"bytes\",\"vocab_size\":256," SPLITS(            \
        "{\"tokens\":" sum ",\"shards\":[{\"file\":\"" file "\",\"tokens\":" tokens                \
        ",\"blake2b\":\"" ZERO_HEX "\"}]}") "}"

static void hostile_manifests_are_refused(void)
{
    static const char *const CASES[] = {
        "",
        "[]",
        "{}",
        MANIFEST("../x.bin", "1", "1"),
        MANIFEST("/etc/passwd", "1", "1"),
        MANIFEST("a/b", "1", "1"),
        MANIFEST("..", "1", "1"),
        MANIFEST(".hidden", "1", "1"),
        MANIFEST("", "1", "1"),
        MANIFEST("a\\u0000b", "1", "1"),
        MANIFEST("0123456789012345678901234567890123456789012345678901234567890123", "1", "1"),
        MANIFEST("x.bin", "-1", "-1"),
        MANIFEST("x.bin", "0", "0"),
        MANIFEST("x.bin", "1.5", "1"),
        MANIFEST("x.bin", "9223372036854775807", "9223372036854775807"),
        MANIFEST("x.bin", "9223372036854775808", "1"),
        MANIFEST("x.bin", "99999999999999999999999", "1"),
        MANIFEST("x.bin", "2", "3"),
        "{\"format\":\"dugnad-data-2\",\"tokenizer\":\"bytes\",\"vocab_size\":256," SPLITS(
            "{\"tokens\":0,\"shards\":[]}") "}",
        "{\"format\":\"dugnad-data-1\",\"tokenizer\":\"../x\",\"vocab_size\":256," SPLITS(
            "{\"tokens\":0,\"shards\":[]}") "}",
        "{\"format\":\"dugnad-data-1\",\"tokenizer\":\"bytes\",\"vocab_size\":0," SPLITS(
            "{\"tokens\":0,\"shards\":[]}") "}",
        "{\"format\":\"dugnad-data-1\",\"tokenizer\":\"bytes\",\"vocab_size\":65537," SPLITS(
            "{\"tokens\":0,\"shards\":[]}") "}",
        "{\"format\":\"dugnad-data-1\",\"tokenizer\":\"bytes\",\"vocab_size\":256," SPLITS(
            "{\"tokens\":0,\"shards\":{}}") "}",
        "{\"format\":\"dugnad-data-1\",\"tokenizer\":\"bytes\",\"vocab_size\":256,"
        "\"splits\":{\"train\":{\"tokens\":0,\"shards\":[]}}}",
        "{\"format\":\"dugnad-data-1\",\"tokenizer\":\"bytes\",\"vocab_size\":256," SPLITS(
            "{\"tokens\":1,\"shards\":[{\"file\":\"x\",\"tokens\":1,\"blake2b\":\"00\"}]}") "}",
    };
    struct manifest manifest;
    scratch_begin();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        scratch_write_text("manifest.json", CASES[i]);
        enum status status = manifest_read(scratch_folder, &manifest);
        if (status != STATUS_BAD_DATA) {
            printf("case %zu: %s\n", i, status_text(status));
        }
        CU_ASSERT_EQUAL(status, STATUS_BAD_DATA);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "manifest.json"));
    }
    scratch_write_text("manifest.json", MANIFEST("x.bin", "7", "7"));
    CU_ASSERT_EQUAL(manifest_read(scratch_folder, &manifest), STATUS_OK);
    CU_ASSERT_EQUAL(manifest.splits[DATASET_TRAIN].token_count, 7);
    manifest_deinit(&manifest);
    scratch_end();
}

static void ids_outside_of_the_vocabulary_are_refused(void)
{
    static const uint16_t IDS[4] = {0, 9, 10, 3};
    struct manifest manifest = {.tokenizer = "bytes", .vocab_size = 11};
    struct manifest_shard shard = {.file = "x.bin", .token_count = 4};
    struct dataset *data = NULL;
    scratch_begin();
    scratch_write("x.bin", IDS, sizeof IDS);
    shard.digest = digest_of(IDS, sizeof IDS);
    CU_ASSERT_EQUAL(manifest_add_shard(&manifest, DATASET_TRAIN, &shard), STATUS_OK);
    CU_ASSERT_EQUAL(manifest_write(&manifest, scratch_folder), STATUS_OK);
    CU_ASSERT_EQUAL(dataset_open(scratch_folder, DATASET_TRAIN, &data), STATUS_OK);
    dataset_close(data);
    manifest.vocab_size = 10;
    CU_ASSERT_EQUAL(manifest_write(&manifest, scratch_folder), STATUS_OK);
    CU_ASSERT_EQUAL(dataset_open(scratch_folder, DATASET_TRAIN, &data), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "token id 10"));
    manifest_deinit(&manifest);
    scratch_end();
}

static void manifest_digest_is_the_files(void)
{
    struct data_build_result result;
    struct dataset *data = NULL;
    scratch_begin();
    write_text("a.txt", 0, TEXT_BYTES);
    CU_ASSERT_EQUAL_FATAL(build("d", 20000, 1, &result), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(dataset_open(scratch_path("d"), DATASET_TRAIN, &data), STATUS_OK);
    size_t size_bytes = 0;
    uint8_t *text = scratch_read("d/manifest.json", &size_bytes);
    struct digest expected = digest_of(text, size_bytes);
    struct digest found = dataset_manifest_digest(data);
    CU_ASSERT_TRUE(digest_equal(&expected, &found));
    free(text);
    dataset_close(data);
    CU_ASSERT_TRUE(files_exists(scratch_path("d/tokenizer.json")));
    scratch_end();
}

static void short_texts_get_both_splits_or_a_sentence(void)
{
    struct data_build_result result;
    scratch_begin();
    for (uint64_t seed = 0; seed < 20; seed++) {
        char folder[32];
        (void)snprintf(folder, sizeof folder, "d%d", (int)seed);
        write_text("a.txt", 0, 2560 + 100 * (size_t)seed); /* 4 / 0.1 blocks of 64 */
        CU_ASSERT_EQUAL(build(folder, 100000, seed, &result), STATUS_OK);
        CU_ASSERT_TRUE(result.validation_tokens > 130 && result.train_tokens > 1500);
    }
    write_text("a.txt", 0, 2559);
    CU_ASSERT_EQUAL(build("short", 100000, 1, &result), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "at least 2560"));
    CU_ASSERT_FALSE(files_exists(scratch_path("short/manifest.json")));
    scratch_write_text("a.txt", "");
    CU_ASSERT_EQUAL(build("empty", 100000, 1, &result), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "empty"));
    scratch_end();
}

static void build_refuses_before_it_writes(void)
{
    struct data_build_result result;
    scratch_begin();
    CU_ASSERT_EQUAL(build("d", 100, 1, &result), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "a.txt"));
    CU_ASSERT_FALSE(files_exists(scratch_path("d")));
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("a.txt")), STATUS_OK);
    CU_ASSERT_EQUAL(build("d", 100, 1, &result), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "is a folder"));
    CU_ASSERT_EQUAL(rmdir(scratch_path("a.txt")), 0);
    write_text("a.txt", 0, TEXT_BYTES);
    CU_ASSERT_EQUAL(build("d", 0, 1, &result), STATUS_USAGE);
    CU_ASSERT_EQUAL(build("d", 100000, 1, &result), STATUS_OK);
    CU_ASSERT_EQUAL(build("d", 100000, 1, &result), STATUS_CANNOT_CREATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "holds data already"));
    scratch_end();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(splits_are_disjoint_and_cover_the_text),
        SUITE_TEST(build_is_repeatable_and_seeded),
        SUITE_TEST(reads_span_shards),
        SUITE_TEST(damaged_shards_are_named),
        SUITE_TEST(hostile_manifests_are_refused),
        SUITE_TEST(ids_outside_of_the_vocabulary_are_refused),
        SUITE_TEST(manifest_digest_is_the_files),
        SUITE_TEST(short_texts_get_both_splits_or_a_sentence),
        SUITE_TEST(build_refuses_before_it_writes),
    };
    return suite_run("data", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
