#include "trainer/cli/import.h"

#include "common/fault.h"
#include "trainer/cli/options.h"
#include "trainer/cli/stored_model.h"
#include "trainer/formats/hf_folder.h"

#include <stdio.h>

struct import_options {
    const char *folder;
    const char *out;
    bool no_tokenizer;
    bool json;
};

static void print_result(const struct import_options *options, const struct stored_model *model)
{
    const struct model_config *config = &model->config;
    const char *kind = config->kind == MODEL_LLAMA ? "llama" : "gpt2";
    size_t parameters = layout_parameter_count(model->layout);
    const char *tokenizer = model->tokenizer != NULL ? tokenizer_name(model->tokenizer) : NULL;
    if (options->json) {
        (void)printf("{\"model_type\":\"%s\",\"parameters\":%zu,\"layers\":%u,\"hidden_size\":%u,"
                     "\"vocab_size\":%u,\"context\":%u,\"dtype\":\"%s\",\"files\":%zu,",
                     kind, parameters, config->layer_count, config->width, config->vocab_size,
                     config->context_max, model->dtype_name, model->file_count);
        (void)printf(tokenizer != NULL ? "\"tokenizer\":\"%s\"}\n" : "\"tokenizer\":null}\n",
                     tokenizer);
        return;
    }
    (void)printf("%s: %s with %zu parameters in %u layers, %s, vocabulary %u, context %u, "
                 "tokenizer %s\n",
                 options->out, kind, parameters, config->layer_count, model->dtype_name,
                 config->vocab_size, config->context_max, tokenizer != NULL ? tokenizer : "none");
}

static enum status parse(int argc, char **argv, struct import_options *out)
{
    *out = (struct import_options){0};
    const struct cli_option table[] = {
        {.name = "out", .kind = CLI_TEXT, .target = &out->out, .required = true},
        {.name = "no-tokenizer", .kind = CLI_FLAG, .target = &out->no_tokenizer},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("import", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    if (status == STATUS_OK && rest + 1 != argc) {
        status = fault(STATUS_USAGE, "import takes one folder: dugnad import FOLDER --out DIR");
    }
    out->folder = status == STATUS_OK ? argv[rest] : NULL;
    return status;
}

enum status cli_import(int argc, char **argv)
{
    struct import_options options;
    struct stored_model model = {0};
    enum status status = parse(argc, argv, &options);
    if (status == STATUS_OK) {
        status = stored_model_read(options.folder, !options.no_tokenizer, &model);
    }
    if (status == STATUS_OK) {
        const struct hf_content content = {.config = &model.config,
                                           .layout = model.layout,
                                           .params = model.params,
                                           .tokenizer = model.tokenizer,
                                           .dtype = DTYPE_F32};
        status = hf_folder_create(options.out, &content);
    }
    if (status == STATUS_OK) {
        print_result(&options, &model);
    }
    stored_model_deinit(&model);
    return status;
}
