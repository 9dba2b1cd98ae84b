#include "common/clock.h"
#include "common/fault.h"
#include "common/files.h"
#include "trainer/cli/options.h"
#include "trainer/cli/tokenizer.h"
#include "trainer/data/text_source.h"
#include "trainer/tokenizer/bpe_trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Text is counted in parts of about READ_BYTES. Where TEXT_BYTES_MAX have no place to cut them,
 * they are counted as if they ended there: a few words in so many do not matter. */
enum { READ_BYTES = 4 << 20, TEXT_BYTES_MAX = 64 << 20, BAR_CELLS = 30 };

struct options {
    uint64_t vocab;
    const char *out;
    const char *pattern;
    struct cli_texts specials;
    bool json;
};

struct training {
    struct bpe_trainer *trainer;
    struct text_source source;
    uint8_t *text; /* (TEXT_BYTES_MAX) */
    bool terminal;
};

static enum status parse(int argc, char **argv, struct options *out, int *out_rest)
{
    const struct cli_option table[] = {
        {.name = "vocab",
         .kind = CLI_COUNT,
         .target = &out->vocab,
         .count_min = BPE_TRAINER_VOCAB_MIN,
         .count_max = TOKENIZER_VOCAB_MAX},
        {.name = "out", .kind = CLI_TEXT, .target = &out->out, .required = true},
        {.name = "pattern", .kind = CLI_TEXT, .target = &out->pattern},
        {.name = "special", .kind = CLI_TEXTS, .target = &out->specials},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    enum status status = cli_options_parse("tokenizer train", table,
                                           sizeof(table) / sizeof(table[0]), argc, argv, out_rest);
    if (status == STATUS_OK && out->vocab == 0) {
        status = fault(STATUS_USAGE, "tokenizer train needs --vocab, how many tokens to make");
    }
    if (status == STATUS_OK && *out_rest == argc) {
        status = fault(STATUS_USAGE, "tokenizer train needs text files; '-' is standard input");
    }
    if (status == STATUS_OK && out->specials.count == 0) {
        out->specials.items[out->specials.count++] = "<|endoftext|>";
    }
    return status;
}

static enum status choose_pattern(const char *name, enum bpe_trainer_pattern *out)
{
    if (strcmp(name, "gpt2") == 0) {
        *out = BPE_TRAINER_GPT2;
    } else if (strcmp(name, "cl100k") == 0) {
        *out = BPE_TRAINER_CL100K;
    } else {
        return fault(STATUS_USAGE, "--pattern must be gpt2 or cl100k, not '%.100s'", name);
    }
    return STATUS_OK;
}

static bool is_file_name(const char *path)
{
    static const char suffix[] = ".json";
    size_t length = strlen(path);
    return length > strlen(suffix) && strcmp(path + length - strlen(suffix), suffix) == 0;
}

static void show_counting(const struct training *self)
{
    if (self->terminal) {
        (void)fprintf(stderr, "\rcounting words: %.1f MB\x1b[K",
                      (double)self->source.bytes_read * 1e-6);
    }
}

static void show_merging(void *context, uint32_t tokens, uint32_t target)
{
    const struct training *self = context;
    if (self->terminal) {
        char bar[BAR_CELLS + 1];
        size_t done = (size_t)BAR_CELLS * tokens / target;
        memset(bar, '.', BAR_CELLS);
        memset(bar, '#', done);
        bar[BAR_CELLS] = '\0';
        (void)fprintf(stderr, "\rmerging [%s] %u of %u tokens\x1b[K", bar, tokens, target);
    }
}

static enum status count_text(struct training *self)
{
    size_t used = 0;
    bool ended = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !ended) {
        size_t wanted = TEXT_BYTES_MAX - used < READ_BYTES ? TEXT_BYTES_MAX - used : READ_BYTES;
        size_t got = 0;
        status = text_source_read(&self->source, self->text + used, wanted, &got);
        if (status != STATUS_OK) {
            break;
        }
        used += got;
        ended = got < wanted;
        size_t length = ended ? used : bpe_trainer_safe_length(self->trainer, self->text, used);
        if (length == 0 && used == TEXT_BYTES_MAX) {
            length = used;
        }
        status = bpe_trainer_count(self->trainer, self->text, length);
        used -= length;
        memmove(self->text, self->text + length, used);
        show_counting(self);
    }
    return status;
}

static enum status save(const struct tokenizer *tokenizer, const char *out)
{
    if (is_file_name(out)) {
        return tokenizer_write_json(tokenizer, out);
    }
    enum status status = files_make_folder(out);
    return status == STATUS_OK ? tokenizer_write(tokenizer, out) : status;
}

static void print_result(const struct options *options, const struct tokenizer *tokenizer,
                         uint64_t text_bytes, double seconds)
{
    uint32_t vocab_size = tokenizer_vocab_size(tokenizer);
    if (options->json) {
        (void)printf(
            "{\"tokenizer\":\"%s\",\"vocab_size\":%u,\"merges\":%zu,\"text_bytes\":%" PRIu64
            ",\"seconds\":%.3f}\n",
            tokenizer_name(tokenizer), vocab_size, tokenizer_merge_count(tokenizer), text_bytes,
            seconds);
    } else {
        (void)printf("%s: %s, %u tokens from %" PRIu64 " bytes of text in %.1f s\n", options->out,
                     tokenizer_name(tokenizer), vocab_size, text_bytes, seconds);
    }
    if (vocab_size < options->vocab) {
        (void)fprintf(stderr,
                      "dugnad: the text repeats too little for %" PRIu64 " tokens; it gave %u\n",
                      options->vocab, vocab_size);
    }
}

static enum status train(struct training *self, const struct options *options)
{
    struct tokenizer *tokenizer = NULL;
    uint64_t start_ns = clock_now_ns();
    enum status status = count_text(self);
    if (status == STATUS_OK) {
        status = bpe_trainer_finish(self->trainer, &tokenizer);
    }
    if (self->terminal) {
        (void)fprintf(stderr, "\r\x1b[K");
    }
    if (status == STATUS_OK) {
        status = save(tokenizer, options->out);
    }
    if (status == STATUS_OK) {
        print_result(options, tokenizer, self->source.bytes_read,
                     (double)(clock_now_ns() - start_ns) * 1e-9);
    }
    tokenizer_free(tokenizer);
    return status;
}

enum status cli_tokenizer_train(int argc, char **argv)
{
    struct options options = {.pattern = "gpt2"};
    struct training training = {.terminal = isatty(STDERR_FILENO) == 1};
    struct bpe_trainer_options how = {.progress = show_merging, .context = &training};
    int rest = 0;
    enum status status = parse(argc, argv, &options, &rest);
    if (status == STATUS_OK) {
        status = choose_pattern(options.pattern, &how.pattern);
    }
    if (status != STATUS_OK) {
        return status;
    }
    how.vocab_size = (uint32_t)options.vocab;
    how.specials = options.specials.items;
    how.special_count = options.specials.count;
    status = text_source_init(&training.source, (const char *const *)(argv + rest),
                              (size_t)(argc - rest));
    if (status == STATUS_OK) {
        status = bpe_trainer_new(&how, &training.trainer);
    }
    training.text = malloc(TEXT_BYTES_MAX);
    if (status == STATUS_OK && training.text == NULL) {
        status = fault(STATUS_NO_MEMORY, "no memory to read text");
    }
    if (status == STATUS_OK) {
        status = train(&training, &options);
    }
    free(training.text);
    bpe_trainer_free(training.trainer);
    text_source_deinit(&training.source);
    return status;
}
