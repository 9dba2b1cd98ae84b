#include "common/fault.h"
#include "common/sandbox_parts.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The leak detector stops its own process's threads from a process that it makes for it. */
#if defined(__SANITIZE_ADDRESS__)
enum { TRACES_ITSELF = 1 };
#else
enum { TRACES_ITSELF = 0 };
#endif

/* Bits of socket(2)'s type beside SOCK_CLOEXEC and SOCK_NONBLOCK. */
enum { SOCKET_TYPES = 0xf };

static const int FORBIDDEN[] = {
    /* other programs, other processes */
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(uselib), SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise), SCMP_SYS(kcmp), SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal), SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(tkill), SCMP_SYS(setpriority), SCMP_SYS(ioprio_set),
    SCMP_SYS(migrate_pages), SCMP_SYS(move_pages), SCMP_SYS(shmget), SCMP_SYS(shmat),
    SCMP_SYS(shmctl), SCMP_SYS(semget), SCMP_SYS(msgget), SCMP_SYS(mq_open),
    /* namespaces and mounts */
    SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
    SCMP_SYS(chroot), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(mount_setattr),
    SCMP_SYS(quotactl), SCMP_SYS(quotactl_fd), SCMP_SYS(swapon), SCMP_SYS(swapoff),
    /* of files, what Landlock does not see */
    SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(chown), SCMP_SYS(fchown),
    SCMP_SYS(lchown), SCMP_SYS(fchownat), SCMP_SYS(setxattr), SCMP_SYS(lsetxattr),
    SCMP_SYS(fsetxattr), SCMP_SYS(removexattr), SCMP_SYS(lremovexattr), SCMP_SYS(fremovexattr),
    SCMP_SYS(utime), SCMP_SYS(utimes), SCMP_SYS(futimesat), SCMP_SYS(utimensat), SCMP_SYS(truncate),
    SCMP_SYS(name_to_handle_at), SCMP_SYS(open_by_handle_at), SCMP_SYS(fanotify_init),
    SCMP_SYS(fanotify_mark), SCMP_SYS(inotify_init), SCMP_SYS(inotify_init1),
    SCMP_SYS(lookup_dcookie),
    /* identities */
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid),
    SCMP_SYS(capset), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
    /* the kernel and the machine */
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(io_setup),
    SCMP_SYS(personality), SCMP_SYS(modify_ldt), SCMP_SYS(iopl), SCMP_SYS(ioperm),
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(syslog), SCMP_SYS(acct),
    SCMP_SYS(vhangup), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex), SCMP_SYS(sethostname), SCMP_SYS(setdomainname),
    /* newer than Debian 12's libseccomp; numbers since 403 are the same on all machines:
     * fchmodat2, setxattrat, removexattrat, open_tree_attr, file_setattr */
    452, 463, 466, 467, 469};

/* A filter under construction. Once a rule is refused, later ones are not tried. */
struct filter {
    scmp_filter_ctx context;
    int error; /* 0, or a negative errno */
};

static void forbid(struct filter *filter, int call)
{
    if (filter->error == 0) {
        filter->error =
            seccomp_rule_add_array(filter->context, SCMP_ACT_ERRNO(EPERM), call, 0, NULL);
    }
}

/* Where both conditions hold. */
static void forbid_both(struct filter *filter, int call, struct scmp_arg_cmp one,
                        struct scmp_arg_cmp other)
{
    const struct scmp_arg_cmp conditions[] = {one, other};
    if (filter->error == 0) {
        filter->error =
            seccomp_rule_add_array(filter->context, SCMP_ACT_ERRNO(EPERM), call, 2, conditions);
    }
}

static void forbid_where(struct filter *filter, int call, struct scmp_arg_cmp condition)
{
    if (filter->error == 0) {
        filter->error =
            seccomp_rule_add_array(filter->context, SCMP_ACT_ERRNO(EPERM), call, 1, &condition);
    }
}

/* Threads, but no processes; no signals to others. */
static void forbid_processes(struct filter *filter)
{
    static const uint64_t namespaces[] = {CLONE_NEWNS,  CLONE_NEWUSER, CLONE_NEWPID,   CLONE_NEWNET,
                                          CLONE_NEWIPC, CLONE_NEWUTS,  CLONE_NEWCGROUP};
    for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
        forbid_where(filter, SCMP_SYS(clone),
                     SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    }
    /* Its flags lie in memory, where a filter cannot look: libraries fall back to clone. */
    if (filter->error == 0) {
        filter->error = seccomp_rule_add_array(filter->context, SCMP_ACT_ERRNO(ENOSYS),
                                               SCMP_SYS(clone3), 0, NULL);
    }
    if (TRACES_ITSELF) {
        return;
    }
    forbid(filter, SCMP_SYS(ptrace));
    forbid(filter, SCMP_SYS(fork));
    forbid(filter, SCMP_SYS(vfork));
    forbid_where(filter, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    scmp_datum_t self = (scmp_datum_t)getpid();
    forbid_where(filter, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_NE, self));
    forbid_where(filter, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_NE, self));
    forbid_where(filter, SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_NE, 0));
}

/* Of an IP family, plain TCP and UDP alone: what else there is (raw packets, SCTP, MPTCP, ...) no
 * rule for TCP ports would see. */
static void forbid_odd_sockets(struct filter *filter, uint64_t family)
{
    for (uint64_t type = 0; type <= SOCKET_TYPES; type++) {
        if (type != SOCK_STREAM && type != SOCK_DGRAM) {
            forbid_both(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, family),
                        SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPES, type));
        }
    }
    for (uint64_t protocol = 1; protocol <= IPPROTO_UDP; protocol++) {
        if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) {
            forbid_both(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, family),
                        SCMP_A2(SCMP_CMP_EQ, protocol));
        }
    }
    forbid_both(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, family),
                SCMP_A2(SCMP_CMP_GT, IPPROTO_UDP));
}

static void forbid_sockets(struct filter *filter, const struct sandbox_rules *rules)
{
    bool ip = rules->binds_tcp || rules->connects_tcp;
    for (uint64_t family = 0; family < AF_MAX; family++) {
        bool allowed = (family == AF_UNIX && rules->uses_unix) ||
                       ((family == AF_INET || family == AF_INET6) && ip) ||
                       (family == AF_NETLINK && rules->connects_tcp);
        if (!allowed) {
            forbid_where(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, family));
        }
    }
    forbid_where(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_GE, AF_MAX));
    if (ip) {
        forbid_odd_sockets(filter, AF_INET);
        forbid_odd_sockets(filter, AF_INET6);
    }
    if (rules->connects_tcp) { /* a look-up of names asks which addresses this machine has */
        forbid_both(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                    SCMP_A2(SCMP_CMP_GE, 1));
    } else { /* data on the first packet connects without connect(2) */
        forbid_where(filter, SCMP_SYS(sendto),
                     SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN));
        forbid_where(filter, SCMP_SYS(sendmsg),
                     SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN));
        forbid_where(filter, SCMP_SYS(sendmmsg),
                     SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN));
    }
    if (!rules->binds_tcp && !rules->uses_unix) {
        forbid(filter, SCMP_SYS(listen)); /* a socket that was never bound gets a port here */
    }
}

static void forbid_code(struct filter *filter)
{
    const struct scmp_arg_cmp executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC);
    forbid_where(filter, SCMP_SYS(mmap), executable);
    forbid_where(filter, SCMP_SYS(mprotect), executable);
    forbid_where(filter, SCMP_SYS(pkey_mprotect), executable);
}

/* Typing into the terminal that a user sits at. */
static void forbid_typing(struct filter *filter)
{
    static const uint64_t calls[] = {TIOCSTI, TIOCLINUX, TIOCSCTTY};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        forbid_where(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, calls[i]));
    }
}

static void set(struct filter *filter, enum scmp_filter_attr attribute, uint32_t value)
{
    if (filter->error == 0) {
        filter->error = seccomp_attr_set(filter->context, attribute, value);
    }
}

bool sandbox_has_filters(void)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0U, &action) == 0;
}

enum status sandbox_enter_filter(const struct sandbox_rules *rules)
{
    struct filter filter = {.context = seccomp_init(SCMP_ACT_ALLOW)};
    if (filter.context == NULL) {
        return fault(STATUS_OS, "the sandbox has no memory for its filter of system calls");
    }
    set(&filter, SCMP_FLTATR_CTL_TSYNC, 1);
    set(&filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: most calls pass with few comparisons */
    set(&filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    for (size_t i = 0; i < sizeof FORBIDDEN / sizeof FORBIDDEN[0]; i++) {
        forbid(&filter, FORBIDDEN[i]);
    }
    forbid_processes(&filter);
    forbid_sockets(&filter, rules);
    forbid_typing(&filter);
    if (!rules->makes_code) {
        forbid_code(&filter);
    }
    if (filter.error == 0) {
        filter.error = seccomp_load(filter.context);
    }
    seccomp_release(filter.context);
    if (filter.error != 0) {
        return fault(STATUS_OS, "the sandbox cannot apply its filter of system calls: %s",
                     strerror(-filter.error));
    }
    return STATUS_OK;
}
