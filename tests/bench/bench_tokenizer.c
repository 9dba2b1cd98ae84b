/* bench_tokenizer - how fast text is encoded, and a tokenizer trained, on one core.
 *
 *   bench_tokenizer [TEXT [SPEC]]    (SPEC: a tokenizer to encode with as well, such as GPT-2's)
 *
 * Prints JSON. Without a text it makes one of English-like words, seeded. Each figure is the best
 * of several rounds; training includes counting the words. */
#include "common/clock.h"
#include "common/fault.h"
#include "common/files.h"
#include "common/random.h"
#include "trainer/tokenizer/bpe_trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROUNDS = 5,
    MERGES = 8192,
    MADE_BYTES = 10000000,
    MADE_WORDS = 50000,
    WORD_BYTES_MAX = 16,
    FILE_MAX = 1 << 30
};

struct text {
    uint8_t *bytes;
    size_t length;
};

/* Words of 2 to 12 letters; the word of rank r is drawn about as often as 1/r, as in English. */
static void make_text(struct text *out)
{
    static char words[MADE_WORDS][WORD_BYTES_MAX];
    struct random random;
    random_init(&random, 1, 0);
    for (size_t i = 0; i < MADE_WORDS; i++) {
        size_t length = 2 + random_below(&random, 11);
        for (size_t j = 0; j < length; j++) {
            words[i][j] = "etaoinshrdlucmfwypvbgkjqxz"[random_below(&random, 5) *
                                                       (1 + random_below(&random, 5))];
        }
    }
    out->bytes = malloc(MADE_BYTES + WORD_BYTES_MAX + 2);
    if (out->bytes == NULL) {
        abort();
    }
    while (out->length < MADE_BYTES) {
        size_t range = (size_t)1 << random_below(&random, 16);
        const char *word = words[random_below(&random, range < MADE_WORDS ? range : MADE_WORDS)];
        out->bytes[out->length++] = random_below(&random, 12) == 0 ? '\n' : ' ';
        memcpy(out->bytes + out->length, word, strlen(word));
        out->length += strlen(word);
    }
}

static enum status train(const struct text *text, enum bpe_trainer_pattern pattern,
                         double *out_seconds, struct tokenizer **out)
{
    const char *const specials[] = {"<|endoftext|>"};
    const struct bpe_trainer_options options = {.vocab_size = MERGES + 256 + 1,
                                                .pattern = pattern,
                                                .specials = specials,
                                                .special_count = 1};
    struct bpe_trainer *trainer = NULL;
    uint64_t start_ns = clock_now_ns();
    enum status status = bpe_trainer_new(&options, &trainer);
    if (status == STATUS_OK) {
        status = bpe_trainer_count(trainer, text->bytes, text->length);
    }
    if (status == STATUS_OK) {
        status = bpe_trainer_finish(trainer, out);
    }
    *out_seconds = (double)(clock_now_ns() - start_ns) * 1e-9;
    bpe_trainer_free(trainer);
    return status;
}

/* In parts of a MiB, as `dugnad data build` does, with the search for a place to cut. */
static enum status encode(const struct tokenizer *tokenizer, const struct text *text,
                          size_t *out_count)
{
    enum status status = STATUS_OK;
    *out_count = 0;
    for (size_t at = 0; status == STATUS_OK && at < text->length;) {
        size_t left = text->length - at;
        size_t part =
            left <= 1 << 20 ? left : tokenizer_safe_length(tokenizer, text->bytes + at, 1 << 20);
        uint16_t *ids = NULL;
        size_t count = 0;
        part = part == 0 ? left : part;
        status = tokenizer_encode(tokenizer, text->bytes + at, part, &ids, &count);
        free(ids);
        *out_count += count;
        at += part;
    }
    return status;
}

static enum status bench_encode(const char *name, const struct tokenizer *tokenizer,
                                const struct text *text)
{
    double best = 1e9;
    size_t count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = clock_now_ns();
        enum status status = encode(tokenizer, text, &count);
        double seconds = (double)(clock_now_ns() - start_ns) * 1e-9;
        if (status != STATUS_OK) {
            return status;
        }
        best = seconds < best ? seconds : best;
    }
    printf(",\n \"%s\": {\"vocab_size\": %u, \"encode_mb_per_s\": %.1f, \"bytes_per_token\": %.2f}",
           name, tokenizer_vocab_size(tokenizer), (double)text->length * 1e-6 / best,
           (double)text->length / (double)(count + (count == 0)));
    return STATUS_OK;
}

static enum status bench(const struct text *text, const char *spec)
{
    static const char *const names[] = {"gpt2_pattern", "cl100k_pattern"};
    printf("{\"text_mb\": %.1f", (double)text->length * 1e-6);
    for (int i = 0; i < 2; i++) {
        struct tokenizer *tokenizer = NULL;
        double seconds = 0.0;
        enum status status = train(text, (enum bpe_trainer_pattern)i, &seconds, &tokenizer);
        if (status == STATUS_OK) {
            printf(",\n \"train_%s\": {\"seconds\": %.2f, \"merges\": %zu}", names[i], seconds,
                   tokenizer_merge_count(tokenizer));
            status = bench_encode(names[i], tokenizer, text);
        }
        tokenizer_free(tokenizer);
        if (status != STATUS_OK) {
            return status;
        }
    }
    struct tokenizer *given = NULL;
    enum status status = spec == NULL ? STATUS_OK : tokenizer_new(spec, &given);
    if (status == STATUS_OK && given != NULL) {
        status = bench_encode("given", given, text);
    }
    tokenizer_free(given);
    printf("}\n");
    return status;
}

int main(int argc, char **argv)
{
    struct text text = {0};
    enum status status = STATUS_OK;
    if (argc > 1) {
        status = files_read(argv[1], FILE_MAX, &text.bytes, &text.length);
    } else {
        make_text(&text);
    }
    if (status == STATUS_OK) {
        status = bench(&text, argc > 2 ? argv[2] : NULL);
    }
    free(text.bytes);
    return status == STATUS_OK ? 0 : fault_report("bench_tokenizer", status);
}
