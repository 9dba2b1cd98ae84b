/* progress - what the volunteer sees: one rewritten line on a terminal, log lines otherwise. */
#ifndef DUGNAD_PEER_DAEMON_PROGRESS_H
#define DUGNAD_PEER_DAEMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    bool terminal; /* stderr is one */
    bool line_open;
    uint64_t shown_ms;
    uint64_t measured_ms;
    uint64_t measured_tokens;
    uint64_t tokens; /* this peer computed, in all */
    double tokens_per_s;
    uint64_t step;
    double loss;
    bool has_loss;
};

void progress_init(struct progress *self, uint64_t now_ms);

/* `tokens` were computed here since the last call. */
void progress_count(struct progress *self, uint64_t tokens, uint64_t now_ms);

/* The coordinator committed a step. */
void progress_step(struct progress *self, uint64_t step, double loss);

/* Shows `doing` ("computing", "waiting", ...) when it is time to. */
void progress_show(struct progress *self, const char *doing, uint64_t now_ms);

/* Ends the rewritten line, so that other output starts on a line of its own. */
void progress_break(struct progress *self);

#endif
