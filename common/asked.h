/* asked - numbered pieces that were asked for and have not come: a window on one sender.
 *
 * Pure: the caller hands in the time. One owner. */
#ifndef DUGNAD_COMMON_ASKED_H
#define DUGNAD_COMMON_ASKED_H

#include <stdbool.h>
#include <stdint.h>

enum { ASKED_MAX = 64 };

struct asked {
    uint32_t count;
    bool came;         /* a piece, since the last look at the time */
    uint64_t heard_ms; /* when the latest one did, about */
    struct asked_piece {
        uint32_t index;
        uint64_t asked_ms;
    } pieces[ASKED_MAX];
};

bool asked_has(const struct asked *self, uint32_t index);

/* Room is there (count < ASKED_MAX) and the piece is not in it: CHECKed. */
void asked_add(struct asked *self, uint32_t index, uint64_t now_ms);

/* The piece came, or is no longer wanted; nothing happens when it was not asked for. */
void asked_forget(struct asked *self, uint32_t index);

/* Forgets every piece that was asked for retry_ms ago or longer, if none came in that time either:
 * on a slow line the others are still under way. The lowest of them, or UINT32_MAX. */
uint32_t asked_expire(struct asked *self, uint64_t now_ms, uint64_t retry_ms);

#endif
