#include "tests/fuzz/fuzz_replay.h"

/* libFuzzer has the main. */
bool fuzz_replays(void)
{
    return false;
}
