/* conduct - how the keys of a run behave, and what follows from it.
 *
 * Every offence costs points, which are forgiven again at a steady rate: what happens to honest
 * peers now and then (a late chunk, a message said twice) never adds up, what is done all the time
 * does. A key that has reached the limit is cut, and may come back after a while that doubles with
 * each cut; one that is cut again and again is barred. A key is what is punished, not a connection
 * or a session, so that coming back changes nothing.
 *
 * Pure: time is handed in and never decreases. One owner. */
#ifndef DUGNAD_COORDINATOR_SERVER_CONDUCT_H
#define DUGNAD_COORDINATOR_SERVER_CONDUCT_H

#include "common/status.h"
#include "proto/identity.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    /* Keys that are remembered: two for each session. The one that was quiet for longest makes
     * room, if it can one that is not kept out. */
    CONDUCT_KEYS_MAX = 8192,
    CONDUCT_POINTS_MAX = 100,    /* cut */
    CONDUCT_POINTS_PER_S = 1,    /* forgiven */
    CONDUCT_OUT_MS_MIN = 1000,   /* out after the first cut; doubles with each */
    CONDUCT_OUT_MS_MAX = 600000, /* at most */
    CONDUCT_CUTS_MAX = 8,        /* so many within CONDUCT_CUTS_MS: barred, for as long */
    CONDUCT_CUTS_MS = 3600000,
    /* Bytes of chunks that nobody waits for: what may be under way when a transfer is given up. */
    CONDUCT_UNASKED_BYTES_MAX = 32 << 20,
    CONDUCT_UNASKED_BYTES_PER_S = 1 << 20,
    /* A stall is excused when it is the first for so long, or since something of it was counted. */
    CONDUCT_EXCUSE_MS = 60000,
    /* Work taken and not done, in a row, without one counted contribution: then no work for a
     * while that doubles. Leaving with it counts once, holding it to its deadline three times. */
    CONDUCT_WASTED_MAX = 6,
    CONDUCT_WASTED_LEFT = 1,
    CONDUCT_WASTED_HELD = 3,
    CONDUCT_REST_MS_MIN = 60000,
    CONDUCT_REST_MS_MAX = 3600000
};

enum conduct_offence {
    CONDUCT_FORBIDDEN,    /* what no program of ours ever says: cut at once */
    CONDUCT_STALLED,      /* held a place to upload and sent nothing: cut at once */
    CONDUCT_UNASKED,      /* more bytes than anybody asked for: cut at once */
    CONDUCT_WRONG_BYTES,  /* a chunk that is not what its hash or its proof says */
    CONDUCT_DEAD_LINE,    /* sent no byte of what it was asked for; it may be its line */
    CONDUCT_REFUSED_WORK, /* a contribution that could not be counted for what is in it */
    CONDUCT_FALSE_WORD,   /* progress that cannot be, an answer to what was not asked */
    CONDUCT_TOO_OFTEN,    /* above the rate of its kind */
    CONDUCT_UNKNOWN_BLOB, /* asked for what is not kept */
    CONDUCT_OFFENCE_END
};

/* What is said at most so often; below that, nothing happens. */
enum conduct_rate {
    CONDUCT_HELLO,
    CONDUCT_CLAIM,
    CONDUCT_OFFER,
    CONDUCT_GRANT,
    CONDUCT_RATES,
    CONDUCT_ALIVE,
    CONDUCT_OTHER,
    CONDUCT_RATE_END
};

enum conduct_verdict {
    CONDUCT_FINE,
    CONDUCT_CUT, /* end its session and its connections; conduct_is_out for a while */
    CONDUCT_BAR  /* the same, and refuse its handshakes until conduct_next_pardon names it */
};

/* For log lines and incidents; never NULL. */
const char *conduct_offence_name(enum conduct_offence offence);

/* Of CONDUCT_POINTS_MAX, what an offence costs. */
uint32_t conduct_offence_points(enum conduct_offence offence);

struct conduct;

/* `seed`: any number that peers do not know. Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status conduct_new(uint64_t seed, struct conduct **out);
void conduct_free(struct conduct *self); /* NULL is allowed. */

/* Keys are CURVE keys that a connection proved. */
MUST_CHECK enum conduct_verdict conduct_offend(struct conduct *self,
                                               const uint8_t key[IDENTITY_KEY_BYTES],
                                               enum conduct_offence offence, uint64_t now_ms);

/* Whether anything is known of the key; and something from now on: it was let in. */
bool conduct_knows(const struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES]);
void conduct_meet(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES], uint64_t now_ms);

/* Counts one of its kind. False: too often; then it is to be ignored, and is an offence. */
MUST_CHECK bool conduct_allows(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                               enum conduct_rate rate, uint64_t now_ms);

/* Counts bytes that nobody waited for. False: more than any honest peer has under way. */
MUST_CHECK bool conduct_allows_unasked(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                       uint64_t bytes, uint64_t now_ms);

/* Whether a stall now may be by no fault of its own; then the next one is. */
MUST_CHECK bool conduct_excuses(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                uint64_t now_ms);

/* Whether it was cut and its time is not over. */
bool conduct_is_out(const struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                    uint64_t now_ms);

/* Its work came to nothing (CONDUCT_WASTED_LEFT, CONDUCT_WASTED_HELD). True: from now on it gets
 * none for a while. */
bool conduct_waste(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES], uint32_t weight,
                   uint64_t now_ms);
void conduct_count(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES], uint64_t now_ms);
bool conduct_rests(const struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                   uint64_t now_ms);

/* Forgives a key all that it did: its owner was heard, and the run's owner lets it in again. */
void conduct_forgive(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES]);

/* A key whose bar ends; it is forgiven. False: none. */
MUST_CHECK bool conduct_next_pardon(struct conduct *self, uint64_t now_ms,
                                    uint8_t out_key[IDENTITY_KEY_BYTES]);

#endif
