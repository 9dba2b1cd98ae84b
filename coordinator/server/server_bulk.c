#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_state.h"

enum { SILENCE_MS_MAX = 6000 }; /* a peer says something there every 1.5 s, and is answered */

static void cut(struct server *self, struct session *session)
{
    if (session->bulk != 0) {
        channel_server_cut(self->channel, session->bulk);
        session->bulk = 0;
    }
}

void server_bulk_end(struct server *self, struct session *session)
{
    cut(self, session);
    session->bulk_lost = false;
}

/* A chunk that takes longer on a slow line than the silence that is borne holds up all that is said
 * behind it: bytes are enough. */
static bool is_silent(struct server *self, struct session *session, uint64_t now_ms)
{
    uint64_t bytes = channel_server_received_bytes(self->channel, session->bulk);
    if (bytes != session->bulk_bytes) {
        session->bulk_ms = bytes > 0 ? now_ms : session->bulk_ms;
        session->bulk_bytes = bytes;
    }
    return now_ms - session->bulk_ms > SILENCE_MS_MAX;
}

/* What was on its way goes over the other one, until there is another one. */
static void lose(struct server *self, struct session *session, uint64_t now_ms)
{
    cut(self, session);
    session->bulk_lost = true;
    server_upload_again(self, session, now_ms);
}

/* A line of two may be dead without an end: what it owes goes over the other. */
void server_bulk_tick(struct server *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (session->used && session->bulk != 0 && is_silent(self, session, now_ms)) {
            lose(self, session, now_ms);
        }
    }
}

enum status server_bulk_send(struct server *self, struct session *session, const uint8_t *head,
                             size_t head_size_bytes, const uint8_t *chunk, size_t size_bytes)
{
    if (session->bulk != 0) {
        enum status status = channel_server_send(self->channel, session->bulk, head,
                                                 head_size_bytes, chunk, size_bytes);
        if (status != STATUS_STALE) {
            return status;
        }
        lose(self, session, self->turn_ms);
    }
    return channel_server_send(self->channel, session->connection, head, head_size_bytes, chunk,
                               size_bytes);
}

/* What one of them lacks makes the sum smaller, which is no sign of a line that is dead. */
uint64_t server_bulk_received_bytes(struct server *self, const struct session *session)
{
    uint64_t bytes = channel_server_received_bytes(self->channel, session->connection);
    return bytes == 0 || session->bulk == 0
               ? bytes
               : bytes + channel_server_received_bytes(self->channel, session->bulk);
}

uint64_t server_bulk_delivered_bytes(struct server *self, const struct session *session)
{
    uint64_t bytes = channel_server_delivered_bytes(self->channel, session->connection);
    return bytes == 0 || session->bulk == 0
               ? bytes
               : bytes + channel_server_delivered_bytes(self->channel, session->bulk);
}

/* Its first words there: from now on chunks go over it. */
static void attach(struct server *self, struct session *session, uint64_t connection,
                   uint64_t now_ms)
{
    /* One that broke was perhaps still used at the other end when this one learnt of it. */
    bool again = session->bulk != 0 || session->bulk_lost;
    cut(self, session);
    session->bulk = connection;
    session->bulk_lost = false;
    session->bulk_ms = now_ms;
    session->bulk_bytes = 0;
    channel_server_admit(self->channel, connection);
    if (again) {
        server_upload_again(self, session, now_ms);
    }
}

/* The peer sends nothing there before this came. */
static void answer(struct server *self, const struct session *session)
{
    size_t head_size_bytes = 0;
    self->message.type = WIRE_ALIVE;
    if (wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &head_size_bytes) == STATUS_OK) {
        /* One whose answer is lost asks again. */
        (void)!channel_server_send(self->channel, session->bulk, self->head, head_size_bytes, NULL,
                                   0);
    }
}

static void take_words(struct server *self, struct session *session,
                       const struct channel_message *incoming, uint64_t now_ms)
{
    if (wire_decode(incoming->head, incoming->head_size_bytes, &self->message) != STATUS_OK) {
        server_malformed(self, incoming);
        return;
    }
    if (self->message.type != WIRE_ALIVE || incoming->body_size_bytes > 0) {
        server_offend_sender(self, incoming, CONDUCT_FORBIDDEN,
                             "said at the port for chunks what does not belong there");
        return;
    }
    server_note_said(session, incoming);
    if (!server_may_say(self, session, WIRE_ALIVE)) {
        return;
    }
    if (session->bulk != incoming->connection) {
        attach(self, session, incoming->connection, now_ms);
    }
    session->bulk_ms = now_ms;
    answer(self, session);
}

void server_bulk_receive(struct server *self, const struct channel_message *incoming,
                         uint64_t now_ms)
{
    struct session *session = sessions_find(self->sessions, incoming->curve_key);
    bool chunk = wire_is_chunk(incoming->head, incoming->head_size_bytes);
    if (session == NULL || session->away || (chunk && session->bulk != incoming->connection)) {
        channel_server_cut(self->channel, incoming->connection);
        return;
    }
    if (!chunk) {
        take_words(self, session, incoming, now_ms);
        return;
    }
    session->bulk_ms = now_ms;
    server_push(self, &(struct core_event){.type = CORE_HEARD,
                                           .peer = sessions_index(self->sessions, session)});
    server_upload_chunk(self, session, incoming, now_ms);
}
