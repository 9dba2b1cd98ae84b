#include "common/fault.h"

#include "common/check.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char sentence[FAULT_TEXT_MAX];

enum status fault(enum status status, const char *format, ...)
{
    CHECK(status != STATUS_OK);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return status;
}

const char *fault_text(void)
{
    return sentence;
}

int fault_report(const char *program, enum status status)
{
    const char *text = sentence[0] != '\0' ? sentence : status_text(status);
    (void)fprintf(stderr, "%s: %s\n", program, text);
    return status_exit_code(status);
}
