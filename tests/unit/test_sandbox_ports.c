/* test_sandbox_ports - TCP ports and other processes' sockets; needs Landlock's version 6. */
#include "tests/unit/sandbox_fixture.h"
#include "tests/unit/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static const struct sandbox_rules CLIENT = {.connects_tcp = true};
static const struct sandbox_rules SERVER = {.binds_tcp = true};
static const struct sandbox_rules BOTH = {
    .binds_tcp = true, .connects_tcp = true, .uses_unix = true};

/* The parent's: what an attempt tries to reach. */
static struct sockaddr_in target;
static struct sockaddr_un abstract_target;
static socklen_t abstract_size;

static int connect_tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? 1 : sandbox_error_of(connect(fd, (struct sockaddr *)&target, sizeof target));
}

/* Data on the first packet opens a connection as well. */
static int connect_by_sending(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? 1
                  : sandbox_error_of(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&target,
                                            sizeof target));
}

static int bind_tcp(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? 1 : sandbox_error_of(bind(fd, (struct sockaddr *)&any, sizeof any));
}

static int connect_abstract(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0
               ? 1
               : sandbox_error_of(connect(fd, (struct sockaddr *)&abstract_target, abstract_size));
}

/* To itself, as a transport may within one process. */
static int connect_abstract_of_its_own(void)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    socklen_t size = sizeof own;
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server, (struct sockaddr *)&own, sizeof own.sun_family) != 0 ||
        listen(server, 1) != 0 || getsockname(server, (struct sockaddr *)&own, &size) != 0) {
        return errno;
    }
    return sandbox_error_of(connect(client, (struct sockaddr *)&own, size));
}

static int listen_here(void)
{
    socklen_t size = sizeof target;
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&target, sizeof target), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 16), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&target, &size), 0);
    return fd;
}

static void connect_and_bind_only_by_the_rules_works(void)
{
    int fd = listen_here();
    CU_ASSERT_EQUAL(sandbox_child(NULL, connect_tcp), 0);
    CU_ASSERT_EQUAL(sandbox_child(&CLIENT, connect_tcp), 0);
    CU_ASSERT_EQUAL(sandbox_child(&BOTH, connect_tcp), 0);
    CU_ASSERT_EQUAL(sandbox_child(&SERVER, connect_tcp), EACCES);
    CU_ASSERT_EQUAL(sandbox_child(&SERVER, connect_by_sending), EPERM);
    CU_ASSERT_EQUAL(sandbox_child(&SERVER, bind_tcp), 0);
    CU_ASSERT_EQUAL(sandbox_child(&BOTH, bind_tcp), 0);
    CU_ASSERT_EQUAL(sandbox_child(&CLIENT, bind_tcp), EACCES);
    (void)close(fd);
}

static void connect_abstract_only_its_own_works(void)
{
    abstract_target = (struct sockaddr_un){.sun_family = AF_UNIX};
    abstract_size = sizeof abstract_target;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(
        bind(fd, (struct sockaddr *)&abstract_target, sizeof abstract_target.sun_family), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 16), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&abstract_target, &abstract_size), 0);
    CU_ASSERT_EQUAL(sandbox_child(NULL, connect_abstract), 0);
    CU_ASSERT_EQUAL(sandbox_child(&BOTH, connect_abstract), EPERM);
    CU_ASSERT_EQUAL(sandbox_child(&BOTH, connect_abstract_of_its_own), 0);
    (void)close(fd);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(connect_and_bind_only_by_the_rules_works),
        SUITE_TEST(connect_abstract_only_its_own_works),
    };
    if (sandbox_landlock_abi() < LANDLOCK_ABI_SCOPES) {
        (void)printf("skipped: this needs Landlock's version %d (Linux 6.12), and here is %d\n",
                     LANDLOCK_ABI_SCOPES, sandbox_landlock_abi());
        return EXIT_SKIPPED;
    }
    return suite_run("sandbox_ports", tests, sizeof tests / sizeof tests[0]);
}
