#include "common/cores.h"
#include "common/digest.h"
#include "common/fault.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/random.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void digest_of_empty_input_matches_blake2b_256(void)
{
    char hex[DIGEST_HEX_BYTES];
    struct digest digest = digest_of(NULL, 0);
    digest_to_hex(&digest, hex);
    CU_ASSERT_STRING_EQUAL(hex, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    struct digest back;
    CU_ASSERT_EQUAL(digest_from_hex(hex, &back), STATUS_OK);
    CU_ASSERT_TRUE(digest_equal(&digest, &back));
    hex[0] = 'x';
    CU_ASSERT_EQUAL(digest_from_hex(hex, &back), STATUS_BAD_DATA);
}

static void digest_in_pieces_equals_whole(void)
{
    uint8_t data[1000];
    memset(data, 7, sizeof data);
    struct digest whole = digest_of(data, sizeof data);
    struct digest_stream stream;
    digest_begin(&stream);
    digest_update(&stream, data, 1);
    digest_update(&stream, data + 1, 998);
    digest_update(&stream, data + 999, 1);
    struct digest pieces = digest_end(&stream);
    CU_ASSERT_TRUE(digest_equal(&whole, &pieces));
}

static void write_atomic_replaces_and_new_refuses(void)
{
    char folder[] = "/tmp/dugnad-test-XXXXXX";
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    char deep[FILES_PATH_MAX];
    char path[FILES_PATH_MAX];
    CU_ASSERT_EQUAL(files_join(folder, "a/b", deep), STATUS_OK);
    CU_ASSERT_EQUAL(files_make_folder(deep), STATUS_OK);
    CU_ASSERT_EQUAL(files_join(deep, "file", path), STATUS_OK);
    CU_ASSERT_EQUAL(files_write_atomic(path, "one", 3, 0644), STATUS_OK);
    CU_ASSERT_EQUAL(files_write_atomic(path, "second", 6, 0644), STATUS_OK);
    CU_ASSERT_EQUAL(files_write_new(path, "third", 5, 0600), STATUS_CANNOT_CREATE);
    uint8_t *data = NULL;
    size_t size_bytes = 0;
    CU_ASSERT_EQUAL(files_read(path, 5, &data, &size_bytes), STATUS_FULL);
    CU_ASSERT_EQUAL(files_read(path, 6, &data, &size_bytes), STATUS_OK);
    CU_ASSERT_STRING_EQUAL((char *)data, "second");
    free(data);
    CU_ASSERT_EQUAL(files_remove_folder(folder), STATUS_OK);
    CU_ASSERT_FALSE(files_exists(folder));
}

static void remove_folder_leaves_nothing_and_follows_no_link(void)
{
    char folder[] = "/tmp/dugnad-test-XXXXXX";
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    char path[FILES_PATH_MAX];
    char kept[FILES_PATH_MAX];
    char link[FILES_PATH_MAX];
    CU_ASSERT_EQUAL(files_join(folder, "kept", kept), STATUS_OK);
    CU_ASSERT_EQUAL(files_write_atomic(kept, "k", 1, 0644), STATUS_OK);
    static const char *const folders[] = {"gone/a/b", "gone/a/c", "gone/.d"};
    for (size_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(files_join(folder, folders[i], path), STATUS_OK);
        CU_ASSERT_EQUAL(files_make_folder(path), STATUS_OK);
    }
    CU_ASSERT_EQUAL(files_join(folder, "gone/a/file", path), STATUS_OK);
    CU_ASSERT_EQUAL(files_write_atomic(path, "x", 1, 0644), STATUS_OK);
    CU_ASSERT_EQUAL(files_join(folder, "gone/link", link), STATUS_OK);
    CU_ASSERT_EQUAL(symlink(folder, link), 0);
    CU_ASSERT_TRUE(files_is_folder(link));
    CU_ASSERT_EQUAL(files_make_folder(link), STATUS_OK); /* a link to a folder will do */
    CU_ASSERT_EQUAL(files_join(folder, "gone", path), STATUS_OK);
    CU_ASSERT_EQUAL(files_remove_folder(path), STATUS_OK);
    CU_ASSERT_FALSE(files_exists(path));
    CU_ASSERT_TRUE(files_exists(kept));
    CU_ASSERT_EQUAL(files_remove_folder(path), STATUS_OK); /* fine when there is none */
    CU_ASSERT_EQUAL(files_remove_folder(folder), STATUS_OK);
}

static void fault_keeps_the_sentence_and_the_exit_code(void)
{
    CU_ASSERT_EQUAL(fault(STATUS_BAD_CONFIG, "line %d is wrong", 7), STATUS_BAD_CONFIG);
    CU_ASSERT_STRING_EQUAL(fault_text(), "line 7 is wrong");
    CU_ASSERT_EQUAL(status_exit_code(STATUS_BAD_CONFIG), 78);
}

static void memory_plan_beyond_the_machine_is_refused(void)
{
    CU_ASSERT_EQUAL(memory_check_fits("a model", 1, "x"), STATUS_OK);
    CU_ASSERT_EQUAL(memory_check_fits("a model", UINT64_C(1) << 60, "use a smaller one"),
                    STATUS_NO_MEMORY);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "use a smaller one"));
}

static void random_streams_repeat_and_differ(void)
{
    struct random a;
    struct random b;
    random_init(&a, 1, 2);
    random_init(&b, 1, 2);
    CU_ASSERT_EQUAL(random_next(&a), random_next(&b));
    random_init(&b, 1, 3);
    CU_ASSERT_NOT_EQUAL(random_next(&a), random_next(&b));
    for (int i = 0; i < 1000; i++) {
        CU_ASSERT_TRUE_FATAL(random_below(&a, 7) < 7);
        double u = random_uniform(&a);
        CU_ASSERT_TRUE_FATAL(u >= 0.0 && u < 1.0);
    }
}

static void cores_are_at_least_one_and_at_most_the_limit(void)
{
    CU_ASSERT_EQUAL(cores_usable(1), 1);
    CU_ASSERT_TRUE(cores_usable(4096) >= 1);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(digest_of_empty_input_matches_blake2b_256),
        SUITE_TEST(digest_in_pieces_equals_whole),
        SUITE_TEST(write_atomic_replaces_and_new_refuses),
        SUITE_TEST(remove_folder_leaves_nothing_and_follows_no_link),
        SUITE_TEST(fault_keeps_the_sentence_and_the_exit_code),
        SUITE_TEST(memory_plan_beyond_the_machine_is_refused),
        SUITE_TEST(random_streams_repeat_and_differ),
        SUITE_TEST(cores_are_at_least_one_and_at_most_the_limit),
    };
    return suite_run("common", tests, sizeof tests / sizeof tests[0]);
}
