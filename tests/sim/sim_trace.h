/* sim_trace - what happened: a hash over all of it, and lines that a person can read.
 *
 * The hash takes numbers and the bytes of letters, never text, so it is the same whether or not
 * lines are written. */
#ifndef DUGNAD_TESTS_SIM_SIM_TRACE_H
#define DUGNAD_TESTS_SIM_SIM_TRACE_H

#include "common/digest.h"

#include <stdio.h>

enum { SIM_TRACE_LINE_MAX = 400, SIM_TRACE_BUFFER = 4096 };

struct sim_trace {
    struct digest_stream hash;
    uint8_t buffer[SIM_TRACE_BUFFER];
    size_t buffered;
    FILE *out; /* lines; NULL: none */
};

void sim_trace_init(struct sim_trace *self, FILE *out);

void sim_trace_numbers(struct sim_trace *self, const uint64_t *numbers, size_t count);
void sim_trace_bytes(struct sim_trace *self, const void *data, size_t size_bytes);
struct digest sim_trace_end(struct sim_trace *self);

__attribute__((format(printf, 3, 4))) void sim_trace_line(struct sim_trace *self, uint64_t now_us,
                                                          const char *format, ...);

#endif
