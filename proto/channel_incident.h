/* channel_incident - what a channel tells of remote sides that did not keep to its rules.
 *
 * Plain values. */
#ifndef DUGNAD_PROTO_CHANNEL_INCIDENT_H
#define DUGNAD_PROTO_CHANNEL_INCIDENT_H

#include "common/status.h"
#include "proto/identity.h"

#include <stdbool.h>
#include <stdint.h>

enum { CHANNEL_HOST_MAX = 48 /* a bracketed IPv6 address */ };

/* Why connections were cut. */
enum channel_reason {
    CHANNEL_MALFORMED = 1, /* not ZMTP, not a head and a body, or not a message of wire.h */
    CHANNEL_OVERSIZE,      /* a frame or a message larger than allowed */
    CHANNEL_UNFINISHED,    /* a message without an end */
    CHANNEL_NO_KEY,        /* proved no key, or not within 2 s */
    CHANNEL_NOT_ADMITTED,  /* was not admitted in time, or said too much before */
    CHANNEL_CROWDED,       /* too many connections: all, of one address, or of one key */
    CHANNEL_TOO_FAST,      /* more messages or bytes than a member may send */
    CHANNEL_SLOW_READER,   /* does not take what is sent to it */
    CHANNEL_BARRED,        /* its key is barred */
    CHANNEL_BARRED_CAME,   /* and so a handshake of it was refused */
    CHANNEL_REASON_END
};

/* Something that a remote side did, for the program's records. */
struct channel_incident {
    enum channel_reason reason;
    bool has_key; /* it had proved one */
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint64_t connection; /* 0: of several */
    char host[CHANNEL_HOST_MAX];
    uint64_t count; /* as many of this reason since the last that was told; > 0 */
};

/* For log lines; never NULL. Thread-safe. */
const char *channel_reason_name(enum channel_reason reason);

struct channel_server;

/* The next incident; false: none. Bounded: with a key each key tells at most one a second, those
 * without a key are told as one of each reason a second, counted together. */
MUST_CHECK bool channel_server_incident(struct channel_server *self, struct channel_incident *out);

#endif
