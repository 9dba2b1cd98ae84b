/* check - assertions for the programmer's own mistakes; they stay on in release builds.
 *
 * Never for what a user, a file or a remote side can cause: those are a status (status.h). */
#ifndef DUGNAD_COMMON_CHECK_H
#define DUGNAD_COMMON_CHECK_H

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            check_failed(#condition, __FILE__, __LINE__);                                          \
        }                                                                                          \
    } while (0)

/* Prints what failed and where, then aborts. */
__attribute__((noreturn)) void check_failed(const char *condition, const char *file, int line);

#endif
