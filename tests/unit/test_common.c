#include "common/cores.h"
#include "common/digest.h"
#include "common/fault.h"
#include "common/files.h"
#include "common/log.h"
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
    CU_ASSERT_EQUAL(files_read(path, 5, &data, &size_bytes), STATUS_BAD_DATA);
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

/* What `count` lines leave in a pipe that stands for stderr. */
static size_t lines_of(unsigned count, char *text, size_t text_bytes)
{
    int ends[2];
    size_t lines = 0;
    int saved = dup(STDERR_FILENO);
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    CU_ASSERT_FATAL(dup2(ends[1], STDERR_FILENO) >= 0);
    for (unsigned i = 0; i < count; i++) {
        log_info("test", "line", "i=%u", i);
    }
    CU_ASSERT_FATAL(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(ends[1]);
    ssize_t got = read(ends[0], text, text_bytes - 1);
    text[got > 0 ? got : 0] = '\0';
    (void)close(ends[0]);
    for (const char *end = text; (end = strchr(end, '\n')) != NULL; end++) {
        lines++;
    }
    return lines;
}

static void log_lines_beyond_the_limit_are_left_out_and_told(void)
{
    static char text[64 * 1024];
    CU_ASSERT_EQUAL(lines_of(500, text, sizeof text), 500);
    log_limit(10, 100);
    CU_ASSERT_EQUAL(lines_of(100, text, sizeof text), 100);
    size_t more = lines_of(400, text, sizeof text); /* of a busy machine, one every 100 ms */
    CU_ASSERT_TRUE(more < 100);
    (void)usleep(250000);
    CU_ASSERT_TRUE(lines_of(1, text, sizeof text) > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "event=left_out lines="));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "event=line i=0"));
    log_limit(0, 0);
    CU_ASSERT_EQUAL(lines_of(500, text, sizeof text), 500);
}

static void fault_that_quotes_a_terminal_is_harmless(void)
{
    CU_ASSERT_EQUAL(fault(STATUS_BAD_DATA, "'%s'", "a\x1b[2J\r\n\x7f\xc2\x9bH"), STATUS_BAD_DATA);
    CU_ASSERT_STRING_EQUAL(fault_text(), "'a?[2J?????H'");
    CU_ASSERT_EQUAL(fault(STATUS_BAD_DATA, "/home/\xc3\xa5se/\xc2\xb5"), STATUS_BAD_DATA);
    CU_ASSERT_STRING_EQUAL(fault_text(), "/home/\xc3\xa5se/\xc2\xb5"); /* other letters stay */
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
        SUITE_TEST(fault_that_quotes_a_terminal_is_harmless),
        SUITE_TEST(log_lines_beyond_the_limit_are_left_out_and_told),
        SUITE_TEST(memory_plan_beyond_the_machine_is_refused),
        SUITE_TEST(random_streams_repeat_and_differ),
        SUITE_TEST(cores_are_at_least_one_and_at_most_the_limit),
    };
    return suite_run("common", tests, sizeof tests / sizeof tests[0]);
}
