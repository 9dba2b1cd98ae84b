/* A model's config.json: from a folder, or in a coordinator's welcome. What is read is written, and
 * read to the same; its tensors can be laid out. */
#include "tests/fuzz/fuzz.h"
#include "trainer/layout/layout.h"
#include "trainer/layout/model_config.h"

#include <stdlib.h>
#include <string.h>

/* jansson takes up to 100 bytes for one of JSON; a config.json is short. */
enum { BASE_BYTES = 100 * MODEL_CONFIG_JSON_MAX };

static void write_again(const struct model_config *config)
{
    struct model_config again = *config;
    char *text = NULL;
    if (model_config_to_json(config, &text) != STATUS_OK) {
        CHECK(!fuzz_is_calm());
        return;
    }
    enum status status = model_config_from_json(text, strlen(text), &again);
    CHECK(status == STATUS_OK || !fuzz_is_calm());
    CHECK(status != STATUS_OK || memcmp(config, &again, sizeof again) == 0);
    free(text);
}

/* Sizes that no JSON gets that far with. */
static void spoil(const struct model_config *config)
{
    struct model_config kind = *config;
    struct model_config heads = *config;
    struct model_config std = *config;
    struct model_config token = *config;
    kind.kind = (enum model_kind)0;
    heads.head_size = 1U << 20;
    heads.kv_head_count = 1;
    std.init_std = -1.0F;
    token.eos_id = (int32_t)config->vocab_size;
    CHECK(model_config_check(&kind) != STATUS_OK && model_config_check(&heads) != STATUS_OK);
    CHECK(model_config_check(&std) != STATUS_OK && model_config_check(&token) != STATUS_OK);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    char *text = fuzz_text((struct fuzz_bytes){data, size_bytes});
    struct model_config config;
    memset(&config, 0, sizeof config);
    fuzz_memory_begin();
    enum status status = model_config_from_json(text, size_bytes, &config);
    fuzz_memory_end(size_bytes, BASE_BYTES);
    if (status == STATUS_OK) {
        CHECK(model_config_check(&config) == STATUS_OK);
        spoil(&config);
        write_again(&config);
    }
    fuzz_own_free(text);
}
