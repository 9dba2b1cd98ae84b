#include "common/log.h"
#include "peer/daemon/owner_state.h"
#include "proto/blob_tree.h"
#include "proto/codec/chunks.h"

#include <inttypes.h>
#include <string.h>

enum status owner_say(struct daemon_owner *self, const struct guest *guest)
{
    size_t size_bytes = 0;
    enum status status = wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &size_bytes);
    return status == STATUS_OK ? channel_server_send(self->server, guest->connection, self->head,
                                                     size_bytes, NULL, 0)
                               : status;
}

/* Cuts whoever does not keep to the rules. */
static void refuse(struct daemon_owner *self, const struct channel_message *incoming,
                   struct guest *guest, const char *reason)
{
    uint64_t now_ms = self->received_ms;
    if (guest != NULL) {
        guest_leave(guest);
    }
    channel_server_cut(self->server, incoming->connection);
    self->refused_count++;
    if (self->refused_told_ms == 0 || now_ms - self->refused_told_ms >= OWNER_REFUSED_MS) {
        self->refused_told_ms = now_ms;
        log_warn("owner", "refused", "address=%s reason=\"%s\" count=%" PRIu64, incoming->host,
                 reason, self->refused_count);
    }
}

/* What no honest peer does by mistake: its key is kept out for a while. */
static void bar(struct daemon_owner *self, const struct channel_message *incoming,
                struct guest *guest, const char *reason)
{
    struct owner_bar *place = &self->bars[self->next_bar++ % OWNER_BARS_MAX];
    if (place->until_ms > 0) {
        (void)!channel_server_bar(self->server, place->curve_key, false);
    }
    place->until_ms = self->received_ms + OWNER_BAR_MS;
    memcpy(place->curve_key, incoming->curve_key, sizeof place->curve_key);
    refuse(self, incoming, NULL, reason);
    guests_remove(&self->guests, guest);
    (void)!channel_server_bar(self->server, incoming->curve_key, true); /* at least it is cut */
}

void owner_pardon(struct daemon_owner *self, uint64_t now_ms)
{
    for (size_t i = 0; i < OWNER_BARS_MAX; i++) {
        struct owner_bar *place = &self->bars[i];
        if (place->until_ms > 0 && now_ms >= place->until_ms) {
            place->until_ms = 0;
            (void)!channel_server_bar(self->server, place->curve_key, false);
        }
    }
}

static void take_open(struct daemon_owner *self, const struct channel_message *incoming,
                      struct guest *guest, uint64_t now_ms)
{
    const struct wire_open *open = &self->message.as.open;
    struct ticket ticket;
    if (owner_check_ticket(self, open->ticket, incoming->curve_key, &ticket) != STATUS_OK) {
        refuse(self, incoming, guest, "its ticket is not good here");
        return;
    }
    guest = guests_add(&self->guests, incoming->curve_key, incoming->connection);
    channel_server_admit(self->server, incoming->connection);
    if (ticket.kind == TICKET_PASS) {
        guest->has_pass = true;
        return;
    }
    struct guest_delivery delivery = owner_delivery_of(&ticket, open->blob_id);
    struct guest_delivery *place = guest_deliver(guest, &delivery);
    if (owner_open(self, place)) {
        owner_grant(self, guest, place, now_ms);
    }
}

static void say_gone(struct daemon_owner *self, const struct guest *guest)
{
    self->message.type = WIRE_REFUSED;
    self->message.as.refused =
        (struct wire_refused){.code = WIRE_REFUSED_GONE, .text = "not kept here"};
    (void)owner_say(self, guest); /* who does not hear it waits a little longer */
}

/* An update that is not here yet is waited for: a bit a chunk, of a few updates. */
static void take_grant(struct daemon_owner *self, const struct channel_message *incoming,
                       struct guest *guest)
{
    const struct wire_grant *grant = &self->message.as.grant;
    if (!guest->has_pass) {
        refuse(self, incoming, guest, "it fetches without a pass");
        return;
    }
    if (grant->kind != BLOB_UPDATE || shelf_is_gone(self->settings.shelf, grant->id)) {
        say_gone(self, guest);
        return;
    }
    enum status status =
        blob_senders_grant(&guest->sends, grant, chunks_count(self->run.value_count));
    if (status == STATUS_OUT_OF_RANGE) {
        refuse(self, incoming, guest, "it asks for a chunk that does not exist");
    } else if (blob_senders_pending(&guest->sends) > GUEST_PENDING_CHUNKS_MAX) {
        refuse(self, incoming, guest, "it asks for more chunks at once than any window has");
    } else {
        guest->arrivals = UINT64_MAX;
    }
}

/* The coordinator may fetch the same chunk and sum it again: what its ticket's root does not prove
 * is not added, and it is told so, who then fetches the contribution itself. */
static bool is_proved(struct daemon_owner *self, const struct channel_message *incoming,
                      const struct guest_delivery *delivery)
{
    uint32_t chunk_count = chunks_count(self->run.value_count);
    if (blob_tree_proves(&delivery->root, chunk_count, incoming->head, incoming->head_size_bytes)) {
        return true;
    }
    if (fractions_tear(self->fractions, delivery->part.serial)) {
        log_warn("owner", "contribution_torn", "address=%s serial=%" PRIu64, incoming->host,
                 delivery->part.serial);
    }
    return false;
}

/* Of an earlier step, say, or a second time. */
static void count_unasked(struct daemon_owner *self, const struct channel_message *incoming,
                          struct guest *guest)
{
    pace_came_from_others(self->settings.pace, incoming->body_size_bytes, self->received_ms);
    guest->unasked_bytes += incoming->body_size_bytes;
    if (guest->unasked_bytes > GUEST_UNASKED_BYTES_MAX) {
        bar(self, incoming, guest, "it sends chunks that nobody asked for");
    }
}

/* Asked for twice, some come twice; beyond that nobody asked. */
static void count_repeated(struct daemon_owner *self, const struct channel_message *incoming,
                           struct guest *guest)
{
    if (++guest->repeated_count > 2 * chunks_count(self->run.value_count)) {
        count_unasked(self, incoming, guest);
    } else {
        pace_came_from_others(self->settings.pace, incoming->body_size_bytes, self->received_ms);
    }
}

static void take_chunk(struct daemon_owner *self, const struct channel_message *incoming,
                       struct guest *guest, uint64_t now_ms)
{
    struct blob_chunk_header header;
    if (blob_header_read(incoming->head, incoming->head_size_bytes, &header) != STATUS_OK ||
        header.kind != BLOB_CONTRIBUTION || header.size_bytes != incoming->body_size_bytes) {
        refuse(self, incoming, guest, "it sends what nobody asked for");
        return;
    }
    pace_came(self->settings.pace, incoming->body_size_bytes);
    struct guest_delivery *delivery = guest_delivery(guest, header.id);
    if (delivery == NULL || delivery->task != self->task) {
        count_unasked(self, incoming, guest);
        return;
    }
    struct digest hash = digest_of(incoming->body, incoming->body_size_bytes);
    if (!digest_equal(&hash, &header.hash) || !is_proved(self, incoming, delivery)) {
        if (++guest->wrong_count > GUEST_WRONG_MAX) {
            bar(self, incoming, guest, "its chunks are not what its ticket says");
        }
        return;
    }
    bool here = fractions_has(self->fractions, delivery->part.serial, header.index);
    enum status status = fractions_add(self->fractions, delivery->part.serial, header.index,
                                       incoming->body, incoming->body_size_bytes);
    if (status == STATUS_PROTOCOL) {
        refuse(self, incoming, guest, "it sends a chunk that is summed elsewhere");
    } else if (here || status != STATUS_OK) {
        count_repeated(self, incoming, guest);
    } else if (++delivery->came % OWNER_GRANT_EVERY == 0) {
        owner_grant(self, guest, delivery, now_ms);
    }
}

static void answer_probe(struct daemon_owner *self, const struct channel_message *incoming,
                         uint64_t now_ms)
{
    size_t size_bytes = 0;
    if (self->message.as.probe.answer || !pace_may_answer(self->settings.pace, now_ms)) {
        return;
    }
    channel_server_admit(self->server, incoming->connection);
    self->message.as.probe.answer = true;
    if (wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &size_bytes) != STATUS_OK ||
        channel_server_send(self->server, incoming->connection, self->head, size_bytes,
                            incoming->body, incoming->body_size_bytes) != STATUS_OK) {
        log_event(LOG_DEBUG, "owner", "not_sent", "message=probe");
        return;
    }
    pace_sent(self->settings.pace, incoming->body_size_bytes, now_ms);
}

static void take_message(struct daemon_owner *self, const struct channel_message *incoming,
                         uint64_t now_ms)
{
    bool is_coordinator =
        memcmp(incoming->curve_key, self->coordinator_curve, IDENTITY_KEY_BYTES) == 0;
    struct guest *guest = guests_find(&self->guests, incoming->connection);
    if (wire_is_chunk(incoming->head, incoming->head_size_bytes)) {
        if (guest != NULL) {
            take_chunk(self, incoming, guest, now_ms);
        } else {
            refuse(self, incoming, NULL, "it shows no ticket");
        }
        return;
    }
    if (wire_decode(incoming->head, incoming->head_size_bytes, &self->message) != STATUS_OK) {
        refuse(self, incoming, guest, "it sends what is no message");
        return;
    }
    if (self->message.type == WIRE_OPEN) {
        take_open(self, incoming, guest, now_ms);
    } else if (self->message.type == WIRE_PROBE && is_coordinator) {
        answer_probe(self, incoming, now_ms);
    } else if (self->message.type == WIRE_GRANT && guest != NULL) {
        take_grant(self, incoming, guest);
    } else if (self->message.type != WIRE_ALIVE || (guest == NULL && !is_coordinator)) {
        refuse(self, incoming, guest,
               guest != NULL ? "it says what is not said here" : "it shows no ticket");
    }
}

bool owner_receive(struct daemon_owner *self, uint64_t now_ms)
{
    self->received_ms = now_ms > 0 ? now_ms : 1;
    for (int i = 0; i < OWNER_MESSAGES_PER_TURN; i++) {
        struct channel_message incoming;
        if (channel_server_receive(self->server, &incoming) != STATUS_OK) {
            return false;
        }
        take_message(self, &incoming, now_ms);
        channel_message_close(&incoming);
    }
    return true;
}

void owner_tell_alive(struct daemon_owner *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->guests.end; i++) {
        struct guest *guest = &self->guests.items[i];
        if (guest->used && now_ms - guest->alive_ms >= OWNER_ALIVE_MS && guest_waits(guest)) {
            guest->alive_ms = now_ms;
            self->message.type = WIRE_ALIVE;
            (void)owner_say(self, guest);
        }
    }
}

void daemon_owner_serve_begin(struct daemon_owner *self)
{
    for (uint32_t i = 0; i < self->guests.end; i++) {
        self->guests.items[i].crowded = false;
    }
}

/* The next chunk that a guest asked for and that is here. */
static bool next_chunk(struct daemon_owner *self, struct guest *guest,
                       struct blob_chunk_header *header, const uint8_t **data,
                       struct blob_sender **out)
{
    for (size_t i = 0; i < BLOB_SENDERS_MAX; i++) {
        struct blob_sender *sender = guest->sends.items[i];
        uint32_t index = 0;
        if (sender == NULL || blob_sender_pending(sender) == 0) {
            continue;
        }
        uint64_t id = blob_sender_id(sender);
        if (shelf_is_gone(self->settings.shelf, id)) {
            blob_senders_drop(&guest->sends, BLOB_UPDATE, id);
            say_gone(self, guest);
            continue;
        }
        for (uint32_t from = 0; blob_sender_next(sender, from, &index); from = index + 1) {
            if (shelf_chunk(self->settings.shelf, id, index, header, data)) {
                *out = sender;
                return true;
            }
        }
    }
    return false;
}

/* True: a chunk was sent. */
static bool serve_one(struct daemon_owner *self, struct guest *guest, uint64_t now_ms)
{
    struct blob_chunk_header header;
    struct blob_sender *sender = NULL;
    const uint8_t *data = NULL;
    uint8_t head[BLOB_HEADER_BYTES];
    if (!guest->used || guest->crowded || guest->arrivals == self->settings.shelf->arrivals) {
        return false;
    }
    if (!next_chunk(self, guest, &header, &data, &sender)) {
        guest->arrivals = self->settings.shelf->arrivals;
        return false;
    }
    blob_header_write(&header, head);
    enum status status = channel_server_send(self->server, guest->connection, head, sizeof head,
                                             data, header.size_bytes);
    if (status == STATUS_OK) {
        blob_sender_sent(sender, header.index);
        pace_sent(self->settings.pace, header.size_bytes, now_ms);
        pace_flow_add(&guest->flow, header.size_bytes);
        return true;
    }
    guest->crowded = true;
    if (status == STATUS_STALE) {
        blob_senders_clear(&guest->sends); /* it asks again when it is back */
    }
    return false;
}

bool daemon_owner_serve(struct daemon_owner *self, uint64_t now_ms, unsigned *budget)
{
    bool sent = false;
    for (uint32_t i = 0; i<self->guests.end && * budget> 0; i++) {
        if (!pace_may_send(self->settings.pace, now_ms)) {
            break;
        }
        struct guest *guest = &self->guests.items[self->serve_cursor++ % self->guests.end];
        if (serve_one(self, guest, now_ms)) {
            sent = true;
            (*budget)--;
        }
    }
    return sent;
}

static bool has_here(const struct daemon_owner *self, const struct guest *guest)
{
    return guest->arrivals != self->settings.shelf->arrivals && guest_waits(guest);
}

/* Chunks of a contribution of this step are still to come from the guest. */
static bool owes(const struct daemon_owner *self, const struct guest *guest)
{
    uint32_t chunk_count = fractions_chunk_count(self->fractions);
    bool owes = false;
    for (uint32_t i = 0; !self->over && i < guest->delivery_count; i++) {
        const struct guest_delivery *delivery = &guest->deliveries[i];
        owes = owes || (delivery->task == self->task && delivery->came < chunk_count);
    }
    return owes;
}

void daemon_owner_look(struct daemon_owner *self, struct pace_look *look)
{
    for (uint32_t i = 0; i < self->guests.end; i++) {
        struct guest *guest = &self->guests.items[i];
        if (!guest->used) {
            continue;
        }
        uint64_t delivered = channel_server_delivered_bytes(self->server, guest->connection);
        look->delivered_bytes += pace_flow_look(&guest->flow, delivered);
        look->senders +=
            guest->flow.backlog_bytes > PACE_BACKLOG_BYTES || has_here(self, guest) ? 1 : 0;
        look->receivers += owes(self, guest) ? 1 : 0;
    }
}

bool daemon_owner_is_wanted(const struct daemon_owner *self)
{
    for (uint32_t i = 0; i < self->guests.end; i++) {
        if (self->guests.items[i].used && guest_waits(&self->guests.items[i])) {
            return true;
        }
    }
    return false;
}
