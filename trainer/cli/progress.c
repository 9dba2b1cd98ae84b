#include "trainer/cli/progress.h"

#include "common/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { DRAW_EVERY_MS = 200, BAR_CELLS = 20 };

static const double TIME_SHOWN_S_MAX = 359999.0; /* 99:59:59 */

void progress_init(struct progress *self, bool quiet)
{
    *self = (struct progress){.begin_ms = clock_now_ms(),
                              .enabled = !quiet && isatty(STDERR_FILENO) == 1};
}

static void bar_text(double share, char out[BAR_CELLS + 1])
{
    int filled = (int)(share * BAR_CELLS);
    for (int i = 0; i < BAR_CELLS; i++) {
        out[i] = i < filled ? '#' : '.';
    }
    out[BAR_CELLS] = '\0';
}

void progress_text(uint64_t done, uint64_t total, uint64_t tokens, uint64_t elapsed_ms,
                   char out[PROGRESS_LINE_MAX])
{
    double seconds = (double)(elapsed_ms > 0 ? elapsed_ms : 1) * 1e-3;
    double megabytes = (double)done * 1e-6;
    double rate = megabytes / seconds;
    if (total == 0 || done == 0) {
        (void)snprintf(out, PROGRESS_LINE_MAX, "%.1f MB  %.1f MB/s  %.2f M tokens", megabytes, rate,
                       (double)tokens * 1e-6);
        return;
    }
    /* A file can grow while it is read. */
    double share = done < total ? (double)done / (double)total : 1.0;
    double left = seconds / share - seconds;
    unsigned left_s = (unsigned)(left < TIME_SHOWN_S_MAX ? left : TIME_SHOWN_S_MAX);
    char bar[BAR_CELLS + 1];
    bar_text(share, bar);
    (void)snprintf(out, PROGRESS_LINE_MAX, "%3u%% [%s] %.1f MB/s  %.2f M tokens  %u:%02u:%02u left",
                   (unsigned)(100.0 * share), bar, rate, (double)tokens * 1e-6, left_s / 3600 % 100,
                   left_s / 60 % 60, left_s % 60);
}

void progress_show(struct progress *self, uint64_t done, uint64_t total, uint64_t tokens)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t since_ms = self->is_drawn ? self->drawn_ms : self->begin_ms;
    if (!self->enabled || now_ms - since_ms < DRAW_EVERY_MS) {
        return;
    }
    char text[PROGRESS_LINE_MAX];
    progress_text(done, total, tokens, now_ms - self->begin_ms, text);
    (void)fprintf(stderr, "\r\033[K%s", text);
    (void)fflush(stderr);
    self->drawn_ms = now_ms;
    self->is_drawn = true;
}

void progress_erase(struct progress *self)
{
    if (self->is_drawn) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
        self->is_drawn = false;
    }
}
