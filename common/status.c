#include "common/status.h"

#include "common/check.h"

struct status_row {
    const char *text;
    int exit_code;
};

#define STATUS_ROW(name, text, exit_code) {text, exit_code},
static const struct status_row rows[STATUS_COUNT] = {STATUS_LIST(STATUS_ROW)};

const char *status_text(enum status status)
{
    CHECK((unsigned)status < STATUS_COUNT);
    return rows[status].text;
}

int status_exit_code(enum status status)
{
    CHECK((unsigned)status < STATUS_COUNT);
    return rows[status].exit_code;
}
