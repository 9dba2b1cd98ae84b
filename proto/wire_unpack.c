#include "proto/blob.h"
#include "proto/codec/exact_sum.h"
#include "proto/wire_parts.h"

#include "dugnad.pb-c.h"

#include <math.h>
#include <string.h>

_Static_assert(WIRE_TOKENS_MAX == UINT64_C(1) << EXACT_SUM_TOKENS_LOG2_MAX,
               "what wire lets in can be summed");

/* Each reader sees what protobuf-c unpacked and is the only check of those values: it returns
 * true when all of them are in range and stand in *out. */

bool wire_read_bytes(const ProtobufCBinaryData *from, uint8_t *out, size_t size_bytes)
{
    if (from->len != size_bytes || from->data == NULL) {
        return false;
    }
    memcpy(out, from->data, size_bytes);
    return true;
}

/* Fits out, with its NUL; the scan has seen to it that there is no other NUL. */
static bool read_text(const char *from, char *out, size_t size_max)
{
    size_t length = strlen(from);
    if (length >= size_max) {
        return false;
    }
    memcpy(out, from, length + 1);
    return true;
}

static bool read_printable(const char *from, char *out, size_t size_max)
{
    return read_text(from, out, size_max) && wire_text_printable(out);
}

static bool read_ref(const Dugnad__BlobRef *from, enum blob_kind kind, struct blob_ref *out)
{
    if (from == NULL || from->kind != (uint32_t)kind || from->size_bytes == 0 ||
        from->chunk_bytes == 0 || from->chunk_bytes > WIRE_BODY_MAX ||
        from->size_bytes > (uint64_t)BLOB_CHUNKS_MAX * from->chunk_bytes) {
        return false;
    }
    out->kind = kind;
    out->id = from->id;
    out->size_bytes = from->size_bytes;
    out->chunk_bytes = from->chunk_bytes;
    return wire_read_bytes(&from->root, out->root.bytes, DIGEST_BYTES);
}

bool wire_tokens_are_good(uint64_t tokens)
{
    return tokens > 0 && tokens <= WIRE_TOKENS_MAX;
}

/* Who aggregates says where; nobody else says anything. */
static bool read_bulk(const Dugnad__Hello *from, struct wire_hello *out)
{
    out->aggregates = from->aggregates != 0;
    return read_text(from->bulk_address, out->bulk_address, sizeof out->bulk_address) &&
           (out->aggregates ? wire_text_address(out->bulk_address) : out->bulk_address[0] == '\0');
}

bool wire_chunks_are_good(uint32_t first_chunk, uint32_t chunk_count)
{
    return chunk_count > 0 && chunk_count <= BLOB_CHUNKS_MAX &&
           first_chunk <= BLOB_CHUNKS_MAX - chunk_count;
}

/* Versions before 5 had neither: they are still told that they are too old. */
static bool read_proof(const Dugnad__Hello *from, struct wire_hello *out)
{
    out->sequence = from->sequence;
    if (from->protocol_version != WIRE_PROTOCOL_VERSION && from->signature.len == 0) {
        memset(out->signature, 0, sizeof out->signature);
        return from->sequence == 0;
    }
    return from->sequence > 0 && from->sequence <= WIRE_SEQUENCE_MAX &&
           wire_read_bytes(&from->signature, out->signature, IDENTITY_SIGNATURE_BYTES);
}

static bool read_hello(const Dugnad__Hello *from, struct wire_hello *out)
{
    /* Any protocol_version: the answer to another one is a refusal that says so. */
    out->protocol_version = from->protocol_version;
    out->thread_count = from->thread_count;
    out->version_held = from->version_held;
    out->computes = from->computes != 0;
    out->up_bytes_per_s_max = from->up_bytes_per_s_max;
    out->down_bytes_per_s_max = from->down_bytes_per_s_max;
    return from->thread_count > 0 && from->thread_count <= WIRE_THREADS_MAX &&
           from->up_bytes_per_s_max <= WIRE_RATE_MAX &&
           from->down_bytes_per_s_max <= WIRE_RATE_MAX && read_bulk(from, out) &&
           read_proof(from, out) &&
           wire_read_bytes(&from->public_key, out->public_key, IDENTITY_KEY_BYTES) &&
           wire_read_bytes(&from->token, out->token, LINK_TOKEN_BYTES) &&
           wire_read_bytes(&from->digest_held, out->digest_held.bytes, DIGEST_BYTES) &&
           read_printable(from->name, out->name, sizeof out->name);
}

static bool read_welcome(const Dugnad__Welcome *from, struct wire_welcome *out)
{
    /* A lease of one sample must fit a body: (context + 1) uint16. */
    if (from->context == 0 || from->context >= WIRE_BODY_MAX / sizeof(uint16_t) ||
        !wire_tokens_are_good(from->step_tokens) || !codec_is_known(from->codec) ||
        from->max_staleness > 1 || from->bulk_port > UINT16_MAX) {
        return false;
    }
    out->context = from->context;
    out->step_tokens = from->step_tokens;
    out->codec = (enum codec)from->codec;
    out->has_snapshot = from->snapshot != NULL;
    out->snapshot = (struct blob_ref){0};
    out->max_staleness = from->max_staleness;
    out->predicts = from->predicts != 0;
    out->bulk_port = (uint16_t)from->bulk_port;
    return read_printable(from->run_name, out->run_name, sizeof out->run_name) &&
           wire_read_bytes(&from->run_id, out->run_id.bytes, DIGEST_BYTES) &&
           read_text(from->model_json, out->model_json, sizeof out->model_json) &&
           out->model_json[0] != '\0' && wire_text_utf8(out->model_json) &&
           (!out->has_snapshot || read_ref(from->snapshot, BLOB_SNAPSHOT, &out->snapshot));
}

static bool read_refused(const Dugnad__Refused *from, struct wire_refused *out)
{
    if (from->code < WIRE_REFUSED_TOKEN || from->code > WIRE_REFUSED_NOT_ALLOWED) {
        return false;
    }
    out->code = (enum wire_refusal)from->code;
    return read_printable(from->text, out->text, sizeof out->text);
}

static bool read_ready(const Dugnad__Ready *from, struct wire_ready *out)
{
    out->version = from->version;
    return from->version != WIRE_VERSION_NONE;
}

static bool read_lease(const Dugnad__Lease *from, struct wire_lease *out)
{
    out->lease_id = from->lease_id;
    out->step = from->step;
    out->version = from->version;
    out->samples = (struct sample_range){from->sample_first, from->sample_count};
    out->duration_ms = from->duration_ms;
    return from->version != WIRE_VERSION_NONE && from->sample_count > 0 &&
           from->sample_count <= WIRE_LEASE_SAMPLES_MAX &&
           from->sample_first <= UINT64_MAX - from->sample_count &&
           from->duration_ms <= WIRE_DURATION_MS_MAX;
}

static bool read_progress(const Dugnad__Progress *from, struct wire_progress *out)
{
    out->lease_id = from->lease_id;
    out->samples_done = from->samples_done;
    out->loss_sum = from->loss_sum;
    return from->samples_done <= WIRE_LEASE_SAMPLES_MAX && isfinite(from->loss_sum);
}

static bool read_reclaim(const Dugnad__Reclaim *from, struct wire_reclaim *out)
{
    out->lease_id = from->lease_id;
    out->keep = from->keep;
    return from->keep <= WIRE_LEASE_SAMPLES_MAX;
}

static bool read_yielded(const Dugnad__Yielded *from, struct wire_yielded *out)
{
    out->lease_id = from->lease_id;
    out->kept = from->kept;
    return from->kept <= WIRE_LEASE_SAMPLES_MAX;
}

static bool read_collect(const Dugnad__Collect *from, struct wire_collect *out)
{
    out->step = from->step;
    return true;
}

/* A packed array of 64-bit numbers as protobuf-c unpacked it. */
struct numbers {
    const uint64_t *items;
    size_t count;
};

/* Sorted, disjoint and not touching, so that one set of samples has one spelling. */
static bool read_ranges(struct numbers firsts, struct numbers counts, uint32_t *out_count,
                        struct sample_range out[WIRE_RANGES_MAX])
{
    if (firsts.count > WIRE_RANGES_MAX || firsts.count != counts.count) {
        return false;
    }
    *out_count = (uint32_t)firsts.count;
    uint64_t end = 0; /* of the range before */
    for (size_t i = 0; i < firsts.count; i++) {
        uint64_t first = firsts.items[i];
        uint64_t count = counts.items[i];
        if (count == 0 || first > UINT64_MAX - count || (i > 0 && first <= end)) {
            return false;
        }
        out[i] = (struct sample_range){first, count};
        end = first + count;
    }
    return true;
}

static bool read_contribution(const Dugnad__Contribution *from, struct wire_contribution *out)
{
    out->step = from->step;
    out->tokens = from->tokens;
    out->loss_sum = from->loss_sum;
    out->again = from->again != 0;
    out->codec = (enum codec)from->codec;
    out->stale_tokens = from->stale_tokens;
    out->leaving = from->leaving != 0;
    return wire_tokens_are_good(from->tokens) && from->stale_tokens <= from->tokens &&
           codec_is_known(from->codec) && isfinite(from->loss_sum) && from->loss_sum >= 0.0 &&
           read_ranges((struct numbers){from->range_first, from->n_range_first},
                       (struct numbers){from->range_count, from->n_range_count}, &out->range_count,
                       out->ranges) &&
           out->range_count > 0 && read_ref(from->blob, BLOB_CONTRIBUTION, &out->blob) &&
           wire_read_bytes(&from->signature, out->signature, IDENTITY_SIGNATURE_BYTES);
}

static bool read_claim_leases(const Dugnad__Claim *from, struct wire_claim *out)
{
    size_t count = from->n_lease_id;
    if (count > WIRE_CLAIM_LEASES_MAX || from->n_lease_first != count ||
        from->n_lease_count != count || from->n_lease_done != count) {
        return false;
    }
    out->lease_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const struct wire_claim_lease lease = {.lease_id = from->lease_id[i],
                                               .first = from->lease_first[i],
                                               .count = from->lease_count[i],
                                               .done = from->lease_done[i]};
        if (lease.count > WIRE_LEASE_SAMPLES_MAX || lease.done >= lease.count ||
            lease.first > UINT64_MAX - lease.count) {
            return false;
        }
        out->leases[i] = lease;
    }
    return true;
}

static bool read_claim(const Dugnad__Claim *from, struct wire_claim *out)
{
    out->step = from->step;
    return read_ranges((struct numbers){from->range_first, from->n_range_first},
                       (struct numbers){from->range_count, from->n_range_count}, &out->range_count,
                       out->ranges) &&
           read_ranges((struct numbers){from->kept_first, from->n_kept_first},
                       (struct numbers){from->kept_count, from->n_kept_count}, &out->kept_count,
                       out->kept) &&
           read_claim_leases(from, out);
}

static bool read_claimed(const Dugnad__Claimed *from, struct wire_claimed *out)
{
    out->step = from->step;
    out->accepted = from->accepted != 0;
    return true;
}

static bool read_verdict(const Dugnad__Verdict *from, struct wire_verdict *out)
{
    out->blob_id = from->blob_id;
    out->accepted = from->accepted != 0;
    return read_printable(from->text, out->text, sizeof out->text);
}

static bool read_committed(const Dugnad__Committed *from, struct wire_committed *out)
{
    out->step = from->step;
    out->loss = from->loss;
    out->tokens = from->tokens;
    out->codec = (enum codec)from->codec;
    /* step + 1 must be a version */
    return codec_is_known(from->codec) && from->step < WIRE_VERSION_NONE - 1 &&
           isfinite(from->loss) && wire_tokens_are_good(from->tokens) &&
           wire_read_bytes(&from->digest, out->digest.bytes, DIGEST_BYTES) &&
           read_ref(from->update, BLOB_UPDATE, &out->update);
}

static bool read_applied(const Dugnad__Applied *from, struct wire_applied *out)
{
    out->version = from->version;
    return from->version != WIRE_VERSION_NONE &&
           wire_read_bytes(&from->digest, out->digest.bytes, DIGEST_BYTES);
}

static bool read_grant(const Dugnad__Grant *from, struct wire_grant *out)
{
    if (from->kind < BLOB_SNAPSHOT || from->kind > BLOB_HASHES ||
        !wire_chunks_are_good(from->first_chunk, from->chunk_count)) {
        return false;
    }
    out->kind = (enum blob_kind)from->kind;
    out->id = from->id;
    out->first_chunk = from->first_chunk;
    out->chunk_count = from->chunk_count;
    return true;
}

static bool read_finished(const Dugnad__Finished *from, struct wire_finished *out)
{
    out->step_count = from->step_count;
    return true;
}

/* The message starts with its ProtobufCMessage base, so the cast only names what was unpacked. */
#define READ(name, type) read_##name((const Dugnad__##type *)message, &out->as.name)

static bool read_message(enum wire_type type, const ProtobufCMessage *message,
                         struct wire_message *out)
{
    switch (type) {
    case WIRE_HELLO:
        return READ(hello, Hello);
    case WIRE_WELCOME:
        return READ(welcome, Welcome);
    case WIRE_REFUSED:
        return READ(refused, Refused);
    case WIRE_READY:
        return READ(ready, Ready);
    case WIRE_LEASE:
        return READ(lease, Lease);
    case WIRE_PROGRESS:
        return READ(progress, Progress);
    case WIRE_RECLAIM:
        return READ(reclaim, Reclaim);
    case WIRE_YIELDED:
        return READ(yielded, Yielded);
    case WIRE_COLLECT:
        return READ(collect, Collect);
    case WIRE_CONTRIBUTION:
        return READ(contribution, Contribution);
    case WIRE_VERDICT:
        return READ(verdict, Verdict);
    case WIRE_COMMITTED:
        return READ(committed, Committed);
    case WIRE_APPLIED:
        return READ(applied, Applied);
    case WIRE_GRANT:
        return READ(grant, Grant);
    case WIRE_FINISHED:
        return READ(finished, Finished);
    case WIRE_CLAIM:
        return READ(claim, Claim);
    case WIRE_CLAIMED:
        return READ(claimed, Claimed);
    case WIRE_ROUTE:
    case WIRE_DELIVER:
    case WIRE_OPEN:
    case WIRE_SET:
    case WIRE_HOLDS:
    case WIRE_RATES:
    case WIRE_PROBE:
        return wire_read_owners(type, message, out);
    case WIRE_ALIVE:
    case WIRE_LEAVE:
    case WIRE_TYPE_END:
        break;
    }
    return false;
}

enum status wire_unpack(enum wire_type type, const ProtobufCMessage *message,
                        struct wire_message *out)
{
    out->type = type;
    return read_message(type, message, out) ? STATUS_OK : STATUS_PROTOCOL;
}

const ProtobufCMessageDescriptor *wire_descriptor(enum wire_type type)
{
    static const ProtobufCMessageDescriptor *const descriptors[WIRE_TYPE_END] = {
        [WIRE_HELLO] = &dugnad__hello__descriptor,
        [WIRE_WELCOME] = &dugnad__welcome__descriptor,
        [WIRE_REFUSED] = &dugnad__refused__descriptor,
        [WIRE_READY] = &dugnad__ready__descriptor,
        [WIRE_LEASE] = &dugnad__lease__descriptor,
        [WIRE_PROGRESS] = &dugnad__progress__descriptor,
        [WIRE_RECLAIM] = &dugnad__reclaim__descriptor,
        [WIRE_YIELDED] = &dugnad__yielded__descriptor,
        [WIRE_COLLECT] = &dugnad__collect__descriptor,
        [WIRE_CONTRIBUTION] = &dugnad__contribution__descriptor,
        [WIRE_VERDICT] = &dugnad__verdict__descriptor,
        [WIRE_COMMITTED] = &dugnad__committed__descriptor,
        [WIRE_APPLIED] = &dugnad__applied__descriptor,
        [WIRE_GRANT] = &dugnad__grant__descriptor,
        [WIRE_FINISHED] = &dugnad__finished__descriptor,
        [WIRE_CLAIM] = &dugnad__claim__descriptor,
        [WIRE_CLAIMED] = &dugnad__claimed__descriptor,
        [WIRE_ROUTE] = &dugnad__route__descriptor,
        [WIRE_DELIVER] = &dugnad__deliver__descriptor,
        [WIRE_OPEN] = &dugnad__open__descriptor,
        [WIRE_SET] = &dugnad__set__descriptor,
        [WIRE_HOLDS] = &dugnad__holds__descriptor,
        [WIRE_RATES] = &dugnad__rates__descriptor,
        [WIRE_PROBE] = &dugnad__probe__descriptor,
    };
    return descriptors[type];
}
