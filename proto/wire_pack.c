#include "common/check.h"
#include "proto/wire_parts.h"

#include "dugnad.pb-c.h"

#include <string.h>

enum status wire_emit(struct wire_sink *sink, const ProtobufCMessage *message)
{
    size_t size_bytes = protobuf_c_message_get_packed_size(message);
    if (size_bytes > sink->size_max) {
        return STATUS_FULL;
    }
    sink->size_bytes = protobuf_c_message_pack(message, sink->out);
    return STATUS_OK;
}

ProtobufCBinaryData wire_bytes_of(const uint8_t *data, size_t size_bytes)
{
    return (ProtobufCBinaryData){size_bytes, (uint8_t *)data};
}

char *wire_text_of(const char *text, size_t size_max)
{
    CHECK(memchr(text, '\0', size_max) != NULL);
    return (char *)text;
}

static Dugnad__BlobRef ref_of(const struct blob_ref *ref)
{
    Dugnad__BlobRef out = DUGNAD__BLOB_REF__INIT;
    CHECK(ref->size_bytes > 0 && ref->chunk_bytes > 0);
    out.kind = (uint32_t)ref->kind;
    out.id = ref->id;
    out.size_bytes = ref->size_bytes;
    out.chunk_bytes = ref->chunk_bytes;
    out.root = wire_bytes_of(ref->root.bytes, DIGEST_BYTES);
    return out;
}

static enum status pack_hello(const struct wire_hello *hello, struct wire_sink *sink)
{
    Dugnad__Hello out = DUGNAD__HELLO__INIT;
    out.protocol_version = hello->protocol_version;
    out.public_key = wire_bytes_of(hello->public_key, IDENTITY_KEY_BYTES);
    out.token = wire_bytes_of(hello->token, LINK_TOKEN_BYTES);
    out.name = wire_text_of(hello->name, sizeof hello->name);
    out.thread_count = hello->thread_count;
    out.version_held = hello->version_held;
    out.digest_held = wire_bytes_of(hello->digest_held.bytes, DIGEST_BYTES);
    out.computes = hello->computes;
    out.aggregates = hello->aggregates;
    out.bulk_address = wire_text_of(hello->bulk_address, sizeof hello->bulk_address);
    out.up_bytes_per_s_max = hello->up_bytes_per_s_max;
    out.down_bytes_per_s_max = hello->down_bytes_per_s_max;
    out.sequence = hello->sequence;
    /* As versions before 5 had neither. */
    size_t signature_bytes = hello->sequence > 0 ? IDENTITY_SIGNATURE_BYTES : 0;
    out.signature = wire_bytes_of(hello->signature, signature_bytes);
    return wire_emit(sink, &out.base);
}

static enum status pack_welcome(const struct wire_welcome *welcome, struct wire_sink *sink)
{
    Dugnad__Welcome out = DUGNAD__WELCOME__INIT;
    Dugnad__BlobRef snapshot;
    out.run_name = wire_text_of(welcome->run_name, sizeof welcome->run_name);
    out.run_id = wire_bytes_of(welcome->run_id.bytes, DIGEST_BYTES);
    out.model_json = wire_text_of(welcome->model_json, sizeof welcome->model_json);
    out.context = welcome->context;
    out.step_tokens = welcome->step_tokens;
    out.codec = (uint32_t)welcome->codec;
    if (welcome->has_snapshot) {
        snapshot = ref_of(&welcome->snapshot);
        out.snapshot = &snapshot;
    }
    out.max_staleness = welcome->max_staleness;
    out.predicts = welcome->predicts;
    out.bulk_port = welcome->bulk_port;
    return wire_emit(sink, &out.base);
}

static enum status pack_refused(const struct wire_refused *refused, struct wire_sink *sink)
{
    Dugnad__Refused out = DUGNAD__REFUSED__INIT;
    out.code = (uint32_t)refused->code;
    out.text = wire_text_of(refused->text, sizeof refused->text);
    return wire_emit(sink, &out.base);
}

static enum status pack_lease(const struct wire_lease *lease, struct wire_sink *sink)
{
    Dugnad__Lease out = DUGNAD__LEASE__INIT;
    CHECK(lease->samples.count > 0 && lease->samples.count <= WIRE_LEASE_SAMPLES_MAX);
    out.lease_id = lease->lease_id;
    out.step = lease->step;
    out.version = lease->version;
    out.sample_first = lease->samples.first;
    out.sample_count = lease->samples.count;
    out.duration_ms = lease->duration_ms;
    return wire_emit(sink, &out.base);
}

static enum status pack_progress(const struct wire_progress *progress, struct wire_sink *sink)
{
    Dugnad__Progress out = DUGNAD__PROGRESS__INIT;
    out.lease_id = progress->lease_id;
    out.samples_done = progress->samples_done;
    out.loss_sum = progress->loss_sum;
    return wire_emit(sink, &out.base);
}

/* Two arrays cost no allocation a range. */
static void split_ranges(const struct sample_range *ranges, uint32_t count, uint64_t *out_firsts,
                         uint64_t *out_counts)
{
    CHECK(count <= WIRE_RANGES_MAX);
    for (size_t i = 0; i < count; i++) {
        out_firsts[i] = ranges[i].first;
        out_counts[i] = ranges[i].count;
    }
}

static enum status pack_contribution(const struct wire_contribution *contribution,
                                     struct wire_sink *sink)
{
    Dugnad__Contribution out = DUGNAD__CONTRIBUTION__INIT;
    uint64_t firsts[WIRE_RANGES_MAX];
    uint64_t counts[WIRE_RANGES_MAX];
    CHECK(contribution->range_count > 0);
    split_ranges(contribution->ranges, contribution->range_count, firsts, counts);
    Dugnad__BlobRef blob = ref_of(&contribution->blob);
    out.step = contribution->step;
    out.n_range_first = contribution->range_count;
    out.range_first = firsts;
    out.n_range_count = contribution->range_count;
    out.range_count = counts;
    out.tokens = contribution->tokens;
    out.loss_sum = contribution->loss_sum;
    out.blob = &blob;
    out.again = contribution->again;
    out.codec = (uint32_t)contribution->codec;
    out.stale_tokens = contribution->stale_tokens;
    out.leaving = contribution->leaving;
    out.signature = wire_bytes_of(contribution->signature, IDENTITY_SIGNATURE_BYTES);
    return wire_emit(sink, &out.base);
}

static enum status pack_claim(const struct wire_claim *claim, struct wire_sink *sink)
{
    Dugnad__Claim out = DUGNAD__CLAIM__INIT;
    uint64_t firsts[WIRE_RANGES_MAX];
    uint64_t counts[WIRE_RANGES_MAX];
    uint64_t kept_firsts[WIRE_RANGES_MAX];
    uint64_t kept_counts[WIRE_RANGES_MAX];
    uint64_t lease_ids[WIRE_CLAIM_LEASES_MAX];
    uint64_t lease_firsts[WIRE_CLAIM_LEASES_MAX];
    uint32_t lease_counts[WIRE_CLAIM_LEASES_MAX];
    uint32_t lease_done[WIRE_CLAIM_LEASES_MAX];
    CHECK(claim->lease_count <= WIRE_CLAIM_LEASES_MAX);
    split_ranges(claim->ranges, claim->range_count, firsts, counts);
    split_ranges(claim->kept, claim->kept_count, kept_firsts, kept_counts);
    for (size_t i = 0; i < claim->lease_count; i++) {
        lease_ids[i] = claim->leases[i].lease_id;
        lease_firsts[i] = claim->leases[i].first;
        lease_counts[i] = claim->leases[i].count;
        lease_done[i] = claim->leases[i].done;
    }
    out.step = claim->step;
    out.n_range_first = out.n_range_count = claim->range_count;
    out.range_first = firsts;
    out.range_count = counts;
    out.n_kept_first = out.n_kept_count = claim->kept_count;
    out.kept_first = kept_firsts;
    out.kept_count = kept_counts;
    out.n_lease_id = out.n_lease_first = claim->lease_count;
    out.n_lease_count = out.n_lease_done = claim->lease_count;
    out.lease_id = lease_ids;
    out.lease_first = lease_firsts;
    out.lease_count = lease_counts;
    out.lease_done = lease_done;
    return wire_emit(sink, &out.base);
}

static enum status pack_claimed(const struct wire_claimed *claimed, struct wire_sink *sink)
{
    Dugnad__Claimed out = DUGNAD__CLAIMED__INIT;
    out.step = claimed->step;
    out.accepted = claimed->accepted;
    return wire_emit(sink, &out.base);
}

static enum status pack_verdict(const struct wire_verdict *verdict, struct wire_sink *sink)
{
    Dugnad__Verdict out = DUGNAD__VERDICT__INIT;
    out.blob_id = verdict->blob_id;
    out.accepted = verdict->accepted;
    out.text = wire_text_of(verdict->text, sizeof verdict->text);
    return wire_emit(sink, &out.base);
}

static enum status pack_committed(const struct wire_committed *committed, struct wire_sink *sink)
{
    Dugnad__Committed out = DUGNAD__COMMITTED__INIT;
    Dugnad__BlobRef update = ref_of(&committed->update);
    out.step = committed->step;
    out.loss = committed->loss;
    out.tokens = committed->tokens;
    out.digest = wire_bytes_of(committed->digest.bytes, DIGEST_BYTES);
    out.update = &update;
    out.codec = (uint32_t)committed->codec;
    return wire_emit(sink, &out.base);
}

static enum status pack_applied(const struct wire_applied *applied, struct wire_sink *sink)
{
    Dugnad__Applied out = DUGNAD__APPLIED__INIT;
    out.version = applied->version;
    out.digest = wire_bytes_of(applied->digest.bytes, DIGEST_BYTES);
    return wire_emit(sink, &out.base);
}

static enum status pack_grant(const struct wire_grant *grant, struct wire_sink *sink)
{
    Dugnad__Grant out = DUGNAD__GRANT__INIT;
    CHECK(grant->chunk_count > 0);
    out.kind = (uint32_t)grant->kind;
    out.id = grant->id;
    out.first_chunk = grant->first_chunk;
    out.chunk_count = grant->chunk_count;
    return wire_emit(sink, &out.base);
}

static enum status pack_ready(uint64_t version, struct wire_sink *sink)
{
    Dugnad__Ready out = DUGNAD__READY__INIT;
    out.version = version;
    return wire_emit(sink, &out.base);
}

static enum status pack_reclaim(const struct wire_reclaim *reclaim, struct wire_sink *sink)
{
    Dugnad__Reclaim out = DUGNAD__RECLAIM__INIT;
    out.lease_id = reclaim->lease_id;
    out.keep = reclaim->keep;
    return wire_emit(sink, &out.base);
}

static enum status pack_yielded(const struct wire_yielded *yielded, struct wire_sink *sink)
{
    Dugnad__Yielded out = DUGNAD__YIELDED__INIT;
    out.lease_id = yielded->lease_id;
    out.kept = yielded->kept;
    return wire_emit(sink, &out.base);
}

static enum status pack_collect(uint64_t step, struct wire_sink *sink)
{
    Dugnad__Collect out = DUGNAD__COLLECT__INIT;
    out.step = step;
    return wire_emit(sink, &out.base);
}

static enum status pack_finished(uint64_t step_count, struct wire_sink *sink)
{
    Dugnad__Finished out = DUGNAD__FINISHED__INIT;
    out.step_count = step_count;
    return wire_emit(sink, &out.base);
}

static enum status pack(const struct wire_message *message, struct wire_sink *sink)
{
    switch (message->type) {
    case WIRE_HELLO:
        return pack_hello(&message->as.hello, sink);
    case WIRE_WELCOME:
        return pack_welcome(&message->as.welcome, sink);
    case WIRE_REFUSED:
        return pack_refused(&message->as.refused, sink);
    case WIRE_READY:
        return pack_ready(message->as.ready.version, sink);
    case WIRE_LEASE:
        return pack_lease(&message->as.lease, sink);
    case WIRE_PROGRESS:
        return pack_progress(&message->as.progress, sink);
    case WIRE_RECLAIM:
        return pack_reclaim(&message->as.reclaim, sink);
    case WIRE_YIELDED:
        return pack_yielded(&message->as.yielded, sink);
    case WIRE_COLLECT:
        return pack_collect(message->as.collect.step, sink);
    case WIRE_CONTRIBUTION:
        return pack_contribution(&message->as.contribution, sink);
    case WIRE_VERDICT:
        return pack_verdict(&message->as.verdict, sink);
    case WIRE_COMMITTED:
        return pack_committed(&message->as.committed, sink);
    case WIRE_APPLIED:
        return pack_applied(&message->as.applied, sink);
    case WIRE_GRANT:
        return pack_grant(&message->as.grant, sink);
    case WIRE_FINISHED:
        return pack_finished(message->as.finished.step_count, sink);
    case WIRE_CLAIM:
        return pack_claim(&message->as.claim, sink);
    case WIRE_CLAIMED:
        return pack_claimed(&message->as.claimed, sink);
    case WIRE_ROUTE:
    case WIRE_DELIVER:
    case WIRE_OPEN:
    case WIRE_SET:
    case WIRE_HOLDS:
    case WIRE_RATES:
    case WIRE_PROBE:
        return wire_pack_owners(message, sink);
    case WIRE_ALIVE:
    case WIRE_LEAVE:
    case WIRE_TYPE_END:
        break;
    }
    return STATUS_OK; /* the type byte says it all */
}

enum status wire_pack(const struct wire_message *message, uint8_t *out, size_t size_max,
                      size_t *out_size_bytes)
{
    struct wire_sink sink = {out, size_max, 0};
    enum status status = pack(message, &sink);
    *out_size_bytes = sink.size_bytes;
    return status;
}
