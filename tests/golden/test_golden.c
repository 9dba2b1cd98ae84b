/* test_golden FOLDER BACKEND - compares `dugnad oracle` and the model's logits with the numbers
 * that PyTorch and transformers computed for the model in FOLDER:
 *
 *     golden.json               input_ids, loss_nats_per_token, maybe greedy_ids_from_bos
 *     golden_grads.safetensors  d mean loss / d tensor
 *     golden_logits.safetensors logits (rows, T, V)
 *     golden_train.json         AdamW steps (not in every folder)
 *
 * Exits with 77, which ctest shows as skipped, when there is no such folder. */
#include "common/check.h"
#include "common/fault.h"
#include "common/files.h"
#include "tests/unit/suite.h"
#include "trainer/cli/oracle.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/formats/safetensors.h"
#include "trainer/model/decoder.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_SKIP = 77, ROWS_MAX = 512 };

static const char *folder;
static const char *backend_name;
static char scratch[] = "/tmp/dugnad-golden-XXXXXX";

static void golden_path(const char *name, char *out)
{
    CU_ASSERT_EQUAL_FATAL(files_join(folder, name, out), STATUS_OK);
}

static json_t *load_json(const char *path)
{
    json_t *root = json_load_file(path, 0, NULL);
    CHECK(root != NULL);
    return root;
}

/* Runs `dugnad oracle ...` in this process and parses what it prints. */
static json_t *run_oracle(int argc, char **argv)
{
    char path[FILES_PATH_MAX];
    CU_ASSERT_EQUAL_FATAL(files_join(scratch, "stdout", path), STATUS_OK);
    (void)fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CU_ASSERT_TRUE_FATAL(saved >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    enum status status = cli_oracle(argc, argv);
    (void)fflush(stdout);
    CU_ASSERT_TRUE_FATAL(dup2(saved, STDOUT_FILENO) >= 0);
    (void)close(saved);
    (void)fclose(file);
    if (status != STATUS_OK) {
        printf("\n    %s ", fault_text());
    }
    CU_ASSERT_EQUAL_FATAL(status, STATUS_OK);
    return load_json(path);
}

static double relative(double actual, double expected)
{
    double error = fabs(actual - expected) / fabs(expected);
    return isfinite(error) ? error : HUGE_VAL;
}

/* ||a - b||, and ||b|| to *norm. */
static double distance(const float *a, const float *b, size_t count, double *norm)
{
    double difference = 0.0;
    double square = 0.0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        square += (double)b[i] * (double)b[i];
    }
    *norm = sqrt(square);
    return isfinite(difference) ? sqrt(difference) : HUGE_VAL;
}

static float *read_values(const struct safetensors *file, const struct safetensors_entry *entry)
{
    size_t count = entry->size_bytes / sizeof(float);
    float *values = calloc(count + 1, sizeof(*values));
    CHECK(values != NULL);
    CU_ASSERT_EQUAL_FATAL(safetensors_read_f32(file, entry, values, count), STATUS_OK);
    return values;
}

/* Activations of 8 significant bits agree as a whole, not tensor by tensor. */
struct bounds {
    double loss, gradient, tensor, logits, step_loss, step_grad_l2;
};

static struct bounds bounds_of_backend(void)
{
    if (strcmp(backend_name, "bf16") == 0) {
        return (struct bounds){3e-3, 3e-2, HUGE_VAL, 3e-2, 1e-2, 3e-2};
    }
    return (struct bounds){1e-5, 1e-4, 1e-4, 1e-5, 1e-4, 1e-3};
}

/* Every golden tensor is there, and near. */
static void compare_gradients(const char *actual_path)
{
    char path[FILES_PATH_MAX];
    struct safetensors *actual = NULL;
    struct safetensors *golden = NULL;
    golden_path("golden_grads.safetensors", path);
    CU_ASSERT_EQUAL_FATAL(safetensors_open(path, &golden), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(safetensors_open(actual_path, &actual), STATUS_OK);
    CU_ASSERT_EQUAL(safetensors_count(actual), safetensors_count(golden));
    struct bounds bounds = bounds_of_backend();
    double worst = 0.0;
    double squares[2] = {0.0, 0.0}; /* of all differences, of all golden values */
    for (size_t i = 0; i < safetensors_count(golden); i++) {
        const struct safetensors_entry *entry = safetensors_entry(golden, i);
        const struct safetensors_entry *ours = safetensors_find(actual, entry->name);
        CHECK(ours != NULL);
        CU_ASSERT_EQUAL_FATAL(ours->size_bytes, entry->size_bytes);
        CU_ASSERT_EQUAL(ours->rank, entry->rank);
        CU_ASSERT_EQUAL(memcmp(ours->shape, entry->shape, entry->rank * sizeof(uint64_t)), 0);
        float *expected = read_values(golden, entry);
        float *values = read_values(actual, ours);
        double norm = 0.0;
        double error = distance(values, expected, entry->size_bytes / sizeof(float), &norm);
        squares[0] += error * error;
        squares[1] += norm * norm;
        error = norm > 1e-7 ? error / norm : error;
        worst = error > worst ? error : worst;
        CU_ASSERT_TRUE(error < bounds.tensor);
        free(expected);
        free(values);
    }
    double whole = sqrt(squares[0] / squares[1]);
    CU_ASSERT_TRUE(whole < bounds.gradient);
    printf("\n    relative L2 of the gradient: %.2g, of the worst tensor's: %.2g ", whole, worst);
    safetensors_close(actual);
    safetensors_close(golden);
}

static void loss_and_gradients_equal_pytorch(void)
{
    char ids[FILES_PATH_MAX];
    char out[FILES_PATH_MAX];
    golden_path("golden.json", ids);
    CU_ASSERT_EQUAL_FATAL(files_join(scratch, "grads.safetensors", out), STATUS_OK);
    char *argv[] = {"oracle", "grad",   "--model",   (char *)folder,       "--ids", ids, "--out",
                    out,      "--json", "--backend", (char *)backend_name, NULL};
    json_t *printed = run_oracle(11, argv);
    json_t *golden = load_json(ids);
    double expected = json_number_value(json_object_get(golden, "loss_nats_per_token"));
    double error = relative(json_number_value(json_object_get(printed, "loss")), expected);
    printf("\n    relative error of the loss: %.2g ", error);
    CU_ASSERT_TRUE(error < bounds_of_backend().loss);
    json_decref(printed);
    json_decref(golden);
    compare_gradients(out);
}

static void compare_series(const json_t *actual, const json_t *expected, double bound)
{
    double worst = 0.0;
    CU_ASSERT_TRUE(json_array_size(expected) > 0);
    CU_ASSERT_EQUAL_FATAL(json_array_size(actual), json_array_size(expected));
    for (size_t i = 0; i < json_array_size(expected); i++) {
        double error = relative(json_number_value(json_array_get(actual, i)),
                                json_number_value(json_array_get(expected, i)));
        worst = error > worst ? error : worst;
        CU_ASSERT_TRUE(error < bound);
    }
    printf("\n    worst relative error of %zu steps: %.2g ", json_array_size(expected), worst);
}

static void training_steps_equal_pytorch(void)
{
    char path[FILES_PATH_MAX];
    golden_path("golden_train.json", path);
    char *argv[] = {"oracle", "train",  "--model",   (char *)folder,       "--golden",
                    path,     "--json", "--backend", (char *)backend_name, NULL};
    json_t *printed = run_oracle(9, argv);
    json_t *golden = load_json(path);
    compare_series(json_object_get(printed, "loss"), json_object_get(golden, "loss_nats_per_token"),
                   bounds_of_backend().step_loss);
    compare_series(json_object_get(printed, "grad_l2"),
                   json_object_get(golden, "grad_l2_before_clip"),
                   bounds_of_backend().step_grad_l2);
    json_decref(printed);
    json_decref(golden);
}

/* The folder's model with its parameters in backend memory. */
struct loaded {
    struct model *model;
    struct workspace *workspace;
    struct weights *weights;
    float *params;
};

static struct loaded load_model(size_t context)
{
    struct loaded loaded = {0};
    struct model_config config;
    const struct backend *backend = NULL;
    struct workspace_plan plan = {
        .context = context, .sequence_count = 1, .purpose = WORKSPACE_LOSS};
    CU_ASSERT_EQUAL_FATAL(backend_find(backend_name, &backend), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(hf_folder_read_config(folder, &config), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(model_new(&config, backend, &loaded.model), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(workspace_new(loaded.model, &plan, &loaded.workspace), STATUS_OK);
    const struct layout *layout = model_layout(loaded.model);
    loaded.params = backend->allocate(layout_value_count(layout) * sizeof(float));
    CHECK(loaded.params != NULL);
    CU_ASSERT_EQUAL_FATAL(hf_folder_read_params(folder, layout, loaded.params), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(weights_new(loaded.model, &loaded.weights), STATUS_OK);
    weights_load(loaded.weights, loaded.params);
    return loaded;
}

static void unload_model(struct loaded *loaded)
{
    model_backend(loaded->model)->release(loaded->params);
    workspace_free(loaded->workspace);
    weights_free(loaded->weights);
    model_free(loaded->model);
}

static size_t read_tokens(const json_t *ids, uint16_t *out)
{
    size_t count = json_array_size(ids);
    CU_ASSERT_TRUE_FATAL(count > 0 && count <= ROWS_MAX);
    for (size_t i = 0; i < count; i++) {
        out[i] = (uint16_t)json_integer_value(json_array_get(ids, i));
    }
    return count;
}

static void logits_equal_pytorch(void)
{
    char path[FILES_PATH_MAX];
    struct safetensors *golden = NULL;
    golden_path("golden_logits.safetensors", path);
    CU_ASSERT_EQUAL_FATAL(safetensors_open(path, &golden), STATUS_OK);
    const struct safetensors_entry *entry = safetensors_find(golden, "logits");
    CHECK(entry != NULL);
    float *expected = read_values(golden, entry);
    size_t row_values = (size_t)(entry->shape[1] * entry->shape[2]);
    golden_path("golden.json", path);
    json_t *root = load_json(path);
    const json_t *rows = json_object_get(root, "input_ids");
    CU_ASSERT_EQUAL_FATAL(json_array_size(rows), entry->shape[0]);
    struct loaded loaded = load_model((size_t)entry->shape[1]);
    float *logits = calloc(row_values, sizeof(*logits));
    CHECK(logits != NULL);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        uint16_t tokens[ROWS_MAX];
        size_t T = read_tokens(json_array_get(rows, i), tokens);
        CU_ASSERT_EQUAL_FATAL(T, entry->shape[1]);
        model_logits(loaded.model, loaded.workspace, loaded.weights, tokens, T, logits);
        double norm = 0.0;
        double error = distance(logits, expected + i * row_values, row_values, &norm);
        CU_ASSERT_TRUE(error < bounds_of_backend().logits * norm);
        if (i == 0) {
            printf("\n    relative L2 of the first row's logits: %.2g ", error / norm);
        }
    }
    free(logits);
    free(expected);
    unload_model(&loaded);
    json_decref(root);
    safetensors_close(golden);
}

static void greedy_continuation_equals_pytorch(void)
{
    char path[FILES_PATH_MAX];
    uint16_t expected[ROWS_MAX];
    golden_path("golden.json", path);
    json_t *root = load_json(path);
    size_t count = read_tokens(json_object_get(root, "greedy_ids_from_bos"), expected);
    struct loaded loaded = load_model(count);
    size_t vocab = model_config_of(loaded.model)->vocab_size;
    float *logits = calloc(vocab, sizeof(*logits));
    CHECK(logits != NULL);
    struct decoder *decoder = NULL;
    CU_ASSERT_EQUAL_FATAL(decoder_new(loaded.model, count, &decoder), STATUS_OK);
    for (size_t T = 1; T < count; T++) {
        decoder_feed(decoder, loaded.weights, expected + T - 1, 1, logits);
        size_t best = 0;
        for (size_t i = 1; i < vocab; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        CU_ASSERT_EQUAL(best, expected[T]);
    }
    decoder_free(decoder);
    free(logits);
    unload_model(&loaded);
    json_decref(root);
}

static bool golden_has(const char *file, const char *key)
{
    char path[FILES_PATH_MAX];
    if (files_join(folder, file, path) != STATUS_OK || !files_exists(path)) {
        return false;
    }
    json_t *root = json_load_file(path, 0, NULL);
    bool has = json_object_get(root, key) != NULL;
    json_decref(root);
    return has;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "use: test_golden FOLDER BACKEND\n");
        return 64;
    }
    folder = argv[1];
    backend_name = argv[2];
    if (!files_exists(folder)) {
        printf("SKIP: there is no %s; set DUGNAD_ORACLES to the folder that holds it\n", folder);
        return EXIT_SKIP;
    }
    const struct backend *backend = NULL;
    if (backend_find(backend_name, &backend) != STATUS_OK) {
        printf("SKIP: %s\n", fault_text());
        return EXIT_SKIP;
    }
    if (mkdtemp(scratch) == NULL) {
        perror(scratch);
        return 1;
    }
    struct suite_test tests[4] = {SUITE_TEST(loss_and_gradients_equal_pytorch),
                                  SUITE_TEST(logits_equal_pytorch)};
    size_t count = 2;
    if (golden_has("golden_train.json", "batches")) {
        tests[count++] = (struct suite_test)SUITE_TEST(training_steps_equal_pytorch);
    }
    /* In bf16 the two likeliest tokens may change places. */
    if (strcmp(backend_name, "bf16") != 0 && golden_has("golden.json", "greedy_ids_from_bos")) {
        tests[count++] = (struct suite_test)SUITE_TEST(greedy_continuation_equals_pytorch);
    }
    int failed = suite_run("golden", tests, count);
    return files_remove_folder(scratch) == STATUS_OK ? failed : 1;
}
