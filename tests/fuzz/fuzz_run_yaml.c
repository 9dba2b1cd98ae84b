/* A run's YAML file; what is read is written as run.yaml and model.json, and read to the same. */
#include "coordinator/store/run_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_disk.h"
#include "trainer/run/run_config.h"

#include <string.h>

/* libyaml takes up to 420 bytes for one of YAML; a run.yaml is short. */
enum { YAML_FACTOR = 450, BASE_BYTES = 128 * 1024 };

static const char manifest[] = "{\"format\":\"dugnad-data-1\",\"tokenizer\":\"bytes\","
                               "\"vocab_size\":256,\"splits\":{\"train\":{\"tokens\":0,"
                               "\"shards\":[]},\"validation\":{\"tokens\":0,\"shards\":[]}}}";
static const char model[] = "{\"model_type\":\"llama\",\"hidden_size\":64,"
                            "\"intermediate_size\":96,\"num_hidden_layers\":2,"
                            "\"num_attention_heads\":4,\"vocab_size\":256,"
                            "\"max_position_embeddings\":128}";

static struct digest hash_of(const struct run_config *config, bool *out_done)
{
    struct digest_stream stream;
    digest_begin(&stream);
    *out_done = run_file_hash(config, &stream) == STATUS_OK;
    return digest_end(&stream);
}

static void write_again(const struct run_config *config)
{
    struct run_config again;
    bool done = false;
    bool done_again = false;
    enum status status = run_file_write("/out", config);
    if (status == STATUS_OK) {
        status = run_config_read("/out/run.yaml", &again);
        CHECK(status == STATUS_OK || !fuzz_is_calm());
    }
    if (status == STATUS_OK) {
        struct digest first = hash_of(config, &done);
        struct digest second = hash_of(&again, &done_again);
        CHECK(!done || !done_again || digest_equal(&first, &second));
        CHECK(strcmp(config->name, again.name) == 0 && config->step_count == again.step_count);
    }
    /* YAML holds UTF-8 alone, a path anything. */
    CHECK(status == STATUS_OK || status == STATUS_BAD_CONFIG || !fuzz_is_calm());
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct run_config config;
    fuzz_disk_put("/run/run.yaml", data, size_bytes);
    fuzz_disk_put("/run/shards/manifest.json", (const uint8_t *)manifest, sizeof manifest - 1);
    fuzz_disk_put("/run/model/config.json", (const uint8_t *)model, sizeof model - 1);
    fuzz_memory_begin();
    enum status status = run_config_read("/run/run.yaml", &config);
    fuzz_memory_end(size_bytes, YAML_FACTOR * size_bytes + BASE_BYTES);
    if (status == STATUS_OK) {
        CHECK(run_config_check_name(config.name) == STATUS_OK);
        CHECK(run_config_step_tokens(&config) > 0);
        write_again(&config);
    }
}
