#include "common/clock.h"
#include "common/fault.h"
#include "common/files.h"
#include "trainer/cli/options.h"
#include "trainer/cli/tokenizer.h"
#include "trainer/data/ingest/piece_documents.h"
#include "trainer/tokenizer/bpe_trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 4 << 20, BAR_CELLS = 30 };

struct options {
    uint64_t vocab;
    const char *out;
    const char *pattern;
    const char *field;
    struct cli_texts specials;
    bool json;
};

struct training {
    struct bpe_trainer *trainer;
    struct text_source *source;
    const char *field; /* of JSON lines */
    uint64_t text_bytes;
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
        {.name = "field", .kind = CLI_TEXT, .target = &out->field},
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
        (void)fprintf(stderr, "\rcounting words: %.1f MB\x1b[K", (double)self->text_bytes * 1e-6);
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

static size_t safe_length(const void *trainer, const uint8_t *text, size_t length)
{
    return bpe_trainer_safe_length(trainer, text, length);
}

static enum status count_piece(struct training *self, struct text_piece *piece)
{
    struct piece_documents documents;
    bool found = true;
    piece_documents_init(&documents, piece, self->field);
    while (found) {
        const uint8_t *text = NULL;
        size_t length = 0;
        enum status status = piece_documents_next(&documents, &text, &length, &found);
        if (status == STATUS_OK && found) {
            self->text_bytes += length;
            status = bpe_trainer_count(self->trainer, text, length);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status count_text(struct training *self)
{
    struct text_piece piece = {0};
    bool found = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && found) {
        status = text_source_next(self->source, &piece, &found);
        if (status == STATUS_OK && found) {
            status = count_piece(self, &piece);
            show_counting(self);
        }
    }
    text_piece_deinit(&piece);
    return status;
}

static enum status open_text(struct training *self, const char *const *files, size_t count)
{
    static const atomic_bool never;
    uint64_t total_bytes = 0;
    const struct text_source_options options = {.files = files,
                                                .file_count = count,
                                                .piece_bytes = PIECE_BYTES,
                                                .safe_length = safe_length,
                                                .safe_context = self->trainer,
                                                .stop = &never};
    enum status status = text_source_check(files, count, &total_bytes);
    return status == STATUS_OK ? text_source_new(&options, &self->source) : status;
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
        print_result(options, tokenizer, self->text_bytes,
                     (double)(clock_now_ns() - start_ns) * 1e-9);
    }
    tokenizer_free(tokenizer);
    return status;
}

enum status cli_tokenizer_train(int argc, char **argv)
{
    struct options options = {.pattern = "gpt2", .field = "text"};
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
    training.field = options.field;
    how.vocab_size = (uint32_t)options.vocab;
    how.specials = options.specials.items;
    how.special_count = options.specials.count;
    status = bpe_trainer_new(&how, &training.trainer);
    if (status == STATUS_OK) {
        status = open_text(&training, (const char *const *)(argv + rest), (size_t)(argc - rest));
    }
    if (status == STATUS_OK) {
        status = train(&training, &options);
    }
    text_source_free(training.source);
    bpe_trainer_free(training.trainer);
    return status;
}
