/* attack - what every attack of dugnad-hostile is given, and how it tells what it saw.
 *
 * An attack prints one line of JSON on stdout: numbers of the attacker's side. The bars are held
 * against them by `run`, which sees the server's side as well. */
#ifndef DUGNAD_HOSTILE_ATTACK_H
#define DUGNAD_HOSTILE_ATTACK_H

#include "proto/link.h"
#include "tests/integration/hostile/raw_curve.h"

enum { ATTACK_NEVER_MS = 999999 /* in place of a time, for what did not happen */ };

struct attack {
    const char *name;
    struct join_link link;
    struct sockaddr_in address;
    uint8_t server_key[RAW_KEY_BYTES]; /* CURVE */
    const char *mode;                  /* which variant; "" by default */
    const char *file;                  /* "" by default */
    uint64_t count;
    unsigned sources; /* addresses that it comes from; 0: the machine's own */
    uint64_t duration_ms;
    uint16_t port; /* that a relay listens on; 0: any */
};

/* Each prints its line, and returns false when the attack itself could not be made (the driver then
 * fails: an attack that does not take place proves nothing). */
bool attack_flood(struct attack *self);
bool attack_slowloris(struct attack *self);
bool attack_giant(struct attack *self);
bool attack_handshake(struct attack *self);
bool attack_multipart(struct attack *self);
bool attack_squat(struct attack *self);
bool attack_bomb(struct attack *self);
bool attack_member(struct attack *self);
bool attack_hold(struct attack *self);
bool attack_owner(struct attack *self);
bool attack_relay(struct attack *self);
bool attack_replay(struct attack *self);
bool attack_stale(struct attack *self);

/* The source for the n-th connection, as raw_open() takes it. */
unsigned attack_source(const struct attack *self, uint64_t n);

/* The line: begin, pairs, end. */
void report_begin(const struct attack *self);
void report_number(const char *key, uint64_t value);
void report_text(const char *key, const char *value); /* without " and \ */
void report_end(void);

#endif
