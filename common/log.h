/* log - one line per event on stderr, logfmt for people, JSON for machines.
 *
 *     level=info module=round event=committed step=12 loss=3.21
 *
 * Only shells and programs log; cores return facts. Thread-safe once log_set_format was called. */
#ifndef DUGNAD_COMMON_LOG_H
#define DUGNAD_COMMON_LOG_H

#include "common/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

enum { LOG_LINE_MAX = 2048 };

/* "text" or "json"; anything else is USAGE with a sentence. */
MUST_CHECK enum status log_set_format(const char *name);

/* Lines below `level` are dropped; LOG_INFO at start. */
void log_set_level(enum log_level level);

/* No more than lines_per_s lines a second over any long time, and `burst` at once; 0: no limit, as
 * at the start. For a program whose lines somebody else can cause. What was left out is told by a
 * line of its own. Before other threads. */
void log_limit(unsigned lines_per_s, unsigned burst);

/* Writes one line. `format` makes the rest of it as key=value pairs separated by one space;
 * a value with spaces stands in double quotes. Lines are cut at LOG_LINE_MAX. */
__attribute__((format(printf, 4, 5))) void log_event(enum log_level level, const char *module,
                                                     const char *event, const char *format, ...);

/* NOLINTBEGIN(readability-identifier-naming): they read as the function they call. */
#define log_info(module, event, ...) log_event(LOG_INFO, module, event, __VA_ARGS__)
#define log_warn(module, event, ...) log_event(LOG_WARN, module, event, __VA_ARGS__)
#define log_error(module, event, ...) log_event(LOG_ERROR, module, event, __VA_ARGS__)
/* NOLINTEND(readability-identifier-naming) */

#endif
