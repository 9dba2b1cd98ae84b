/* raw_member - a peer that enrols with the run's real link over raw_curve and then says what it
 * likes. Of our own code only proto/wire is in it: the attacks are on what stands above.
 *
 * Blocking; one owner. */
#ifndef DUGNAD_HOSTILE_RAW_MEMBER_H
#define DUGNAD_HOSTILE_RAW_MEMBER_H

#include "proto/wire.h"
#include "tests/integration/hostile/attack.h"

enum { RAW_MEMBER_PATIENCE_MS = 5000 };

struct raw_member {
    uint8_t seed[IDENTITY_SEED_BYTES];
    struct identity identity;
    struct raw_keys keys;                /* the identity's, for CURVE */
    uint64_t sequence;                   /* of the last hello */
    char bulk_address[WIRE_ADDRESS_MAX]; /* not "": it would own there, and computes nothing */
    struct raw_curve curve;
    struct raw_curve other;     /* of the same key, once raw_member_open_other() made it */
    struct wire_message *said;  /* to be filled in for raw_member_say() */
    struct wire_message *heard; /* what raw_member_hear() read; .type 0: a chunk */
    size_t body_bytes;          /* of what was heard */
    const uint8_t *body;        /* until the next call */
};

/* A new identity, not connected. False: no memory. */
bool raw_member_new(struct raw_member *out);
/* One with the same key: a copy of its state folder. */
bool raw_member_copy(const struct raw_member *of, struct raw_member *out);
void raw_member_free(struct raw_member *self);

/* Connects anew (what stood is closed) and proves the key; no hello yet. */
enum raw_result raw_member_connect(struct raw_member *self, const struct attack *attack,
                                   unsigned source);

/* Connects to the port for chunks of the welcome that stands in `heard`, says the first words there
 * and hears their answer. */
enum raw_result raw_member_open_other(struct raw_member *self, const struct attack *attack,
                                      unsigned source);
/* From now on `curve` is the other one. */
void raw_member_swap(struct raw_member *self);

/* Whether the other one is still open in a second. */
bool raw_member_other_stands(struct raw_member *self);

/* Fills `said` with a right hello of the next sequence number; or signs what stands there. */
void raw_member_make_hello(struct raw_member *self, const struct attack *attack);
void raw_member_sign_hello(struct raw_member *self, const struct attack *attack);

/* Connects, says hello and hears the welcome. RAW_BAD: refused; heard says why. */
enum raw_result raw_member_join(struct raw_member *self, const struct attack *attack,
                                unsigned source);

/* Sends `said` with a body, or any bytes as a head. */
enum raw_result raw_member_say(struct raw_member *self, const uint8_t *body, size_t body_bytes);
enum raw_result raw_member_say_raw(struct raw_member *self, const uint8_t *head, size_t head_bytes,
                                   const uint8_t *body, size_t body_bytes);

/* The next message. */
enum raw_result raw_member_hear(struct raw_member *self, uint64_t deadline_ms);

/* Hears until a message of this type comes. */
enum raw_result raw_member_await(struct raw_member *self, enum wire_type type,
                                 uint64_t deadline_ms);

/* Milliseconds from since_ms until the connection is cut, ATTACK_NEVER_MS after patience_ms. */
uint64_t raw_member_cut_ms(struct raw_member *self, uint64_t since_ms, uint64_t patience_ms);

#endif
