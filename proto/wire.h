/* wire - bytes to validated messages and back.
 *
 * Every message on the channel has a head and a body. The head is either one protobuf-c control
 * message (at most WIRE_HEAD_MAX bytes) behind a type byte, or a chunk header (blob.h); the body
 * is raw bytes, at most WIRE_BODY_MAX. Here is the only place where protobuf-c is used, and the
 * only place where sizes, enums and counts from outside are checked: once, before anything else
 * sees them. Unknown fields, deep nesting and floods of tiny elements are refused by a pre-scan
 * before protobuf-c allocates, and it allocates from a budget.
 *
 * Pure; thread-safe. */
#ifndef DUGNAD_PROTO_WIRE_H
#define DUGNAD_PROTO_WIRE_H

#include "common/digest.h"
#include "proto/codec/codec.h"
#include "proto/identity.h"
#include "proto/link.h"

#include <stdbool.h>

enum {
    WIRE_PROTOCOL_VERSION = 2,
    WIRE_HEAD_MAX = 64 * 1024,
    WIRE_BODY_MAX = 1024 * 1024,
    WIRE_RANGES_MAX = 1024,
    WIRE_NAME_MAX = 64,
    WIRE_TEXT_MAX = 256,
    WIRE_MODEL_JSON_MAX = 16384,
    WIRE_LEASE_SAMPLES_MAX = 65536,
    WIRE_CLAIM_LEASES_MAX = 4,
    WIRE_THREADS_MAX = 4096
};

#define WIRE_VERSION_NONE UINT64_MAX

enum wire_type {
    WIRE_HELLO = 1,    /* peer: who I am, what I hold */
    WIRE_WELCOME,      /* coordinator: the run, the model, where P stands */
    WIRE_REFUSED,      /* coordinator: why not; the peer stops or says hello again */
    WIRE_READY,        /* peer: I hold version v and want work */
    WIRE_LEASE,        /* coordinator: samples to compute; the body holds their tokens */
    WIRE_PROGRESS,     /* peer: how far a lease is */
    WIRE_RECLAIM,      /* coordinator: give back what you have not begun */
    WIRE_YIELDED,      /* peer: what was given back */
    WIRE_COLLECT,      /* coordinator: hand in what you have for this step */
    WIRE_CONTRIBUTION, /* peer: an encoded gradient sum is ready to be fetched */
    WIRE_VERDICT,      /* coordinator: a contribution was counted or refused */
    WIRE_COMMITTED,    /* coordinator: a step is done; its update can be fetched */
    WIRE_APPLIED,      /* peer: my digest after an update */
    WIRE_GRANT,        /* receiver of a blob: send these chunks */
    WIRE_ALIVE,        /* both ways, when there is nothing else to say */
    WIRE_LEAVE,        /* peer: I go; what I hold is lost unless handed in */
    WIRE_FINISHED,     /* coordinator: the run is over */
    WIRE_CLAIM,        /* peer: after a welcome, what I still hold of this step */
    WIRE_CLAIMED,      /* coordinator: that is yours; or give it up */
    WIRE_TYPE_END
};

enum blob_kind { BLOB_SNAPSHOT = 1, BLOB_UPDATE = 2, BLOB_CONTRIBUTION = 3 };

/* Names one immutable run of bytes. */
struct blob_ref {
    enum blob_kind kind;
    uint64_t id; /* snapshot, update: the version it leads to; contribution: the peer's count */
    uint64_t size_bytes; /* > 0, at most BLOB_CHUNKS_MAX chunks */
    struct digest root;  /* hash over the hashes of its chunks */
};

struct sample_range {
    uint64_t first;
    uint64_t count; /* > 0; first + count does not overflow */
};

struct wire_hello {
    uint32_t protocol_version;
    uint8_t public_key[IDENTITY_KEY_BYTES];
    uint8_t token[LINK_TOKEN_BYTES];
    char name[WIRE_NAME_MAX];  /* printable ASCII without " and \ */
    uint32_t thread_count;     /* > 0 */
    uint64_t version_held;     /* WIRE_VERSION_NONE: nothing */
    struct digest digest_held; /* of those parameters: a run that went back has others */
};

struct wire_welcome {
    char run_name[WIRE_NAME_MAX];
    struct digest run_id;
    char model_json[WIRE_MODEL_JSON_MAX]; /* config.json text, NUL-terminated UTF-8, not "" */
    uint32_t context;                     /* T, > 0; the tokens of one sample fit a body */
    uint64_t step_tokens; /* of a whole target batch, > 0, <= 2^40: fixes the exact grid */
    enum codec codec;
    bool has_snapshot;        /* false: the peer's version_held is followed by updates */
    struct blob_ref snapshot; /* P at version snapshot.id */
};

enum wire_refusal {
    WIRE_REFUSED_TOKEN = 1,    /* the invite is not known: stop */
    WIRE_REFUSED_PROTOCOL = 2, /* another protocol version: stop */
    WIRE_REFUSED_IDENTITY = 3, /* the key does not fit the connection: stop */
    WIRE_REFUSED_FULL = 4,     /* no room: come back later */
    WIRE_REFUSED_UNKNOWN = 5,  /* no session (the coordinator restarted): say hello again */
    WIRE_REFUSED_GONE = 6      /* a blob is no longer kept: say hello again */
};

struct wire_refused {
    enum wire_refusal code;
    char text[WIRE_TEXT_MAX]; /* as a name */
};

struct wire_ready {
    uint64_t version; /* here and below never WIRE_VERSION_NONE */
};

struct wire_lease {
    uint64_t lease_id;
    uint64_t step;
    uint64_t version;            /* of the parameters to use */
    struct sample_range samples; /* count <= WIRE_LEASE_SAMPLES_MAX */
    uint64_t duration_ms;        /* until the deadline, at most 7 days */
    /* body: count * (context + 1) little-endian uint16 token ids */
};

struct wire_progress {
    uint64_t lease_id;
    uint32_t samples_done;
    double loss_sum; /* finite */
};

struct wire_reclaim {
    uint64_t lease_id;
    uint32_t keep; /* samples from the lease's first on that the peer shall keep at most */
};

struct wire_yielded {
    uint64_t lease_id;
    uint32_t kept; /* the lease is now [first, first + kept) */
};

struct wire_collect {
    uint64_t step;
};

struct wire_contribution {
    uint64_t step;
    uint32_t range_count; /* > 0, sorted, disjoint, not touching */
    struct sample_range ranges[WIRE_RANGES_MAX];
    uint64_t tokens; /* > 0, <= 2^40 */
    double loss_sum; /* finite, >= 0 */
    struct blob_ref blob;
    bool again; /* it was offered before the connection broke; the peer may hold more than this */
};

struct wire_verdict {
    uint64_t blob_id;
    bool accepted;
    char text[WIRE_TEXT_MAX]; /* why not; "" when accepted */
};

struct wire_committed {
    uint64_t step;        /* the step that is done; the version is step + 1 */
    double loss;          /* mean training loss, nats per token */
    uint64_t tokens;      /* > 0, <= 2^40 */
    struct digest digest; /* of P after the update */
    struct blob_ref update;
};

struct wire_applied {
    uint64_t version;
    struct digest digest;
};

struct wire_grant {
    enum blob_kind kind;
    uint64_t id;
    uint32_t first_chunk;
    uint32_t chunk_count; /* > 0, <= BLOB_WINDOW_MAX; all below BLOB_CHUNKS_MAX */
};

struct wire_finished {
    uint64_t step_count;
};

struct wire_claim_lease {
    uint64_t lease_id;
    uint64_t first;
    uint32_t count; /* > 0, <= WIRE_LEASE_SAMPLES_MAX; first + count does not overflow */
    uint32_t done;  /* < count */
};

/* Ranges are sorted, disjoint and not touching, as in a contribution; there may be none. */
struct wire_claim {
    uint64_t step;
    uint32_t range_count;
    struct sample_range
        ranges[WIRE_RANGES_MAX]; /* in the accumulator, or lent and to be computed */
    uint32_t kept_count;
    struct sample_range kept[WIRE_RANGES_MAX]; /* in contributions that the peer keeps */
    uint32_t lease_count;
    struct wire_claim_lease leases[WIRE_CLAIM_LEASES_MAX]; /* those that have not ended */
};

struct wire_claimed {
    uint64_t step;
    bool accepted;
};

struct wire_message {
    enum wire_type type;
    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_refused refused;
        struct wire_ready ready;
        struct wire_lease lease;
        struct wire_progress progress;
        struct wire_reclaim reclaim;
        struct wire_yielded yielded;
        struct wire_collect collect;
        struct wire_contribution contribution;
        struct wire_verdict verdict;
        struct wire_committed committed;
        struct wire_applied applied;
        struct wire_grant grant;
        struct wire_finished finished;
        struct wire_claim claim;
        struct wire_claimed claimed; /* alive and leave carry nothing */
    } as;
};

/* Writes the head of `message` to out, at most `size_max` bytes. The message is the caller's own
 * and correct (CHECKed where cheap). Errors: FULL. */
MUST_CHECK enum status wire_encode(const struct wire_message *message, uint8_t *out,
                                   size_t size_max, size_t *out_size_bytes);

/* Reads a head from outside. On any error *out is not to be used. Memory used inside stays below
 * 4 x size_bytes + 16 KiB. Errors: PROTOCOL (malformed, unknown field or type, out of range),
 * NO_MEMORY. */
MUST_CHECK enum status wire_decode(const uint8_t *head, size_t size_bytes,
                                   struct wire_message *out);

/* True when this head is a chunk header (blob.h) and not a control message. */
bool wire_is_chunk(const uint8_t *head, size_t size_bytes);

#endif
