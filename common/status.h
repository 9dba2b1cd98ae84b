/* status - every result our functions can have, with a text and an exit code each.
 *
 * Results go through trailing out-parameters; the return value says only how it went.
 * Three kinds of trouble are kept apart: the programmer's mistake is CHECK (check.h), what a
 * remote side sent is a status that is counted and answered by dropping the sender, and what
 * the environment does (disk full, port taken) is a status that travels up to main, with one
 * sentence for the user in fault.h.
 *
 * Pure; thread-safe. */
#ifndef DUGNAD_COMMON_STATUS_H
#define DUGNAD_COMMON_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))

/* name, text, exit code of sysexits.h */
#define STATUS_LIST(X)                                                                             \
    X(OK, "ok", 0)                                                                                 \
    X(USAGE, "wrong usage", 64)                                                                    \
    X(BAD_DATA, "malformed input", 65)                                                             \
    X(BAD_SHAPE, "a size does not match", 65)                                                      \
    X(OUT_OF_RANGE, "a value is out of range", 65)                                                 \
    X(CORRUPT, "a hash does not match", 65)                                                        \
    X(NO_INPUT, "a file is missing or unreadable", 66)                                             \
    X(NO_HOST, "the other side does not answer", 68)                                               \
    X(UNAVAILABLE, "a service is not available", 69)                                               \
    X(NO_MEMORY, "not enough memory", 71)                                                          \
    X(OS, "the operating system refused", 71)                                                      \
    X(CANNOT_CREATE, "an output file cannot be created", 73)                                       \
    X(IO, "reading or writing failed", 74)                                                         \
    X(AGAIN, "not now; try again", 75)                                                             \
    X(FULL, "a limit is reached", 75)                                                              \
    X(STALE, "no longer current", 75)                                                              \
    X(PROTOCOL, "the other side broke the protocol", 76)                                           \
    X(REFUSED, "not permitted", 77)                                                                \
    X(BAD_CONFIG, "wrong configuration", 78)

#define STATUS_ENUM(name, text, exit_code) STATUS_##name,
enum status { STATUS_LIST(STATUS_ENUM) STATUS_COUNT };
#undef STATUS_ENUM

/* A short text without a full stop; never NULL. */
const char *status_text(enum status status);

/* The sysexits.h code with which a program that failed with `status` ends. */
int status_exit_code(enum status status);

#endif
