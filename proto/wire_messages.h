/* wire_messages - what every message says: plain structs with the limits of each field.
 *
 * What is said about owners stands in wire_owners.h. Include wire.h. */
#ifndef DUGNAD_PROTO_WIRE_MESSAGES_H
#define DUGNAD_PROTO_WIRE_MESSAGES_H

#include "common/digest.h"
#include "proto/codec/codec.h"
#include "proto/identity.h"
#include "proto/link.h"

#include <stdbool.h>

enum {
    WIRE_PROTOCOL_VERSION = 6,
    WIRE_HEAD_MAX = 64 * 1024,
    WIRE_BODY_MAX = 1024 * 1024,
    WIRE_RANGES_MAX = 1024,
    WIRE_NAME_MAX = 64,
    WIRE_TEXT_MAX = 256,
    WIRE_ADDRESS_MAX = 128, /* with its NUL; so that a route of WIRE_OWNERS_MAX fits a head */
    WIRE_MODEL_JSON_MAX = 16384,
    WIRE_LEASE_SAMPLES_MAX = 65536,
    WIRE_CLAIM_LEASES_MAX = 4,
    WIRE_THREADS_MAX = 4096
};

#define WIRE_VERSION_NONE UINT64_MAX

/* Of hellos; so that SQLite has the number. */
#define WIRE_SEQUENCE_MAX ((uint64_t)INT64_MAX)

/* Bytes a second, as measured or as an owner limits them. */
#define WIRE_RATE_MAX (UINT64_C(1) << 50)

enum blob_kind {
    BLOB_SNAPSHOT = 1,
    BLOB_UPDATE = 2,
    BLOB_CONTRIBUTION = 3,
    BLOB_SUM = 4,   /* packed sums of an owner, one a chunk; id: the set's epoch */
    BLOB_HASHES = 5 /* the hashes of another blob's chunks; id: as blob_hashes_ref() makes it */
};

/* Names one immutable run of bytes. */
struct blob_ref {
    enum blob_kind kind;
    uint64_t id; /* snapshot, update: the version it leads to; contribution: the peer's count */
    uint64_t size_bytes;  /* > 0, at most BLOB_CHUNKS_MAX chunks */
    uint32_t chunk_bytes; /* of every chunk but the last; > 0, <= WIRE_BODY_MAX */
    struct digest root;   /* hash over the hashes of its chunks */
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
    bool computes;
    bool aggregates; /* it would own chunks, at bulk_address */
    /* HOST:PORT; ":PORT": the address that this connection comes from; "": it does not aggregate */
    char bulk_address[WIRE_ADDRESS_MAX];
    uint64_t up_bytes_per_s_max; /* the owner's limits, <= WIRE_RATE_MAX; 0: none */
    uint64_t down_bytes_per_s_max;
    uint64_t sequence; /* > 0, <= WIRE_SEQUENCE_MAX; more than in any hello of this key before */
    uint8_t signature[IDENTITY_SIGNATURE_BYTES]; /* attest.h */
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
    uint32_t max_staleness;   /* 0 or 1: leases may be for the step after the version's */
    bool predicts;            /* those are computed on predicted parameters */
    uint16_t bulk_port;       /* of the same host, where chunks may go; 0: none */
};

enum wire_refusal {
    WIRE_REFUSED_TOKEN = 1,    /* the invite is not known, or void by now: stop */
    WIRE_REFUSED_PROTOCOL = 2, /* another protocol version: stop */
    WIRE_REFUSED_IDENTITY = 3, /* the key does not fit the connection: stop */
    WIRE_REFUSED_FULL = 4,     /* no room: come back later */
    WIRE_REFUSED_UNKNOWN = 5,  /* no session (the coordinator restarted): say hello again */
    WIRE_REFUSED_GONE = 6,     /* a blob is no longer kept: say hello again */
    WIRE_REFUSED_SEQUENCE = 7, /* this key said a later hello already, a copy of it perhaps: stop */
    WIRE_REFUSED_BANNED = 8,   /* the run's owner does not want this key: stop */
    WIRE_REFUSED_NOT_ALLOWED = 9 /* the owner names each key, and did not name this one: stop */
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
    uint64_t version;            /* of the parameters to use: step, or step - 1 (stale) */
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
    enum codec codec;      /* of the blob's bytes */
    uint64_t stale_tokens; /* of `tokens`, those computed on the version before; <= tokens */
    bool leaving;          /* the peer ends after the verdict: soon would be good */
    uint8_t signature[IDENTITY_SIGNATURE_BYTES]; /* attest.h */
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
    enum codec codec; /* of its bytes */
};

struct wire_applied {
    uint64_t version;
    struct digest digest;
};

struct wire_grant {
    enum blob_kind kind;
    uint64_t id;
    uint32_t first_chunk;
    uint32_t chunk_count; /* > 0; all below BLOB_CHUNKS_MAX */
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

#endif
