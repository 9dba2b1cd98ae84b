#include "peer/daemon/daemon_bulk.h"

#include "common/log.h"
#include "peer/daemon/guests.h"
#include "peer/daemon/reach.h"
#include "proto/blob_sender.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNSENT_MAX = 8,
    IN_A_ROW_MAX = 16, /* messages of one owner, then it is another's turn */
    LOST_MS = 1500,
    OPENS_MAX = 2 * WIRE_OWNERS_MAX, /* a plan and its successor at once, */
    OPEN_EVERY_MS = 50,              /* and so many over a longer time: nobody is to be flooded */
    CONNECT_MS_MAX = 3000,
    REPAIRS_MAX = 3, /* times that a contribution's chunks go to others than their owners */
    UNASKED_BYTES_MAX = 1 << 20,
    WORD_BYTES = 256,        /* what an owner has to say about each chunk that it is sent, */
    WORD_BYTES_PER_S = 1024, /* and besides */
    SHUT_MS = 600000
};

struct owner_link {
    struct wire_owner owner;
    struct wire_owner before;      /* as the plan before had it: a step may be under way */
    struct channel_client *client; /* NULL: not needed yet */
    uint64_t connections;
    uint64_t down_ms; /* since when it is not connected, while it is needed; 0: it is */
    struct wire_grant unsent[UNSENT_MAX]; /* the queue was full */
    struct blob_senders sends;
    struct pace_flow flow;
    struct rate_meter meter;
    uint64_t owed_bytes;    /* that it was asked for, and have not come */
    uint64_t unasked_bytes; /* that came, beyond what it has to say */
    uint64_t shut_until_ms; /* it is not called before */
    uint32_t unsent_count;
    bool self; /* this peer owns the chunks itself */
    bool crowded;
    bool sent; /* something was under way at the last look */
};

/* A contribution on its way to the owners. */
struct delivery {
    uint64_t blob_id;
    uint8_t ticket[TICKET_BYTES];
    uint64_t repaired; /* chunks asked for by others than their owners */
};

struct bulk {
    struct bulk_settings settings;
    uint8_t pass[TICKET_BYTES];
    uint32_t link_count;
    struct owner_link *links; /* (link_count), as in the route */
    uint32_t delivery_count;
    struct delivery deliveries[OFFERS_MAX];
    uint32_t opens_left; /* connections that may be made now */
    uint64_t opens_ms;   /* when the latest of these was added */
    uint64_t now_ms;     /* of this turn */
    uint64_t words_ms;   /* up to when owners were given bytes to say */
    uint32_t receive_cursor;
    uint32_t in_a_row; /* messages of the owner at the cursor */
    uint32_t send_cursor;
    struct wire_message message; /* scratch: it is large */
    uint8_t *head;               /* (WIRE_HEAD_MAX) scratch */
};

enum status bulk_new(const struct bulk_settings *settings, struct bulk **out)
{
    *out = NULL;
    struct bulk *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->settings = *settings;
    self->opens_left = OPENS_MAX;
    self->head = malloc(WIRE_HEAD_MAX);
    if (self->head == NULL) {
        free(self);
        return STATUS_NO_MEMORY;
    }
    *out = self;
    return STATUS_OK;
}

static void close_link(struct owner_link *link)
{
    channel_client_drop(link->client);
    link->client = NULL;
    link->connections = 0;
    link->unsent_count = 0;
    link->owed_bytes = 0;
    link->flow = (struct pace_flow){.delivered_bytes = 0};
    blob_senders_clear(&link->sends);
}

static void close_all(struct owner_link *links, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        close_link(&links[i]);
    }
    free(links);
}

void bulk_free(struct bulk *self)
{
    if (self != NULL) {
        close_all(self->links, self->link_count);
        free(self->head);
        free(self);
    }
}

static enum status say(struct bulk *self, struct owner_link *link)
{
    size_t size_bytes = 0;
    enum status status = wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &size_bytes);
    return status == STATUS_OK ? channel_client_send(link->client, self->head, size_bytes, NULL, 0)
                               : status;
}

static void say_open(struct bulk *self, struct owner_link *link, const uint8_t ticket[TICKET_BYTES],
                     uint64_t blob_id)
{
    self->message.type = WIRE_OPEN;
    self->message.as.open.blob_id = blob_id;
    memcpy(self->message.as.open.ticket, ticket, TICKET_BYTES);
    (void)say(self, link); /* a queue that was just made has room */
}

/* Where an owner is; ":PORT" means the coordinator's machine. */
static void complete_address(const struct bulk *self, const struct wire_owner *owner,
                             char out[LINK_ADDRESS_MAX])
{
    const char *coordinator = self->settings.coordinator_address;
    const char *colon = strrchr(coordinator, ':');
    int host = owner->address[0] == ':' && colon != NULL ? (int)(colon - coordinator) : 0;
    (void)snprintf(out, LINK_ADDRESS_MAX, "%.*s%s", host, coordinator, owner->address);
}

static bool open_link(struct bulk *self, struct owner_link *link)
{
    char address[LINK_ADDRESS_MAX];
    if (link->client != NULL || link->self || self->now_ms < link->shut_until_ms) {
        return link->client != NULL;
    }
    complete_address(self, &link->owner, address);
    if (!reach_allowed(self->settings.coordinator_address, address) || self->opens_left == 0) {
        log_event(LOG_DEBUG, "peer", "owner_not_called", "address=%s", address);
        return false;
    }
    self->opens_left--;
    if (channel_client_new(self->settings.set, CHANNEL_BULK, address, link->owner.public_key,
                           self->settings.identity, &link->client) != STATUS_OK) {
        log_event(LOG_DEBUG, "peer", "owner_unreachable", "address=%s", address);
        return false;
    }
    say_open(self, link, self->pass, 0);
    for (uint32_t i = 0; i < self->delivery_count; i++) {
        say_open(self, link, self->deliveries[i].ticket, self->deliveries[i].blob_id);
    }
    return true;
}

/* The link of the plan before to the same owner at the same place. */
static struct owner_link *find_link(const struct bulk *self, const struct wire_owner *owner)
{
    for (uint32_t i = 0; i < self->link_count; i++) {
        const struct wire_owner *known = &self->links[i].owner;
        if (memcmp(known->public_key, owner->public_key, IDENTITY_KEY_BYTES) == 0 &&
            strcmp(known->address, owner->address) == 0) {
            return &self->links[i];
        }
    }
    return NULL;
}

void bulk_route(struct bulk *self, const struct wire_route *route)
{
    struct owner_link *links = calloc(route->owner_count + 1U, sizeof *links);
    uint32_t count = links != NULL ? route->owner_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct owner_link *before = find_link(self, &route->owners[i]);
        if (before != NULL) {
            links[i] = *before;
            *before = (struct owner_link){.client = NULL};
        } else {
            rate_meter_init(&links[i].meter);
        }
        links[i].before = links[i].owner;
        links[i].owner = route->owners[i];
        links[i].down_ms = 0;
        links[i].self = memcmp(route->owners[i].public_key, self->settings.identity->public_key,
                               IDENTITY_KEY_BYTES) == 0;
    }
    close_all(self->links, self->link_count);
    self->links = links;
    self->link_count = count;
    self->send_cursor = self->receive_cursor = 0;
    memcpy(self->pass, route->pass, TICKET_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        if (links[i].client != NULL) {
            say_open(self, &links[i], self->pass, 0); /* the older one may end */
        }
    }
}

static struct delivery *find_delivery(struct bulk *self, uint64_t blob_id)
{
    for (uint32_t i = 0; i < self->delivery_count; i++) {
        if (self->deliveries[i].blob_id == blob_id) {
            return &self->deliveries[i];
        }
    }
    return NULL;
}

static void forget_ended(struct bulk *self)
{
    for (uint32_t i = 0; i < self->delivery_count;) {
        if (offers_find(self->settings.offers, self->deliveries[i].blob_id) != NULL) {
            i++;
            continue;
        }
        for (uint32_t j = 0; j < self->link_count; j++) {
            blob_senders_drop(&self->links[j].sends, BLOB_CONTRIBUTION,
                              self->deliveries[i].blob_id);
        }
        self->deliveries[i] = self->deliveries[--self->delivery_count];
    }
}

void bulk_deliver(struct bulk *self, const struct wire_deliver *deliver)
{
    forget_ended(self);
    struct delivery *place = find_delivery(self, deliver->blob_id);
    if (place == NULL) {
        if (self->delivery_count == OFFERS_MAX) {
            return; /* there are no more offers than this */
        }
        place = &self->deliveries[self->delivery_count++];
    }
    place->blob_id = deliver->blob_id;
    place->repaired = 0;
    memcpy(place->ticket, deliver->ticket, TICKET_BYTES);
    for (uint32_t i = 0; i < self->link_count; i++) {
        struct owner_link *link = &self->links[i];
        if (link->client != NULL) {
            say_open(self, link, place->ticket, place->blob_id);
        } else {
            (void)open_link(self, link); /* which tells all tickets */
        }
    }
}

static void ask_unsent(struct bulk *self, struct owner_link *link)
{
    uint32_t sent = 0;
    self->message.type = WIRE_GRANT;
    while (sent < link->unsent_count) {
        self->message.as.grant = link->unsent[sent];
        if (say(self, link) == STATUS_AGAIN) {
            break;
        }
        sent++;
    }
    link->unsent_count -= sent;
    memmove(link->unsent, link->unsent + sent, link->unsent_count * sizeof link->unsent[0]);
}

/* It keeps no more of what it is asked for than this, so no more can be on its way. */
static void owe(struct owner_link *link, uint32_t chunk_count, uint32_t chunk_bytes)
{
    uint64_t each = (uint64_t)chunk_bytes + BLOB_HEAD_MAX;
    uint64_t bytes_max = GUEST_PENDING_CHUNKS_MAX * each;
    uint64_t bytes = link->owed_bytes + chunk_count * each;
    bytes = bytes < bytes_max ? bytes : bytes_max;
    link->owed_bytes = bytes > link->owed_bytes ? bytes : link->owed_bytes;
}

bool bulk_ask(struct bulk *self, uint32_t owner, const struct wire_grant *grant,
              uint32_t chunk_bytes)
{
    struct owner_link *link = owner < self->link_count ? &self->links[owner] : NULL;
    if (link == NULL || !open_link(self, link) || link->unsent_count == UNSENT_MAX) {
        return false;
    }
    link->unsent[link->unsent_count++] = *grant;
    owe(link, grant->chunk_count, chunk_bytes);
    ask_unsent(self, link);
    return true;
}

bool bulk_is_lost(struct bulk *self, uint32_t owner, uint64_t now_ms)
{
    const struct owner_link *link = owner < self->link_count ? &self->links[owner] : NULL;
    if (link == NULL || link->self || now_ms < link->shut_until_ms) {
        return true;
    }
    if (link->down_ms == 0) {
        return false;
    }
    uint64_t patience_ms = link->connections > 0 ? LOST_MS : CONNECT_MS_MAX;
    return now_ms - link->down_ms > patience_ms;
}

/* On a connection that was made again, the first thing said must be the pass: what the old one had
 * queued goes with it. */
static void tend_link(struct bulk *self, struct owner_link *link, uint64_t now_ms)
{
    if (link->client == NULL) {
        return;
    }
    uint64_t connections = channel_client_connections(link->client);
    if (channel_client_trouble(link->client) == CHANNEL_FINE) {
        link->down_ms = 0;
    } else if (link->down_ms == 0) {
        link->down_ms = now_ms;
    }
    if (connections > 1) {
        close_link(link);
        (void)open_link(self, link);
        return;
    }
    link->connections = connections;
    if (link->unsent_count > 0) {
        ask_unsent(self, link);
    }
}

static void refill_opens(struct bulk *self, uint64_t now_ms)
{
    uint64_t fresh = (now_ms - self->opens_ms) / OPEN_EVERY_MS;
    self->opens_ms += fresh * OPEN_EVERY_MS;
    self->opens_left =
        fresh < OPENS_MAX - self->opens_left ? self->opens_left + (uint32_t)fresh : OPENS_MAX;
}

static void allow_bytes(struct owner_link *link, uint64_t bytes)
{
    link->unasked_bytes -= bytes < link->unasked_bytes ? bytes : link->unasked_bytes;
}

static void allow_words(struct bulk *self, uint64_t now_ms)
{
    uint64_t seconds = (now_ms - self->words_ms) / 1000;
    self->words_ms += seconds * 1000;
    for (uint32_t i = 0; seconds > 0 && i < self->link_count; i++) {
        allow_bytes(&self->links[i], seconds * WORD_BYTES_PER_S);
    }
}

void bulk_tend(struct bulk *self, uint64_t now_ms)
{
    self->now_ms = now_ms;
    allow_words(self, now_ms);
    refill_opens(self, now_ms);
    forget_ended(self);
    for (uint32_t i = 0; i < self->link_count; i++) {
        tend_link(self, &self->links[i], now_ms);
    }
}

static bool owns(const struct wire_owner *owner, const struct wire_grant *grant)
{
    return grant->first_chunk >= owner->first_chunk &&
           (uint64_t)grant->first_chunk + grant->chunk_count <=
               (uint64_t)owner->first_chunk + owner->chunk_count;
}

/* An owner is sent its own chunks of what is delivered to it; and those of others, for whom it sums
 * when they are lost. All owners together get no more of these than any repair can need. */
static bool may_ask(const struct owner_link *link, struct delivery *delivery,
                    const struct wire_grant *grant, uint32_t chunk_count)
{
    if (owns(&link->owner, grant) || owns(&link->before, grant)) {
        return true;
    }
    delivery->repaired += grant->chunk_count;
    return delivery->repaired <= (uint64_t)REPAIRS_MAX * chunk_count;
}

static void take_grant(struct bulk *self, struct owner_link *link, const struct wire_grant *grant)
{
    struct delivery *delivery =
        grant->kind == BLOB_CONTRIBUTION ? find_delivery(self, grant->id) : NULL;
    const struct offer *offer =
        delivery != NULL ? offers_find(self->settings.offers, grant->id) : NULL;
    if (offer == NULL) {
        return;
    }
    const struct blob_ref *ref = &offer->facts.blob;
    uint32_t chunk_count = blob_chunk_count(ref->size_bytes, ref->chunk_bytes);
    if (!may_ask(link, delivery, grant, chunk_count)) {
        return;
    }
    enum status status = blob_senders_grant(&link->sends, grant, chunk_count);
    if (status != STATUS_OK) {
        log_warn("peer", "grant_refused", "reason=\"%s\"", status_text(status));
    }
}

/* No honest owner sends a chunk that it was not asked for, or has so much to say. */
static void count_unasked(struct bulk *self, struct owner_link *link, uint64_t bytes)
{
    pace_came_from_others(self->settings.pace, bytes, self->now_ms);
    link->unasked_bytes += bytes;
    if (link->unasked_bytes > UNASKED_BYTES_MAX) {
        log_warn("peer", "owner_shut_out", "address=%s reason=\"it sends what nobody asked for\"",
                 link->owner.address);
        close_link(link);
        link->unasked_bytes = 0;
        link->shut_until_ms = self->now_ms + SHUT_MS;
    }
}

/* True: it is news, and the message stays open if it is a chunk. */
static bool take_message(struct bulk *self, uint32_t index, struct bulk_news *out)
{
    struct channel_message *incoming = &out->message;
    struct owner_link *link = &self->links[index];
    uint64_t bytes = incoming->head_size_bytes + incoming->body_size_bytes;
    bool is_chunk = wire_is_chunk(incoming->head, incoming->head_size_bytes);
    out->owner = index;
    out->type = BULK_CHUNK;
    if (is_chunk && bytes <= link->owed_bytes) {
        link->owed_bytes -= bytes;
        return true;
    }
    count_unasked(self, link, bytes);
    if (is_chunk || link->client == NULL ||
        wire_decode(incoming->head, incoming->head_size_bytes, &self->message) != STATUS_OK) {
        return false;
    }
    if (self->message.type == WIRE_GRANT) {
        take_grant(self, link, &self->message.as.grant);
        return false;
    }
    out->type = self->message.type == WIRE_REFUSED ? BULK_GONE : BULK_ALIVE;
    return self->message.type == WIRE_REFUSED || self->message.type == WIRE_ALIVE;
}

static void turn_to_next(struct bulk *self)
{
    self->receive_cursor++;
    self->in_a_row = 0;
}

bool bulk_receive(struct bulk *self, unsigned *budget, struct bulk_news *out)
{
    for (uint32_t silent = 0; *budget > 0 && silent < self->link_count;) {
        uint32_t index = self->receive_cursor % self->link_count;
        struct channel_client *client = self->links[index].client;
        if (client == NULL || channel_client_receive(client, &out->message) != STATUS_OK) {
            turn_to_next(self);
            silent++;
            continue;
        }
        (*budget)--;
        silent = 0;
        if (++self->in_a_row == IN_A_ROW_MAX) {
            turn_to_next(self);
        }
        if (take_message(self, index, out)) {
            return true;
        }
        channel_message_close(&out->message);
    }
    return false;
}

void bulk_send_begin(struct bulk *self)
{
    for (uint32_t i = 0; i < self->link_count; i++) {
        self->links[i].crowded = false;
    }
}

/* True: a chunk was sent. */
static bool send_one(struct bulk *self, struct owner_link *link, uint64_t now_ms)
{
    struct blob_sender *sender = NULL;
    uint32_t index = 0;
    struct offer_chunk chunk;
    if (link->client == NULL || link->crowded ||
        !blob_senders_next(&link->sends, &sender, &index)) {
        return false;
    }
    struct offer *offer = offers_find(self->settings.offers, blob_sender_id(sender));
    if (offer == NULL || offer_chunk(offer, index, &chunk) != STATUS_OK) {
        blob_senders_drop(&link->sends, BLOB_CONTRIBUTION, blob_sender_id(sender));
        return false;
    }
    if (channel_client_send(link->client, chunk.head, chunk.head_bytes, chunk.data,
                            chunk.size_bytes) != STATUS_OK) {
        link->crowded = true;
        return false;
    }
    blob_sender_sent(sender, index);
    pace_sent(self->settings.pace, chunk.size_bytes, now_ms);
    pace_flow_add(&link->flow, chunk.size_bytes);
    allow_bytes(link, WORD_BYTES);
    return true;
}

bool bulk_send(struct bulk *self, uint64_t now_ms, unsigned *budget)
{
    bool sent = false;
    for (uint32_t i = 0; i<self->link_count && * budget> 0; i++) {
        if (!pace_may_send(self->settings.pace, now_ms)) {
            break;
        }
        if (send_one(self, &self->links[self->send_cursor++ % self->link_count], now_ms)) {
            sent = true;
            (*budget)--;
        }
    }
    return sent;
}

void bulk_look(struct bulk *self, uint64_t now_ms, struct pace_look *look)
{
    for (uint32_t i = 0; i < self->link_count; i++) {
        struct owner_link *link = &self->links[i];
        struct blob_sender *sender = NULL;
        uint32_t index = 0;
        if (link->client == NULL) {
            continue;
        }
        uint64_t fresh = pace_flow_look(&link->flow, channel_client_delivered_bytes(link->client));
        bool sends = link->flow.backlog_bytes > PACE_BACKLOG_BYTES ||
                     blob_senders_next(&link->sends, &sender, &index);
        rate_meter_add(&link->meter, fresh, now_ms, sends && link->sent);
        link->sent = sends;
        look->delivered_bytes += fresh;
        look->senders += sends ? 1 : 0;
    }
}

void bulk_rates(const struct bulk *self, struct wire_rates *out)
{
    for (uint32_t i = 0; i < self->link_count && out->count < WIRE_RATES_MAX; i++) {
        uint64_t rate = rate_meter_bytes_per_s(&self->links[i].meter);
        if (rate > 0) {
            struct wire_rate *item = &out->items[out->count++];
            memcpy(item->public_key, self->links[i].owner.public_key, IDENTITY_KEY_BYTES);
            item->bytes_per_s = rate < WIRE_RATE_MAX ? rate : WIRE_RATE_MAX;
        }
    }
}
