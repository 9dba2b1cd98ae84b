#include "common/log.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"

enum {
    UPLOAD_RETRY_MS = 5000,
    UPLOAD_IDLE_MS_MAX = 1000,  /* without a byte, while others wait: they take the place */
    UPLOAD_OWED_MS_MAX = 10000, /* chunks were granted and none comes: cut */
    UPLOAD_DEAD_MS_MAX = 800,   /* the first were, and nothing moves: within 1 s, with a tick */
    /* What moves without meaning it: heartbeats, answers to signs of life. */
    PULSE_RECEIVED_BYTES = 512,
    PULSE_DELIVERED_BYTES = 2048,
    MESSAGE_CARRIER_BYTES = 100, /* CURVE's and ZMTP's, around a head and a body, at most */
    UPLOAD_LATE_MS_MAX = 60000   /* nothing comes, and nothing is granted: given up */
};

static void grant_more(struct server *self, struct session *session, uint64_t now_ms)
{
    uint32_t window = blob_window(blob_receiver_ref(session->receiver), BLOB_WINDOW_BYTES);
    self->message.type = WIRE_GRANT;
    while (blob_receiver_grant(session->receiver, window, now_ms, UPLOAD_RETRY_MS,
                               &self->message.as.grant)) {
        session->upload_ms = session->upload_owed ? session->upload_ms : now_ms;
        session->upload_owed = true;
        session->granted_at_bytes =
            channel_server_delivered_bytes(self->channel, session->connection);
        server_send(self, session, NULL, 0);
    }
}

void server_note_said(struct session *session, const struct channel_message *incoming)
{
    session->said_bytes +=
        incoming->head_size_bytes + incoming->body_size_bytes + MESSAGE_CARRIER_BYTES;
}

/* From now on something has to move. */
static void note_pulse(struct server *self, struct session *session, uint64_t now_ms)
{
    session->pulse =
        (struct session_pulse){.ms = now_ms,
                               .received_bytes = server_bulk_received_bytes(self, session),
                               .said_bytes = session->said_bytes,
                               .delivered_bytes = server_bulk_delivered_bytes(self, session)};
}

/* Of the contribution, not one byte has come since its first chunks were granted, nor does anything
 * else move in either direction: the grant may be behind what the peer is still being sent. What
 * the peer says besides does not count. */
static bool is_dead(struct server *self, struct session *session, uint64_t now_ms)
{
    const struct session_pulse *pulse = &session->pulse;
    if (session->upload != UPLOAD_RUNNING || session->receiver == NULL || !session->upload_owed ||
        blob_receiver_received_bytes(session->receiver) > 0) {
        return false;
    }
    uint64_t received = server_bulk_received_bytes(self, session);
    uint64_t delivered = server_bulk_delivered_bytes(self, session);
    uint64_t said = session->said_bytes - pulse->said_bytes;
    if (received == 0 || received < pulse->received_bytes ||
        received - pulse->received_bytes >= said + PULSE_RECEIVED_BYTES ||
        delivered < pulse->delivered_bytes ||
        delivered - pulse->delivered_bytes >= PULSE_DELIVERED_BYTES) {
        note_pulse(self, session, now_ms);
    }
    return now_ms - session->pulse.ms >= UPLOAD_DEAD_MS_MAX;
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

/* Gives it a place: what it has sent already, if anything, is kept. */
static void begin(struct server *self, struct session *session, uint64_t now_ms)
{
    const struct blob_ref *ref = &session->offer->blob;
    session->upload = UPLOAD_RUNNING;
    session->upload_place_ms = now_ms;
    self->uploads_running++;
    if (session->receiver != NULL) {
        self->uploads_kept--;
    } else {
        server_routes_upload(self, session, 0, now_ms, false);
        if (!fits(self, session) ||
            blob_receiver_new(ref, ref->size_bytes, &session->receiver) != STATUS_OK) {
            tell_received(self, session, false);
            return;
        }
    }
    grant_more(self, session, now_ms);
    note_pulse(self, session, now_ms);
}

/* The place goes to who waits; who has sent nothing begins anew, and others as well when too many
 * would keep their bytes. */
static void give_up_place(struct server *self, struct session *session, uint64_t now_ms)
{
    session->upload = UPLOAD_WAITING;
    session->upload_wait_ms = now_ms;
    self->uploads_running--;
    if (blob_receiver_received_bytes(session->receiver) > 0 &&
        self->uploads_kept < self->uploads_kept_max) {
        self->uploads_kept++;
    } else {
        blob_receiver_free(session->receiver);
        session->receiver = NULL;
    }
}

void server_upload_start(struct server *self, struct session *session, uint64_t now_ms)
{
    session->upload = UPLOAD_WAITING;
    session->upload_wait_ms = now_ms;
    if (self->uploads_running < self->uploads_max) {
        begin(self, session, now_ms);
    }
}

void server_upload_end(struct server *self, struct session *session)
{
    if (session->upload == UPLOAD_RUNNING) {
        self->uploads_running--;
    } else if (session->upload == UPLOAD_WAITING && session->receiver != NULL) {
        self->uploads_kept--;
    }
    server_gather_drop(self, session);
    session_drop_upload(session);
}

void server_upload_again(struct server *self, struct session *session, uint64_t now_ms)
{
    if (session->upload != UPLOAD_RUNNING || session->receiver == NULL ||
        blob_receiver_complete(session->receiver)) {
        return;
    }
    blob_receiver_reset_grants(session->receiver);
    grant_more(self, session, now_ms);
    note_pulse(self, session, now_ms);
}

/* Nothing of it was wanted, and it may be late by no fault of the peer's. */
static void take_unasked(struct server *self, struct session *session,
                         const struct channel_message *incoming, uint64_t id)
{
    if (session->offer != NULL && session->offer->blob.id == id) {
        session->upload_ms = self->turn_ms; /* of a place that it lost, say: it is not idle */
    }
    server_unasked(self, incoming);
}

static void take_chunk(struct server *self, struct session *session,
                       const struct blob_chunk_header *header,
                       const struct channel_message *incoming, uint64_t now_ms)
{
    uint64_t before = blob_receiver_received_bytes(session->receiver);
    enum status status =
        blob_receiver_add(session->receiver, header, incoming->body, incoming->body_size_bytes);
    if (status == STATUS_CORRUPT) {
        (void)server_offend(self, session, CONDUCT_WRONG_BYTES, "sent a chunk of another hash");
        return;
    }
    if (status != STATUS_OK || blob_receiver_received_bytes(session->receiver) == before) {
        take_unasked(self, session, incoming, header->id);
        return;
    }
    session->upload_ms = now_ms;
    session->upload_owed = blob_receiver_outstanding(session->receiver, 0) > 0;
    server_routes_upload(self, session, incoming->body_size_bytes, now_ms, true);
    if (blob_receiver_complete(session->receiver)) {
        tell_received(self, session, blob_receiver_verify(session->receiver) == STATUS_OK);
    } else if (session->upload == UPLOAD_RUNNING) {
        grant_more(self, session, now_ms);
    }
}

void server_upload_chunk(struct server *self, struct session *session,
                         const struct channel_message *incoming, uint64_t now_ms)
{
    struct blob_chunk_header header;
    if (blob_header_read(incoming->head, incoming->head_size_bytes, &header) != STATUS_OK) {
        server_malformed(self, incoming);
        return;
    }
    if (server_gather_chunk(self, session, &header, incoming, now_ms)) {
        return;
    }
    if (session->receiver == NULL || blob_receiver_complete(session->receiver)) {
        take_unasked(self, session, incoming, header.id);
    } else {
        take_chunk(self, session, &header, incoming, now_ms);
    }
}

/* TCP has delivered nothing since the latest grant was sent: the peer does not know of it. */
static bool is_unheard(struct server *self, const struct session *session)
{
    uint64_t delivered = channel_server_delivered_bytes(self->channel, session->connection);
    return delivered > 0 && delivered == session->granted_at_bytes;
}

/* True: the session is gone, or its offer is about to be. */
static bool give_up(struct server *self, struct session *session, uint64_t now_ms)
{
    uint64_t silent_ms = now_ms - session->upload_ms;
    bool owed = session->upload_owed && silent_ms > UPLOAD_OWED_MS_MAX;
    if (owed && !is_unheard(self, session)) {
        return server_offend(self, session, CONDUCT_STALLED,
                             "was asked for its contribution and sends nothing");
    }
    if (owed || is_dead(self, session, now_ms)) {
        server_stalled(self, session, "was asked for its contribution and no byte of it comes");
        return true;
    }
    if (session->upload == UPLOAD_RUNNING && silent_ms > UPLOAD_LATE_MS_MAX) {
        tell_received(self, session, false);
        return true;
    }
    return false;
}

static struct session *longest_waiting(struct server *self)
{
    struct session *longest = NULL;
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (session->used && session->upload == UPLOAD_WAITING &&
            (longest == NULL || session->upload_wait_ms < longest->upload_wait_ms)) {
            longest = session;
        }
    }
    return longest;
}

/* Places that are free, or that somebody holds who sends nothing, go to who waits for longest. */
static void share_places(struct server *self, uint64_t now_ms)
{
    bool wanted = longest_waiting(self) != NULL; /* giving up a place only adds to them */
    for (uint32_t i = 0; wanted && i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        uint64_t since_ms = session->upload_ms > session->upload_place_ms
                                ? session->upload_ms
                                : session->upload_place_ms;
        if (session->used && session->upload == UPLOAD_RUNNING && session->receiver != NULL &&
            !blob_receiver_complete(session->receiver) && now_ms - since_ms >= UPLOAD_IDLE_MS_MAX) {
            give_up_place(self, session, now_ms);
        }
    }
    for (struct session *next = longest_waiting(self);
         next != NULL && self->uploads_running < self->uploads_max; next = longest_waiting(self)) {
        begin(self, next, now_ms);
    }
}

void server_uploads_tick(struct server *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (!session->used || session->upload == UPLOAD_NONE ||
            (session->receiver != NULL && blob_receiver_complete(session->receiver))) {
            continue;
        }
        if (give_up(self, session, now_ms)) {
            break; /* one event a tick is enough: the ring is small */
        }
        if (session->upload == UPLOAD_RUNNING && session->receiver != NULL) {
            grant_more(self, session, now_ms);
        }
    }
    share_places(self, now_ms);
}
