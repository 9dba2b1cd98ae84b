/* sandbox - a process gives up what it will not need before it hears from anybody.
 *
 * Two of the kernel's means, both of which need no privilege and cannot be taken back:
 * Landlock (files, TCP ports, other processes) and a seccomp filter (system calls). The filter is
 * a list of what none of our programs ever does, because a list of all that they and their
 * libraries do would break with every other libc: starting programs or processes, looking into or
 * signalling other processes, namespaces and mounts, owners, modes and attributes of files, other
 * identities, kernel modules, bpf, perf, io_uring, keys, the clock, raw sockets and other families
 * than IP.
 *
 * What the kernel lacks is told, not passed over. Landlock binds the thread that asks for it and
 * those that it starts, so this comes before any other thread.
 *
 * One call for a process; its only thread. */
#ifndef DUGNAD_COMMON_SANDBOX_H
#define DUGNAD_COMMON_SANDBOX_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { SANDBOX_MISSING_MAX = 256 };

/* Files that are open already stay open, and so do sockets. Without `binds_tcp` and `connects_tcp`
 * no IP socket can be made at all; with `connects_tcp` names can be looked up as well (UDP). */
struct sandbox_rules {
    const char *const *read_paths; /* (read_count) files, and folders with all in them; skipped
                                      where there is none */
    size_t read_count;
    const char *const *write_paths; /* (write_count) folders in which plain files and folders may
                                       be made, read, written, renamed, removed; or devices */
    size_t write_count;
    bool binds_tcp; /* may bind further TCP ports */
    bool connects_tcp;
    bool uses_unix;  /* may make unix sockets, say to itself. No kernel holds those to a place:
                        whatever listens at a path that this user may write to can be reached */
    bool makes_code; /* memory may become executable: just-in-time compilers, plug-ins */
};

struct sandbox_result {
    bool files;          /* file rules hold */
    bool network;        /* what the rules say of TCP holds */
    bool calls;          /* the filter holds */
    const char *missing; /* what the kernel lacks, for people; "" when nothing. Static. */
};

/* From here on this process can do what `rules` allow, and no more. Errors: OS with a sentence (a
 * rule could not be applied although the kernel has it, or there are other threads): what was
 * applied before stays, so the process should end. */
MUST_CHECK enum status sandbox_enter(const struct sandbox_rules *rules, struct sandbox_result *out);

#endif
