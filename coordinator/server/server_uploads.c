#include "common/log.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"

enum { UPLOAD_RETRY_MS = 5000, UPLOAD_STALL_MS_MAX = 60000 };

static void grant_more(struct server *self, struct session *session, uint64_t now_ms)
{
    uint32_t window = blob_window(blob_receiver_ref(session->receiver), BLOB_WINDOW_BYTES);
    self->message.type = WIRE_GRANT;
    while (blob_receiver_grant(session->receiver, window, now_ms, UPLOAD_RETRY_MS,
                               &self->message.as.grant)) {
        server_send(self, session, NULL, 0);
    }
}

static void tell_received(struct server *self, const struct session *session, bool ok)
{
    server_push(self, &(struct core_event){.type = CORE_RECEIVED,
                                           .peer = sessions_index(self->sessions, session),
                                           .ok = ok});
}

/* What is kept from before this coordinator began may have the codec of a plan of then. */
static bool may_be_kept(const struct server *self, const struct wire_contribution *offer)
{
    const struct aggregation_settings *settings = &self->run->config.aggregation;
    return offer->again && settings->has_slow_link_codec &&
           offer->codec == settings->slow_link_codec;
}

/* A codec that the peer was told, and what follows from it. */
static bool fits(const struct server *self, const struct session *session)
{
    const struct wire_contribution *offer = session->offer;
    enum codec codec = store_state(self->store)->settings.codec;
    const struct route_peer *peer =
        routes_peer(server_routes(self), sessions_index(self->sessions, session));
    size_t value_count = layout_value_count(self->run->layout);
    return (offer->codec == codec || may_be_kept(self, offer) ||
            (peer != NULL && routes_takes_codec(peer, codec, offer->codec))) &&
           offer->blob.size_bytes == codec_encoded_bytes(offer->codec, value_count) &&
           offer->blob.chunk_bytes == codec_encoded_bytes(offer->codec, CODEC_CHUNK_VALUES);
}

static void begin(struct server *self, struct session *session, uint64_t now_ms)
{
    const struct blob_ref *ref = &session->offer->blob;
    session->upload = UPLOAD_RUNNING;
    session->upload_ms = now_ms;
    self->uploads_running++;
    server_routes_upload(self, session, 0, now_ms, false);
    if (!fits(self, session) ||
        blob_receiver_new(ref, ref->size_bytes, &session->receiver) != STATUS_OK) {
        tell_received(self, session, false);
        return;
    }
    grant_more(self, session, now_ms);
}

void server_upload_start(struct server *self, struct session *session, uint64_t now_ms)
{
    session->upload = UPLOAD_WAITING;
    if (self->uploads_running < self->uploads_max) {
        begin(self, session, now_ms);
    }
}

void server_upload_end(struct server *self, struct session *session)
{
    if (session->upload == UPLOAD_RUNNING) {
        self->uploads_running--;
    }
    server_gather_drop(self, session);
    session_drop_upload(session);
}

void server_upload_chunk(struct server *self, struct session *session,
                         const struct channel_message *incoming, uint64_t now_ms)
{
    struct blob_chunk_header header;
    if (blob_header_read(incoming->head, incoming->head_size_bytes, &header) != STATUS_OK) {
        server_drop(self, session, "sent a malformed chunk");
        return;
    }
    if (server_gather_chunk(self, session, &header, incoming, now_ms)) {
        return;
    }
    if (session->receiver == NULL || blob_receiver_complete(session->receiver)) {
        return; /* late; nobody waits for it any longer */
    }
    enum status status =
        blob_receiver_add(session->receiver, &header, incoming->body, incoming->body_size_bytes);
    if (status != STATUS_OK) {
        log_warn("upload", "chunk_refused", "peer=%s chunk=%u reason=\"%s\"", session->id,
                 header.index, status_text(status));
        return;
    }
    session->upload_ms = now_ms;
    server_routes_upload(self, session, incoming->body_size_bytes, now_ms, true);
    if (blob_receiver_complete(session->receiver)) {
        tell_received(self, session, blob_receiver_verify(session->receiver) == STATUS_OK);
    } else {
        grant_more(self, session, now_ms);
    }
}

void server_uploads_tick(struct server *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (!session->used || session->upload == UPLOAD_NONE) {
            continue;
        }
        if (session->upload == UPLOAD_WAITING) {
            if (self->uploads_running < self->uploads_max) {
                begin(self, session, now_ms);
            }
        } else if (session->receiver != NULL && !blob_receiver_complete(session->receiver)) {
            if (now_ms - session->upload_ms > UPLOAD_STALL_MS_MAX) {
                tell_received(self, session, false);
                return; /* one event a tick is enough: the ring is small */
            }
            grant_more(self, session, now_ms);
        }
    }
}
