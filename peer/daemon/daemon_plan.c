#include "common/fault.h"
#include "common/log.h"
#include "peer/daemon/daemon_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LINGER_MS = 1000, LINGER_MS_MAX = 10000, OWNERS_MESSAGES_PER_TURN = 256 };

/* Of the memory for others, what is for updates that they fetch here; the rest is for their sums.
 */
enum { UPDATES_SHARE = 4 };

enum status daemon_open_owner(struct daemon *self)
{
    const struct daemon_options *options = self->options;
    char listen[sizeof "tcp://*:65535"];
    uint64_t for_updates = options->aggregate_bytes_max / UPDATES_SHARE;
    struct daemon_owner_settings settings = {.listen = listen,
                                             .identity = self->identity,
                                             .memory_bytes_max =
                                                 options->aggregate_bytes_max - for_updates,
                                             .pace = &self->pace,
                                             .offers = &self->offers,
                                             .shelf = &self->shelf};
    self->shelf.bytes_max = for_updates;
    (void)snprintf(listen, sizeof listen, "tcp://*:%u", (unsigned)options->bulk_port);
    memcpy(settings.coordinator_key, options->link.coordinator_key,
           sizeof settings.coordinator_key);
    enum status status = daemon_owner_new(self->channels, &settings, &self->owner);
    if (status == STATUS_OK) {
        log_info("owner", "listening", "port=%u memory_mb=%" PRIu64,
                 (unsigned)daemon_owner_port(self->owner), options->aggregate_bytes_max / 1000000);
    }
    return status;
}

static bool same_owners(const struct wire_route *a, const struct wire_route *b)
{
    bool same = a->owner_count == b->owner_count;
    for (uint32_t i = 0; same && i < a->owner_count; i++) {
        const struct wire_owner *left = &a->owners[i];
        const struct wire_owner *right = &b->owners[i];
        same = left->first_chunk == right->first_chunk && left->chunk_count == right->chunk_count &&
               strcmp(left->address, right->address) == 0 &&
               memcmp(left->public_key, right->public_key, IDENTITY_KEY_BYTES) == 0;
    }
    return same;
}

/* What the plan gives this peer to sum; no chunks: nothing. */
static struct fetch_range own_range(const struct daemon *self)
{
    for (uint32_t i = 0; i < self->route.owner_count; i++) {
        const struct wire_owner *owner = &self->route.owners[i];
        if (memcmp(owner->public_key, self->identity->public_key, IDENTITY_KEY_BYTES) == 0) {
            return (struct fetch_range){owner->first_chunk, owner->chunk_count};
        }
    }
    return (struct fetch_range){0, 0};
}

static void take_route(struct daemon *self, const struct wire_route *route)
{
    bool same = same_owners(&self->route, route);
    self->route = *route;
    struct fetch_range own = own_range(self);
    log_info("peer", "plan",
             "plan=%" PRIu64 " owners=%" PRIu32 " own_chunks=%" PRIu32 " computes=%d",
             route->plan_id, route->owner_count, own.chunk_count, route->computes ? 1 : 0);
    if (!daemon_judge_codecs(self, route->codec, route->codec)) {
        return;
    }
    if (self->compute != NULL) {
        compute_offer_in(self->compute, route->codec);
    }
    bulk_route(self->bulk, route);
    if (self->owner != NULL) {
        daemon_owner_plan(self->owner, route->plan_id, &own);
    }
    if (!same) {
        daemon_fetch_replan(self);
    }
}

/* A plan that is not the newest one here is not followed: the coordinator fetches all by itself. */
static void take_deliver(struct daemon *self, const struct wire_deliver *deliver)
{
    if (deliver->plan_id != self->route.plan_id || self->route.owner_count == 0 ||
        offers_find(&self->offers, deliver->blob_id) == NULL) {
        log_warn("peer", "deliver_ignored", "plan=%" PRIu64 " blob=%" PRIu64, deliver->plan_id,
                 deliver->blob_id);
        return;
    }
    bulk_deliver(self->bulk, deliver);
    if (self->owner != NULL && own_range(self).chunk_count > 0) {
        daemon_owner_deliver(self->owner, deliver->blob_id, deliver->ticket);
    }
}

static void answer_probe(struct daemon *self, const struct channel_message *incoming)
{
    size_t size_bytes = 0;
    if (self->incoming.as.probe.answer || self->channel == NULL ||
        !pace_may_answer(&self->pace, self->now_ms)) {
        return;
    }
    self->outgoing.type = WIRE_PROBE;
    self->outgoing.as.probe = self->incoming.as.probe;
    self->outgoing.as.probe.answer = true;
    if (wire_encode(&self->outgoing, self->head, WIRE_HEAD_MAX, &size_bytes) != STATUS_OK ||
        channel_client_send(self->channel, self->head, size_bytes, incoming->body,
                            incoming->body_size_bytes) != STATUS_OK) {
        log_event(LOG_DEBUG, "peer", "not_sent", "message=probe");
        return;
    }
    pace_sent(&self->pace, incoming->body_size_bytes, self->now_ms);
}

void daemon_plan_follow(struct daemon *self)
{
    const struct wire_welcome *welcome = &self->incoming.as.welcome;
    const struct daemon_owner_run run = {.run_id = welcome->run_id,
                                         .value_count = self->value_count,
                                         .step_tokens = welcome->step_tokens};
    if (self->owner != NULL && self->value_count > 0) {
        daemon_owner_follow(self->owner, &run);
    }
}

void daemon_plan_message(struct daemon *self, const struct channel_message *incoming)
{
    const struct wire_message *message = &self->incoming;
    if (message->type == WIRE_ROUTE) {
        take_route(self, &message->as.route);
    } else if (message->type == WIRE_DELIVER) {
        take_deliver(self, &message->as.deliver);
    } else if (message->type == WIRE_PROBE) {
        answer_probe(self, incoming);
    }
    if (self->owner == NULL) {
        return;
    }
    if (message->type == WIRE_SET) {
        daemon_owner_set(self->owner, &message->as.set, incoming->body, incoming->body_size_bytes);
    } else if (message->type == WIRE_COMMITTED) {
        daemon_owner_committed(self->owner, message->as.committed.step);
        self->latest = message->as.committed;
        daemon_fetch_own(self);
    }
}

static void hear_owners(struct daemon *self)
{
    struct bulk_news news;
    unsigned budget = OWNERS_MESSAGES_PER_TURN;
    while (bulk_receive(self->bulk, &budget, &news)) {
        uint32_t source = 1 + news.owner;
        if (news.type == BULK_CHUNK) {
            daemon_take_chunk(self, source, &news.message);
        } else if (self->shelf.coming != NULL && news.type == BULK_ALIVE) {
            fetch_heard(self->shelf.coming, source, self->now_ms);
        } else if (self->shelf.coming != NULL) {
            fetch_owner_out(self->shelf.coming, source);
        }
        channel_message_close(&news.message);
        if (self->over) {
            return;
        }
    }
    self->more = self->more || budget == 0;
}

void daemon_plan_turn(struct daemon *self)
{
    bulk_tend(self->bulk, self->now_ms);
    hear_owners(self);
    if (self->owner == NULL) {
        return;
    }
    self->more = daemon_owner_turn(self->owner, self->now_ms) || self->more;
    if (self->session.phase == SESSION_TRAIN &&
        daemon_owner_holds(self->owner, self->now_ms, &self->outgoing.as.holds)) {
        self->outgoing.type = WIRE_HOLDS;
        daemon_send(self);
    }
}

/* Who owns chunks of the last update passes them on before it ends. */
bool daemon_lingers(struct daemon *self)
{
    if (self->result != STATUS_OK || self->owner == NULL || self->channel == NULL ||
        own_range(self).chunk_count == 0) {
        return false;
    }
    self->over_ms = self->over_ms == 0 ? self->now_ms : self->over_ms;
    uint64_t elapsed_ms = self->now_ms - self->over_ms;
    bool wanted = daemon_owner_is_wanted(self->owner) ||
                  (self->shelf.coming != NULL && daemon_fetches_own(self));
    return elapsed_ms < LINGER_MS || (wanted && elapsed_ms < LINGER_MS_MAX);
}
