#include "common/log.h"
#include "peer/daemon/daemon_state.h"

#include <inttypes.h>

/* So that a turn does not take long. */
enum { CHUNKS_AT_ONCE = 256 };

/* Kinds of chunks that go out; they take turns, and within a kind those who wait for them do. */
enum { SEND_UPLOADS, SEND_SUMS, SEND_TO_OWNERS, SEND_TO_GUESTS, SEND_KINDS };

static enum status send_chunk(struct daemon *self, const uint8_t *head, size_t head_bytes,
                              const uint8_t *data, size_t size_bytes)
{
    enum status status = daemon_line_send(self, head, head_bytes, data, size_bytes);
    if (status == STATUS_OK) {
        pace_sent(&self->pace, size_bytes, self->now_ms);
    } else {
        self->upload_crowded = true;
    }
    return status;
}

/* One chunk of an offer that is still kept, as the coordinator granted it. */
static bool send_upload(struct daemon *self)
{
    struct blob_sender *sender = NULL;
    uint32_t index = 0;
    struct offer_chunk chunk;
    if (!blob_senders_next(&self->uploads, &sender, &index)) {
        return false;
    }
    struct offer *offer = offers_find(&self->offers, blob_sender_id(sender));
    if (offer == NULL || offer_chunk(offer, index, &chunk) != STATUS_OK) {
        blob_senders_drop(&self->uploads, blob_sender_kind(sender), blob_sender_id(sender));
        return true;
    }
    if (send_chunk(self, chunk.head, chunk.head_bytes, chunk.data, chunk.size_bytes) != STATUS_OK) {
        return false;
    }
    blob_sender_sent(sender, index);
    return true;
}

static bool send_sum(struct daemon *self)
{
    struct daemon_owner_sum sum;
    uint8_t head[BLOB_HEADER_BYTES];
    if (self->owner == NULL || !daemon_owner_next_sum(self->owner, &sum)) {
        return false;
    }
    blob_header_write(&sum.header, head);
    if (send_chunk(self, head, sizeof head, sum.data, sum.header.size_bytes) != STATUS_OK) {
        return false;
    }
    daemon_owner_sum_sent(self->owner, &sum);
    return true;
}

/* To the coordinator. */
static bool send_one(struct daemon *self, unsigned kind, unsigned *budget)
{
    if (self->channel == NULL || self->cut_off || self->upload_crowded) {
        return false;
    }
    bool sent = kind == SEND_UPLOADS ? send_upload(self) : send_sum(self);
    *budget -= sent ? 1 : 0;
    return sent;
}

static bool send_kind(struct daemon *self, unsigned kind, unsigned *budget)
{
    switch (kind) {
    case SEND_UPLOADS:
    case SEND_SUMS:
        return send_one(self, kind, budget);
    case SEND_TO_OWNERS:
        return bulk_send(self->bulk, self->now_ms, budget);
    case SEND_TO_GUESTS:
    default:
        return self->owner != NULL && daemon_owner_serve(self->owner, self->now_ms, budget);
    }
}

/* The coordinator takes a line for dead on which nothing moves when it has asked for a
 * contribution. So the first chunk of each does not wait until what others were sent, or a probe
 * was answered with, is paid back. */
static void begin_upload(struct daemon *self)
{
    struct blob_sender *sender = NULL;
    uint32_t index = 0;
    unsigned budget = 1;
    if (!blob_senders_next(&self->uploads, &sender, &index)) {
        return;
    }
    uint64_t id = blob_sender_id(sender);
    bool begun = self->upload_begun && self->begun_id == id;
    if (!begun && pace_may_begin(&self->pace, self->now_ms) &&
        send_one(self, SEND_UPLOADS, &budget)) {
        self->upload_begun = true;
        self->begun_id = id;
    }
}

void daemon_forget_uploads(struct daemon *self)
{
    blob_senders_clear(&self->uploads);
    self->upload_begun = false;
}

void daemon_transfer(struct daemon *self)
{
    unsigned budget = CHUNKS_AT_ONCE;
    unsigned idle = 0;
    self->upload_crowded = false;
    bulk_send_begin(self->bulk);
    if (self->owner != NULL) {
        daemon_owner_serve_begin(self->owner);
    }
    begin_upload(self);
    while (idle < SEND_KINDS && budget > 0 && pace_may_send(&self->pace, self->now_ms)) {
        idle = send_kind(self, self->send_turn++ % SEND_KINDS, &budget) ? 0 : idle + 1;
    }
    self->more = self->more || budget == 0;
}

void daemon_serve_grant(struct daemon *self, const struct wire_grant *grant)
{
    if (grant->kind == BLOB_SUM && self->owner != NULL) {
        daemon_owner_grant_sums(self->owner, grant);
        return;
    }
    const struct offer *offer =
        grant->kind == BLOB_CONTRIBUTION ? offers_find(&self->offers, grant->id) : NULL;
    if (offer == NULL) {
        return;
    }
    const struct blob_ref *ref = &offer->facts.blob;
    enum status status = blob_senders_grant(&self->uploads, grant,
                                            blob_chunk_count(ref->size_bytes, ref->chunk_bytes));
    if (status != STATUS_OK) {
        log_warn("peer", "grant_refused", "reason=\"%s\"", status_text(status));
    } /* the coordinator asks again for what did not come */
}

static bool knows_session(const struct daemon *self)
{
    return self->session.phase == SESSION_SYNC || self->session.phase == SESSION_TRAIN;
}

void daemon_measure(struct daemon *self)
{
    /* While there is no connection nothing can come, whatever the line carries. */
    bool fetches = self->shelf.coming != NULL && !self->cut_off && knows_session(self);
    struct pace_look look = {.receivers = fetches ? fetch_waits_for(self->shelf.coming) : 0};
    struct blob_sender *sender = NULL;
    uint32_t index = 0;
    if (self->channel == NULL || !pace_look_is_due(&self->pace, self->now_ms)) {
        return;
    }
    look.delivered_bytes = daemon_line_look(self);
    bool sends = self->flow.backlog_bytes + self->line.flow.backlog_bytes > PACE_BACKLOG_BYTES ||
                 blob_senders_next(&self->uploads, &sender, &index);
    look.senders = sends ? 1 : 0;
    bulk_look(self->bulk, self->now_ms, &look);
    if (self->owner != NULL) {
        daemon_owner_look(self->owner, &look);
    }
    pace_look(&self->pace, self->now_ms, &look);
    self->outgoing.type = WIRE_RATES;
    if (knows_session(self) && pace_tell(&self->pace, self->now_ms, &self->outgoing.as.rates)) {
        bulk_rates(self->bulk, &self->outgoing.as.rates);
        daemon_send(self);
    }
}
