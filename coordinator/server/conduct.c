#include "coordinator/server/conduct.h"

#include "common/check.h"
#include "common/random.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 16384, DOUBLINGS_MAX = 20, MS_PER_S = 1000 };
#define NOBODY UINT32_MAX

static const struct {
    const char *name;
    uint32_t points;
} offences[CONDUCT_OFFENCE_END] = {
    [CONDUCT_FORBIDDEN] = {"forbidden", CONDUCT_POINTS_MAX},
    [CONDUCT_STALLED] = {"stalled", CONDUCT_POINTS_MAX},
    [CONDUCT_UNASKED] = {"unasked", CONDUCT_POINTS_MAX},
    [CONDUCT_WRONG_BYTES] = {"wrong_bytes", 34},
    [CONDUCT_DEAD_LINE] = {"dead_line", 30},
    [CONDUCT_REFUSED_WORK] = {"refused_work", 25},
    [CONDUCT_FALSE_WORD] = {"false_word", 10},
    [CONDUCT_TOO_OFTEN] = {"too_often", 2},
    [CONDUCT_UNKNOWN_BLOB] = {"unknown_blob", 1},
};

/* Far above what our own peer says: a hello and an alive a second, a progress every 200 ms a
 * thread, a claim at each return, an offer and a few grants a step. */
static const struct {
    uint32_t burst;
    uint32_t per_s;
} rates[CONDUCT_RATE_END] = {
    [CONDUCT_HELLO] = {20, 2},     [CONDUCT_CLAIM] = {20, 2}, [CONDUCT_OFFER] = {200, 100},
    [CONDUCT_GRANT] = {600, 300},  [CONDUCT_RATES] = {20, 2}, [CONDUCT_ALIVE] = {30, 5},
    [CONDUCT_OTHER] = {2000, 500},
};

/* Milli-units, so that a millisecond gives back a whole number. */
struct bucket {
    int64_t left_milli;
    uint64_t ms;
};

struct record {
    uint8_t key[IDENTITY_KEY_BYTES];
    bool used;
    bool barred;
    uint32_t next; /* in its chain */
    uint32_t cuts; /* in a row: forgotten after CONDUCT_CUTS_MS without one */
    uint32_t wasted;
    uint32_t rests;
    uint64_t seen_ms;
    uint64_t cut_ms;      /* the first of `cuts` */
    uint64_t out_ms;      /* out until then; 0: never cut */
    uint64_t rest_ms;     /* no work until then */
    uint64_t blamed_ms;   /* until then a stall is its own fault */
    struct bucket points; /* what is left of CONDUCT_POINTS_MAX */
    struct bucket unasked;
    struct bucket rates[CONDUCT_RATE_END];
};

struct conduct {
    uint64_t seed;
    uint32_t count;
    uint32_t barred_count;
    uint32_t heads[BUCKETS]; /* the first record of each chain */
    struct record records[CONDUCT_KEYS_MAX];
};

const char *conduct_offence_name(enum conduct_offence offence)
{
    return offence < CONDUCT_OFFENCE_END ? offences[offence].name : "unknown";
}

uint32_t conduct_offence_points(enum conduct_offence offence)
{
    CHECK(offence < CONDUCT_OFFENCE_END);
    return offences[offence].points;
}

enum status conduct_new(uint64_t seed, struct conduct **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return STATUS_NO_MEMORY;
    }
    (*out)->seed = seed;
    memset((*out)->heads, 0xff, sizeof(*out)->heads);
    return STATUS_OK;
}

void conduct_free(struct conduct *self)
{
    free(self);
}

/* Keyed, so that nobody can choose keys that meet in one chain. */
static uint32_t bucket_of(const struct conduct *self, const uint8_t *key)
{
    uint64_t mixed = self->seed;
    for (size_t i = 0; i < IDENTITY_KEY_BYTES; i += sizeof mixed) {
        uint64_t word = 0;
        memcpy(&word, key + i, sizeof word);
        mixed = random_mix(mixed ^ word);
    }
    return (uint32_t)(mixed % BUCKETS);
}

static uint32_t find(const struct conduct *self, const uint8_t *key)
{
    uint32_t at = self->heads[bucket_of(self, key)];
    while (at != NOBODY && memcmp(self->records[at].key, key, IDENTITY_KEY_BYTES) != 0) {
        at = self->records[at].next;
    }
    return at;
}

static void unlink_record(struct conduct *self, uint32_t index)
{
    uint32_t *link = &self->heads[bucket_of(self, self->records[index].key)];
    while (*link != index) {
        link = &self->records[*link].next;
    }
    *link = self->records[index].next;
    self->records[index].used = false;
}

static bool goes_before(const struct record *one, const struct record *other, uint64_t now_ms)
{
    bool one_kept = one->barred || one->out_ms > now_ms || one->rest_ms > now_ms;
    bool other_kept = other->barred || other->out_ms > now_ms || other->rest_ms > now_ms;
    return one_kept != other_kept ? other_kept : one->seen_ms < other->seen_ms;
}

/* A barred key keeps its place, for else nobody would let it in again; they are few enough. */
static uint32_t make_room(struct conduct *self, uint64_t now_ms)
{
    uint32_t chosen = NOBODY;
    if (self->count < CONDUCT_KEYS_MAX) {
        return self->count++;
    }
    for (uint32_t i = 0; i < CONDUCT_KEYS_MAX; i++) {
        const struct record *record = &self->records[i];
        if (!record->barred &&
            (chosen == NOBODY || goes_before(record, &self->records[chosen], now_ms))) {
            chosen = i;
        }
    }
    CHECK(chosen != NOBODY); /* barred_count is below half */
    unlink_record(self, chosen);
    return chosen;
}

static struct record *note_seen(struct conduct *self, const uint8_t *key, uint64_t now_ms)
{
    uint32_t index = find(self, key);
    if (index == NOBODY) {
        index = make_room(self, now_ms);
        struct record *record = &self->records[index];
        uint32_t *head = &self->heads[bucket_of(self, key)];
        *record = (struct record){.used = true, .next = *head};
        memcpy(record->key, key, IDENTITY_KEY_BYTES);
        *head = index;
    }
    self->records[index].seen_ms = now_ms;
    return &self->records[index];
}

/* Refills, and takes what is there for the asking. False: it is not; then nothing is taken. */
static bool take(struct bucket *bucket, uint64_t wanted, uint64_t burst, uint64_t per_s,
                 uint64_t now_ms)
{
    int64_t full = (int64_t)(burst * MS_PER_S);
    uint64_t elapsed_ms = bucket->ms == 0 ? UINT64_MAX : now_ms - bucket->ms;
    bool refilled = elapsed_ms > (uint64_t)full / per_s ||
                    bucket->left_milli + (int64_t)(elapsed_ms * per_s) >= full;
    bucket->left_milli = refilled ? full : bucket->left_milli + (int64_t)(elapsed_ms * per_s);
    bucket->ms = now_ms > 0 ? now_ms : 1;
    int64_t wanted_milli = wanted > burst ? full + 1 : (int64_t)(wanted * MS_PER_S);
    if (wanted_milli > bucket->left_milli) {
        return false;
    }
    bucket->left_milli -= wanted_milli;
    return true;
}

static uint64_t doubled(uint64_t least_ms, uint64_t most_ms, uint32_t times)
{
    uint64_t ms = least_ms << (times < DOUBLINGS_MAX ? times : (uint32_t)DOUBLINGS_MAX);
    return ms < most_ms ? ms : most_ms;
}

static enum conduct_verdict cut(struct conduct *self, struct record *record, uint64_t now_ms)
{
    if (record->cuts > 0 && now_ms - record->cut_ms > CONDUCT_CUTS_MS) {
        record->cuts = 0;
    }
    record->cut_ms = record->cuts == 0 ? now_ms : record->cut_ms;
    record->points = (struct bucket){0}; /* it begins anew when it may come back */
    record->out_ms = now_ms + doubled(CONDUCT_OUT_MS_MIN, CONDUCT_OUT_MS_MAX, record->cuts);
    if (++record->cuts < CONDUCT_CUTS_MAX || self->barred_count >= CONDUCT_KEYS_MAX / 2) {
        return CONDUCT_CUT;
    }
    self->barred_count += record->barred ? 0 : 1;
    record->barred = true;
    record->out_ms = now_ms + CONDUCT_CUTS_MS;
    return CONDUCT_BAR;
}

enum conduct_verdict conduct_offend(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                    enum conduct_offence offence, uint64_t now_ms)
{
    CHECK(offence < CONDUCT_OFFENCE_END);
    struct record *record = note_seen(self, key, now_ms);
    bool bearable = take(&record->points, offences[offence].points, CONDUCT_POINTS_MAX,
                         CONDUCT_POINTS_PER_S, now_ms);
    return bearable && record->points.left_milli > 0 ? CONDUCT_FINE : cut(self, record, now_ms);
}

bool conduct_knows(const struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES])
{
    return find(self, key) != NOBODY;
}

void conduct_meet(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES], uint64_t now_ms)
{
    (void)note_seen(self, key, now_ms);
}

bool conduct_allows(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                    enum conduct_rate rate, uint64_t now_ms)
{
    CHECK(rate < CONDUCT_RATE_END);
    struct record *record = note_seen(self, key, now_ms);
    return take(&record->rates[rate], 1, rates[rate].burst, rates[rate].per_s, now_ms);
}

bool conduct_allows_unasked(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                            uint64_t bytes, uint64_t now_ms)
{
    struct record *record = note_seen(self, key, now_ms);
    return take(&record->unasked, bytes, CONDUCT_UNASKED_BYTES_MAX, CONDUCT_UNASKED_BYTES_PER_S,
                now_ms);
}

bool conduct_excuses(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES], uint64_t now_ms)
{
    struct record *record = note_seen(self, key, now_ms);
    bool excused = now_ms >= record->blamed_ms;
    record->blamed_ms = excused ? now_ms + CONDUCT_EXCUSE_MS : record->blamed_ms;
    return excused;
}

bool conduct_is_out(const struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                    uint64_t now_ms)
{
    uint32_t index = find(self, key);
    return index != NOBODY && (self->records[index].barred || now_ms < self->records[index].out_ms);
}

bool conduct_waste(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES], uint32_t weight,
                   uint64_t now_ms)
{
    struct record *record = note_seen(self, key, now_ms);
    record->wasted += weight;
    if (record->wasted < CONDUCT_WASTED_MAX) {
        return false;
    }
    /* One more is enough for the next rest, until something is counted. */
    record->wasted = CONDUCT_WASTED_MAX - 1;
    record->rest_ms = now_ms + doubled(CONDUCT_REST_MS_MIN, CONDUCT_REST_MS_MAX, record->rests);
    record->rests++;
    return true;
}

void conduct_count(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES], uint64_t now_ms)
{
    struct record *record = note_seen(self, key, now_ms);
    record->wasted = 0;
    record->rests = 0;
    record->rest_ms = 0;
    record->blamed_ms = 0;
}

bool conduct_rests(const struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES],
                   uint64_t now_ms)
{
    uint32_t index = find(self, key);
    return index != NOBODY && now_ms < self->records[index].rest_ms;
}

void conduct_forgive(struct conduct *self, const uint8_t key[IDENTITY_KEY_BYTES])
{
    uint32_t index = find(self, key);
    if (index == NOBODY) {
        return;
    }
    struct record *record = &self->records[index];
    uint32_t next = record->next;
    uint64_t seen_ms = record->seen_ms;
    self->barred_count -= record->barred ? 1 : 0;
    *record = (struct record){.used = true, .next = next, .seen_ms = seen_ms};
    memcpy(record->key, key, IDENTITY_KEY_BYTES);
}

bool conduct_next_pardon(struct conduct *self, uint64_t now_ms, uint8_t out_key[IDENTITY_KEY_BYTES])
{
    for (uint32_t i = 0; self->barred_count > 0 && i < self->count; i++) {
        struct record *record = &self->records[i];
        if (record->used && record->barred && now_ms >= record->out_ms) {
            record->barred = false;
            record->cuts = 0;
            self->barred_count--;
            memcpy(out_key, record->key, IDENTITY_KEY_BYTES);
            return true;
        }
    }
    return false;
}
