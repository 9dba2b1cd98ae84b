#include "common/fault.h"

#include "common/check.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char sentence[FAULT_TEXT_MAX];

/* A sentence may quote what came from outside: control characters, of which those above 0x7f are
 * two bytes in UTF-8, must not reach a terminal. */
static void make_harmless(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        unsigned char next = (unsigned char)text[1];
        if (byte < 0x20 || byte == 0x7f) {
            *text = '?';
        } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {
            text[0] = text[1] = '?';
        }
    }
}

enum status fault(enum status status, const char *format, ...)
{
    CHECK(status != STATUS_OK);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    make_harmless(sentence);
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
