#include "tests/sim/experiment.h"

enum status experiment_write_svg(const struct experiment_line *lines, size_t count,
                                 const char *path)
{
    (void)lines;
    (void)count;
    (void)path;
    return STATUS_OK;
}
