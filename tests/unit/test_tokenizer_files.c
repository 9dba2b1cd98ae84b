/* The files that a tokenizer is read from and written to, also hostile ones. */
#include "common/fault.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "tests/unit/tokenizer_fixture.h"

#include <jansson.h>

static struct tokenizer *trained; /* with the files of tokenizer_write in the scratch folder */

static void begin(void)
{
    scratch_begin();
    trained = fixture_train(FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1, BPE_TRAINER_GPT2, 600);
    CU_ASSERT_EQUAL_FATAL(tokenizer_write(trained, scratch_folder), STATUS_OK);
}

static void end(void)
{
    tokenizer_free(trained);
    scratch_end();
}

static struct tokenizer *open_good(const char *spec)
{
    struct tokenizer *tokenizer = NULL;
    CU_ASSERT_EQUAL_FATAL(tokenizer_new(spec, &tokenizer), STATUS_OK);
    return tokenizer;
}

static enum status open_bad(const char *name)
{
    struct tokenizer *tokenizer = NULL;
    enum status status = tokenizer_new(scratch_path(name), &tokenizer);
    CU_ASSERT_EQUAL(tokenizer == NULL, status != STATUS_OK);
    CU_ASSERT_TRUE(status == STATUS_OK || strlen(fault_text()) > 20);
    tokenizer_free(tokenizer);
    return status;
}

static void expect_same_ids(const struct tokenizer *a, const struct tokenizer *b)
{
    static const char other[] = "and\xff others<|endoftext|>  12 \xe6\x97\xa5 =+\n\n\t x";
    CU_ASSERT_TRUE(fixture_same_ids(a, b, FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1));
    CU_ASSERT_TRUE(fixture_same_ids(a, b, other, sizeof other - 1));
}

static void written_tokenizer_reads_back_the_same(void)
{
    begin();
    struct tokenizer *read = open_good(scratch_folder);
    CU_ASSERT_STRING_EQUAL(tokenizer_name(read), tokenizer_name(trained));
    CU_ASSERT_EQUAL(strncmp(tokenizer_name(read), "bpe-", 4), 0);
    CU_ASSERT_EQUAL(strlen(tokenizer_name(read)), 4 + 16);
    CU_ASSERT_EQUAL(tokenizer_vocab_size(read), tokenizer_vocab_size(trained));
    CU_ASSERT_EQUAL(tokenizer_merge_count(read), tokenizer_merge_count(trained));
    CU_ASSERT_EQUAL(tokenizer_end_id(read), 0);
    CU_ASSERT_EQUAL(tokenizer_begin_id(read), 0);
    CU_ASSERT_TRUE(tokenizer_is_special(read, 0));
    expect_same_ids(read, trained);
    tokenizer_free(read);
    end();
}

static json_t *load(const char *name)
{
    json_t *root = json_load_file(scratch_path(name), 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    return root;
}

static void save(json_t *root, const char *name)
{
    CU_ASSERT_EQUAL_FATAL(json_dump_file(root, scratch_path(name), 0), 0);
    json_decref(root);
}

/* Merges as pairs, as newer versions of Hugging Face's library write them. */
static void merges_as_pairs_read_like_merges_as_text(void)
{
    begin();
    json_t *root = load("tokenizer.json");
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *line = json_string_value(json_array_get(merges, i));
        const char *space = strchr(line, ' ');
        json_t *pair = json_pack("[s#, s]", line, (int)(space - line), space + 1);
        CU_ASSERT_EQUAL_FATAL(json_array_set_new(merges, i, pair), 0);
    }
    save(root, "pairs.json");
    struct tokenizer *read = open_good(scratch_path("pairs.json"));
    CU_ASSERT_STRING_EQUAL(tokenizer_name(read), tokenizer_name(trained));
    tokenizer_free(read);
    end();
}

static void vocab_and_merges_read_like_tokenizer_json(void)
{
    begin();
    json_t *root = load("tokenizer.json");
    json_t *model = json_object_get(root, "model");
    json_t *merges = json_object_get(model, "merges");
    char *text = calloc(1, 1 << 16);
    fixture_append(text, "#version: 0.2\n");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        fixture_append(text, json_string_value(json_array_get(merges, i)));
        fixture_append(text, "\r\n");
    }
    scratch_write_text("merges.txt", text);
    save(json_incref(json_object_get(model, "vocab")), "vocab.json");
    json_decref(root);
    struct tokenizer *read = open_good(scratch_path("vocab.json"));
    CU_ASSERT_STRING_EQUAL(tokenizer_name(read), tokenizer_name(trained));
    tokenizer_free(read);
    scratch_write_text("merges.txt", "t h\nt h e\n");
    CU_ASSERT_EQUAL(open_bad("vocab.json"), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "merges.txt"));
    scratch_write_text("merges.txt", "t\n");
    CU_ASSERT_EQUAL(open_bad("vocab.json"), STATUS_BAD_DATA);
    scratch_write_text("merges.txt", " \n");
    CU_ASSERT_EQUAL(open_bad("vocab.json"), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(remove(scratch_path("merges.txt")), 0);
    CU_ASSERT_EQUAL(open_bad("vocab.json"), STATUS_NO_INPUT);
    free(text);
    end();
}

static size_t to_base64(const uint8_t *bytes, size_t length, char *out)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    size_t used = 0;
    for (size_t i = 0; i < length; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16;
        three |= i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0;
        three |= i + 2 < length ? bytes[i + 2] : 0;
        out[used++] = digits[three >> 18];
        out[used++] = digits[three >> 12 & 63];
        out[used++] = digits[i + 1 < length ? three >> 6 & 63 : 64];
        out[used++] = digits[i + 2 < length ? three & 63 : 64];
    }
    out[used] = '\0';
    return used;
}

/* The trained tokens behind the special one, as ranks. */
static void write_ranks(const char *name, const struct tokenizer *tokenizer)
{
    char *text = calloc(1, 1 << 16);
    size_t used = 0;
    for (uint32_t id = 1; id < tokenizer_vocab_size(tokenizer); id++) {
        size_t length = 0;
        const uint8_t *bytes = tokenizer_bytes_of(tokenizer, id, &length);
        used += to_base64(bytes, length, text + used);
        used += (size_t)sprintf(text + used, " %u\n", id - 1);
    }
    scratch_write_text(name, text);
    free(text);
}

/* Ids differ by the special token, which stands first in one and last in the other. The merges
 * are found again from the ranks alone. */
static void ranks_give_the_merges_that_made_them(void)
{
    scratch_begin();
    trained = fixture_train(FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1, BPE_TRAINER_CL100K, 600);
    write_ranks("x.tiktoken", trained);
    struct tokenizer *read = open_good(scratch_folder);
    CU_ASSERT_STRING_EQUAL(tokenizer_pattern_name(read), "llama-bpe");
    CU_ASSERT_EQUAL(tokenizer_vocab_size(read), tokenizer_vocab_size(trained));
    CU_ASSERT_EQUAL(tokenizer_end_id(read), (int32_t)tokenizer_vocab_size(trained) - 1);
    CU_ASSERT_EQUAL_FATAL(tokenizer_merge_count(read), tokenizer_merge_count(trained));
    for (size_t i = 0; i < tokenizer_merge_count(read); i++) {
        uint32_t ids[4];
        tokenizer_merge(read, i, &ids[0], &ids[1]);
        tokenizer_merge(trained, i, &ids[2], &ids[3]);
        CU_ASSERT_EQUAL(ids[0] + 1, ids[2]);
        CU_ASSERT_EQUAL(ids[1] + 1, ids[3]);
    }
    struct fixture_ids a = fixture_encode(read, FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1);
    struct fixture_ids b = fixture_encode(trained, FIXTURE_TEXT, sizeof FIXTURE_TEXT - 1);
    CU_ASSERT_EQUAL_FATAL(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        CU_ASSERT_EQUAL(a.ids[i] + 1, b.ids[i]);
    }
    free(a.ids);
    free(b.ids);
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("saved")), STATUS_OK);
    CU_ASSERT_EQUAL(tokenizer_write(read, scratch_path("saved")), STATUS_OK);
    struct tokenizer *again = open_good(scratch_path("saved"));
    CU_ASSERT_STRING_EQUAL(tokenizer_name(again), tokenizer_name(read));
    expect_same_ids(again, read);
    tokenizer_free(again);
    tokenizer_free(read);
    tokenizer_free(trained);
    scratch_end();
}

static void bad_ranks_are_refused(void)
{
    static const char *const bad[] = {"",
                                      "IQ==\n",
                                      "IQ== x\n",
                                      "IQ== 1 2\n",
                                      "I 0\n",
                                      "IQ== \n",
                                      " 0\n",
                                      "IQ== 70000\n",
                                      "IQ== 0\n",
                                      "!!!! 0\n",
                                      "IQ== -1\n",
                                      "IQ== 0\nIQ== 1\n",
                                      "IQ== 0\nIg== 0\n",
                                      "IQ== 99999999999999999999\n"};
    scratch_begin();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        scratch_write_text("x.tiktoken", bad[i]);
        enum status status = open_bad("x.tiktoken");
        CU_ASSERT_TRUE(status == STATUS_BAD_DATA || status == STATUS_FULL);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "x.tiktoken"));
    }
    scratch_write_text("y.tiktoken", "");
    CU_ASSERT_EQUAL(open_bad("."), STATUS_NO_INPUT);
    scratch_end();
}

/* Replaces the value at model/pre_tokenizer/... by what the JSON text says. */
static enum status read_with(const char *part, const char *key, const char *value)
{
    json_t *root = load("tokenizer.json");
    json_t *holder = strcmp(part, "") == 0 ? root : json_object_get(root, part);
    json_t *made = json_loads(value, JSON_DECODE_ANY, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(made);
    CU_ASSERT_EQUAL_FATAL(json_object_set_new(holder, key, made), 0);
    save(root, "changed.json");
    return open_bad("changed.json");
}

#define SPLIT(regex, behavior)                                                                     \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"        \
    "\"" regex "\"},\"behavior\":\"" behavior "\",\"invert\":false},{\"type\":\"ByteLevel\","      \
    "\"add_prefix_space\":false,\"use_regex\":false}]}"

static void tokenizers_of_other_kinds_are_refused(void)
{
    static const struct {
        const char *part, *key, *value;
    } bad[] = {
        {"", "normalizer", "{\"type\":\"NFC\"}"},
        {"", "pre_tokenizer", "{\"type\":\"Metaspace\"}"},
        {"", "pre_tokenizer", "null"},
        {"", "pre_tokenizer", "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}"},
        {"", "pre_tokenizer", "{\"type\":\"Sequence\",\"pretokenizers\":[]}"},
        {"", "pre_tokenizer", SPLIT("x", "MergedWithNext")},
        {"", "pre_tokenizer", SPLIT("(", "Isolated")},
        {"", "pre_tokenizer", SPLIT("x*", "Isolated")},
        {"", "pre_tokenizer", SPLIT("(?<=a)b", "Isolated")},
        {"", "pre_tokenizer", SPLIT("^a", "Isolated")},
        {"", "pre_tokenizer", SPLIT("\\\\bword", "Isolated")},
        {"", "pre_tokenizer", SPLIT("(*LIMIT_MATCH=1)a", "Isolated")},
        {"", "pre_tokenizer", SPLIT("\\\\", "Isolated")},
        {"", "pre_tokenizer", SPLIT("[a[b]]", "Isolated")},
        {"model", "type", "\"Unigram\""},
        {"model", "dropout", "0.1"},
        {"model", "end_of_word_suffix", "\"</w>\""},
        {"model", "vocab", "[]"},
        {"model", "vocab", "{\"a\":0}"},
        {"model", "vocab", "{\"a\":-1}"},
        {"model", "vocab", "{\"a\":\"b\"}"},
        {"model", "vocab", "{\"a\":0,\"b\":0}"},
        {"model", "merges", "{}"},
        {"model", "merges", "[\"t h e\"]"},
        {"model", "merges", "[\"th\"]"},
        {"model", "merges", "[[\"t\"]]"},
        {"model", "merges", "[[\"t\",1]]"},
        {"model", "merges", "[[\"zz\",\"qq\"]]"},
        {"model", "merges", "[7]"},
        {"", "model", "null"},
        {"", "model", "[]"},
        {"", "added_tokens", "7"},
        {"", "added_tokens", "[7]"},
        {"", "added_tokens", "[{\"id\":0}]"},
        {"", "added_tokens", "[{\"id\":-1,\"content\":\"<x>\"}]"},
        {"", "added_tokens", "[{\"id\":0,\"content\":\"<x>\"}]"},
        {"", "added_tokens", "[{\"id\":700,\"content\":\"\"}]"},
        {"", "added_tokens", "[{\"id\":700,\"content\":\"<x>\",\"single_word\":true}]"},
        {"", "added_tokens", "[{\"id\":700,\"content\":\"<x>\"},{\"id\":701,\"content\":\"<x>\"}]"},
        {"", "added_tokens", "[{\"id\":700,\"content\":\"<x>\"},{\"id\":700,\"content\":\"<y>\"}]"},
    };
    begin();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_EQUAL(read_with(bad[i].part, bad[i].key, bad[i].value), STATUS_BAD_DATA);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "changed.json"));
    }
    CU_ASSERT_EQUAL(read_with("model", "vocab", "{\"a\":65536}"), STATUS_FULL);
    CU_ASSERT_EQUAL(read_with("", "added_tokens", "[{\"id\":65536,\"content\":\"<x>\"}]"),
                    STATUS_FULL);
    CU_ASSERT_EQUAL(read_with("", "pre_tokenizer", SPLIT("[a-z]+|\\\\s", "Isolated")), STATUS_OK);
    CU_ASSERT_EQUAL(read_with("", "added_tokens", "[{\"id\":65535,\"content\":\"<x>\"}]"),
                    STATUS_OK);
    end();
}

static void too_large_vocabulary_is_refused(void)
{
    begin();
    json_t *root = load("tokenizer.json");
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    for (unsigned i = 0; i < 65536; i++) {
        char name[16];
        (void)sprintf(name, "n%u", i);
        CU_ASSERT_EQUAL_FATAL(json_object_set_new(vocab, name, json_integer(600 + i)), 0);
    }
    save(root, "large.json");
    CU_ASSERT_EQUAL(open_bad("large.json"), STATUS_FULL);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "65536"));
    end();
}

/* Every beginning of a good file is refused, and no cut or changed byte harms. */
static void damaged_files_are_refused_or_read(void)
{
    begin();
    size_t size_bytes = 0;
    uint8_t *good = scratch_read("tokenizer.json", &size_bytes);
    for (size_t cut = 0; cut < size_bytes - 2; cut += 211) {
        scratch_write("cut.json", good, cut);
        CU_ASSERT_EQUAL(open_bad("cut.json"), STATUS_BAD_DATA);
    }
    for (size_t at = 0; at < size_bytes; at += 97) {
        good[at] = (uint8_t)(good[at] ^ 1U << at % 8);
        scratch_write("changed.json", good, size_bytes);
        enum status status = open_bad("changed.json");
        CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_BAD_DATA || status == STATUS_FULL);
        good[at] = (uint8_t)(good[at] ^ 1U << at % 8);
    }
    free(good);
    end();
}

/* lstrip and rstrip take the spaces beside the token; longer tokens win. */
static void added_tokens_take_spaces_as_told(void)
{
    begin();
    json_t *root = load("tokenizer.json");
    json_t *added =
        json_loads("[{\"id\":700,\"content\":\"<l>\",\"lstrip\":true},"
                   "{\"id\":701,\"content\":\"<r>\",\"rstrip\":true,\"normalized\":true},"
                   "{\"id\":702,\"content\":\"<l><r>\"}]",
                   0, NULL);
    CU_ASSERT_EQUAL_FATAL(json_object_set_new(root, "added_tokens", added), 0);
    save(root, "added.json");
    struct tokenizer *read = open_good(scratch_path("added.json"));
    static const char text[] = "the \xc2\xa0<l><r>\n the<l>x";
    struct fixture_ids ids = fixture_encode(read, text, sizeof text - 1);
    struct fixture_ids the = fixture_encode(read, "the", 3);
    CU_ASSERT_EQUAL(tokenizer_vocab_size(read), 703);
    CU_ASSERT_EQUAL(the.count, 1);
    CU_ASSERT_EQUAL(ids.ids[0], the.ids[0]);
    CU_ASSERT_EQUAL(ids.ids[ids.count - 2], 700);
    free(ids.ids);
    ids = fixture_encode(read, "the \t<l> \r\n<r>  the", 19);
    CU_ASSERT_EQUAL_FATAL(ids.count, 7); /* the, <l>, a space, \r, \n, <r>, the */
    free(ids.ids);
    ids = fixture_encode(read, "<l><r>", 6);
    CU_ASSERT_EQUAL_FATAL(ids.count, 1);
    CU_ASSERT_EQUAL(ids.ids[0], 702);
    free(ids.ids);
    free(the.ids);
    /* What may yet be taken by an added token waits. */
    CU_ASSERT_EQUAL(tokenizer_safe_length(read, (const uint8_t *)"the.  ", 6), 3);
    CU_ASSERT_EQUAL(tokenizer_safe_length(read, (const uint8_t *)"a<r>  ", 6), 1);
    CU_ASSERT_EQUAL(tokenizer_safe_length(read, (const uint8_t *)"a<l>", 4), 0);
    tokenizer_free(read);
    end();
}

/* Spaces behind a token that takes them may still go on. */
static void spaces_behind_a_token_wait(void)
{
    begin();
    json_t *root = load("tokenizer.json");
    json_t *added = json_loads("[{\"id\":701,\"content\":\"<r>\",\"rstrip\":true}]", 0, NULL);
    CU_ASSERT_EQUAL_FATAL(json_object_set_new(root, "added_tokens", added), 0);
    save(root, "added.json");
    struct tokenizer *read = open_good(scratch_path("added.json"));
    CU_ASSERT_EQUAL(tokenizer_safe_length(read, (const uint8_t *)"a<r>", 4), 1);
    CU_ASSERT_EQUAL(tokenizer_safe_length(read, (const uint8_t *)"a<r>  ", 6), 1);
    CU_ASSERT_EQUAL(tokenizer_safe_length(read, (const uint8_t *)"a<r>  b", 7), 6);
    tokenizer_free(read);
    end();
}

/* "abc" has a lower rank than "ab", so it was never made from it. */
static void ranks_below_their_parts_make_no_merge(void)
{
    scratch_begin();
    char *text = calloc(1, 1 << 16);
    size_t used = 0;
    for (unsigned i = 0; i < 256; i++) {
        used += to_base64(&(uint8_t){(uint8_t)i}, 1, text + used);
        used += (size_t)sprintf(text + used, " %u\n", i);
    }
    fixture_append(text, "YWJj 256\nYWI= 257\n");
    scratch_write_text("x.tiktoken", text);
    struct tokenizer *read = open_good(scratch_path("x.tiktoken"));
    CU_ASSERT_EQUAL(tokenizer_merge_count(read), 1);
    struct fixture_ids ids = fixture_encode(read, "abc abab", 8);
    CU_ASSERT_EQUAL_FATAL(ids.count, 4); /* as a whole piece it is found; then " ab" and "ab" */
    CU_ASSERT_EQUAL(ids.ids[0], 256);
    CU_ASSERT_EQUAL(ids.ids[2], 257);
    free(ids.ids);
    free(text);
    tokenizer_free(read);
    scratch_end();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(written_tokenizer_reads_back_the_same),
        SUITE_TEST(merges_as_pairs_read_like_merges_as_text),
        SUITE_TEST(vocab_and_merges_read_like_tokenizer_json),
        SUITE_TEST(ranks_give_the_merges_that_made_them),
        SUITE_TEST(bad_ranks_are_refused),
        SUITE_TEST(tokenizers_of_other_kinds_are_refused),
        SUITE_TEST(too_large_vocabulary_is_refused),
        SUITE_TEST(damaged_files_are_refused_or_read),
        SUITE_TEST(spaces_behind_a_token_wait),
        SUITE_TEST(ranks_below_their_parts_make_no_merge),
        SUITE_TEST(added_tokens_take_spaces_as_told),
    };
    return suite_run("tokenizer_files", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
