#include "common/fault.h"
#include "common/log.h"
#include "peer/daemon/daemon_state.h"

#include <string.h>

enum { FETCH_RETRY_MS = 5000, FETCH_STALL_MS_MAX = 60000 };

/* So that a turn does not take long. */
enum { CHUNKS_AT_ONCE = 256 };

static void grant_more(struct daemon *self)
{
    uint32_t window = blob_window(blob_receiver_ref(self->receiver), BLOB_WINDOW_BYTES);
    self->outgoing.type = WIRE_GRANT;
    while (blob_receiver_grant(self->receiver, window, self->now_ms, FETCH_RETRY_MS,
                               &self->outgoing.as.grant)) {
        daemon_send(self);
    }
}

static bool same_blob(const struct blob_ref *a, const struct blob_ref *b)
{
    return a->kind == b->kind && a->id == b->id && a->size_bytes == b->size_bytes &&
           a->chunk_bytes == b->chunk_bytes && digest_equal(&a->root, &b->root);
}

static void tell_fetched(struct daemon *self, bool ok)
{
    struct session_event event = {.type = SESSION_FETCHED, .ok = ok};
    daemon_step(self, &event);
}

/* Size and chunks follow from the model and the codec. */
static bool fits(const struct daemon *self, const struct blob_ref *ref)
{
    enum codec codec = ref->kind == BLOB_SNAPSHOT ? CODEC_FP32 : compute_codec(self->compute);
    return ref->size_bytes == codec_encoded_bytes(codec, compute_value_count(self->compute)) &&
           ref->chunk_bytes == codec_encoded_bytes(codec, CODEC_CHUNK_VALUES);
}

void daemon_fetch(struct daemon *self, const struct blob_ref *ref)
{
    self->fetch_ms = self->now_ms;
    if (self->receiver != NULL && same_blob(blob_receiver_ref(self->receiver), ref)) {
        blob_receiver_reset_grants(self->receiver); /* go on where the connection broke */
    } else {
        blob_receiver_free(self->receiver);
        self->receiver = NULL;
        enum status status = fits(self, ref)
                                 ? blob_receiver_new(ref, ref->size_bytes, &self->receiver)
                                 : STATUS_BAD_SHAPE;
        if (status != STATUS_OK) {
            daemon_fail(self, fault(STATUS_PROTOCOL, "the coordinator offers parameters of the "
                                                     "wrong size; tell whoever runs it"));
            return;
        }
    }
    grant_more(self);
}

static void finish_fetch(struct daemon *self)
{
    const struct blob_ref *ref = blob_receiver_ref(self->receiver);
    enum status status = blob_receiver_verify(self->receiver);
    if (status == STATUS_OK) {
        status = compute_check_blob(self->compute, ref->kind, blob_receiver_data(self->receiver),
                                    ref->size_bytes);
    }
    if (status != STATUS_OK) {
        log_warn("peer", "fetch_refused", "reason=\"%s\"", status_text(status));
        blob_receiver_free(self->receiver);
        self->receiver = NULL;
    }
    tell_fetched(self, status == STATUS_OK);
}

void daemon_take_chunk(struct daemon *self, const struct channel_message *incoming)
{
    struct blob_chunk_header header;
    if (!self->session.fetching || self->receiver == NULL ||
        blob_header_read(incoming->head, incoming->head_size_bytes, &header) != STATUS_OK) {
        return; /* late, or nothing that was asked for */
    }
    enum status status =
        blob_receiver_add(self->receiver, &header, incoming->body, incoming->body_size_bytes);
    if (status != STATUS_OK) {
        log_warn("peer", "chunk_refused", "reason=\"%s\"", status_text(status));
        return;
    }
    self->fetch_ms = self->now_ms;
    session_heard(&self->session, self->now_ms);
    if (blob_receiver_complete(self->receiver)) {
        finish_fetch(self);
    } else {
        grant_more(self);
    }
}

/* Sends one chunk of an offer that is still kept. Errors: AGAIN, REFUSED (it is not). */
static enum status send_chunk(struct daemon *self, const struct blob_sender *sender, uint32_t index)
{
    const struct offer *offer = offers_find(&self->offers, blob_sender_id(sender));
    struct blob_chunk_header header;
    uint8_t head[BLOB_HEADER_BYTES];
    const uint8_t *chunk = NULL;
    if (offer == NULL || blob_chunk(&offer->facts.blob, offer->data, offer->hashes, index, &header,
                                    &chunk) != STATUS_OK) {
        return STATUS_REFUSED;
    }
    blob_header_write(&header, head);
    return channel_client_send(self->channel, head, sizeof head, chunk, header.size_bytes);
}

/* Sends what was granted, as far as the queue takes it. */
static void send_granted(struct daemon *self)
{
    struct blob_sender *sender = NULL;
    uint32_t index = 0;
    for (int i = 0; i < CHUNKS_AT_ONCE && blob_senders_next(&self->uploads, &sender, &index); i++) {
        enum status status = send_chunk(self, sender, index);
        if (status == STATUS_OK) {
            blob_sender_sent(sender, index);
        } else if (status == STATUS_REFUSED) {
            blob_senders_drop(&self->uploads, blob_sender_kind(sender), blob_sender_id(sender));
        } else {
            return;
        }
    }
}

void daemon_serve_grant(struct daemon *self, const struct wire_grant *grant)
{
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
        return; /* the coordinator asks again for what did not come */
    }
    send_granted(self);
}

void daemon_transfer_tick(struct daemon *self)
{
    send_granted(self);
    if (!self->session.fetching || self->receiver == NULL) {
        return;
    }
    if (blob_receiver_complete(self->receiver)) {
        finish_fetch(self); /* it was here already when it was asked for again */
    } else if (self->now_ms - self->fetch_ms > FETCH_STALL_MS_MAX) {
        log_warn("peer", "fetch_stalled", "seconds=%d", FETCH_STALL_MS_MAX / 1000);
        tell_fetched(self, false);
    } else {
        grant_more(self);
    }
}
