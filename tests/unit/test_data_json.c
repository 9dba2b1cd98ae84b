#include "common/random.h"
#include "tests/unit/suite.h"
#include "trainer/data/ingest/json_line.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MUTATIONS = 60000, LINE_MAX_BYTES = 512 };

/* On its own memory of the exact size, so that a sanitizer sees a step too far. */
static enum status find(const char *line, size_t length, const char *field, char *out,
                        size_t *out_length)
{
    struct json_line_text text;
    uint8_t *copy = malloc(length > 0 ? length : 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, line, length);
    enum status status = json_line_find(copy, length, field, &text);
    *out_length = 0;
    if (status == STATUS_OK) {
        CU_ASSERT_FATAL(text.length <= length);
        memcpy(out, text.data, text.length);
        *out_length = text.length;
    }
    CU_ASSERT_TRUE((status == STATUS_BAD_DATA) == (text.why != NULL));
    free(copy);
    return status;
}

static void find_gives_the_text(void)
{
    static const struct {
        const char *line;
        const char *text;
    } CASES[] = {
        {"{\"text\":\"hello\"}", "hello"},
        {" {\t\"text\" : \"hello\" } \r\n", "hello"},
        {"{\"a\":[1,{\"text\":\"x\"},[]],\"text\":\"y\",\"b\":{}}", "y"},
        {"{\"text\":\"first\",\"text\":\"last\"}", "last"},
        {"{\"text\":\"\"}", ""},
        {"{\"te\\u0078t\":\"y\"}", "y"},
        {"{\"text\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t"},
        {"{\"text\":\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\uD83D\\uDE00z\"}",
         "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf0\x9f\x98\x80z"},
        {"{\"text\":\"bl\xc3\xa5 \xff\"}", "bl\xc3\xa5 \xff"},
        {"{\"text\":1,\"text\":\"y\",\"n\":[-0,0.5e-3,1E+9,-12.0,true,false,null]}", "y"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[LINE_MAX_BYTES];
        size_t length = 0;
        CU_ASSERT_EQUAL(find(CASES[i].line, strlen(CASES[i].line), "text", text, &length),
                        STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(length, strlen(CASES[i].text));
        CU_ASSERT_EQUAL(memcmp(text, CASES[i].text, length), 0);
    }
    char text[LINE_MAX_BYTES];
    size_t length = 0;
    static const char NUL_LINE[] = "{\"text\":\"a\\u0000b\"}";
    CU_ASSERT_EQUAL(find(NUL_LINE, sizeof NUL_LINE - 1, "text", text, &length), STATUS_OK);
    CU_ASSERT_EQUAL(length, 3);
    CU_ASSERT_EQUAL(memcmp(text, "a\0b", 3), 0);
}

static void find_says_what_is_missing(void)
{
    char text[LINE_MAX_BYTES];
    size_t length = 0;
    CU_ASSERT_EQUAL(find("{}", 2, "text", text, &length), STATUS_NO_INPUT);
    CU_ASSERT_EQUAL(find("{\"texts\":\"\"}", 12, "text", text, &length), STATUS_NO_INPUT);
    CU_ASSERT_EQUAL(find("{\"text\":null}", 13, "text", text, &length), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(find("{\"text\":[\"x\"]}", 14, "text", text, &length), STATUS_BAD_SHAPE);
    CU_ASSERT_EQUAL(find("{\"text\":\"x\",\"text\":2}", 21, "text", text, &length),
                    STATUS_BAD_SHAPE);
}

static void find_refuses_what_is_no_object(void)
{
    static const char *const CASES[] = {
        "",
        "hello",
        "[]",
        "\"text\"",
        "{",
        "{]",
        "{\"text\"}",
        "{\"text\":}",
        "{\"text\":\"x\"",
        "{\"text\":\"x",
        "{\"text\":\"x\\",
        "{\"text\":\"x\\u12",
        "{\"text\":\"x\"}}",
        "{\"text\":\"x\"} {}",
        "{\"text\":\"x\",}",
        "{\"text\":\"x\" \"a\":1}",
        "{text:\"x\"}",
        "{'text':'x'}",
        "{\"text\":\"\\x\"}",
        "{\"text\":\"\\ud83d\"}",
        "{\"text\":\"\\ude00\"}",
        "{\"text\":\"\\ud83d\\u0041\"}",
        "{\"text\":\"\\ud83dxxxxxx\"}",
        "{\"text\":\"a\tb\"}",
        "{\"text\":\"x\",\"n\":01}",
        "{\"text\":\"x\",\"n\":-}",
        "{\"text\":\"x\",\"n\":1.}",
        "{\"text\":\"x\",\"n\":1e}",
        "{\"text\":\"x\",\"n\":+1}",
        "{\"text\":\"x\",\"n\":nul}",
        "{\"text\":\"x\",\"n\":truefalse}",
        "{\"text\":\"x\",\"n\":[1,]}",
        "{\"text\":\"x\",\"n\":[1 2]}",
        "{\"text\":\"x\",\"n\":{\"a\":1,}}",
        "{\"text\":\"x\",\"n\":{\"a\"}}",
        "{\"text\":\"x\",\"n\":[}",
        "{\"text\":\"x\",\"n\":[}]}",
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[LINE_MAX_BYTES];
        size_t length = 0;
        enum status status = find(CASES[i], strlen(CASES[i]), "text", text, &length);
        if (status != STATUS_BAD_DATA) {
            printf("case %zu: %s\n", i, CASES[i]);
        }
        CU_ASSERT_EQUAL(status, STATUS_BAD_DATA);
    }
}

static void nesting_has_a_limit(void)
{
    enum { MORE = 5 };
    char line[64 + 2 * (JSON_LINE_DEPTH_MAX + MORE)];
    for (size_t depth = 1; depth < JSON_LINE_DEPTH_MAX + MORE; depth++) {
        char text[LINE_MAX_BYTES];
        size_t length = 0;
        int begun = snprintf(line, sizeof line, "{\"text\":\"x\",\"n\":");
        memset(line + begun, '[', depth);
        memset(line + begun + depth, ']', depth);
        line[(size_t)begun + 2 * depth] = '}';
        CU_ASSERT_EQUAL(find(line, (size_t)begun + 2 * depth + 1, "text", text, &length),
                        depth <= JSON_LINE_DEPTH_MAX ? STATUS_OK : STATUS_BAD_DATA);
        CU_ASSERT_EQUAL(find(line, (size_t)begun + depth, "text", text, &length), STATUS_BAD_DATA);
    }
}

/* What jansson says of the same line. */
static enum status find_with_jansson(const char *line, size_t length, char *out, size_t *out_length)
{
    json_error_t error;
    json_t *root = json_loadb(line, length, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    const json_t *text = json_object_get(root, "text");
    enum status status = STATUS_OK;
    *out_length = 0;
    if (!json_is_object(root)) {
        status = STATUS_BAD_DATA;
    } else if (text == NULL) {
        status = STATUS_NO_INPUT;
    } else if (!json_is_string(text)) {
        status = STATUS_BAD_SHAPE;
    } else {
        *out_length = json_string_length(text);
        memcpy(out, json_string_value(text), *out_length);
    }
    json_decref(root);
    return status;
}

/* Lines with a few bytes changed: whatever jansson says of them, we say. */
static void find_agrees_with_jansson(void)
{
    static const char *const SEEDS[] = {
        "{\"text\":\"a\\u00e9\\ud83d\\ude00\\n\",\"id\":12,\"meta\":{\"x\":[1.5e3,null,true]}}",
        "{\"a\":[[],{},{\"b\":[false,-1]}],\"text\":\"\\\"q\\\\\",\"n\":0}",
        "{\"text\":1,\"te\\u0078t\":\"later\", \"z\" : [ 1 , 2 ] }",
    };
    static const char BYTES[] = "{}[]:,\"\\u0019aefnrtdD83.+- \tx";
    struct random random;
    size_t counts[STATUS_COUNT] = {0};
    random_init(&random, 7, 0);
    for (size_t i = 0; i < MUTATIONS; i++) {
        char line[LINE_MAX_BYTES];
        char ours[LINE_MAX_BYTES];
        char theirs[LINE_MAX_BYTES];
        const char *seed = SEEDS[i % 3];
        size_t length = strlen(seed);
        memcpy(line, seed, length);
        for (uint64_t changes = 1 + random_next(&random) % 3; changes > 0; changes--) {
            line[random_next(&random) % length] = BYTES[random_next(&random) % (sizeof BYTES - 1)];
        }
        size_t our_length = 0;
        size_t their_length = 0;
        enum status our_status = find(line, length, "text", ours, &our_length);
        enum status their_status = find_with_jansson(line, length, theirs, &their_length);
        if (our_status != their_status) {
            printf("%.*s: %s, jansson: %s\n", (int)length, line, status_text(our_status),
                   status_text(their_status));
        }
        CU_ASSERT_EQUAL_FATAL(our_status, their_status);
        CU_ASSERT_EQUAL_FATAL(our_length, their_length);
        CU_ASSERT_EQUAL(memcmp(ours, theirs, our_length), 0);
        counts[our_status]++;
    }
    CU_ASSERT_TRUE(counts[STATUS_OK] > 1000 && counts[STATUS_BAD_DATA] > 1000);
    CU_ASSERT_TRUE(counts[STATUS_NO_INPUT] > 100 && counts[STATUS_BAD_SHAPE] > 100);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(find_gives_the_text),
        SUITE_TEST(find_says_what_is_missing),
        SUITE_TEST(find_refuses_what_is_no_object),
        SUITE_TEST(nesting_has_a_limit),
        SUITE_TEST(find_agrees_with_jansson),
    };
    return suite_run("data_json", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
