#include "common/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "level=fatal module=check event=failed at=%s:%d condition=\"%s\"\n", file,
                  line, condition);
    abort();
}
