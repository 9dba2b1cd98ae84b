#include "common/fault.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/tokenizer/tokenizer.h"

static void bytes_encode_to_themselves_and_back(void)
{
    struct tokenizer *tokenizer = NULL;
    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &tokenizer), STATUS_OK);
    CU_ASSERT_EQUAL(tokenizer_vocab_size(tokenizer), 256);
    CU_ASSERT_STRING_EQUAL(tokenizer_name(tokenizer), "bytes");
    uint8_t text[256];
    for (unsigned i = 0; i < 256; i++) {
        text[i] = (uint8_t)(255 - i);
    }
    uint16_t *tokens = NULL;
    size_t count = 0;
    CU_ASSERT_EQUAL(tokenizer_encode(tokenizer, text, sizeof text, &tokens, &count), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, 256);
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        const uint8_t *bytes = tokenizer_bytes_of(tokenizer, tokens[i], &length);
        CU_ASSERT_EQUAL(length, 1);
        CU_ASSERT_EQUAL(bytes[0], text[i]);
        CU_ASSERT_EQUAL(tokens[i], text[i]);
    }
    free(tokens);
    CU_ASSERT_EQUAL(tokenizer_encode(tokenizer, NULL, 0, &tokens, &count), STATUS_OK);
    CU_ASSERT_EQUAL(count, 0);
    free(tokens);
    size_t length = 7;
    (void)tokenizer_bytes_of(tokenizer, 256, &length);
    CU_ASSERT_EQUAL(length, 0);
    tokenizer_free(tokenizer);
}

static void written_files_are_read_as_folder_and_as_file(void)
{
    struct tokenizer *tokenizer = NULL;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &tokenizer), STATUS_OK);
    CU_ASSERT_EQUAL(tokenizer_write(tokenizer, scratch_folder), STATUS_OK);
    tokenizer_free(tokenizer);
    CU_ASSERT_TRUE(files_exists(scratch_path("tokenizer_config.json")));
    CU_ASSERT_EQUAL(tokenizer_new(scratch_folder, &tokenizer), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(tokenizer_name(tokenizer), "bytes");
    tokenizer_free(tokenizer);
    CU_ASSERT_EQUAL(tokenizer_new(scratch_path("tokenizer.json"), &tokenizer), STATUS_OK);
    tokenizer_free(tokenizer);
    scratch_end();
}

/* Writes the good file with the first `from` replaced, of the same length. */
static enum status read_changed(const char *from, const char *to)
{
    size_t size_bytes = 0;
    char *text = (char *)scratch_read("tokenizer.json", &size_bytes);
    char *place = strstr(text, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    CU_ASSERT_EQUAL_FATAL(strlen(from), strlen(to));
    memcpy(place, to, strlen(to));
    scratch_write("changed.json", text, size_bytes);
    free(text);
    struct tokenizer *tokenizer = NULL;
    enum status status = tokenizer_new(scratch_path("changed.json"), &tokenizer);
    tokenizer_free(tokenizer);
    return status;
}

static void tokenizer_that_encodes_otherwise_is_refused(void)
{
    struct tokenizer *tokenizer = NULL;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &tokenizer), STATUS_OK);
    CU_ASSERT_EQUAL(tokenizer_write(tokenizer, scratch_folder), STATUS_OK);
    tokenizer_free(tokenizer);
    CU_ASSERT_EQUAL(read_changed("\"version\": \"1.0\"", "\"version\": \"1.1\""), STATUS_OK);
    CU_ASSERT_EQUAL(read_changed("\"a\": 97", "\"a\": 98"), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(read_changed("\"merges\": []", "\"merges\": 12"), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(read_changed("\"BPE\"", "\"BPX\""), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(read_changed("ByteLevel", "ByteLever"), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(read_changed("\"add_prefix_space\": false", "\"add_prefix_space\": true "),
                    STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(read_changed("\"normalizer\": null", "\"normalizer\": \"x\" "),
                    STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(read_changed("{", "["), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "changed.json"));
    CU_ASSERT_EQUAL(tokenizer_new(scratch_path("none"), &tokenizer), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NULL(tokenizer);
    scratch_end();
}

/* GPT-2's characters: a space is U+0120, a new line U+010A, byte 255 is itself. */
static void vocabulary_uses_gpt2_characters(void)
{
    struct tokenizer *tokenizer = NULL;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &tokenizer), STATUS_OK);
    CU_ASSERT_EQUAL(tokenizer_write(tokenizer, scratch_folder), STATUS_OK);
    tokenizer_free(tokenizer);
    size_t size_bytes = 0;
    char *text = (char *)scratch_read("tokenizer.json", &size_bytes);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"\xc4\xa0\": 32"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"\xc4\x8a\": 10"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"\xc4\x80\": 0"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"\xc5\x83\": 173"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"\xc3\xbf\": 255"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"\\\"\": 34"));
    free(text);
    scratch_end();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(bytes_encode_to_themselves_and_back),
        SUITE_TEST(written_files_are_read_as_folder_and_as_file),
        SUITE_TEST(tokenizer_that_encodes_otherwise_is_refused),
        SUITE_TEST(vocabulary_uses_gpt2_characters),
    };
    return suite_run("tokenizer", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
