/* sim_machine - what a process asks its machine for: clock.h, memory.h, secret.h, log.h and
 * check.h, on virtual time and in the trace. */
#include "tests/sim/sim_aggregation.h"

#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/secret.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SECRETS_STREAM = 9 };

/* When every simulated run began, in milliseconds since 1970. */
static const uint64_t UNIX_MS_FIRST = UINT64_C(1700000000000);

uint64_t clock_now_ms(void)
{
    return sim != NULL && sim->running != NULL ? sim_process_ms(sim->running) : 0;
}

uint64_t clock_now_ns(void)
{
    return clock_now_ms() * 1000000;
}

uint64_t clock_unix_ms(void)
{
    return UNIX_MS_FIRST + (sim != NULL ? sim->now_us / 1000 : 0);
}

void clock_sleep_ms(uint64_t duration_ms)
{
    (void)duration_ms;
    sim_fail("a process sleeps instead of waiting");
}

uint64_t memory_available_bytes(void)
{
    return UINT64_MAX;
}

enum status memory_check_fits(const char *what, uint64_t need_bytes, const char *advice)
{
    (void)what;
    (void)need_bytes;
    (void)advice;
    return STATUS_OK;
}

/* Memory like any other: a process that dies loses its secrets too. */
void *secret_new(size_t size_bytes)
{
    return calloc(1, size_bytes);
}

void secret_seal(void *secret)
{
    (void)secret;
}

void secret_free(void *secret)
{
    free(secret);
}

bool secret_all_locked(void)
{
    return true;
}

void secret_wipe(void *data, size_t size_bytes)
{
    sodium_memzero(data, size_bytes);
}

void secret_wipe_stack(void)
{
}

enum status log_set_format(const char *name)
{
    (void)name;
    return STATUS_OK;
}

void log_set_level(enum log_level level)
{
    (void)level;
}

void log_event(enum log_level level, const char *module, const char *event, const char *format, ...)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    va_list arguments;
    va_start(arguments, format);
    sim_aggregation_log(module, event, format, arguments);
    va_end(arguments);
    if (!sim_tracing()) {
        return;
    }
    char pairs[SIM_TRACE_LINE_MAX];
    va_start(arguments, format);
    (void)vsnprintf(pairs, sizeof pairs, format, arguments);
    va_end(arguments);
    sim_line("  %s: %s %s.%s %s",
             sim->running != NULL ? sim_process_name(sim->running->index) : "simulator",
             levels[level], module, event, pairs);
}

/* A mistake of the program's own is what seeds are run for: it fails this one, and no other. */
void check_failed(const char *condition, const char *file, int line)
{
    if (sim == NULL || !sim->breakable) {
        (void)fprintf(stderr, "dugnad-sim: CHECK failed at %s:%d: %s\n", file, line, condition);
        abort();
    }
    sim_fail("CHECK failed in %s at %s:%d: %s",
             sim->running != NULL ? sim_process_name(sim->running->index) : "the simulator", file,
             line, condition);
    longjmp(sim->broken, 1);
}

/* Keys and tokens come from the seed as well. */
static struct random secrets;

static const char *secrets_name(void)
{
    return "dugnad-sim";
}

static uint32_t secrets_next(void)
{
    return (uint32_t)random_next(&secrets);
}

static void secrets_fill(void *const out, const size_t size_bytes)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < size_bytes; i++) {
        bytes[i] = (uint8_t)random_next(&secrets);
    }
}

void sim_secrets_begin(uint64_t seed)
{
    static struct randombytes_implementation from_seed = {
        .implementation_name = secrets_name, .random = secrets_next, .buf = secrets_fill};
    random_init(&secrets, seed, SECRETS_STREAM);
    (void)randombytes_set_implementation(&from_seed);
}
