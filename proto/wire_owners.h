/* wire_owners - the messages of a step whose chunks have owners: peers that sum a fraction each.
 *
 * A chunk is CODEC_CHUNK_VALUES consecutive values of the flat parameter vector, whatever the
 * codec; an owner has a contiguous range of them. Include wire.h. */
#ifndef DUGNAD_PROTO_WIRE_OWNERS_H
#define DUGNAD_PROTO_WIRE_OWNERS_H

#include "proto/ticket.h"
#include "proto/wire_messages.h"

enum {
    WIRE_OWNERS_MAX = 256,
    WIRE_RATES_MAX = 256,
    WIRE_SET_MAX = 65536 /* serials in a body */
};

struct wire_owner {
    uint8_t public_key[IDENTITY_KEY_BYTES];
    char address[WIRE_ADDRESS_MAX]; /* HOST:PORT; ":PORT": on the coordinator's machine */
    uint32_t first_chunk;
    uint32_t chunk_count; /* > 0; all below BLOB_CHUNKS_MAX */
};

struct wire_route {
    uint64_t plan_id;
    enum codec codec; /* of this peer's contributions */
    bool computes;    /* false: rest, the links are better without you */
    uint32_t owner_count;
    struct wire_owner owners[WIRE_OWNERS_MAX]; /* sorted and disjoint; the rest: the coordinator */
    uint8_t pass[TICKET_BYTES];                /* for the owners' ports; zeros without owners */
};

struct wire_deliver {
    uint64_t blob_id;
    uint64_t plan_id;
    uint8_t ticket[TICKET_BYTES];
};

/* The first message on a bulk connection, and once for each contribution. */
struct wire_open {
    uint8_t ticket[TICKET_BYTES];
    uint64_t blob_id; /* of the contribution; 0 with a pass */
};

struct wire_set {
    uint64_t step;
    uint64_t epoch; /* goes up when the set of a step changes */
    uint64_t plan_id;
    uint32_t first_chunk;
    uint32_t chunk_count;  /* > 0; all below BLOB_CHUNKS_MAX */
    uint64_t step_tokens;  /* > 0, <= 2^40: fixes the exact grid */
    uint32_t serial_count; /* <= WIRE_SET_MAX */
    /* body: serial_count little-endian uint64, strictly increasing, none 0 */
};

/* At most 5 times a second. */
struct wire_holds {
    uint64_t step;
    uint64_t epoch;
    uint64_t parts_held; /* a part: one chunk of one contribution of the set */
    uint64_t parts_missing;
    uint32_t sums_ready;     /* <= BLOB_CHUNKS_MAX */
    uint64_t bad_serial;     /* a contribution with a part that cannot be summed; 0: none */
    uint32_t bad_chunk;      /* that part; < BLOB_CHUNKS_MAX */
    uint32_t lacking_count;  /* contributions of the set with missing parts, <= WIRE_SET_MAX; */
    uint64_t lacking_serial; /* the first of them; 0: none */
    uint64_t torn_serial;    /* one of which a chunk came that its root does not prove, or for which
                                there is no room: it must be fetched elsewhere; 0: none */
};

struct wire_rate {
    uint8_t public_key[IDENTITY_KEY_BYTES]; /* of an owner */
    uint64_t bytes_per_s;                   /* to it, <= WIRE_RATE_MAX */
};

struct wire_rates {
    uint64_t up_bytes_per_s; /* <= WIRE_RATE_MAX; 0: not measured */
    uint64_t down_bytes_per_s;
    uint32_t count;
    struct wire_rate items[WIRE_RATES_MAX];
};

struct wire_probe {
    uint64_t nonce;
    bool answer;
    /* body: filler, echoed in full by the answer */
};

#endif
