#include "trainer/cli/data.h"

#include "common/fault.h"
#include "trainer/cli/options.h"
#include "trainer/data/data_build.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_result(const struct data_build_options *options,
                         const struct data_build_result *result, bool json)
{
    if (json) {
        (void)printf("{\"train_tokens\":%" PRIu64 ",\"validation_tokens\":%" PRIu64
                     ",\"text_bytes\":%" PRIu64 ",\"shards\":%zu}\n",
                     result->train_tokens, result->validation_tokens, result->text_bytes,
                     result->shard_count);
        return;
    }
    (void)printf("%s: %" PRIu64 " training and %" PRIu64 " validation tokens from %" PRIu64
                 " bytes of text, in %zu shards\n",
                 options->out_folder, result->train_tokens, result->validation_tokens,
                 result->text_bytes, result->shard_count);
}

static enum status build(int argc, char **argv)
{
    struct data_build_options options = {
        .tokenizer_spec = "bytes",
        .validation_fraction = 0.05,
        .shard_tokens_max = 1 << 26,
        .seed = 1,
    };
    bool json = false;
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
        {.name = "json", .kind = CLI_FLAG, .target = &json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("data", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    if (status != STATUS_OK) {
        return status;
    }
    options.files = (const char *const *)(argv + rest);
    options.file_count = (size_t)(argc - rest);
    struct data_build_result result;
    status = data_build(&options, &result);
    if (status == STATUS_OK) {
        print_result(&options, &result, json);
    }
    return status;
}

enum status cli_data(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "build") != 0) {
        return fault(STATUS_USAGE, "data knows one verb: dugnad data build --out DIR FILE...");
    }
    return build(argc - 1, argv + 1);
}
