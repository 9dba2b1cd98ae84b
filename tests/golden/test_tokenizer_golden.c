/* Token ids must be those that Hugging Face's library gave: see tokenizer/README.md.
 *
 *   test_tokenizer_golden FOLDER NAME [SPEC]   (SPEC: the tokenizer, default FOLDER/NAME.json) */
#include "common/fault.h"
#include "common/files.h"
#include "trainer/tokenizer/tokenizer.h"

#include <CUnit/Basic.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;
static const char *name;
static struct tokenizer *tokenizer;
static uint8_t *text;
static size_t text_length;

static int load(const char *spec)
{
    char path[FILES_PATH_MAX];
    char file[64];
    (void)snprintf(file, sizeof file, "%.50s.json", name);
    enum status status = files_join(folder, "text.txt", path);
    if (status == STATUS_OK) {
        status = files_read(path, 1 << 20, &text, &text_length);
    }
    if (status == STATUS_OK) {
        status = files_join(folder, file, path);
    }
    if (status == STATUS_OK) {
        status = tokenizer_new(spec != NULL ? spec : path, &tokenizer);
    }
    return status == STATUS_OK ? 0 : fault_report("test_tokenizer_golden", status);
}

static json_t *read_expected(void)
{
    char path[FILES_PATH_MAX];
    CU_ASSERT_EQUAL_FATAL(files_join(folder, "ids.json", path), STATUS_OK);
    return json_load_file(path, 0, NULL);
}

static void encode_golden_text_equals_hugging_face(void)
{
    uint16_t *ids = NULL;
    size_t count = 0;
    json_t *root = read_expected();
    const json_t *expected = json_object_get(root, name);
    CU_ASSERT_EQUAL_FATAL(tokenizer_encode(tokenizer, text, text_length, &ids, &count), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, json_array_size(expected));
    CU_ASSERT_TRUE(count > text_length / 4);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL_FATAL(ids[i], json_integer_value(json_array_get(expected, i)));
    }
    free(ids);
    json_decref(root);
}

static void decode_encoded_text_is_the_text(void)
{
    uint16_t *ids = NULL;
    size_t count = 0;
    size_t at = 0;
    CU_ASSERT_EQUAL_FATAL(tokenizer_encode(tokenizer, text, text_length, &ids, &count), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        const uint8_t *bytes = tokenizer_bytes_of(tokenizer, ids[i], &length);
        CU_ASSERT_TRUE_FATAL(length > 0 && at + length <= text_length);
        CU_ASSERT_TRUE(memcmp(bytes, text + at, length) == 0);
        at += length;
    }
    CU_ASSERT_EQUAL(at, text_length);
    free(ids);
}

/* "Hello world, I'll be back" is known from GPT-2's authors' files. */
static void encode_known_sentence_equals_known_ids(void)
{
    static const uint16_t known[] = {15496, 995, 11, 314, 1183, 307, 736};
    static const char sentence[] = "Hello world, I'll be back";
    uint16_t *ids = NULL;
    size_t count = 0;
    CU_ASSERT_EQUAL(tokenizer_vocab_size(tokenizer), 50257);
    CU_ASSERT_EQUAL(tokenizer_end_id(tokenizer), 50256);
    CU_ASSERT_EQUAL(tokenizer_merge_count(tokenizer), 50000);
    CU_ASSERT_EQUAL_FATAL(
        tokenizer_encode(tokenizer, (const uint8_t *)sentence, sizeof sentence - 1, &ids, &count),
        STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, sizeof known / sizeof known[0]);
    CU_ASSERT_TRUE(memcmp(ids, known, sizeof known) == 0);
    free(ids);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 4) {
        (void)fprintf(stderr, "use: test_tokenizer_golden FOLDER NAME [SPEC]\n");
        return 64;
    }
    folder = argv[1];
    name = argv[2];
    int code = load(argc == 4 ? argv[3] : NULL);
    if (code != 0) {
        return code;
    }
    if (CU_initialize_registry() != CUE_SUCCESS) {
        return 70;
    }
    CU_pSuite suite = CU_add_suite("tokenizer_golden", NULL, NULL);
    if (suite == NULL ||
        CU_add_test(suite, "ids", encode_golden_text_equals_hugging_face) == NULL ||
        CU_add_test(suite, "back", decode_encoded_text_is_the_text) == NULL ||
        (strcmp(name, "gpt2") == 0 &&
         CU_add_test(suite, "known", encode_known_sentence_equals_known_ids) == NULL)) {
        return 70;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    (void)CU_basic_run_tests();
    code = CU_get_number_of_failures() != 0 || CU_get_number_of_asserts() == 0;
    CU_cleanup_registry();
    tokenizer_free(tokenizer);
    free(text);
    return code;
}
