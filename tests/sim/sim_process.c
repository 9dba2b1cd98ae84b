#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>

enum { MALLOC_LOG2_MAX = 13 };

struct sim *sim;

void sim_fail(const char *format, ...)
{
    if (sim->failure[0] != '\0') {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sim->failure, sizeof sim->failure, format, arguments);
    va_end(arguments);
    sim_line("WRONG: %s", sim->failure);
}

bool sim_tracing(void)
{
    return sim != NULL && sim->trace.out != NULL;
}

void sim_line(const char *format, ...)
{
    if (!sim_tracing()) {
        return;
    }
    char text[SIM_TRACE_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sim_trace_line(&sim->trace, sim->now_us, "%s", text);
}

void sim_push(uint64_t at_us, enum sim_event_type type, uint32_t index, uint64_t serial)
{
    struct sim_event event = {.time_us = at_us,
                              .tie = random_next(&sim->ties),
                              .type = type,
                              .index = index,
                              .serial = serial};
    sim_heap_push(&sim->heap, &event);
}

uint64_t sim_chance(uint64_t bound)
{
    return random_below(&sim->chance, bound);
}

bool sim_permille(unsigned rate)
{
    return rate > 0 && !sim->calm && sim_chance(1000) < rate;
}

const char *sim_process_name(uint32_t index)
{
    static const char *const names[] = {"peer 0", "peer 1", "peer 2",     "peer 3",
                                        "peer 4", "peer 5", "coordinator"};
    return names[index];
}

uint64_t sim_process_ms(const struct sim_process *process)
{
    return process->clock_offset_ms + sim->now_us / 1000;
}

bool sim_process_run(struct sim_process *process, void (*body)(void *), void *context)
{
    sim->running = process;
    (void)sim_blocks_use(&process->memory);
    bool ran = setjmp(process->escape) == 0;
    if (ran) {
        body(context);
    }
    (void)sim_blocks_use(NULL);
    sim->running = NULL;
    return ran;
}

void sim_process_crash(void)
{
    longjmp(sim->running->escape, 1);
}

void sim_process_begin(struct sim_process *process)
{
    process->alive = true;
    process->incarnation++;
    process->memory.allocations = 0;
    process->memory.fail_at = 0;
    if (!sim->calm && sim->mallocs_left > 0 && sim_chance(2) == 0) {
        sim->mallocs_left--;
        uint64_t range = UINT64_C(1) << sim_chance(MALLOC_LOG2_MAX);
        process->memory.fail_at = 1 + sim_chance(range);
    }
}

void sim_process_wake(struct sim_process *process, uint64_t at_us)
{
    if (!process->alive || at_us >= process->turn_at_us) {
        return;
    }
    process->turn_at_us = at_us;
    sim_push(at_us, SIM_TURN, process->index, ++process->turn_serial);
}

struct sim_process *sim_process(uint32_t index)
{
    return index == SIM_COORDINATOR ? &sim->coordinator.process : &sim->peers[index].process;
}
