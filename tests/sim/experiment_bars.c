#include "tests/sim/experiment.h"

size_t experiment_check_bars(const struct experiment_line *lines, size_t count)
{
    (void)lines;
    (void)count;
    return 0;
}
