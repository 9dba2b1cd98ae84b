#include "trainer/cli/bench_model.h"

#include "common/fault.h"
#include "common/files.h"
#include "trainer/formats/hf_folder.h"

#include <string.h>

struct named_model {
    const char *name;
    struct model_config config;
};

static const struct named_model MODELS[] = {
    {"gpt2-124m",
     {.kind = MODEL_GPT2,
      .vocab_size = 50257,
      .width = 768,
      .layer_count = 12,
      .head_count = 12,
      .kv_head_count = 12,
      .head_size = 64,
      .ffn_width = 3072,
      .context_max = 1024,
      .tied_head = true,
      .norm_eps = 1e-5F,
      .init_std = 0.02F,
      .bos_id = -1,
      .eos_id = -1}},
    {"llama-10m",
     {.kind = MODEL_LLAMA,
      .vocab_size = 256,
      .width = 384,
      .layer_count = 6,
      .head_count = 6,
      .kv_head_count = 6,
      .head_size = 64,
      .ffn_width = 1024,
      .context_max = 1024,
      .tied_head = true,
      .norm_eps = 1e-5F,
      .rope_theta = 10000.0F,
      .init_std = 0.02F,
      .bos_id = -1,
      .eos_id = -1}},
};

enum status bench_model_find(const char *name, struct model_config *out)
{
    for (size_t i = 0; i < sizeof(MODELS) / sizeof(MODELS[0]); i++) {
        if (strcmp(MODELS[i].name, name) == 0) {
            *out = MODELS[i].config;
            return model_config_check(out);
        }
    }
    if (!files_exists(name)) {
        return fault(STATUS_USAGE,
                     "there is no model '%.200s'; use gpt2-124m, llama-10m or a folder with a "
                     "config.json",
                     name);
    }
    return hf_folder_read_config(name, out);
}
