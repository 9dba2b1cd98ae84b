#include "common/fault.h"
#include "common/random.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "tests/unit/tokenizer_fixture.h"
#include "trainer/tokenizer/piece_counts.h"

static void expect_merge(const struct tokenizer *tokenizer, size_t index, const char *left,
                         const char *right)
{
    uint32_t ids[2];
    const char *const expected[2] = {left, right};
    tokenizer_merge(tokenizer, index, &ids[0], &ids[1]);
    for (unsigned i = 0; i < 2; i++) {
        size_t length = 0;
        const uint8_t *bytes = tokenizer_bytes_of(tokenizer, ids[i], &length);
        CU_ASSERT_EQUAL(length, strlen(expected[i]));
        CU_ASSERT_EQUAL(memcmp(bytes, expected[i], length), 0);
    }
}

/* Counted by hand. Words: hug 10, pug 5, pun 12, bun 4, hugs 5 (Sennrich's way, an example of
 * Hugging Face's course): ug 20, un 16, then hug 15, then pun 12, pug 5 before
 * hugs 5, bun 4. */
static void train_on_known_counts_gives_known_merges(void)
{
    static const struct {
        const char *word;
        int count;
    } words[] = {{"hug", 10}, {"pug", 5}, {"pun", 12}, {"bun", 4}, {"hugs", 5}};
    char text[1024] = "";
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int j = 0; j < words[i].count; j++) {
            fixture_append(text, words[i].word);
            fixture_append(text, "\n");
        }
    }
    struct tokenizer *tokenizer = fixture_train(text, strlen(text), BPE_TRAINER_GPT2, 512);
    CU_ASSERT_EQUAL_FATAL(tokenizer_merge_count(tokenizer), 7);
    expect_merge(tokenizer, 0, "u", "g");
    expect_merge(tokenizer, 1, "u", "n");
    expect_merge(tokenizer, 2, "h", "ug");
    expect_merge(tokenizer, 3, "p", "un");
    expect_merge(tokenizer, 4, "p", "ug");
    expect_merge(tokenizer, 5, "hug", "s");
    expect_merge(tokenizer, 6, "b", "un");
    CU_ASSERT_EQUAL(tokenizer_vocab_size(tokenizer), 1 + 256 + 7);
    tokenizer_free(tokenizer);
}

/* Overlapping pairs: in "aaaa" (three pairs of a) two are merged, not three. */
static void train_on_repeated_letter_counts_what_is_there(void)
{
    static const char text[] = "aaaa\naaaa\naaaa\nxy\nxy\nxy\nxy\n";
    struct tokenizer *tokenizer = fixture_train(text, strlen(text), BPE_TRAINER_GPT2, 512);
    CU_ASSERT_EQUAL_FATAL(tokenizer_merge_count(tokenizer), 3);
    expect_merge(tokenizer, 0, "a", "a");
    expect_merge(tokenizer, 1, "x", "y");
    expect_merge(tokenizer, 2, "aa", "aa");
    tokenizer_free(tokenizer);
}

/* ab and bc occur as often: the smaller left id comes first; then abc is made of ab and c. */
static void train_on_equal_counts_takes_smallest_ids(void)
{
    static const char text[] = "abc\nabc\nabc\nzy\nzy\nzy\n";
    struct tokenizer *tokenizer = fixture_train(text, strlen(text), BPE_TRAINER_GPT2, 512);
    CU_ASSERT_EQUAL_FATAL(tokenizer_merge_count(tokenizer), 3);
    expect_merge(tokenizer, 0, "a", "b");
    expect_merge(tokenizer, 1, "z", "y");
    expect_merge(tokenizer, 2, "ab", "c");
    tokenizer_free(tokenizer);
}

/* No merge reaches across a special token, and the special token is never learnt. */
static void train_with_special_token_cuts_text_there(void)
{
    char text[1024] = "";
    for (int i = 0; i < 20; i++) {
        fixture_append(text, "qx<|endoftext|>zq");
    }
    struct tokenizer *tokenizer = fixture_train(text, strlen(text), BPE_TRAINER_GPT2, 512);
    CU_ASSERT_EQUAL(tokenizer_end_id(tokenizer), 0);
    CU_ASSERT_TRUE(tokenizer_is_special(tokenizer, 0));
    CU_ASSERT_FALSE(tokenizer_is_special(tokenizer, 1));
    CU_ASSERT_EQUAL(tokenizer_vocab_size(tokenizer), 1 + 256 + 3); /* qx, zq, zqqx */
    struct fixture_ids ids = fixture_encode(tokenizer, text, strlen(text));
    CU_ASSERT_EQUAL(ids.count, 1 + 20 + 19 + 1);
    free(ids.ids);
    tokenizer_free(tokenizer);
}

static void train_twice_gives_same_tokenizer(void)
{
    struct tokenizer *a =
        fixture_train(FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1, BPE_TRAINER_CL100K, 600);
    struct tokenizer *b =
        fixture_train(FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1, BPE_TRAINER_CL100K, 600);
    struct tokenizer *c =
        fixture_train(FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1, BPE_TRAINER_GPT2, 600);
    CU_ASSERT_STRING_EQUAL(tokenizer_name(a), tokenizer_name(b));
    CU_ASSERT_STRING_NOT_EQUAL(tokenizer_name(a), tokenizer_name(c));
    CU_ASSERT_STRING_EQUAL(tokenizer_pattern_name(a), "llama-bpe");
    CU_ASSERT_STRING_EQUAL(tokenizer_pattern_name(c), "gpt-2");
    tokenizer_free(a);
    tokenizer_free(b);
    tokenizer_free(c);
}

/* The naive way: count every pair anew after each merge. */
struct naive {
    uint32_t ids[4096];
    size_t count;
};

static uint64_t naive_best(const struct naive *text, uint32_t *left, uint32_t *right)
{
    uint64_t best = 0;
    for (size_t i = 0; i + 1 < text->count; i++) {
        uint32_t a = text->ids[i];
        uint32_t b = text->ids[i + 1];
        uint64_t count = 0;
        for (size_t j = 0; j + 1 < text->count; j++) {
            count += text->ids[j] == a && text->ids[j + 1] == b;
        }
        if (count > best || (count == best && (a < *left || (a == *left && b < *right)))) {
            best = count;
            *left = a;
            *right = b;
        }
    }
    return best;
}

static void naive_merge(struct naive *text, uint32_t left, uint32_t right, uint32_t result)
{
    size_t kept = 0;
    for (size_t i = 0; i < text->count; i++) {
        int found = i + 1 < text->count && text->ids[i] == left && text->ids[i + 1] == right;
        text->ids[kept++] = found ? result : text->ids[i];
        i += (size_t)found;
    }
    text->count = kept;
}

/* One long word of random letters, without equal neighbours, so that pairs do not overlap. */
static void train_on_random_word_equals_naive_training(void)
{
    static struct naive naive;
    static char text[1500];
    struct random random;
    random_init(&random, 5, 0);
    for (size_t i = 0; i < sizeof text; i++) {
        do {
            text[i] = (char)('a' + random_below(&random, 5));
        } while (i > 0 && text[i] == text[i - 1]);
        naive.ids[i] = (uint32_t)(1 + text[i] - '!');
    }
    naive.count = sizeof text;
    struct tokenizer *tokenizer = fixture_train(text, sizeof text, BPE_TRAINER_GPT2, 512);
    CU_ASSERT_TRUE_FATAL(tokenizer_merge_count(tokenizer) > 60);
    /* Later, a token repeats itself, and trainers that count overlaps differ from this one. */
    for (size_t i = 0; i < 60; i++) {
        uint32_t left = 0;
        uint32_t right = 0;
        uint32_t got_left = 0;
        uint32_t got_right = 0;
        (void)naive_best(&naive, &left, &right);
        tokenizer_merge(tokenizer, i, &got_left, &got_right);
        CU_ASSERT_EQUAL(got_left, left);
        CU_ASSERT_EQUAL(got_right, right);
        naive_merge(&naive, left, right, (uint32_t)(257 + i));
    }
    tokenizer_free(tokenizer);
}

static enum status try_special(const char *special)
{
    const struct bpe_trainer_options options = {
        .vocab_size = 512, .specials = &special, .special_count = 1};
    struct bpe_trainer *trainer = NULL;
    enum status status = bpe_trainer_new(&options, &trainer);
    CU_ASSERT_EQUAL(trainer == NULL, status != STATUS_OK);
    bpe_trainer_free(trainer);
    return status;
}

static void bad_special_tokens_are_refused(void)
{
    const char *const twice[] = {"<a>", "<a>"};
    const struct bpe_trainer_options options = {
        .vocab_size = 512, .specials = twice, .special_count = 2};
    struct bpe_trainer *trainer = NULL;
    CU_ASSERT_EQUAL(try_special("<s>"), STATUS_OK);
    CU_ASSERT_EQUAL(try_special(""), STATUS_USAGE);
    CU_ASSERT_EQUAL(try_special("a"), STATUS_USAGE);
    CU_ASSERT_EQUAL(try_special("\xc4\xa0"), STATUS_USAGE); /* the name of a space */
    CU_ASSERT_EQUAL(try_special("\xff\xfe"), STATUS_USAGE);
    CU_ASSERT_EQUAL(bpe_trainer_new(&options, &trainer), STATUS_USAGE);
}

static void train_without_text_is_refused(void)
{
    const struct bpe_trainer_options options = {.vocab_size = 512};
    struct bpe_trainer *trainer = NULL;
    struct tokenizer *tokenizer = NULL;
    CU_ASSERT_EQUAL_FATAL(bpe_trainer_new(&options, &trainer), STATUS_OK);
    CU_ASSERT_EQUAL(bpe_trainer_finish(trainer, &tokenizer), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NULL(tokenizer);
    bpe_trainer_free(trainer);
}

/* More different pieces than the table holds: the rare ones go, the frequent one stays. */
static void count_too_many_pieces_forgets_rare_ones(void)
{
    struct piece_counts counts;
    CU_ASSERT_EQUAL_FATAL(piece_counts_init(&counts), STATUS_OK);
    for (uint32_t i = 0; i < PIECE_COUNTS_MAX + 1000; i++) {
        char piece[16];
        int length = snprintf(piece, sizeof piece, "%u", i);
        if (piece_counts_add(&counts, (const uint8_t *)piece, (size_t)length) != STATUS_OK ||
            (i % 1000 == 0 &&
             piece_counts_add(&counts, (const uint8_t *)"often", 5) != STATUS_OK)) {
            CU_FAIL("a piece was not counted");
        }
    }
    CU_ASSERT_TRUE(counts.count < PIECE_COUNTS_MAX / 2);
    CU_ASSERT_EQUAL(counts.pieces[0].length, 5);
    CU_ASSERT_EQUAL(counts.pieces[0].count, PIECE_COUNTS_MAX / 1000 + 1 + 1);
    CU_ASSERT_EQUAL(memcmp(counts.text + counts.pieces[0].text_at, "often", 5), 0);
    piece_counts_deinit(&counts);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(train_on_known_counts_gives_known_merges),
        SUITE_TEST(train_on_repeated_letter_counts_what_is_there),
        SUITE_TEST(train_on_equal_counts_takes_smallest_ids),
        SUITE_TEST(train_with_special_token_cuts_text_there),
        SUITE_TEST(train_twice_gives_same_tokenizer),
        SUITE_TEST(train_on_random_word_equals_naive_training),
        SUITE_TEST(bad_special_tokens_are_refused),
        SUITE_TEST(train_without_text_is_refused),
        SUITE_TEST(count_too_many_pieces_forgets_rare_ones),
    };
    return suite_run("bpe_trainer", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
