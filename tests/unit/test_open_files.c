/* How many files may be open: what the limit lets in, and what a user is told who has too few. */
#include "common/fault.h"
#include "common/open_files.h"
#include "proto/channel_listen.h"
#include "tests/unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A limit that was lowered stays low: each case is a process of its own. True: it ended with 0. */
static bool holds(int (*judge)(void), rlim_t soft, rlim_t hard)
{
    int ended = -1;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
        _exit(setrlimit(RLIMIT_NOFILE, &limit) == 0 ? judge() : 100);
    }
    return child > 0 && waitpid(child, &ended, 0) == child && ended == 0;
}

static bool was_advised(void)
{
    return strstr(fault_text(), "; raise the limit of open files (ulimit -n)") != NULL;
}

static int prepare_succeeds(void)
{
    struct rlimit limit;
    return open_files_prepare(60) == STATUS_OK && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
                   limit.rlim_cur == limit.rlim_max
               ? 0
               : 1;
}

static int prepare_advises(void)
{
    int before = fcntl(STDIN_FILENO, F_DUPFD, 0);
    bool refused = open_files_prepare(60) == STATUS_OS && was_advised();
    int after = fcntl(STDIN_FILENO, F_DUPFD, 0);
    return refused && before >= 0 && after == before + 1 ? 0 : 1; /* none was left open */
}

static void prepare_raises_the_limit_as_far_as_it_may(void)
{
    CU_ASSERT_TRUE(holds(prepare_succeeds, 100, 100));
    CU_ASSERT_TRUE(holds(prepare_succeeds, 8, 100));
    CU_ASSERT_TRUE(holds(prepare_succeeds, 100, 200));
}

static void prepare_with_too_few_says_what_to_do(void)
{
    CU_ASSERT_TRUE(holds(prepare_advises, 50, 50));
    CU_ASSERT_TRUE(holds(prepare_advises, 10, 50));
}

static int room_is_for_one(void)
{
    return open_files_room(6, 8192) == 1 ? 0 : 1;
}

static int room_is_for_ten(void)
{
    return open_files_room(6, 8192) == 10 && open_files_room(3, 8192) == 21 &&
                   open_files_room(6, 9) == 9
               ? 0
               : 1;
}

static void room_leaves_some_for_all_else(void)
{
    CU_ASSERT_TRUE(holds(room_is_for_one, 32, 32));
    CU_ASSERT_TRUE(holds(room_is_for_one, 64, 64));
    CU_ASSERT_TRUE(holds(room_is_for_ten, 128, 128));
}

static int listen_advises(void)
{
    uint16_t port = 0;
    int fd = 0;
    while (dup(STDIN_FILENO) >= 0) {
    }
    return channel_listen_at("tcp://127.0.0.1:0", "--listen", &fd, &port) == STATUS_OS &&
                   was_advised()
               ? 0
               : 1;
}

static void listen_without_files_says_what_to_do(void)
{
    CU_ASSERT_TRUE(holds(listen_advises, 40, 40));
}

static void advice_is_for_lack_of_files_alone(void)
{
    CU_ASSERT_STRING_EQUAL(open_files_advice(EACCES), "");
    CU_ASSERT_STRING_NOT_EQUAL(open_files_advice(EMFILE), open_files_advice(ENFILE));
}

int main(void)
{
    const struct suite_test tests[] = {
        SUITE_TEST(prepare_raises_the_limit_as_far_as_it_may),
        SUITE_TEST(prepare_with_too_few_says_what_to_do),
        SUITE_TEST(room_leaves_some_for_all_else),
        SUITE_TEST(listen_without_files_says_what_to_do),
        SUITE_TEST(advice_is_for_lack_of_files_alone),
    };
    return suite_run("open_files", tests, sizeof tests / sizeof tests[0]);
}
