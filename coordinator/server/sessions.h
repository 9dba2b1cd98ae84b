/* sessions - the peers that are here, by the key their connection proved; and those that were here
 * before the coordinator restarted and may come back for their samples ("away").
 *
 * The index of a session is the peer's number in the core. */
#ifndef DUGNAD_COORDINATOR_SERVER_SESSIONS_H
#define DUGNAD_COORDINATOR_SERVER_SESSIONS_H

#include "proto/blob_receiver.h"
#include "proto/blob_sender.h"

enum { SESSIONS_MAX = 4096, SESSIONS_KEYS_MAX = 65536 };

enum upload_state { UPLOAD_NONE, UPLOAD_WAITING, UPLOAD_RUNNING };

/* What a connection had carried when something moved on it last. */
struct session_pulse {
    uint64_t ms;
    uint64_t received_bytes; /* by the client's TCP, */
    uint64_t said_bytes;     /* of which these are messages that are no chunks */
    uint64_t delivered_bytes;
};

struct session {
    bool used;
    bool away;           /* it has not said hello to this process yet; is sent nothing */
    bool missed;         /* a full queue did not take a message to it */
    bool bulk_lost;      /* its latest connection for chunks broke, and no other has come */
    uint64_t connection; /* over which its hello was accepted; 0: none */
    uint64_t heard_ms;   /* when something came over it */
    uint64_t bulk;       /* over which chunks come and go; 0: none, they use that one */
    uint64_t bulk_ms;    /* when something came over it, */
    uint64_t bulk_bytes; /* so many so far, at the latest look; 0: not known */
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint8_t public_key[IDENTITY_KEY_BYTES]; /* Ed25519: who it is in the journal */
    char id[IDENTITY_NAME_BYTES];           /* short form of its Ed25519 key */
    char name[WIRE_NAME_MAX];
    uint32_t threads;
    struct wire_contribution *offer; /* owned; NULL: none */
    enum upload_state upload;
    struct blob_receiver *receiver;
    uint64_t upload_ms;            /* when the latest chunk came */
    uint64_t upload_wait_ms;       /* since when it waits for a place, */
    uint64_t upload_place_ms;      /* or has one */
    bool upload_owed;              /* it was granted chunks that have not come */
    uint64_t granted_at_bytes;     /* delivered over `connection` when it was granted some last */
    struct session_pulse pulse;    /* since it was */
    uint64_t said_bytes;           /* messages that are no chunks, and what carried them */
    uint32_t leases_open;          /* given since its latest counted contribution */
    struct blob_senders downloads; /* what it was granted and has not been sent */
};

struct sessions {
    struct session items[SESSIONS_MAX];
    uint32_t end;                        /* none is used from here on */
    uint32_t count;                      /* of those that are here */
    uint8_t (*seen)[IDENTITY_KEY_BYTES]; /* (seen_count) different keys ever */
    uint32_t seen_count;
};

/* The session with this key, or NULL. */
struct session *sessions_find(struct sessions *self, const uint8_t curve_key[IDENTITY_KEY_BYTES]);

/* A new session for a key that has none. Errors: FULL, NO_MEMORY. */
MUST_CHECK enum status sessions_add(struct sessions *self, const struct wire_hello *hello,
                                    const uint8_t curve_key[IDENTITY_KEY_BYTES],
                                    struct session **out);

/* A session for a peer that is away, by the Ed25519 key of its lease facts, which may come from a
 * damaged disk; that key has no session. Errors: BAD_DATA (no key), FULL. */
MUST_CHECK enum status sessions_add_away(struct sessions *self,
                                         const uint8_t public_key[IDENTITY_KEY_BYTES],
                                         struct session **out);

/* The peer of this session said hello again. Errors: NO_MEMORY. */
MUST_CHECK enum status sessions_return(struct sessions *self, struct session *session,
                                       const struct wire_hello *hello);

/* Ends a session and frees what it held. */
void sessions_remove(struct sessions *self, struct session *session);

uint32_t sessions_index(const struct sessions *self, const struct session *session);

/* Forgets the session's offer and its upload. */
void session_drop_upload(struct session *self);

void sessions_deinit(struct sessions *self);

#endif
