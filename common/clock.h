/* clock - time for the shells. Cores never call this: they are handed now_ms. Thread-safe. */
#ifndef DUGNAD_COMMON_CLOCK_H
#define DUGNAD_COMMON_CLOCK_H

#include <stdint.h>

/* Milliseconds of a clock that never jumps; only differences mean something. */
uint64_t clock_now_ms(void);

/* Nanoseconds of the same clock. */
uint64_t clock_now_ns(void);

/* Milliseconds since 1970 (UTC), for records that people read. */
uint64_t clock_unix_ms(void);

void clock_sleep_ms(uint64_t duration_ms);

#endif
