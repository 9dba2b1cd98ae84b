/* test_sandbox - what the filter of system calls refuses and lets through, and what is told. */
#include "tests/unit/sandbox_fixture.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#if defined(__SANITIZE_ADDRESS__)
enum { LEAKS_ARE_LOOKED_FOR = 1 };
#else
enum { LEAKS_ARE_LOOKED_FOR = 0 };
#endif

static const struct sandbox_rules NOTHING = {.read_paths = NULL};
static const struct sandbox_rules CLIENT = {.connects_tcp = true};
static const struct sandbox_rules OWNER = {
    .binds_tcp = true, .connects_tcp = true, .uses_unix = true, .makes_code = true};

/* --- what no program of ours does; without the sandbox each works for everybody --- */

static int run_a_program(void)
{
    char *const none[] = {NULL};
    (void)execve("/bin/true", none, none);
    return errno;
}

static int run_a_program_the_other_way(void)
{
    char *const none[] = {NULL};
    (void)syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none, 0);
    return errno;
}

static int make_a_process(void)
{
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    return sandbox_error_of(child);
}

static int trace(void)
{
    return sandbox_error_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int signal_the_parent(void)
{
    return sandbox_error_of(kill(getppid(), 0));
}

static int signal_a_thread_of_the_parent(void)
{
    return sandbox_error_of(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int limit_the_parent(void)
{
    struct rlimit limit;
    return sandbox_error_of(syscall(SYS_prlimit64, getppid(), RLIMIT_CORE, NULL, &limit));
}

static int change_a_mode(void)
{
    return sandbox_error_of(fchmod(memfd_create("scratch", MFD_CLOEXEC), 0600));
}

static int set_times(void)
{
    return sandbox_error_of(syscall(SYS_utimensat, AT_FDCWD, "/nowhere/at/all", NULL, 0)) == EPERM
               ? EPERM
               : 0;
}

static int become_oneself(void)
{
    return sandbox_error_of(setuid(getuid()));
}

static int change_personality(void)
{
    return sandbox_error_of(syscall(SYS_personality, 0xffffffffUL));
}

static int share_memory_by_key(void)
{
    return sandbox_error_of(syscall(SYS_shmget, 0, 4096UL, 0600)) == EPERM ? EPERM : 0;
}

/* --- sockets --- */

static int make_socket(int family, int type, int protocol)
{
    return sandbox_error_of(socket(family, type | SOCK_CLOEXEC, protocol));
}

static int make_tcp(void)
{
    return make_socket(AF_INET, SOCK_STREAM, 0);
}

static int make_tcp_6(void)
{
    int error = make_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
    return error == EAFNOSUPPORT ? 0 : error; /* a machine without IPv6 */
}

static int make_udp(void)
{
    return make_socket(AF_INET, SOCK_DGRAM, 0);
}

static int make_unix(void)
{
    return make_socket(AF_UNIX, SOCK_STREAM, 0);
}

static int make_pair(void)
{
    int pair[2];
    return sandbox_error_of(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
}

static int make_routes(void)
{
    return make_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

static int make_audit(void)
{
    return make_socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
}

static int make_multipath(void)
{
    return make_socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
}

static int make_ping(void)
{
    return make_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
}

static int make_raw(void)
{
    return make_socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
}

static int make_packets(void)
{
    return make_socket(AF_PACKET, SOCK_DGRAM, 0);
}

static int make_crypto(void)
{
    return make_socket(AF_ALG, SOCK_SEQPACKET, 0);
}

static int make_unheard_of(void)
{
    return make_socket(200, SOCK_STREAM, 0);
}

/* A family that is allowed in its lower half alone: the kernel looks at no more. */
static int make_packets_behind_a_high_bit(void)
{
    return sandbox_error_of(syscall(SYS_socket, (1L << 32) | AF_PACKET, (long)SOCK_DGRAM, 0L));
}

static int listen_unbound(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? 0 : sandbox_error_of(listen(fd, 1));
}

/* --- code --- */

static int map_code(void)
{
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? errno : 0;
}

static int turn_data_into_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? 0 : sandbox_error_of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

/* --- what must go on working --- */

static void *write_down(void *out)
{
    *(int *)out = 1;
    return NULL;
}

static int work_as_usual(void)
{
    pthread_t thread;
    int ran = 0;
    struct rlimit limit;
    if (pthread_create(&thread, NULL, write_down, &ran) != 0 || pthread_join(thread, NULL) != 0 ||
        ran != 1) {
        return 1;
    }
    if (signal(SIGUSR1, SIG_IGN) == SIG_ERR || raise(SIGUSR1) != 0 || kill(getpid(), 0) != 0) {
        return 2;
    }
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || setrlimit(RLIMIT_CORE, &limit) != 0) {
        return 3;
    }
    void *memory = malloc((size_t)1 << 22);
    cpu_set_t set;
    if (memory == NULL || mlock(memory, 4096) != 0 || sched_getaffinity(0, sizeof set, &set) != 0 ||
        sched_setaffinity(0, sizeof set, &set) != 0) {
        return 4;
    }
    free(memory);
    return 0;
}

static void refuse_what_no_program_of_ours_does_eperm(void)
{
    static const struct {
        const char *name;
        sandbox_attempt *attempt;
        bool leak_detector; /* of the address sanitizer does this */
    } forbidden[] = {{"execve", run_a_program, false},
                     {"execveat", run_a_program_the_other_way, false},
                     {"fork", make_a_process, true},
                     {"ptrace", trace, true},
                     {"kill", signal_the_parent, true},
                     {"tgkill", signal_a_thread_of_the_parent, true},
                     {"prlimit", limit_the_parent, true},
                     {"fchmod", change_a_mode, false},
                     {"utimensat", set_times, false},
                     {"setuid", become_oneself, false},
                     {"personality", change_personality, false},
                     {"shmget", share_memory_by_key, false}};
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        if (LEAKS_ARE_LOOKED_FOR && forbidden[i].leak_detector) {
            continue;
        }
        int free_code = sandbox_child(NULL, forbidden[i].attempt);
        int code = sandbox_child(&OWNER, forbidden[i].attempt);
        if (free_code != 0 || code != EPERM) {
            (void)printf("%s: %d, and %d in the sandbox\n", forbidden[i].name, free_code, code);
        }
        CU_ASSERT_EQUAL(free_code, 0);
        CU_ASSERT_EQUAL(code, EPERM);
    }
}

/* Where Landlock is missing or old. */
static int use_the_filter_alone(void)
{
    if (sandbox_enter_filter(&OWNER) != STATUS_OK) {
        return 1;
    }
    if (LEAKS_ARE_LOOKED_FOR) {
        return run_a_program();
    }
    return signal_the_parent() == EPERM && signal_a_thread_of_the_parent() == EPERM &&
                   trace() == EPERM
               ? run_a_program()
               : 2;
}

static void refuse_without_landlock_still_refused(void)
{
    CU_ASSERT_EQUAL(sandbox_child(NULL, use_the_filter_alone), EPERM);
}

/* Arguments that are refused before anything happens, so that the error tells who refused. */
static int try_forbidden_numbers(void)
{
    static const int calls[] = {SYS_process_vm_readv,
                                SYS_process_vm_writev,
                                SYS_pidfd_open,
                                SYS_unshare,
                                SYS_setns,
                                SYS_mount,
                                SYS_umount2,
                                SYS_pivot_root,
                                SYS_chroot,
                                SYS_fsopen,
                                SYS_fsmount,
                                SYS_open_tree,
                                SYS_move_mount,
                                SYS_fchownat,
                                SYS_setxattr,
                                SYS_truncate,
                                SYS_add_key,
                                SYS_keyctl,
                                SYS_request_key,
                                SYS_bpf,
                                SYS_perf_event_open,
                                SYS_userfaultfd,
                                SYS_io_uring_setup,
                                SYS_init_module,
                                SYS_finit_module,
                                SYS_delete_module,
                                SYS_kexec_load,
                                SYS_reboot,
                                SYS_syslog,
                                SYS_clock_settime,
                                SYS_sethostname,
                                SYS_open_by_handle_at,
                                SYS_setgroups,
                                SYS_capset,
                                SYS_mq_open,
                                SYS_tkill,
                                452 /* fchmodat2 */,
                                463 /* setxattrat */};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (syscall(calls[i], -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != EPERM) {
            (void)fprintf(stderr, "call %d: %s\n", calls[i], strerror(errno));
            return 1;
        }
    }
    return 0;
}

static void call_forbidden_numbers_all_refused(void)
{
    CU_ASSERT_EQUAL(sandbox_child(&OWNER, try_forbidden_numbers), 0);
    CU_ASSERT_EQUAL(sandbox_child(&NOTHING, try_forbidden_numbers), 0);
}

struct socket_case {
    const char *name;
    sandbox_attempt *attempt;
    int nothing; /* expected: in a process with no network, of a client, of an owner's port */
    int client;
    int owner;
};

static void make_sockets_only_the_kinds_of_the_rules(void)
{
    static const struct socket_case cases[] = {
        {"tcp", make_tcp, EPERM, 0, 0},
        {"tcp6", make_tcp_6, EPERM, 0, 0},
        {"udp", make_udp, EPERM, 0, 0},
        {"unix", make_unix, EPERM, EPERM, 0},
        {"pair", make_pair, 0, 0, 0},
        {"routes", make_routes, EPERM, 0, 0},
        {"uevents", make_audit, EPERM, EPERM, EPERM},
        {"mptcp", make_multipath, EPERM, EPERM, EPERM},
        {"ping", make_ping, EPERM, EPERM, EPERM},
        {"raw", make_raw, EPERM, EPERM, EPERM},
        {"packet", make_packets, EPERM, EPERM, EPERM},
        {"packet, high bit", make_packets_behind_a_high_bit, EPERM, EPERM, EPERM},
        {"alg", make_crypto, EPERM, EPERM, EPERM},
        {"200", make_unheard_of, EPERM, EPERM, EPERM},
        {"listen", listen_unbound, 0, EPERM, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct socket_case *now = &cases[i];
        int nothing = sandbox_child(&NOTHING, now->attempt);
        int client = sandbox_child(&CLIENT, now->attempt);
        int owner = sandbox_child(&OWNER, now->attempt);
        if (nothing != now->nothing || client != now->client || owner != now->owner) {
            (void)printf("%s: %d %d %d\n", now->name, nothing, client, owner);
        }
        CU_ASSERT_EQUAL(nothing, now->nothing);
        CU_ASSERT_EQUAL(client, now->client);
        CU_ASSERT_EQUAL(owner, now->owner);
    }
    CU_ASSERT_EQUAL(sandbox_child(NULL, make_unix), 0);
    CU_ASSERT_EQUAL(sandbox_child(NULL, make_audit), 0);
    CU_ASSERT_EQUAL(sandbox_child(NULL, listen_unbound), 0);
}

static void make_code_only_by_the_rules_works(void)
{
    CU_ASSERT_EQUAL(sandbox_child(&NOTHING, map_code), EPERM);
    CU_ASSERT_EQUAL(sandbox_child(&NOTHING, turn_data_into_code), EPERM);
    CU_ASSERT_EQUAL(sandbox_child(&OWNER, map_code), 0);
    CU_ASSERT_EQUAL(sandbox_child(&OWNER, turn_data_into_code), 0);
}

static void do_daily_work_inside_works(void)
{
    CU_ASSERT_EQUAL(sandbox_child(&NOTHING, work_as_usual), 0);
    CU_ASSERT_EQUAL(sandbox_child(&OWNER, work_as_usual), 0);
}

/* Ends the thread that would otherwise have to be waited for. */
static void *wait_for_end(void *pipe_end)
{
    char byte;
    (void)!read(*(int *)pipe_end, &byte, 1);
    return NULL;
}

static int enter_with_two_threads(void)
{
    int ends[2];
    pthread_t thread;
    struct sandbox_result result;
    if (pipe(ends) != 0 || pthread_create(&thread, NULL, wait_for_end, &ends[0]) != 0) {
        return 1;
    }
    enum status status = sandbox_enter(&NOTHING, &result);
    bool told = strstr(fault_text(), "threads") != NULL;
    bool bound = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0;
    return status == STATUS_OS && told && !bound ? 0 : 2;
}

static void enter_with_other_threads_is_an_error(void)
{
    CU_ASSERT_EQUAL(sandbox_child(NULL, enter_with_two_threads), 0);
}

static int report_of_this_kernel(void)
{
    struct sandbox_result result;
    if (sandbox_enter(&CLIENT, &result) != STATUS_OK || !result.calls) {
        return 1;
    }
    bool whole = sandbox_landlock_abi() >= LANDLOCK_ABI_TCP;
    return result.files == (sandbox_landlock_abi() > 0) && result.network == whole &&
                   (result.missing[0] == '\0') == whole
               ? 0
               : 2;
}

static void tell_what_a_kernel_lacks_by_its_version(void)
{
    struct sandbox_result result;
    char missing[SANDBOX_MISSING_MAX];
    sandbox_tell_landlock(&CLIENT, 0, &result, missing);
    CU_ASSERT_STRING_EQUAL(missing,
                           "file rules (Landlock, Linux 5.13), rules for TCP ports (Linux 6.7)");
    CU_ASSERT(!result.files && !result.network);
    sandbox_tell_landlock(&CLIENT, 2, &result, missing);
    CU_ASSERT_STRING_EQUAL(missing,
                           "cutting files that exist (Linux 6.2), rules for TCP ports (Linux 6.7)");
    CU_ASSERT(result.files && !result.network);
    sandbox_tell_landlock(&CLIENT, 5, &result, missing);
    CU_ASSERT_STRING_EQUAL(missing, "");
    CU_ASSERT(result.files && result.network);
    sandbox_tell_landlock(&OWNER, 5, &result, missing);
    CU_ASSERT_STRING_EQUAL(missing, "abstract sockets of other programs (Linux 6.12)");
    sandbox_tell_landlock(&NOTHING, 3, &result, missing);
    CU_ASSERT_STRING_EQUAL(missing, ""); /* the filter forbids the sockets */
    CU_ASSERT(result.network);
    CU_ASSERT_EQUAL(sandbox_child(NULL, report_of_this_kernel), 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(refuse_what_no_program_of_ours_does_eperm),
        SUITE_TEST(refuse_without_landlock_still_refused),
        SUITE_TEST(call_forbidden_numbers_all_refused),
        SUITE_TEST(make_sockets_only_the_kinds_of_the_rules),
        SUITE_TEST(make_code_only_by_the_rules_works),
        SUITE_TEST(do_daily_work_inside_works),
        SUITE_TEST(enter_with_other_threads_is_an_error),
        SUITE_TEST(tell_what_a_kernel_lacks_by_its_version),
    };
    return suite_run("sandbox", tests, sizeof tests / sizeof tests[0]);
}
