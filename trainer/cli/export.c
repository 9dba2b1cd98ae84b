#include "trainer/cli/export.h"

#include "common/fault.h"
#include "common/files.h"
#include "trainer/cli/options.h"
#include "trainer/cli/stored_model.h"
#include "trainer/formats/gguf_model.h"
#include "trainer/formats/hf_folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A --dtype, and what it is in each format. */
struct export_type {
    const char *name;
    enum ggml_type gguf;
    enum tensor_dtype hf; /* DTYPE_OTHER: not in this format */
};

static const struct export_type TYPES[] = {
    {"f32", GGML_F32, DTYPE_F32},
    {"f16", GGML_F16, DTYPE_F16},
    {"bf16", GGML_BF16, DTYPE_BF16},
    {"q8_0", GGML_Q8_0, DTYPE_OTHER},
};

struct export_options {
    const char *folder;
    const char *format;
    const char *dtype;
    const char *out;
    const struct export_type *type;
    bool no_tokenizer;
    bool json;
};

static enum status choose_type(struct export_options *options)
{
    bool hf = strcmp(options->format, "hf") == 0;
    if (!hf && strcmp(options->format, "gguf") != 0) {
        return fault(STATUS_USAGE, "export: --format must be hf or gguf, not '%.100s'",
                     options->format);
    }
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (strcmp(TYPES[i].name, options->dtype) == 0) {
            options->type = &TYPES[i];
        }
    }
    if (options->type == NULL) {
        return fault(STATUS_USAGE, "export: --dtype must be f32, f16, bf16 or q8_0, not '%.100s'",
                     options->dtype);
    }
    if (hf && options->type->hf == DTYPE_OTHER) {
        return fault(STATUS_USAGE,
                     "export: %s is a type of --format gguf only; choose f32, f16 or "
                     "bf16",
                     options->dtype);
    }
    return STATUS_OK;
}

static enum status parse(int argc, char **argv, struct export_options *out)
{
    *out = (struct export_options){.dtype = "f32"};
    const struct cli_option table[] = {
        {.name = "format", .kind = CLI_TEXT, .target = &out->format, .required = true},
        {.name = "dtype", .kind = CLI_TEXT, .target = &out->dtype},
        {.name = "out", .kind = CLI_TEXT, .target = &out->out, .required = true},
        {.name = "no-tokenizer", .kind = CLI_FLAG, .target = &out->no_tokenizer},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("export", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    if (status == STATUS_OK && rest + 1 != argc) {
        status = fault(STATUS_USAGE, "export takes one folder: dugnad export FOLDER --format "
                                     "hf|gguf --out PATH");
    }
    if (status != STATUS_OK) {
        return status;
    }
    out->folder = argv[rest];
    return choose_type(out);
}

static void print_result(const struct export_options *options, const struct stored_model *model,
                         const struct gguf_model_facts *facts)
{
    const char *tokenizer = model->tokenizer != NULL ? tokenizer_name(model->tokenizer) : NULL;
    size_t parameters = layout_parameter_count(model->layout);
    if (options->json) {
        (void)printf("{\"format\":\"%s\",\"dtype\":\"%s\",\"parameters\":%zu,\"tensors\":%zu,"
                     "\"tensors_kept_f16\":%zu,",
                     options->format, options->type->name, parameters, facts->tensor_count,
                     facts->f16_count);
        (void)printf(tokenizer != NULL ? "\"tokenizer\":\"%s\"}\n" : "\"tokenizer\":null}\n",
                     tokenizer);
        return;
    }
    (void)printf("%s: %zu parameters as %s, tokenizer %s\n", options->out, parameters,
                 options->type->name, tokenizer != NULL ? tokenizer : "none");
    if (facts->f16_count > 0) {
        (void)printf(
            "%zu of %zu tensors have rows that are not whole blocks of %d values; they are "
            "f16 instead\n",
            facts->f16_count, facts->tensor_count, (int)GGML_BLOCK_VALUES);
    }
}

static enum status write_gguf(const struct export_options *options,
                              const struct stored_model *model, struct gguf_model_facts *facts)
{
    if (files_exists(options->out)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there already; choose another --out",
                     options->out);
    }
    const struct gguf_model content = {.config = &model->config,
                                       .layout = model->layout,
                                       .params = model->params,
                                       .tokenizer = model->tokenizer,
                                       .type = options->type->gguf};
    return gguf_model_write(options->out, &content, facts);
}

static enum status write_hf(const struct export_options *options, const struct stored_model *model,
                            struct gguf_model_facts *facts)
{
    const struct hf_content content = {.config = &model->config,
                                       .layout = model->layout,
                                       .params = model->params,
                                       .tokenizer = model->tokenizer,
                                       .dtype = options->type->hf};
    facts->tensor_count = layout_tensor_count(model->layout);
    return hf_folder_create(options->out, &content);
}

enum status cli_export(int argc, char **argv)
{
    struct export_options options;
    struct stored_model model = {0};
    struct gguf_model_facts facts = {0};
    enum status status = parse(argc, argv, &options);
    if (status == STATUS_OK) {
        status = stored_model_read(options.folder, !options.no_tokenizer, &model);
    }
    if (status == STATUS_OK) {
        status = strcmp(options.format, "gguf") == 0 ? write_gguf(&options, &model, &facts)
                                                     : write_hf(&options, &model, &facts);
    }
    if (status == STATUS_OK) {
        print_result(&options, &model, &facts);
    }
    stored_model_deinit(&model);
    return status;
}
