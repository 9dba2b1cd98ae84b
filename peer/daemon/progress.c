#include "peer/daemon/progress.h"

#include "common/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { SHOW_MS = 250, MEASURE_MS = 2000 };

void progress_init(struct progress *self, uint64_t now_ms)
{
    *self = (struct progress){.terminal = isatty(STDERR_FILENO) == 1, .measured_ms = now_ms};
}

void progress_count(struct progress *self, uint64_t tokens, uint64_t now_ms)
{
    self->tokens += tokens;
    uint64_t elapsed_ms = now_ms - self->measured_ms;
    if (elapsed_ms >= MEASURE_MS) {
        uint64_t fresh = self->tokens - self->measured_tokens;
        self->tokens_per_s = (double)fresh * 1000.0 / (double)elapsed_ms;
        self->measured_ms = now_ms;
        self->measured_tokens = self->tokens;
    }
}

void progress_step(struct progress *self, uint64_t step, double loss)
{
    self->step = step;
    self->loss = loss;
    self->has_loss = true;
    if (!self->terminal) {
        log_info("peer", "step", "step=%" PRIu64 " loss=%.4f tokens=%" PRIu64 " tokens_per_s=%.0f",
                 step, loss, self->tokens, self->tokens_per_s);
    }
}

void progress_show(struct progress *self, const char *doing, uint64_t now_ms)
{
    if (!self->terminal || now_ms - self->shown_ms < SHOW_MS) {
        return;
    }
    self->shown_ms = now_ms;
    self->line_open = true;
    char loss[32] = "-";
    if (self->has_loss) {
        (void)snprintf(loss, sizeof loss, "%.4f", self->loss);
    }
    (void)fprintf(stderr,
                  "\r\033[Kstep %" PRIu64 "  loss %s  %.0f tokens/s here  %" PRIu64
                  " tokens given  %s",
                  self->step, loss, self->tokens_per_s, self->tokens, doing);
}

void progress_break(struct progress *self)
{
    if (self->line_open) {
        self->line_open = false;
        (void)fputs("\n", stderr);
    }
}
