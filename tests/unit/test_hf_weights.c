#include "common/fault.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/formats/hf_weights.h"
#include "trainer/formats/safetensors.h"

enum { TENSORS_MAX = 32, INDEX_TEXT_MAX = 8192 };

static const struct model_config CONFIG = {.kind = MODEL_LLAMA,
                                           .vocab_size = 64,
                                           .width = 8,
                                           .layer_count = 2,
                                           .head_count = 2,
                                           .kv_head_count = 1,
                                           .head_size = 4,
                                           .ffn_width = 12,
                                           .context_max = 32,
                                           .tied_head = true,
                                           .norm_eps = 1e-5F,
                                           .rope_theta = 10000.0F,
                                           .init_std = 0.02F,
                                           .bos_id = -1,
                                           .eos_id = -1};

static const char FIRST[] = "model-00001-of-00002.safetensors";
static const char SECOND[] = "model-00002-of-00002.safetensors";

/* A model whose tensors are split: those at even places in the first file. */
struct fixture {
    struct layout *layout;
    float *params;
    float *back;
    struct safetensors_output tensors[2][TENSORS_MAX];
    size_t counts[2];
};

static struct fixture begin(void)
{
    struct fixture self = {0};
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(layout_new(&CONFIG, &self.layout), STATUS_OK);
    size_t count = layout_value_count(self.layout);
    self.params = calloc(count, sizeof(float));
    self.back = calloc(count, sizeof(float));
    CU_ASSERT_TRUE_FATAL(self.params != NULL && self.back != NULL);
    layout_init_params(self.layout, &CONFIG, 5, self.params);
    for (size_t i = 0; i < layout_tensor_count(self.layout); i++) {
        const struct tensor_spec *spec = layout_tensor(self.layout, i);
        CU_ASSERT_TRUE_FATAL(self.counts[i % 2] + 2 < TENSORS_MAX);
        self.tensors[i % 2][self.counts[i % 2]++] =
            (struct safetensors_output){.name = spec->name,
                                        .rank = spec->rank,
                                        .shape = {spec->shape[0], spec->shape[1]},
                                        .values = self.params + spec->offset,
                                        .count = spec->count};
    }
    return self;
}

static void end(struct fixture *self)
{
    free(self->params);
    free(self->back);
    layout_free(self->layout);
    scratch_end();
}

static void write_files(const struct fixture *self)
{
    CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path(FIRST), self->tensors[0], self->counts[0]),
                          STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(
        safetensors_write(scratch_path(SECOND), self->tensors[1], self->counts[1]), STATUS_OK);
}

/* An index with the tensors as they lie, in which file_of_first stands for the file of the first
 * tensor (NULL: as it is), followed by `more` inside the map. */
static void write_index(const struct fixture *self, const char *file_of_first, const char *more)
{
    char text[INDEX_TEXT_MAX];
    size_t used =
        (size_t)snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < self->counts[i]; j++) {
            const char *file = i == 0 ? FIRST : SECOND;
            file = i == 0 && j == 0 && file_of_first != NULL ? file_of_first : file;
            used += (size_t)snprintf(text + used, sizeof text - used, "%s\"%s\":\"%s\"",
                                     i + j > 0 ? "," : "", self->tensors[i][j].name, file);
        }
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "%s}}", more);
    CU_ASSERT_TRUE_FATAL(used < sizeof text);
    scratch_write_text("model.safetensors.index.json", text);
}

static enum status read_folder(struct fixture *self)
{
    struct hf_weights *weights = NULL;
    enum status status = hf_weights_open(scratch_folder, &weights);
    if (status == STATUS_OK) {
        enum status checked = hf_weights_check(weights, self->layout);
        status = hf_weights_read(weights, self->layout, self->back);
        CU_ASSERT_EQUAL(checked, status);
    } else {
        CU_ASSERT_PTR_NULL(weights);
    }
    hf_weights_close(weights);
    return status;
}

static void refuses(struct fixture *self, enum status expected, const char *reason)
{
    CU_ASSERT_EQUAL(read_folder(self), expected);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), reason));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), scratch_folder));
}

static void sharded_checkpoint_is_read_whole(void)
{
    struct fixture self = begin();
    write_files(&self);
    write_index(&self, NULL, "");
    CU_ASSERT_EQUAL(read_folder(&self), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(self.params, self.back, layout_value_count(self.layout) * sizeof(float)),
                    0);
    struct hf_weights *weights = NULL;
    CU_ASSERT_EQUAL_FATAL(hf_weights_open(scratch_folder, &weights), STATUS_OK);
    CU_ASSERT_EQUAL(hf_weights_file_count(weights), 2);
    CU_ASSERT_STRING_EQUAL(hf_weights_dtype_name(weights, self.layout), "float32");
    hf_weights_close(weights);
    end(&self);
}

static void types_are_named_and_may_be_mixed(void)
{
    struct fixture self = begin();
    static const char *const NAMES[] = {"float32", "float16", "bfloat16"};
    struct hf_weights *weights = NULL;
    for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
        for (size_t i = 0; i < self.counts[0]; i++) {
            self.tensors[0][i].dtype = (enum tensor_dtype)dtype;
        }
        for (size_t i = 0; i < self.counts[1]; i++) {
            self.tensors[1][i].dtype = (enum tensor_dtype)dtype;
        }
        write_files(&self);
        write_index(&self, NULL, "");
        CU_ASSERT_EQUAL_FATAL(hf_weights_open(scratch_folder, &weights), STATUS_OK);
        CU_ASSERT_STRING_EQUAL(hf_weights_dtype_name(weights, self.layout), NAMES[dtype]);
        hf_weights_close(weights);
        CU_ASSERT_EQUAL(read_folder(&self), STATUS_OK);
    }
    self.tensors[1][0].dtype = DTYPE_F32;
    write_files(&self);
    CU_ASSERT_EQUAL_FATAL(hf_weights_open(scratch_folder, &weights), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(hf_weights_dtype_name(weights, self.layout), "mixed");
    hf_weights_close(weights);
    end(&self);
}

static void index_that_leads_out_of_the_folder_is_refused(void)
{
    struct fixture self = begin();
    static const char *const NAMES[] = {"../model-00001-of-00002.safetensors",
                                        "/etc/passwd",
                                        "sub/model.safetensors",
                                        "..",
                                        ".hidden",
                                        "",
                                        "back\\\\slash",
                                        "line\\nbreak"};
    write_files(&self);
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        write_index(&self, NAMES[i], "");
        refuses(&self, STATUS_BAD_DATA, "plain name");
    }
    write_index(&self, NULL, ",\"more\":7");
    refuses(&self, STATUS_BAD_DATA, "plain name");
    end(&self);
}

static void index_that_disagrees_with_its_files_is_refused(void)
{
    struct fixture self = begin();
    write_files(&self);
    write_index(&self, SECOND, "");
    refuses(&self, STATUS_BAD_DATA, "weight_map says model-00002");
    write_index(&self, NULL, ",\"more\":\"model-00002-of-00002.safetensors\"");
    refuses(&self, STATUS_BAD_DATA, "its files hold");
    /* a tensor in a file that the map does not know */
    self.counts[0]--;
    write_index(&self, NULL, "");
    self.counts[0]++;
    refuses(&self, STATUS_BAD_DATA, "weight_map says nothing of it");
    /* the same name twice */
    char again[256];
    (void)snprintf(again, sizeof again, ",\"%s\":\"%s\"", self.tensors[0][0].name, FIRST);
    write_index(&self, NULL, again);
    refuses(&self, STATUS_BAD_DATA, "not valid JSON");
    end(&self);
}

static void tensor_in_two_files_is_refused(void)
{
    struct fixture self = begin();
    self.tensors[1][self.counts[1]++] = self.tensors[0][0];
    write_files(&self);
    self.counts[1]--;
    write_index(&self, NULL, "");
    refuses(&self, STATUS_BAD_DATA, "weight_map says model-00001");
    end(&self);
}

static void missing_tensor_or_file_is_named(void)
{
    struct fixture self = begin();
    write_files(&self);
    self.counts[1]--;
    const char *name = self.tensors[1][self.counts[1]].name;
    CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path(SECOND), self.tensors[1], self.counts[1]),
                          STATUS_OK);
    write_index(&self, NULL, "");
    refuses(&self, STATUS_BAD_DATA, name);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "missing"));
    write_index(&self, "model-00003-of-00002.safetensors", "");
    refuses(&self, STATUS_NO_INPUT, "model-00003-of-00002.safetensors");
    end(&self);
}

static void broken_index_is_refused(void)
{
    struct fixture self = begin();
    static const char *const TEXTS[] = {"",
                                        "{",
                                        "[]",
                                        "{}",
                                        "{\"weight_map\":[]}",
                                        "{\"weight_map\":{}}",
                                        "{\"weight_map\":\"a\"}"};
    write_files(&self);
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        scratch_write_text("model.safetensors.index.json", TEXTS[i]);
        refuses(&self, STATUS_BAD_DATA, "index.json");
    }
    end(&self);
}

static void index_of_too_many_files_is_refused(void)
{
    struct fixture self = begin();
    enum { COUNT = HF_WEIGHTS_FILES_MAX + 1, LINE_MAX_BYTES = 40 };
    char *text = calloc(COUNT, LINE_MAX_BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    size_t used = (size_t)sprintf(text, "{\"weight_map\":{");
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%d", i);
        CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path(name), NULL, 0), STATUS_OK);
        used += (size_t)snprintf(text + used, LINE_MAX_BYTES, "%s\"t%d\":\"%s\"", i > 0 ? "," : "",
                                 i, name);
    }
    (void)snprintf(text + used, LINE_MAX_BYTES, "}}");
    scratch_write_text("model.safetensors.index.json", text);
    free(text);
    refuses(&self, STATUS_BAD_DATA, "more than 1024 files");
    end(&self);
}

static void one_file_counts_before_an_index(void)
{
    struct fixture self = begin();
    write_index(&self, "../elsewhere", "");
    size_t count = self.counts[0];
    memcpy(&self.tensors[0][count], self.tensors[1], self.counts[1] * sizeof self.tensors[1][0]);
    CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path("model.safetensors"), self.tensors[0],
                                            count + self.counts[1]),
                          STATUS_OK);
    CU_ASSERT_EQUAL(read_folder(&self), STATUS_OK);
    end(&self);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(sharded_checkpoint_is_read_whole),
        SUITE_TEST(types_are_named_and_may_be_mixed),
        SUITE_TEST(index_that_leads_out_of_the_folder_is_refused),
        SUITE_TEST(index_that_disagrees_with_its_files_is_refused),
        SUITE_TEST(tensor_in_two_files_is_refused),
        SUITE_TEST(missing_tensor_or_file_is_named),
        SUITE_TEST(broken_index_is_refused),
        SUITE_TEST(index_of_too_many_files_is_refused),
        SUITE_TEST(one_file_counts_before_an_index),
    };
    return suite_run("hf_weights", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
