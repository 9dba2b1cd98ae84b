#include "trainer/cli/data.h"

#include "common/fault.h"
#include "trainer/cli/options.h"
#include "trainer/cli/progress.h"
#include "trainer/data/ingest/data_build.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void print_result(const struct data_build_options *options,
                         const struct data_build_result *result, bool json)
{
    double bytes_per_s = (double)result->text_bytes / fmax(result->seconds, 1e-9);
    if (json) {
        (void)printf("{\"train_tokens\":%" PRIu64 ",\"validation_tokens\":%" PRIu64
                     ",\"text_bytes\":%" PRIu64 ",\"shards\":%zu,\"seconds\":%.3f"
                     ",\"bytes_per_second\":%.0f}\n",
                     result->train_tokens, result->validation_tokens, result->text_bytes,
                     result->shard_count, result->seconds, bytes_per_s);
        return;
    }
    (void)printf("%s: %" PRIu64 " training and %" PRIu64 " validation tokens from %" PRIu64
                 " bytes of text, in %zu shards (%.1f s, %.1f MB/s)\n",
                 options->out_folder, result->train_tokens, result->validation_tokens,
                 result->text_bytes, result->shard_count, result->seconds, bytes_per_s * 1e-6);
}

static void show_progress(void *context, const struct data_build_progress *now)
{
    progress_show(context, now->input_bytes, now->input_total, now->token_count);
}

static enum status parse_format(const char *name, enum text_format *out)
{
    static const struct {
        const char *name;
        enum text_format format;
    } FORMATS[] = {{"auto", TEXT_FORMAT_BY_NAME},
                   {"text", TEXT_FORMAT_PLAIN},
                   {"jsonl", TEXT_FORMAT_JSON_LINES}};
    for (size_t i = 0; i < sizeof(FORMATS) / sizeof(FORMATS[0]); i++) {
        if (strcmp(name, FORMATS[i].name) == 0) {
            *out = FORMATS[i].format;
            return STATUS_OK;
        }
    }
    return fault(STATUS_USAGE, "--input-format must be auto, text or jsonl, not '%.100s'", name);
}

static enum status build_and_print(const struct data_build_options *options, bool quiet, bool json)
{
    struct data_build_options shown = *options;
    struct data_build_result result;
    struct progress progress;
    progress_init(&progress, quiet);
    shown.on_progress = show_progress;
    shown.progress_context = &progress;
    enum status status = data_build(&shown, &result);
    progress_erase(&progress);
    if (status == STATUS_OK) {
        print_result(options, &result, json);
    }
    return status;
}

static enum status build(int argc, char **argv)
{
    struct data_build_options options = {
        .tokenizer_spec = "bytes",
        .validation_fraction = 0.05,
        .shard_tokens_max = 1 << 26,
        .field = "text",
        .seed = 1,
    };
    const char *format = "auto";
    uint64_t threads = 0;
    bool json = false;
    bool quiet = false;
    const struct cli_option table[] = {
        {.name = "tokenizer", .kind = CLI_TEXT, .target = &options.tokenizer_spec},
        {.name = "out", .kind = CLI_TEXT, .target = &options.out_folder, .required = true},
        {.name = "val-fraction",
         .kind = CLI_REAL,
         .target = &options.validation_fraction,
         .real_min = 1e-6,
         .real_max = 0.5},
        {.name = "shard-tokens",
         .kind = CLI_COUNT,
         .target = &options.shard_tokens_max,
         .count_min = 1,
         .count_max = (uint64_t)1 << 40},
        {.name = "seed", .kind = CLI_COUNT, .target = &options.seed, .count_max = UINT64_MAX},
        {.name = "input-format", .kind = CLI_TEXT, .target = &format},
        {.name = "field", .kind = CLI_TEXT, .target = &options.field},
        {.name = "no-separator", .kind = CLI_FLAG, .target = &options.no_separator},
        {.name = "threads",
         .kind = CLI_COUNT,
         .target = &threads,
         .count_min = 1,
         .count_max = PIPELINE_THREADS_MAX},
        {.name = "json", .kind = CLI_FLAG, .target = &json},
        {.name = "quiet", .kind = CLI_FLAG, .target = &quiet},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("data", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    if (status == STATUS_OK) {
        status = parse_format(format, &options.format);
    }
    if (status != STATUS_OK) {
        return status;
    }
    options.files = (const char *const *)(argv + rest);
    options.file_count = (size_t)(argc - rest);
    options.threads = (size_t)threads;
    return build_and_print(&options, quiet, json);
}

enum status cli_data(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "build") != 0) {
        return fault(STATUS_USAGE, "data knows one verb: dugnad data build --out DIR FILE...");
    }
    return build(argc - 1, argv + 1);
}
