#include "peer/daemon/daemon_owner.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "peer/daemon/owner_state.h"
#include "proto/codec/chunks.h"
#include "proto/codec/sum_pack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum status daemon_owner_new(struct channel_set *set, const struct daemon_owner_settings *settings,
                             struct daemon_owner **out)
{
    *out = NULL;
    struct daemon_owner *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to aggregate for others");
    }
    self->settings = *settings;
    enum status status = guests_init(&self->guests);
    if (status == STATUS_OK &&
        identity_curve_of(settings->coordinator_key, self->coordinator_curve) != STATUS_OK) {
        status = fault(STATUS_USAGE, "the key in the join link is no key; ask for a new link");
    }
    if (status == STATUS_OK) {
        status = fractions_new(settings->memory_bytes_max, &self->fractions);
    }
    self->sum = malloc(sum_pack_bytes_max(CODEC_CHUNK_VALUES));
    self->head = malloc(WIRE_HEAD_MAX);
    if (status == STATUS_OK && (self->sum == NULL || self->head == NULL)) {
        status = fault(STATUS_NO_MEMORY, "no memory to aggregate for others");
    }
    if (status == STATUS_OK) {
        status = channel_server_new(set, CHANNEL_BULK, settings->listen, settings->identity,
                                    &self->server);
    }
    if (status != STATUS_OK) {
        daemon_owner_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void daemon_owner_free(struct daemon_owner *self)
{
    if (self == NULL) {
        return;
    }
    channel_server_free(self->server);
    fractions_free(self->fractions);
    guests_deinit(&self->guests);
    free(self->sum);
    free(self->head);
    free(self);
}

uint16_t daemon_owner_port(const struct daemon_owner *self)
{
    return channel_server_port(self->server);
}

void daemon_owner_follow(struct daemon_owner *self, const struct daemon_owner_run *run)
{
    self->follows = run->value_count > 0 && chunks_count(run->value_count) <= BLOB_CHUNKS_MAX;
    self->run = *run;
}

enum status owner_check_ticket(const struct daemon_owner *self, const uint8_t bytes[TICKET_BYTES],
                               const uint8_t curve_key[IDENTITY_KEY_BYTES], struct ticket *out)
{
    uint8_t curve[IDENTITY_KEY_BYTES];
    if (!self->follows || ticket_open(bytes, self->settings.coordinator_key, out) != STATUS_OK ||
        !digest_equal(&out->run_id, &self->run.run_id) || out->expires_unix_ms <= clock_unix_ms() ||
        identity_curve_of(out->peer_key, curve) != STATUS_OK ||
        memcmp(curve, curve_key, sizeof curve) != 0) {
        return STATUS_REFUSED;
    }
    return STATUS_OK;
}

struct guest_delivery owner_delivery_of(const struct ticket *ticket, uint64_t blob_id)
{
    return (struct guest_delivery){
        .blob_id = blob_id,
        .step = ticket->step,
        .plan_id = ticket->plan_id,
        .root = ticket->root,
        .part = {.serial = ticket->serial, .codec = ticket->codec, .tokens = ticket->tokens}};
}

/* Errors: those of fractions_begin. */
static enum status begin_task(struct daemon_owner *self, const struct fraction_task *task)
{
    bool further = fractions_belongs(self->fractions, task); /* what is open stays so */
    enum status status = fractions_begin(self->fractions, task);
    if (status != STATUS_OK && status != STATUS_STALE) {
        log_warn("owner", "cannot_sum", "step=%" PRIu64 " chunks=%" PRIu32 " reason=\"%s\"",
                 task->step, task->chunk_count, fault_text());
    }
    if (status == STATUS_STALE || further) {
        return status;
    }
    self->task++; /* nothing is open in it, or there is none */
    self->epoch = 0;
    self->over = false;
    self->told = (struct wire_holds){.step = task->step};
    return status;
}

/* The first contribution of a step comes before its set: the newest plan says which chunks. */
static void begin_by_plan(struct daemon_owner *self, const struct guest_delivery *delivery)
{
    const struct fraction_task *now = fractions_task(self->fractions);
    bool later =
        now == NULL || delivery->step > now->step ||
        (delivery->step == now->step && delivery->plan_id > now->plan_id && self->epoch == 0);
    if (delivery->plan_id == self->plan_id && self->own.chunk_count > 0 && later &&
        delivery->step >= self->version) {
        const struct fraction_task task = {.step = delivery->step,
                                           .plan_id = delivery->plan_id,
                                           .step_tokens = self->run.step_tokens,
                                           .value_count = self->run.value_count,
                                           .first_chunk = self->own.first_chunk,
                                           .chunk_count = self->own.chunk_count};
        (void)begin_task(self, &task);
    }
}

bool owner_open(struct daemon_owner *self, struct guest_delivery *delivery)
{
    if (delivery->task == self->task && self->task > 0) {
        return true;
    }
    begin_by_plan(self, delivery);
    const struct fraction_task *task = fractions_task(self->fractions);
    if (task == NULL || task->step != delivery->step || task->plan_id != delivery->plan_id ||
        fractions_open(self->fractions, &delivery->part) != STATUS_OK) {
        return false;
    }
    fractions_reset_grants(self->fractions, delivery->part.serial);
    delivery->task = self->task;
    delivery->came = 0;
    delivery->unsent.chunk_count = 0;
    return true;
}

/* Contributions that came before the plan, the set or another task are opened now. */
static void open_all(struct daemon_owner *self)
{
    for (uint32_t i = 0; i < self->guests.end; i++) {
        struct guest *guest = &self->guests.items[i];
        for (uint32_t j = 0; guest->used && j < guest->delivery_count; j++) {
            (void)owner_open(self, &guest->deliveries[j]);
        }
    }
    self->tick_ms = 0;
}

void daemon_owner_plan(struct daemon_owner *self, uint64_t plan_id, const struct fetch_range *own)
{
    self->plan_id = plan_id;
    self->own = *own;
    open_all(self);
}

/* A coordinator that started again counts from the beginning: its word is newer than what is here.
 */
static enum status start_over(struct daemon_owner *self, const struct fraction_task *task)
{
    struct fractions *fresh = NULL;
    enum status status = fractions_new(self->settings.memory_bytes_max, &fresh);
    if (status != STATUS_OK) {
        return status;
    }
    fractions_free(self->fractions);
    self->fractions = fresh;
    return begin_task(self, task);
}

static enum status take_set(struct daemon_owner *self, const struct wire_set *set,
                            const uint64_t *serials)
{
    const struct fraction_task task = {.step = set->step,
                                       .plan_id = set->plan_id,
                                       .step_tokens = set->step_tokens,
                                       .value_count = self->run.value_count,
                                       .first_chunk = set->first_chunk,
                                       .chunk_count = set->chunk_count};
    enum status status = begin_task(self, &task);
    if (status == STATUS_STALE) {
        status = start_over(self, &task);
    }
    if (status != STATUS_OK) {
        return status;
    }
    open_all(self);
    status =
        fractions_set(self->fractions, set->first_chunk, set->epoch, serials, set->serial_count);
    if (status == STATUS_STALE) {
        status = start_over(self, &task);
        open_all(self);
        if (status == STATUS_OK) {
            status = fractions_set(self->fractions, set->first_chunk, set->epoch, serials,
                                   set->serial_count);
        }
    }
    return status;
}

void daemon_owner_set(struct daemon_owner *self, const struct wire_set *set, const uint8_t *body,
                      size_t body_size_bytes)
{
    uint64_t *serials = malloc(set->serial_count * sizeof *serials + 1);
    enum status status = !self->follows    ? STATUS_STALE
                         : serials == NULL ? STATUS_NO_MEMORY
                                           : wire_serials_read(set, body, body_size_bytes, serials);
    if (status == STATUS_OK) {
        self->run.step_tokens = set->step_tokens;
        self->over = false;
        status = take_set(self, set, serials);
        self->epoch = status == STATUS_OK ? set->epoch : self->epoch;
    }
    if (status != STATUS_OK) {
        log_warn("owner", "set_refused", "step=%" PRIu64 " epoch=%" PRIu64 " reason=\"%s\"",
                 set->step, set->epoch, status_text(status));
    }
    self->told_ms = 0;
    free(serials);
}

void daemon_owner_grant_sums(struct daemon_owner *self, const struct wire_grant *grant)
{
    enum status status =
        fractions_grant_sums(self->fractions, grant->id, grant->first_chunk, grant->chunk_count);
    if (status != STATUS_OK) {
        log_event(LOG_DEBUG, "owner", "grant_refused", "epoch=%" PRIu64 " reason=\"%s\"", grant->id,
                  status_text(status));
    }
}

void daemon_owner_committed(struct daemon_owner *self, uint64_t step)
{
    const struct fraction_task *task = fractions_task(self->fractions);
    self->version = step + 1;
    self->over = self->over || (task != NULL && task->step <= step);
    self->delivered_count = self->over ? 0 : self->delivered_count;
}

void daemon_owner_deliver(struct daemon_owner *self, uint64_t blob_id,
                          const uint8_t ticket[TICKET_BYTES])
{
    struct ticket facts;
    if (owner_check_ticket(self, ticket, self->settings.identity->curve_public, &facts) !=
            STATUS_OK ||
        facts.kind != TICKET_CONTRIBUTION || self->delivered_count == OFFERS_MAX) {
        log_warn("owner", "ticket_refused", "blob=%" PRIu64, blob_id);
        return;
    }
    for (uint32_t i = 0; i < self->delivered_count; i++) {
        if (self->delivered[i].facts.blob_id == blob_id) {
            self->delivered[i] = (struct own_delivery){owner_delivery_of(&facts, blob_id)};
            return;
        }
    }
    self->delivered[self->delivered_count++] =
        (struct own_delivery){owner_delivery_of(&facts, blob_id)};
}

/* Adds up to `budget` chunks; returns how many. */
static uint32_t add_own(struct daemon_owner *self, struct own_delivery *own,
                        const struct offer *offer, uint32_t budget)
{
    uint64_t serial = own->facts.part.serial;
    uint32_t added = 0;
    uint32_t index = 0;
    if (!owner_open(self, &own->facts)) {
        return 0;
    }
    for (; added < budget && fractions_missing(self->fractions, serial, &index); added++) {
        struct blob_chunk_header header;
        const uint8_t *chunk = NULL;
        if (blob_chunk(&offer->facts.blob, offer->data, offer->tree, index, &header, &chunk) !=
                STATUS_OK ||
            fractions_add(self->fractions, serial, index, chunk, header.size_bytes) != STATUS_OK) {
            break; /* the next report tells the coordinator */
        }
    }
    return added;
}

/* True: there is more. */
static bool add_own_contributions(struct daemon_owner *self)
{
    uint32_t budget = OWNER_OWN_CHUNKS_PER_TURN;
    for (uint32_t i = 0; i < self->delivered_count;) {
        struct own_delivery *own = &self->delivered[i];
        const struct offer *offer = offers_find(self->settings.offers, own->facts.blob_id);
        if (offer == NULL) {
            *own = self->delivered[--self->delivered_count];
            continue;
        }
        budget -= add_own(self, own, offer, budget);
        i++;
    }
    return budget == 0;
}

static enum status say_grant(struct daemon_owner *self, struct guest *guest,
                             struct guest_delivery *delivery)
{
    self->message.type = WIRE_GRANT;
    self->message.as.grant = (struct wire_grant){.kind = BLOB_CONTRIBUTION,
                                                 .id = delivery->blob_id,
                                                 .first_chunk = delivery->unsent.first_chunk,
                                                 .chunk_count = delivery->unsent.chunk_count};
    enum status status = owner_say(self, guest);
    delivery->unsent.chunk_count = status == STATUS_AGAIN ? delivery->unsent.chunk_count : 0;
    return status;
}

void owner_grant(struct daemon_owner *self, struct guest *guest, struct guest_delivery *delivery,
                 uint64_t now_ms)
{
    struct pace *pace = self->settings.pace;
    uint64_t chunk_bytes = codec_encoded_bytes(delivery->part.codec, CODEC_CHUNK_VALUES);
    if (delivery->unsent.chunk_count > 0 && say_grant(self, guest, delivery) != STATUS_OK) {
        return;
    }
    for (;;) {
        uint64_t bytes = pace_may_ask(pace, now_ms);
        self->capped = self->capped || bytes == 0;
        uint32_t window =
            bytes / chunk_bytes < OWNER_WINDOW ? (uint32_t)(bytes / chunk_bytes) + 1 : OWNER_WINDOW;
        if (bytes == 0 || !fractions_grant(self->fractions, delivery->part.serial, window, now_ms,
                                           OWNER_RETRY_MS, &delivery->unsent)) {
            return;
        }
        pace_asked(pace, delivery->unsent.chunk_count * chunk_bytes, now_ms);
        if (say_grant(self, guest, delivery) != STATUS_OK) {
            return;
        }
    }
}

static void grant_all(struct daemon_owner *self, uint64_t now_ms)
{
    self->tick_ms = now_ms;
    self->capped = false;
    for (uint32_t i = 0; !self->over && i < self->guests.end; i++) {
        struct guest *guest = &self->guests.items[i];
        for (uint32_t j = 0; guest->used && j < guest->delivery_count; j++) {
            if (owner_open(self, &guest->deliveries[j])) {
                owner_grant(self, guest, &guest->deliveries[j], now_ms);
            }
        }
    }
}

/* One at each tick: the others wait, counted together. */
static void log_incident(struct daemon_owner *self)
{
    struct channel_incident incident;
    if (channel_server_incident(self->server, &incident)) {
        log_warn("owner", "cut", "reason=%s address=%s count=%" PRIu64,
                 channel_reason_name(incident.reason),
                 incident.host[0] != '\0' ? incident.host : "unknown", incident.count);
    }
}

bool daemon_owner_turn(struct daemon_owner *self, uint64_t now_ms)
{
    bool more = owner_receive(self, now_ms);
    more = add_own_contributions(self) || more;
    bool tick = now_ms - self->tick_ms >= OWNER_TICK_MS;
    if (tick) {
        owner_tell_alive(self, now_ms);
        log_incident(self);
        owner_pardon(self, now_ms);
    }
    if (tick || self->capped) {
        grant_all(self, now_ms);
    }
    return more;
}

static bool same_holds(const struct wire_holds *a, const struct wire_holds *b)
{
    return a->step == b->step && a->epoch == b->epoch && a->parts_held == b->parts_held &&
           a->parts_missing == b->parts_missing && a->sums_ready == b->sums_ready &&
           a->bad_serial == b->bad_serial && a->bad_chunk == b->bad_chunk &&
           a->lacking_count == b->lacking_count && a->lacking_serial == b->lacking_serial &&
           a->torn_serial == b->torn_serial;
}

bool daemon_owner_holds(struct daemon_owner *self, uint64_t now_ms, struct wire_holds *out)
{
    const struct fraction_task *task = fractions_task(self->fractions);
    struct fraction_holds holds;
    if (task == NULL || self->over || now_ms - self->told_ms < OWNER_HOLDS_MS) {
        return false;
    }
    fractions_holds(self->fractions, &holds);
    *out = (struct wire_holds){.step = task->step,
                               .epoch = holds.epoch,
                               .parts_held = holds.parts_held,
                               .parts_missing = holds.parts_missing,
                               .sums_ready = holds.sums_ready,
                               .bad_serial = holds.bad_serial,
                               .bad_chunk = holds.bad_chunk,
                               .lacking_count = holds.lacking_count,
                               .lacking_serial = holds.lacking_serial,
                               .torn_serial = holds.torn_serial};
    if (same_holds(out, &self->told) && now_ms - self->told_ms < OWNER_HOLDS_AGAIN_MS) {
        return false;
    }
    self->told = *out;
    self->told_ms = now_ms;
    return true;
}

bool daemon_owner_next_sum(struct daemon_owner *self, struct daemon_owner_sum *out)
{
    uint32_t chunk = 0;
    if (!fractions_next_sum(self->fractions, &chunk)) {
        return false;
    }
    size_t size_bytes = fractions_pack(self->fractions, chunk, self->sum);
    *out = (struct daemon_owner_sum){.header = {.kind = BLOB_SUM,
                                                .id = self->epoch,
                                                .index = chunk,
                                                .size_bytes = (uint32_t)size_bytes,
                                                .hash = digest_of(self->sum, size_bytes)},
                                     .data = self->sum};
    return true;
}

void daemon_owner_sum_sent(struct daemon_owner *self, const struct daemon_owner_sum *sum)
{
    fractions_sum_sent(self->fractions, sum->header.index);
}
