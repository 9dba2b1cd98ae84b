#include "common/log.h"

#include "common/clock.h"
#include "common/fault.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum log_format current_format = LOG_LOGFMT;
static enum log_level current_level = LOG_INFO;

/* Thousandths of a line, so that nothing is rounded. */
static struct {
    pthread_mutex_t lock;
    uint64_t per_s; /* 0: no limit */
    uint64_t most_milli;
    uint64_t left_milli;
    uint64_t last_ms;
    uint64_t dropped;
} budget = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

enum status log_set_format(const char *name)
{
    if (strcmp(name, "text") == 0) {
        current_format = LOG_LOGFMT;
    } else if (strcmp(name, "json") == 0) {
        current_format = LOG_JSON;
    } else {
        return fault(STATUS_USAGE, "--log takes text or json, not %s", name);
    }
    return STATUS_OK;
}

void log_set_level(enum log_level level)
{
    current_level = level;
}

void log_limit(unsigned lines_per_s, unsigned burst)
{
    budget.per_s = lines_per_s;
    budget.most_milli = budget.left_milli = (uint64_t)burst * 1000;
    budget.last_ms = clock_now_ms();
}

/* False: this line is too much. *out_dropped lines before it were. */
static bool may_write(uint64_t *out_dropped)
{
    *out_dropped = 0;
    if (budget.per_s == 0) {
        return true;
    }
    (void)pthread_mutex_lock(&budget.lock);
    uint64_t now_ms = clock_now_ms();
    uint64_t fresh = (now_ms - budget.last_ms) * budget.per_s;
    budget.last_ms = now_ms;
    budget.left_milli = fresh < budget.most_milli - budget.left_milli ? budget.left_milli + fresh
                                                                      : budget.most_milli;
    bool may = budget.left_milli >= 1000;
    if (may) {
        budget.left_milli -= 1000;
        *out_dropped = budget.dropped;
        budget.dropped = 0;
    } else {
        budget.dropped++;
    }
    (void)pthread_mutex_unlock(&budget.lock);
    return may;
}

/* A line under construction; what does not fit is cut. */
struct line {
    char text[LOG_LINE_MAX];
    size_t length;
};

static void line_put(struct line *line, char byte)
{
    if (line->length < sizeof line->text - 2) {
        line->text[line->length++] = byte;
    }
}

static void line_put_text(struct line *line, const char *text)
{
    for (; *text != '\0'; text++) {
        line_put(line, *text);
    }
}

/* What came from a stranger (a label, say) must not start a new line or move the cursor. */
static void line_put_safe(struct line *line, char byte)
{
    if ((unsigned char)byte < 0x20 || byte == 0x7f) {
        byte = '?';
    }
    line_put(line, byte);
}

static bool is_number(const char *text, size_t length)
{
    char copy[64];
    if (length == 0 || length >= sizeof copy ||
        (text[0] != '-' && (text[0] < '0' || text[0] > '9'))) {
        return false;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (strpbrk(copy, "xXnN") != NULL || (copy[0] == '0' && copy[1] >= '0' && copy[1] <= '9')) {
        return false;
    }
    char *end = NULL;
    (void)strtod(copy, &end);
    return end == copy + length && copy[length - 1] != '.';
}

static void json_string(struct line *line, const char *text, size_t length)
{
    line_put(line, '"');
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\') {
            line_put(line, '\\');
        }
        line_put_safe(line, text[i]);
    }
    line_put(line, '"');
}

/* Turns one key=value pair at *cursor into a JSON member and moves past it. */
static void json_member(struct line *line, const char **cursor)
{
    const char *key = *cursor;
    size_t key_length = strcspn(key, "= ");
    const char *value = key + key_length + (key[key_length] == '=' ? 1 : 0);
    size_t value_length;
    const char *next;
    bool quoted = value[0] == '"';
    if (quoted) {
        value++;
        value_length = strcspn(value, "\"");
        next = value + value_length + (value[value_length] == '"' ? 1 : 0);
    } else {
        value_length = strcspn(value, " ");
        next = value + value_length;
    }
    line_put(line, ',');
    json_string(line, key, key_length);
    line_put(line, ':');
    if (!quoted && is_number(value, value_length)) {
        for (size_t i = 0; i < value_length; i++) {
            line_put(line, value[i]);
        }
    } else {
        json_string(line, value, value_length);
    }
    *cursor = next + strspn(next, " ");
}

static void make_json(struct line *line, const char *level, const char *module, const char *event,
                      const char *pairs)
{
    line_put_text(line, "{\"level\":\"");
    line_put_text(line, level);
    line_put_text(line, "\",\"module\":\"");
    line_put_text(line, module);
    line_put_text(line, "\",\"event\":\"");
    line_put_text(line, event);
    line_put_text(line, "\"");
    for (const char *cursor = pairs; *cursor != '\0';) {
        json_member(line, &cursor);
    }
    line_put(line, '}');
}

static void make_logfmt(struct line *line, const char *level, const char *module, const char *event,
                        const char *pairs)
{
    line_put_text(line, "level=");
    line_put_text(line, level);
    line_put_text(line, " module=");
    line_put_text(line, module);
    line_put_text(line, " event=");
    line_put_text(line, event);
    if (pairs[0] != '\0') {
        line_put(line, ' ');
    }
    for (; *pairs != '\0'; pairs++) {
        line_put_safe(line, *pairs);
    }
}

static void write_line(enum log_level level, const char *module, const char *event,
                       const char *pairs)
{
    struct line line = {.length = 0};
    if (current_format == LOG_JSON) {
        make_json(&line, level_names[level], module, event, pairs);
    } else {
        make_logfmt(&line, level_names[level], module, event, pairs);
    }
    line.text[line.length++] = '\n';
    /* One write, so that lines of several threads do not mix; a closed stderr is no reason to stop.
     */
    ssize_t written = write(STDERR_FILENO, line.text, line.length);
    (void)written;
}

void log_event(enum log_level level, const char *module, const char *event, const char *format, ...)
{
    uint64_t dropped = 0;
    if (level < current_level || !may_write(&dropped)) {
        return;
    }
    char pairs[LOG_LINE_MAX];
    if (dropped > 0) {
        (void)snprintf(pairs, sizeof pairs, "lines=%" PRIu64, dropped);
        write_line(LOG_WARN, "log", "left_out", pairs);
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(pairs, sizeof pairs, format, arguments);
    va_end(arguments);
    write_line(level, module, event, pairs);
}
