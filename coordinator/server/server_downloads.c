#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"

/* Chunks for one peer at a time: the others wait for theirs. */
enum { CHUNKS_AT_ONCE = 256 };

/* Sends one chunk of what is still published. Errors: AGAIN, STALE, REFUSED (it is gone). */
static enum status send_chunk(struct server *self, struct session *session,
                              const struct blob_sender *sender, uint32_t index)
{
    struct publisher_blob blob;
    struct blob_chunk_header header;
    uint8_t head[BLOB_HEADER_BYTES];
    const uint8_t *chunk = NULL;
    if (!publisher_find(self->publisher, blob_sender_kind(sender), blob_sender_id(sender), &blob) ||
        blob_chunk(&blob.ref, blob.data, blob.hashes, index, &header, &chunk) != STATUS_OK) {
        return STATUS_REFUSED;
    }
    blob_header_write(&header, head);
    return server_bulk_send(self, session, head, sizeof head, chunk, header.size_bytes);
}

/* Sends what was granted, as far as the peer's queue takes it. */
static void send_granted(struct server *self, struct session *session)
{
    struct blob_sender *sender = NULL;
    uint32_t index = 0;
    for (int i = 0; i < CHUNKS_AT_ONCE && blob_senders_next(&session->downloads, &sender, &index);
         i++) {
        enum status status = send_chunk(self, session, sender, index);
        if (status == STATUS_AGAIN) {
            break;
        }
        if (status == STATUS_STALE) {
            blob_senders_clear(&session->downloads);
            return;
        }
        if (status == STATUS_OK) {
            blob_sender_sent(sender, index);
        } else {
            blob_senders_drop(&session->downloads, blob_sender_kind(sender),
                              blob_sender_id(sender));
            server_tell_gone(self, session);
        }
    }
    self->sending = self->sending || blob_senders_next(&session->downloads, &sender, &index);
}

void server_download_grant(struct server *self, struct session *session,
                           const struct wire_grant *grant)
{
    struct publisher_blob blob;
    if (!publisher_find(self->publisher, grant->kind, grant->id, &blob)) {
        if (!server_offend(self, session, CONDUCT_UNKNOWN_BLOB, "asked for what is not kept")) {
            server_tell_gone(self, session);
        }
        return;
    }
    enum status status = blob_senders_grant(
        &session->downloads, grant, blob_chunk_count(blob.ref.size_bytes, blob.ref.chunk_bytes));
    if (status == STATUS_OUT_OF_RANGE) {
        (void)server_offend(self, session, CONDUCT_FORBIDDEN,
                            "asked for a chunk that does not exist");
    } else if (blob_senders_pending(&session->downloads) > SERVER_PENDING_CHUNKS_MAX) {
        (void)server_offend(self, session, CONDUCT_FORBIDDEN,
                            "asked for more chunks at once than any window has");
    } else if (status == STATUS_OK) {
        server_routes_granted(self, session, grant,
                              (uint64_t)grant->chunk_count * blob.ref.chunk_bytes);
        send_granted(self, session);
    } /* without memory it asks again later */
}

void server_downloads_turn(struct server *self)
{
    if (!self->sending) {
        return;
    }
    self->sending = false;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        if (self->sessions->items[i].used) {
            send_granted(self, &self->sessions->items[i]);
        }
    }
}
