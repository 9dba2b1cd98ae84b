/* test_sandbox_files - which files can be reached from inside; needs a kernel with Landlock. */
#include "tests/unit/sandbox_fixture.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Of the scratch folder: read/ and write/ are in the rules, other/ is not. */
static char read_folder[FILES_PATH_MAX];
static char write_folder[FILES_PATH_MAX];
static char one_file[FILES_PATH_MAX];
static char missing_file[FILES_PATH_MAX];

static const char *const READ[] = {read_folder, one_file, missing_file};
static const char *const WRITE[] = {write_folder};
static const struct sandbox_rules RULES = {
    .read_paths = READ, .read_count = 3, .write_paths = WRITE, .write_count = 1};
static const struct sandbox_rules NOTHING = {.read_paths = NULL};

static void begin(void)
{
    scratch_begin();
    (void)snprintf(read_folder, sizeof read_folder, "%s", scratch_path("read"));
    (void)snprintf(write_folder, sizeof write_folder, "%s", scratch_path("write"));
    (void)snprintf(one_file, sizeof one_file, "%s", scratch_path("other/one"));
    (void)snprintf(missing_file, sizeof missing_file, "%s", scratch_path("other/missing"));
    CU_ASSERT_EQUAL_FATAL(mkdir(read_folder, 0700), 0);
    CU_ASSERT_EQUAL_FATAL(mkdir(write_folder, 0700), 0);
    CU_ASSERT_EQUAL_FATAL(mkdir(scratch_path("other"), 0700), 0);
    scratch_write_text("read/file", "read");
    scratch_write_text("write/file", "write");
    scratch_write_text("other/one", "one");
    scratch_write_text("other/two", "two");
}

static int open_as(const char *name, int flags)
{
    int fd = open(scratch_path(name), flags | O_CLOEXEC, 0600);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return error;
}

static int read_inside(void)
{
    DIR *folder = opendir(read_folder);
    int error = folder == NULL ? errno : 0;
    if (folder != NULL) {
        (void)closedir(folder);
    }
    error = error != 0 ? error : open_as("read/file", O_RDONLY);
    return error != 0 ? error : open_as("other/one", O_RDONLY);
}

static int read_beside(void)
{
    return open_as("other/two", O_RDONLY);
}

static int list_beside(void)
{
    DIR *folder = opendir(scratch_path("other"));
    return folder == NULL ? errno : 0;
}

static int write_where_reading(void)
{
    return open_as("read/file", O_WRONLY);
}

static int make_where_reading(void)
{
    return open_as("read/new", O_WRONLY | O_CREAT);
}

static int make_beside(void)
{
    return open_as("other/new", O_WRONLY | O_CREAT);
}

static int cut_beside(void)
{
    return open_as("other/two", O_RDONLY | O_TRUNC);
}

static int unlink_beside(void)
{
    return sandbox_error_of(unlink(scratch_path("other/two")));
}

static int move_out(void)
{
    int error = sandbox_error_of(rename(scratch_path("write/file"), scratch_path("other/file")));
    return error == EXDEV ? EACCES : error; /* the kernel says either */
}

static int link_in(void)
{
    int error = sandbox_error_of(link(scratch_path("other/two"), scratch_path("write/link")));
    return error == EXDEV ? EACCES : error;
}

static int make_a_symbolic_link(void)
{
    return sandbox_error_of(symlink("/etc/passwd", scratch_path("write/link")));
}

static int make_a_pipe(void)
{
    return sandbox_error_of(mkfifo(scratch_path("write/pipe"), 0600));
}

/* What a process does with its own folder: replaced whole, appended to, tidied up. */
static int write_inside(void)
{
    uint8_t *data = NULL;
    size_t size_bytes = 0;
    if (mkdir(scratch_path("write/sub"), 0700) != 0 ||
        files_write_atomic(scratch_path("write/sub/a"), "abc", 3, 0600) != STATUS_OK ||
        files_write_atomic(scratch_path("write/sub/a"), "abcd", 4, 0600) != STATUS_OK ||
        files_read(scratch_path("write/sub/a"), 16, &data, &size_bytes) != STATUS_OK ||
        size_bytes != 4 || files_remove_folder(scratch_path("write/sub")) != STATUS_OK ||
        open_as("write/file", O_WRONLY | O_APPEND | O_TRUNC) != 0) {
        (void)fprintf(stderr, "%s\n", fault_text());
        return errno != 0 ? errno : 1;
    }
    free(data);
    return 0;
}

static void open_in_and_out_of_the_rules_only_in_works(void)
{
    static const struct {
        const char *name;
        sandbox_attempt *attempt;
        int expected;
    } cases[] = {{"read inside", read_inside, 0},
                 {"read beside", read_beside, EACCES},
                 {"list beside", list_beside, EACCES},
                 {"write where reading", write_where_reading, EACCES},
                 {"make where reading", make_where_reading, EACCES},
                 {"make beside", make_beside, EACCES},
                 {"unlink beside", unlink_beside, EACCES},
                 {"move out", move_out, EACCES},
                 {"link in", link_in, EACCES},
                 {"symbolic link", make_a_symbolic_link, EACCES},
                 {"pipe", make_a_pipe, EACCES},
                 {"cut beside", cut_beside, EACCES},
                 {"write inside", write_inside, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin();
        int inside = sandbox_child(&RULES, cases[i].attempt);
        int outside = sandbox_child(NULL, cases[i].attempt);
        if (inside != cases[i].expected || outside != 0) {
            (void)printf("%s: %d, without the sandbox %d\n", cases[i].name, inside, outside);
        }
        CU_ASSERT_EQUAL(inside, cases[i].expected);
        CU_ASSERT_EQUAL(outside, 0);
        scratch_end();
    }
}

static int read_the_root(void)
{
    return open("/", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static void open_without_any_rule_is_refused(void)
{
    begin();
    CU_ASSERT_EQUAL(sandbox_child(NULL, read_the_root), 0);
    CU_ASSERT_EQUAL(sandbox_child(&NOTHING, read_the_root), EACCES);
    CU_ASSERT_EQUAL(sandbox_child(&NOTHING, read_inside), EACCES);
    scratch_end();
}

/* Landlock of an older kernel, as far as this one can be asked to be it. */
static int use_files_under_version_1(void)
{
    static const char *const root[] = {"/"};
    static const struct sandbox_rules all = {
        .read_paths = root, .read_count = 1, .write_paths = root, .write_count = 1};
    struct sandbox_result result;
    if (sandbox_enter(&all, &result) != STATUS_OK ||
        sandbox_enter_landlock(&RULES, 1) != STATUS_OK) {
        return 1;
    }
    if (read_inside() != 0 || read_beside() != EACCES || make_beside() != EACCES) {
        return 2;
    }
    return open_as("write/new", O_WRONLY | O_CREAT);
}

static void enter_as_an_older_version_holds_what_it_has(void)
{
    begin();
    CU_ASSERT_EQUAL(sandbox_child(NULL, use_files_under_version_1), 0);
    scratch_end();
}

static int enter_without_the_folder(void)
{
    static const char *const nowhere[] = {"/nowhere/at/all"};
    static const struct sandbox_rules rules = {.write_paths = nowhere, .write_count = 1};
    struct sandbox_result result;
    return sandbox_enter(&rules, &result) == STATUS_OS &&
                   strstr(fault_text(), "/nowhere/at/all") != NULL
               ? 0
               : 1;
}

static void enter_without_the_write_folder_is_an_error(void)
{
    CU_ASSERT_EQUAL(sandbox_child(NULL, enter_without_the_folder), 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(open_in_and_out_of_the_rules_only_in_works),
        SUITE_TEST(open_without_any_rule_is_refused),
        SUITE_TEST(enter_as_an_older_version_holds_what_it_has),
        SUITE_TEST(enter_without_the_write_folder_is_an_error),
    };
    if (sandbox_landlock_abi() == 0) {
        (void)puts("skipped: this kernel has no Landlock, or whoever runs this forbids it");
        return EXIT_SKIPPED;
    }
    return suite_run("sandbox_files", tests, sizeof tests / sizeof tests[0]);
}
