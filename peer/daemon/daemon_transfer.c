#include "common/fault.h"
#include "common/log.h"
#include "peer/daemon/daemon_state.h"

#include <string.h>

enum { FETCH_WINDOW = 8, FETCH_RETRY_MS = 5000, FETCH_STALL_MS_MAX = 60000 };

static void grant_more(struct daemon *self)
{
    self->outgoing.type = WIRE_GRANT;
    while (blob_receiver_grant(self->receiver, FETCH_WINDOW, self->now_ms, FETCH_RETRY_MS,
                               &self->outgoing.as.grant)) {
        daemon_send(self);
    }
}

static bool same_blob(const struct blob_ref *a, const struct blob_ref *b)
{
    return a->kind == b->kind && a->id == b->id && a->size_bytes == b->size_bytes &&
           digest_equal(&a->root, &b->root);
}

static void tell_fetched(struct daemon *self, bool ok)
{
    struct session_event event = {.type = SESSION_FETCHED, .ok = ok};
    daemon_step(self, &event);
}

static size_t expected_bytes(const struct daemon *self, enum blob_kind kind)
{
    return kind == BLOB_SNAPSHOT ? compute_value_count(self->compute) * sizeof(float)
                                 : compute_encoded_bytes(self->compute);
}

void daemon_fetch(struct daemon *self, const struct blob_ref *ref)
{
    self->fetch_ms = self->now_ms;
    if (self->receiver != NULL && same_blob(blob_receiver_ref(self->receiver), ref)) {
        blob_receiver_reset_grants(self->receiver); /* go on where the connection broke */
    } else {
        blob_receiver_free(self->receiver);
        self->receiver = NULL;
        size_t size_bytes = expected_bytes(self, ref->kind);
        enum status status = ref->size_bytes == size_bytes
                                 ? blob_receiver_new(ref, size_bytes, &self->receiver)
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

void daemon_transfer_tick(struct daemon *self)
{
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

void daemon_serve_grant(struct daemon *self, const struct wire_grant *grant)
{
    const struct offer *offer =
        grant->kind == BLOB_CONTRIBUTION ? offers_find(&self->offers, grant->id) : NULL;
    for (uint32_t i = 0; offer != NULL && i < grant->chunk_count; i++) {
        struct blob_chunk_header header;
        uint8_t head[BLOB_HEADER_BYTES];
        const uint8_t *chunk = NULL;
        if (blob_chunk(&offer->facts.blob, offer->data, grant->first_chunk + i, &header, &chunk) !=
            STATUS_OK) {
            return;
        }
        blob_header_write(&header, head);
        if (channel_client_send(self->channel, head, sizeof head, chunk, header.size_bytes) !=
            STATUS_OK) {
            return; /* the coordinator asks again for what did not come */
        }
    }
}
