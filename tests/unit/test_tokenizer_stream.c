/* Cutting and encoding: streams, bytes that are not UTF-8, threads, long words, and ASCII's fast
 * way against PCRE2. */
#include "common/clock.h"
#include "common/random.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "tests/unit/tokenizer_fixture.h"
#include "trainer/tokenizer/pattern.h"

#include <pthread.h>

enum { TEXT_MAX = 1 << 13, ROUNDS = 60 };

static const char *const PARTS[] = {" ",
                                    "  ",
                                    "\n",
                                    "\r\n",
                                    "\t",
                                    "\v",
                                    "\xc2\xa0",
                                    "\xe3\x80\x80",
                                    "\xe1\xa0\x8e",
                                    "\xe2\x80\xa8",
                                    "'",
                                    "'s",
                                    "'LL",
                                    "'re",
                                    "'\xc5\xbf",
                                    "the",
                                    "Cat",
                                    "x",
                                    "12",
                                    "3456",
                                    "\xd9\xa3",
                                    "\xc3\xa9",
                                    "e\xcc\x81",
                                    "\xe6\x97\xa5\xe6\x9c\xac",
                                    "\xf0\x9f\x91\x8d",
                                    "\xe2\x80\x8d",
                                    ".",
                                    "!?",
                                    "--",
                                    "{",
                                    "_",
                                    "$",
                                    FIXTURE_END,
                                    "<|endof",
                                    "<",
                                    "\x01",
                                    "\x7f",
                                    "\xe2\x84\xaa",
                                    "\xe2\x93\x90"};
static const char *const BROKEN[] = {"\xff",         "\xe6\x97", "\xf0\x9f",        "\xc0\xaf",
                                     "\xed\xa0\x80", "\x80",     "\xf4\x90\x80\x80"};

/* Random text of the parts above, with broken UTF-8 among it if wanted. */
static size_t make_text(struct random *random, uint8_t *out, bool broken)
{
    size_t length = 0;
    size_t wanted = random_below(random, 400);
    while (length < wanted) {
        bool pick_broken = broken && random_below(random, 8) == 0;
        const char *part = pick_broken
                               ? BROKEN[random_below(random, sizeof BROKEN / sizeof BROKEN[0])]
                               : PARTS[random_below(random, sizeof PARTS / sizeof PARTS[0])];
        memcpy(out + length, part, strlen(part));
        length += strlen(part);
    }
    return length;
}

/* Feeds text in random parts, as a reader of a stream does. */
static struct fixture_ids encode_stream(const struct tokenizer *tokenizer, struct random *random,
                                        const uint8_t *text, size_t length)
{
    struct fixture_ids all = {.ids = calloc(length + 1, sizeof(uint16_t))};
    size_t begin = 0;
    size_t end = 0;
    while (begin < length) {
        end += random_below(random, 12);
        end = end < length ? end : length;
        size_t taken = end == length ? length - begin
                                     : tokenizer_safe_length(tokenizer, text + begin, end - begin);
        CU_ASSERT_TRUE_FATAL(taken <= end - begin);
        struct fixture_ids part = fixture_encode(tokenizer, text + begin, taken);
        memcpy(all.ids + all.count, part.ids, part.count * sizeof *part.ids);
        all.count += part.count;
        free(part.ids);
        begin += taken;
    }
    return all;
}

static void check_streams(const struct tokenizer *tokenizer)
{
    static uint8_t text[TEXT_MAX];
    struct random random;
    random_init(&random, 11, 0);
    for (int round = 0; round < 10 * ROUNDS; round++) {
        size_t length = make_text(&random, text, round % 2 == 1);
        struct fixture_ids whole = fixture_encode(tokenizer, text, length);
        struct fixture_ids parts = encode_stream(tokenizer, &random, text, length);
        CU_ASSERT_TRUE(fixture_ids_equal(&whole, &parts));
        free(whole.ids);
        free(parts.ids);
    }
}

static struct tokenizer *train(enum bpe_trainer_pattern pattern)
{
    return fixture_train(FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1, pattern, 700);
}

/* The tokenizer with another pattern, through its file. */
static struct tokenizer *with_pattern(const struct tokenizer *tokenizer, const char *split)
{
    static const char before[] = "\"pre_tokenizer\": {";
    struct tokenizer *changed = NULL;
    size_t size_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(tokenizer_write(tokenizer, scratch_folder), STATUS_OK);
    char *text = (char *)scratch_read("tokenizer.json", &size_bytes);
    char *place = strstr(text, before);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    const char *after = strstr(place, "\"post_processor\"");
    CU_ASSERT_PTR_NOT_NULL_FATAL(after);
    char *made = malloc(size_bytes + strlen(split) + 512);
    *place = '\0';
    (void)sprintf(made,
                  "%s\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
                  "\"Split\", \"pattern\": {\"Regex\": \"%s\"}, \"behavior\": \"Isolated\"}, "
                  "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}, "
                  "%s",
                  text, split, after);
    scratch_write_text("changed.json", made);
    CU_ASSERT_EQUAL_FATAL(tokenizer_new(scratch_path("changed.json"), &changed), STATUS_OK);
    free(made);
    free(text);
    return changed;
}

static void stream_in_random_parts_equals_whole_text(void)
{
    struct tokenizer *gpt2 = train(BPE_TRAINER_GPT2);
    struct tokenizer *cl100k = train(BPE_TRAINER_CL100K);
    check_streams(gpt2);
    check_streams(cl100k);
    tokenizer_free(gpt2);
    tokenizer_free(cl100k);
}

/* A pattern of its own that looks far ahead: letters are a word only when a sign comes at last. */
static void stream_with_unknown_pattern_equals_whole_text(void)
{
    struct tokenizer *gpt2 = train(BPE_TRAINER_GPT2);
    scratch_begin();
    struct tokenizer *other = with_pattern(gpt2, "[a-zC]+(?=[^!]*[!])|\\\\d|\\\\s+(?!\\\\S)");
    CU_ASSERT_PTR_NULL(tokenizer_pattern_name(other));
    CU_ASSERT_STRING_NOT_EQUAL(tokenizer_name(gpt2), tokenizer_name(other));
    check_streams(other);
    scratch_end();
    tokenizer_free(gpt2);
    tokenizer_free(other);
}

static void stream_of_words_is_encoded_as_it_comes(void)
{
    struct tokenizer *tokenizer = train(BPE_TRAINER_GPT2);
    static const char text[] = "one two three \xe6\x97";
    CU_ASSERT_EQUAL(tokenizer_safe_length(tokenizer, (const uint8_t *)text, 3), 0);
    CU_ASSERT_EQUAL(tokenizer_safe_length(tokenizer, (const uint8_t *)text, 4), 3);
    CU_ASSERT_EQUAL(tokenizer_safe_length(tokenizer, (const uint8_t *)text, 9), 7);
    CU_ASSERT_EQUAL(tokenizer_safe_length(tokenizer, (const uint8_t *)text, 16), 13);
    CU_ASSERT_EQUAL(tokenizer_safe_length(tokenizer, (const uint8_t *)"a<|endof", 8), 0);
    CU_ASSERT_EQUAL(tokenizer_safe_length(tokenizer, (const uint8_t *)"a<|endoftext|>", 14), 14);
    CU_ASSERT_EQUAL(tokenizer_safe_length(tokenizer, (const uint8_t *)"", 0), 0);
    tokenizer_free(tokenizer);
}

/* The same pattern, written so that it is not recognised, runs on PCRE2 alone. */
static void ascii_is_cut_as_pcre2_cuts_it(void)
{
    static uint8_t text[TEXT_MAX];
    const enum pattern_family families[] = {PATTERN_GPT2, PATTERN_CL100K, PATTERN_QWEN2};
    struct random random;
    random_init(&random, 3, 0);
    for (unsigned i = 0; i < sizeof families / sizeof families[0]; i++) {
        char regex[512];
        struct pattern *patterns[2] = {NULL, NULL};
        struct pattern_cursor cursors[2];
        (void)snprintf(regex, sizeof regex, "(?:%s)", pattern_regex(families[i]));
        CU_ASSERT_EQUAL_FATAL(pattern_new(pattern_regex(families[i]), &patterns[0]), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(pattern_new(regex, &patterns[1]), STATUS_OK);
        CU_ASSERT_EQUAL(pattern_family_of(patterns[0]), families[i]);
        CU_ASSERT_EQUAL(pattern_family_of(patterns[1]), PATTERN_OTHER);
        for (unsigned j = 0; j < 2; j++) {
            CU_ASSERT_EQUAL_FATAL(pattern_cursor_init(&cursors[j], patterns[j]), STATUS_OK);
        }
        for (int round = 0; round < 10 * ROUNDS; round++) {
            size_t length = make_text(&random, text, false);
            for (size_t at = 0, ends[2] = {0}; at < length; at = ends[0]) {
                CU_ASSERT_EQUAL(pattern_next(&cursors[0], text, length, at, &ends[0]), STATUS_OK);
                CU_ASSERT_EQUAL(pattern_next(&cursors[1], text, length, at, &ends[1]), STATUS_OK);
                CU_ASSERT_EQUAL_FATAL(ends[0], ends[1]);
                CU_ASSERT_TRUE_FATAL(ends[0] > at);
            }
        }
        for (unsigned j = 0; j < 2; j++) {
            pattern_cursor_deinit(&cursors[j]);
            pattern_free(patterns[j]);
        }
    }
}

/* Between x and y stand two of a character: two pieces when it is a space, else one. */
static void odd_spaces_are_those_of_unicode(void)
{
    static const struct {
        const char *character;
        bool is_space;
    } cases[] = {{"\t", true},
                 {"\v", true},
                 {"\xc2\x85", true},
                 {"\xc2\xa0", true},
                 {"\xe1\x9a\x80", true},
                 {"\xe2\x80\x80", true},
                 {"\xe2\x80\x8a", true},
                 {"\xe2\x80\xa8", true},
                 {"\xe2\x80\xa9", true},
                 {"\xe2\x80\xaf", true},
                 {"\xe2\x81\x9f", true},
                 {"\xe3\x80\x80", true},
                 {"\xe1\xa0\x8e", false},
                 {"\xe2\x80\x8b", false},
                 {"\xef\xbb\xbf", false},
                 {"\x1f", false},
                 {"\x1c", false}};
    struct pattern *pattern = NULL;
    struct pattern_cursor cursor;
    CU_ASSERT_EQUAL_FATAL(pattern_new(pattern_regex(PATTERN_GPT2), &pattern), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(pattern_cursor_init(&cursor, pattern), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[16];
        size_t end = 0;
        size_t one = strlen(cases[i].character);
        (void)snprintf(text, sizeof text, "x%s%sy", cases[i].character, cases[i].character);
        CU_ASSERT_EQUAL(pattern_next(&cursor, (uint8_t *)text, strlen(text), 1, &end), STATUS_OK);
        CU_ASSERT_EQUAL(end, 1 + (cases[i].is_space ? one : 2 * one));
    }
    pattern_cursor_deinit(&cursor);
    pattern_free(pattern);
}

static void random_bytes_come_back(void)
{
    static uint8_t bytes[TEXT_MAX];
    struct tokenizer *tokenizer = train(BPE_TRAINER_CL100K);
    struct random random;
    random_init(&random, 17, 0);
    for (int round = 0; round < ROUNDS; round++) {
        size_t length = random_below(&random, sizeof bytes);
        for (size_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)random_below(&random, round % 2 == 0 ? 256 : 128);
        }
        struct fixture_ids ids = fixture_encode(tokenizer, bytes, length);
        CU_ASSERT_TRUE(fixture_decodes_to(tokenizer, &ids, bytes, length));
        free(ids.ids);
    }
    tokenizer_free(tokenizer);
}

/* Each byte that begins no character is one token, and what is around it is cut there. */
static void broken_utf8_is_encoded_byte_by_byte(void)
{
    struct tokenizer *tokenizer = train(BPE_TRAINER_GPT2);
    static const char whole[] = " the\xe6\x97 the";
    struct fixture_ids ids = fixture_encode(tokenizer, whole, sizeof whole - 1);
    struct fixture_ids word = fixture_encode(tokenizer, " the", 4);
    CU_ASSERT_EQUAL_FATAL(word.count, 1);
    CU_ASSERT_EQUAL_FATAL(ids.count, 4);
    CU_ASSERT_EQUAL(ids.ids[0], word.ids[0]);
    CU_ASSERT_EQUAL(ids.ids[3], word.ids[0]);
    free(ids.ids);
    free(word.ids);
    tokenizer_free(tokenizer);
}

/* Quadratic work would take minutes. A long run of letters merges as its parts do. */
static void long_word_is_encoded_fast_and_right(void)
{
    enum { LONG = 1 << 20 };
    struct tokenizer *tokenizer = train(BPE_TRAINER_GPT2);
    uint8_t *text = malloc(LONG);
    for (size_t i = 0; i < LONG; i++) {
        text[i] = (uint8_t) "the"[i % 3];
    }
    uint64_t start_ms = clock_now_ms();
    struct fixture_ids ids = fixture_encode(tokenizer, text, LONG);
    CU_ASSERT_TRUE(clock_now_ms() - start_ms < 20000);
    CU_ASSERT_TRUE(fixture_decodes_to(tokenizer, &ids, text, LONG));
    struct fixture_ids word = fixture_encode(tokenizer, text, 60);
    CU_ASSERT_TRUE_FATAL(word.count < ids.count);
    CU_ASSERT_EQUAL(memcmp(ids.ids, word.ids, (word.count - 1) * sizeof *ids.ids), 0);
    free(ids.ids);
    free(word.ids);
    free(text);
    tokenizer_free(tokenizer);
}

struct work {
    const struct tokenizer *tokenizer;
    const struct fixture_ids *expected;
    int failures;
};

static void *encode_often(void *context)
{
    struct work *work = context;
    for (int i = 0; i < 200; i++) {
        uint16_t *ids = NULL;
        struct fixture_ids got = {0};
        if (tokenizer_encode(work->tokenizer, (const uint8_t *)FIXTURE_TEXT,
                             sizeof FIXTURE_TEXT - 1, &ids, &got.count) != STATUS_OK) {
            work->failures++;
            continue;
        }
        got.ids = ids;
        work->failures += !fixture_ids_equal(&got, work->expected);
        free(ids);
    }
    return NULL;
}

static void two_threads_share_a_tokenizer(void)
{
    struct tokenizer *tokenizer = train(BPE_TRAINER_CL100K);
    struct fixture_ids expected = fixture_encode(tokenizer, FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1);
    struct work work[2] = {{tokenizer, &expected, 0}, {tokenizer, &expected, 0}};
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, encode_often, &work[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], NULL), 0);
        CU_ASSERT_EQUAL(work[i].failures, 0);
    }
    free(expected.ids);
    tokenizer_free(tokenizer);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(stream_in_random_parts_equals_whole_text),
        SUITE_TEST(stream_with_unknown_pattern_equals_whole_text),
        SUITE_TEST(stream_of_words_is_encoded_as_it_comes),
        SUITE_TEST(ascii_is_cut_as_pcre2_cuts_it),
        SUITE_TEST(odd_spaces_are_those_of_unicode),
        SUITE_TEST(random_bytes_come_back),
        SUITE_TEST(broken_utf8_is_encoded_byte_by_byte),
        SUITE_TEST(long_word_is_encoded_fast_and_right),
        SUITE_TEST(two_threads_share_a_tokenizer),
    };
    return suite_run("tokenizer_stream", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
