#include "common/fault.h"
#include "peer/daemon/run_pin.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

#include <sys/stat.h>
#include <unistd.h>

enum { DISK_BYTES = 1 << 20 };

static const uint8_t KEY[IDENTITY_KEY_BYTES] = {0xab, 1, 2, 3};
static const char KEY_FILE[] =
    "runs/ab01020300000000000000000000000000000000000000000000000000000000.json";
static const char MODEL[] =
    "{\"model_type\":\"llama\",\"hidden_act\":\"silu\",\"vocab_size\":%d,\"hidden_size\":32,"
    "\"num_hidden_layers\":%d,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"intermediate_size\":64,\"max_position_embeddings\":64,\"rms_norm_eps\":%s}";

static struct wire_welcome welcome; /* it is large */

/* What a coordinator says of run `run`. */
static struct run_shape shape_of(uint8_t run, int vocab_size, int layers, const char *eps)
{
    struct run_shape shape;
    welcome.run_id = (struct digest){.bytes = {run}};
    welcome.context = 16;
    (void)snprintf(welcome.model_json, sizeof welcome.model_json,
                   MODEL, // NOLINT(clang-diagnostic-format-nonliteral)
                   vocab_size, layers, eps);
    CU_ASSERT_EQUAL_FATAL(run_shape_read(&welcome, &shape), STATUS_OK);
    return shape;
}

static enum status check(const struct run_shape *shape)
{
    return run_pin_check(scratch_folder, DISK_BYTES, KEY, shape);
}

static void expect_refused(const struct run_shape *shape, const char *what)
{
    CU_ASSERT_EQUAL(check(shape), STATUS_REFUSED);
    if (strstr(fault_text(), what) == NULL) {
        CU_FAIL("another sentence was expected");
        (void)printf("\n    '%s'; expected '%s'\n", fault_text(), what);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), KEY_FILE));
}

static void check_same_run_again_is_fine(void)
{
    scratch_begin();
    struct run_shape shape = shape_of(1, 100, 2, "1e-5");
    struct run_shape other = shape_of(2, 200, 3, "1e-5");
    CU_ASSERT_EQUAL(check(&shape), STATUS_OK);
    struct stat info;
    CU_ASSERT_EQUAL_FATAL(stat(scratch_path(KEY_FILE), &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0600);
    CU_ASSERT_EQUAL(check(&shape), STATUS_OK);
    CU_ASSERT_EQUAL(check(&other), STATUS_OK); /* another run of the same coordinator */
    CU_ASSERT_EQUAL(check(&shape), STATUS_OK);
    shape = shape_of(1, 100, 2, "0.00001"); /* the same in other words */
    CU_ASSERT_EQUAL(check(&shape), STATUS_OK);
    scratch_end();
}

static void check_another_shape_is_refused_and_says_what(void)
{
    scratch_begin();
    struct run_shape first = shape_of(1, 100, 2, "1e-5");
    CU_ASSERT_EQUAL(check(&first), STATUS_OK);
    size_t size_bytes = 0;
    uint8_t *before = scratch_read(KEY_FILE, &size_bytes);
    struct run_shape shape = shape_of(1, 100, 3, "1e-5");
    expect_refused(&shape, "parameters, where it had");
    shape = first;
    shape.vocab_size = 99;
    expect_refused(&shape, "99 token ids, where it had 100");
    shape = first;
    shape.context = 32;
    expect_refused(&shape, "32 tokens in a sample, where it had 16");
    shape = shape_of(1, 100, 2, "1e-6");
    expect_refused(&shape, "other constants");
    size_t after_bytes = 0;
    uint8_t *after = scratch_read(KEY_FILE, &after_bytes);
    CU_ASSERT_TRUE(after_bytes == size_bytes && memcmp(after, before, size_bytes) == 0);
    CU_ASSERT_EQUAL(check(&first), STATUS_OK);
    CU_ASSERT_EQUAL(unlink(scratch_path(KEY_FILE)), 0); /* the way out that the sentence names */
    CU_ASSERT_EQUAL(check(&shape), STATUS_OK);
    free(before);
    free(after);
    scratch_end();
}

static void check_damaged_file_is_an_error(void)
{
    static const char *const damage[] = {"",
                                         "[]",
                                         "{}",
                                         "{\"runs\":{}}",
                                         "{\"runs\":[1]}",
                                         "{\"runs\":[{\"run\":\"00\"}]}",
                                         "{\"version\":1,\"runs\":[",
                                         "{\"runs\":[],\"runs\":[]}"};
    struct run_shape shape = shape_of(1, 100, 2, "1e-5");
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        scratch_begin();
        CU_ASSERT_EQUAL_FATAL(mkdir(scratch_path("runs"), 0700), 0);
        scratch_write_text(KEY_FILE, damage[i]);
        CU_ASSERT_EQUAL(check(&shape), STATUS_BAD_DATA);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), KEY_FILE));
        scratch_end();
    }
}

static void check_too_many_runs_is_full(void)
{
    scratch_begin();
    struct run_shape shape = shape_of(1, 100, 2, "1e-5");
    for (int i = 0; i < RUN_PINS_MAX; i++) {
        shape.run_id.bytes[0] = (uint8_t)i;
        CU_ASSERT_EQUAL(check(&shape), STATUS_OK);
    }
    CU_ASSERT_EQUAL(check(&shape), STATUS_OK);
    shape.run_id.bytes[1] = 1;
    CU_ASSERT_EQUAL(check(&shape), STATUS_FULL);
    scratch_end();
}

static void check_folder_that_holds_too_much_takes_no_more(void)
{
    scratch_begin();
    struct run_shape shape = shape_of(1, 100, 2, "1e-5");
    uint8_t *large = calloc(1, DISK_BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    CU_ASSERT_EQUAL_FATAL(mkdir(scratch_path("runs"), 0700), 0);
    scratch_write("runs/large", large, DISK_BYTES);
    CU_ASSERT_EQUAL(check(&shape), STATUS_CANNOT_CREATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--disk allows 1;"));
    CU_ASSERT_FALSE(files_exists(scratch_path(KEY_FILE)));
    CU_ASSERT_EQUAL(run_pin_check(scratch_folder, 2 * DISK_BYTES, KEY, &shape), STATUS_OK);
    free(large);
    scratch_end();
}

static void read_model_that_cannot_be_is_an_error(void)
{
    struct run_shape shape;
    (void)snprintf(welcome.model_json, sizeof welcome.model_json, "{\"model_type\":\"\x1b[2J\"}");
    CU_ASSERT_NOT_EQUAL(run_shape_read(&welcome, &shape), STATUS_OK);
    CU_ASSERT_PTR_NULL(strchr(fault_text(), '\x1b'));
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(check_same_run_again_is_fine),
        SUITE_TEST(check_another_shape_is_refused_and_says_what),
        SUITE_TEST(check_damaged_file_is_an_error),
        SUITE_TEST(check_too_many_runs_is_full),
        SUITE_TEST(check_folder_that_holds_too_much_takes_no_more),
        SUITE_TEST(read_model_that_cannot_be_is_an_error),
    };
    return suite_run("run_pin", tests, sizeof tests / sizeof tests[0]);
}
