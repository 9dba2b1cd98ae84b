#include "common/clock.h"

#include "common/check.h"

#include <errno.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    CHECK(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_now_ms(void)
{
    return clock_now_ns() / 1000000U;
}

uint64_t clock_unix_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000U;
}

void clock_sleep_ms(uint64_t duration_ms)
{
    struct timespec rest = {.tv_sec = (time_t)(duration_ms / 1000U),
                            .tv_nsec = (long)(duration_ms % 1000U) * 1000000L};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}
