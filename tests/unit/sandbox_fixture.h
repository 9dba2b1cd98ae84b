/* sandbox_fixture - tries things in a process of its own, with or without the sandbox. */
#ifndef DUGNAD_TESTS_UNIT_SANDBOX_FIXTURE_H
#define DUGNAD_TESTS_UNIT_SANDBOX_FIXTURE_H

#include "common/fault.h"
#include "common/sandbox_parts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit codes of a child beside the errno of what it tried. */
enum { CHILD_NO_SANDBOX = 254, CHILD_DIED = 255, EXIT_SKIPPED = 77 };

/* 0, or the errno of what was refused; < 254. */
typedef int sandbox_attempt(void);

/* Leaves no registry, exit handler or buffer of the parent's behind. */
static inline int sandbox_child(const struct sandbox_rules *rules, sandbox_attempt *attempt)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct sandbox_result result;
        if (rules != NULL && sandbox_enter(rules, &result) != STATUS_OK) {
            (void)fprintf(stderr, "%s\n", fault_text());
            _exit(CHILD_NO_SANDBOX);
        }
        _exit(attempt());
    }
    int code = 0;
    if (child < 0 || waitpid(child, &code, 0) != child || !WIFEXITED(code)) {
        return CHILD_DIED;
    }
    return WEXITSTATUS(code);
}

/* What a system call that returns -1 leaves. */
static inline int sandbox_error_of(long result)
{
    return result < 0 ? errno : 0;
}

#endif
