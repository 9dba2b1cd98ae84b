/* Stop strings, and the making of valid text, both however the bytes are cut. */
#include "common/fault.h"
#include "common/random.h"
#include "suite.h"
#include "trainer/sampling/stop_text.h"
#include "trainer/sampling/terminal_text.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096 };

struct collected {
    char text[TEXT_MAX];
    size_t length;
};

static void collect(void *context, const uint8_t *bytes, size_t count)
{
    struct collected *self = context;
    CU_ASSERT_TRUE_FATAL(self->length + count < sizeof self->text);
    memcpy(self->text + self->length, bytes, count);
    self->length += count;
}

static struct stop_text *make(const char *first, const char *second)
{
    const char *stops[] = {first, second};
    struct stop_text *self = NULL;
    size_t count = first == NULL ? 0 : (second == NULL ? 1 : 2);
    CU_ASSERT_EQUAL_FATAL(stop_text_new(stops, count, &self), STATUS_OK);
    stop_text_begin(self);
    return self;
}

/* Puts a string as one token; returns all that came out so far. */
static const char *put(struct stop_text *self, struct collected *out, const char *text)
{
    const struct stop_sink sink = {out, collect};
    bool found = stop_text_put(self, (const uint8_t *)text, strlen(text), &sink);
    CU_ASSERT_EQUAL(found, stop_text_found(self) != NULL);
    out->text[out->length] = '\0';
    return out->text;
}

static const char *end(struct stop_text *self, struct collected *out)
{
    const struct stop_sink sink = {out, collect};
    stop_text_end(self, &sink);
    out->text[out->length] = '\0';
    return out->text;
}

static void stop_across_tokens_ends_the_text_before_it(void)
{
    struct collected out = {.length = 0};
    struct stop_text *self = make("\nUser:", NULL);
    CU_ASSERT_STRING_EQUAL(put(self, &out, "Hello"), "Hello");
    CU_ASSERT_STRING_EQUAL(put(self, &out, " you\nUs"), "Hello you");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "er: what"), "Hello you");
    CU_ASSERT_STRING_EQUAL(stop_text_found(self), "\nUser:");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "dropped"), "Hello you");
    CU_ASSERT_STRING_EQUAL(end(self, &out), "Hello you");
    stop_text_begin(self);
    CU_ASSERT_STRING_EQUAL(put(self, &out, "!"), "Hello you!");
    stop_text_free(self);
}

static void beginning_of_a_stop_is_held_back_until_decided(void)
{
    struct collected out = {.length = 0};
    struct stop_text *self = make("abcd", NULL);
    CU_ASSERT_STRING_EQUAL(put(self, &out, "xab"), "x");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "c"), "x");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "e"), "xabce");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "abc"), "xabce");
    CU_ASSERT_STRING_EQUAL(end(self, &out), "xabceabc");
    CU_ASSERT_PTR_NULL(stop_text_found(self));
    stop_text_free(self);
}

static void overlapping_prefixes_are_found(void)
{
    struct collected out = {.length = 0};
    struct stop_text *self = make("aab", NULL);
    CU_ASSERT_STRING_EQUAL(put(self, &out, "aaaa"), "aa");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "b"), "aa");
    CU_ASSERT_STRING_EQUAL(stop_text_found(self), "aab");
    stop_text_free(self);
    out.length = 0;
    self = make("abaabab", NULL); /* borders of several lengths */
    CU_ASSERT_STRING_EQUAL(put(self, &out, "abaabaabab"), "aba");
    CU_ASSERT_STRING_EQUAL(stop_text_found(self), "abaabab");
    stop_text_free(self);
}

static void first_complete_stop_wins_and_the_longest_of_equals(void)
{
    struct collected out = {.length = 0};
    struct stop_text *self = make("abcd", "bc");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "xabcd"), "xa");
    CU_ASSERT_STRING_EQUAL(stop_text_found(self), "bc");
    stop_text_free(self);
    out.length = 0;
    self = make("c", "abc");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "xab"), "x");
    CU_ASSERT_STRING_EQUAL(put(self, &out, "c"), "x");
    CU_ASSERT_STRING_EQUAL(stop_text_found(self), "abc");
    stop_text_free(self);
}

static void text_without_stops_passes_at_once(void)
{
    struct collected out = {.length = 0};
    struct stop_text *self = make(NULL, NULL);
    CU_ASSERT_STRING_EQUAL(put(self, &out, "any"), "any");
    CU_ASSERT_STRING_EQUAL(end(self, &out), "any");
    stop_text_free(self);
}

static void stops_out_of_range_are_refused(void)
{
    char longest[STOP_BYTES_MAX + 3] = {0};
    memset(longest, 'a', STOP_BYTES_MAX + 1);
    const char *stops[STOP_COUNT_MAX + 1] = {""};
    struct stop_text *self = NULL;
    CU_ASSERT_EQUAL(stop_text_new(stops, 1, &self), STATUS_USAGE);
    CU_ASSERT_PTR_NULL(self);
    stops[0] = longest;
    CU_ASSERT_EQUAL(stop_text_new(stops, 1, &self), STATUS_USAGE);
    stops[0] = longest + 1;
    CU_ASSERT_EQUAL_FATAL(stop_text_new(stops, 1, &self), STATUS_OK);
    struct collected out = {.length = 0};
    stop_text_begin(self);
    (void)put(self, &out, longest + 2);
    CU_ASSERT_EQUAL(out.length, 0);
    longest[STOP_BYTES_MAX + 1] = 'b';
    CU_ASSERT_STRING_EQUAL(put(self, &out, "b"), longest + 2);
    stop_text_free(self);
    for (size_t i = 0; i <= STOP_COUNT_MAX; i++) {
        stops[i] = "x";
    }
    CU_ASSERT_EQUAL(stop_text_new(stops, STOP_COUNT_MAX + 1, &self), STATUS_USAGE);
}

/* Where the text ends by the definition: the first byte at which a stop is complete. */
static size_t expected_end(const char *text, const char *const *stops, size_t count, size_t length)
{
    for (size_t stop = 1; stop <= length; stop++) {
        size_t longest = 0;
        for (size_t i = 0; i < count; i++) {
            size_t size = strlen(stops[i]);
            if (size <= stop && size > longest && memcmp(text + stop - size, stops[i], size) == 0) {
                longest = size;
            }
        }
        if (longest > 0) {
            return stop - longest;
        }
    }
    return length;
}

static void random_text_ends_where_a_plain_search_says(void)
{
    static const char *const STOPS[] = {"aabaaa", "abab", "bbabb"};
    struct stop_text *self = NULL;
    struct random random;
    size_t stopped = 0;
    random_init(&random, 8, 0);
    CU_ASSERT_EQUAL_FATAL(stop_text_new(STOPS, 3, &self), STATUS_OK);
    for (unsigned round = 0; round < 500; round++) {
        char text[41] = {0};
        struct collected out = {.length = 0};
        const struct stop_sink sink = {&out, collect};
        for (size_t i = 0; i < 40; i++) {
            text[i] = random_below(&random, 2) == 0 ? 'a' : 'b';
        }
        size_t length = 1 + (size_t)random_below(&random, 40);
        stop_text_begin(self);
        for (size_t done = 0; done < length;) {
            size_t piece = 1 + (size_t)random_below(&random, 5);
            piece = piece > length - done ? length - done : piece;
            (void)stop_text_put(self, (const uint8_t *)text + done, piece, &sink);
            done += piece;
        }
        stop_text_end(self, &sink);
        stopped += stop_text_found(self) != NULL ? 1 : 0;
        CU_ASSERT_EQUAL(out.length, expected_end(text, STOPS, 3, length));
        CU_ASSERT_EQUAL(memcmp(out.text, text, out.length), 0);
    }
    CU_ASSERT_TRUE(stopped > 50 && stopped < 450);
    stop_text_free(self);
}

/* Writes `bytes` in pieces of `piece` bytes; the caller frees the result. */
static char *write_text(const char *bytes, size_t piece, bool controls)
{
    char *memory = NULL;
    size_t size_bytes = 0;
    FILE *stream = open_memstream(&memory, &size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
    struct terminal_text text;
    if (controls) {
        terminal_text_init_controls(&text, stream);
    } else {
        terminal_text_init(&text, stream);
    }
    size_t length = strlen(bytes);
    for (size_t done = 0; done < length; done += piece) {
        terminal_text_put(&text, (const uint8_t *)bytes + done,
                          piece < length - done ? piece : length - done);
    }
    terminal_text_end(&text);
    CU_ASSERT_EQUAL(fclose(stream), 0);
    return memory;
}

static void check_text(const char *bytes, const char *expected, bool controls)
{
    for (size_t piece = 1; piece <= 7; piece++) {
        char *text = write_text(bytes, piece, controls);
        CU_ASSERT_STRING_EQUAL(text, expected);
        free(text);
    }
}

#define BAD "\xef\xbf\xbd"

static void characters_cut_between_tokens_are_whole(void)
{
    check_text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\x89\n",
               "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\x89\n", false);
    struct terminal_text text;
    char *memory = NULL;
    size_t size_bytes = 0;
    FILE *stream = open_memstream(&memory, &size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
    terminal_text_init(&text, stream);
    terminal_text_put(&text, (const uint8_t *)"a\xe2\x82", 3);
    CU_ASSERT_EQUAL(size_bytes, 1);
    terminal_text_put(&text, (const uint8_t *)"\xac", 1);
    CU_ASSERT_EQUAL(size_bytes, 4);
    CU_ASSERT_EQUAL(fclose(stream), 0);
    free(memory);
}

static void invalid_bytes_become_replacements(void)
{
    check_text("a\x80z", "a" BAD "z", true);
    check_text("\xe2\x82", BAD, true);
    check_text("\xe2\x82z", BAD "z", true);
    check_text("\xc0\xaf", BAD BAD, true);         /* overlong */
    check_text("\xed\xa0\x80", BAD BAD BAD, true); /* a surrogate */
    check_text("\xf4\x90\x80\x80", BAD BAD BAD BAD, true);
    check_text("\xe2\xe2\x82\xac", BAD "\xe2\x82\xac", true);
}

static void controls_cannot_drive_a_terminal(void)
{
    check_text("\x1b[2J\t\r\n\x7f", BAD "[2J\t" BAD "\n" BAD, false);
    check_text("\xc2\x9b"
               "2J",
               BAD "2J", false); /* CSI as one character */
    check_text("\x1b[2J\r\n", "\x1b[2J\r\n", true);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(stop_across_tokens_ends_the_text_before_it),
        SUITE_TEST(beginning_of_a_stop_is_held_back_until_decided),
        SUITE_TEST(overlapping_prefixes_are_found),
        SUITE_TEST(first_complete_stop_wins_and_the_longest_of_equals),
        SUITE_TEST(text_without_stops_passes_at_once),
        SUITE_TEST(stops_out_of_range_are_refused),
        SUITE_TEST(random_text_ends_where_a_plain_search_says),
        SUITE_TEST(characters_cut_between_tokens_are_whole),
        SUITE_TEST(invalid_bytes_become_replacements),
        SUITE_TEST(controls_cannot_drive_a_terminal),
    };
    return suite_run("stop_text", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
