#include "common/check.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/secret.h"
#include "peer/daemon/daemon_state.h"
#include "proto/attest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each hello has a number of its own, also one that is repeated. False: none could be had. */
static bool take_sequence(struct daemon *self, uint64_t *out)
{
    enum status status = sequence_next(self->options->sequence, out);
    if (status == STATUS_CANNOT_CREATE && self->session.welcomed) {
        /* What was computed must not be lost because the disk is full for a while. */
        log_warn("peer", "not_sent", "message=hello reason=\"%s\"", fault_text());
        return false;
    }
    if (status != STATUS_OK) {
        daemon_fail(self, status);
    }
    return status == STATUS_OK;
}

static void send_hello(struct daemon *self, uint64_t version_held)
{
    struct wire_hello *hello = &self->outgoing.as.hello;
    memset(hello, 0, sizeof *hello);
    if (self->cut_off || !take_sequence(self, &hello->sequence)) {
        return;
    }
    self->outgoing.type = WIRE_HELLO;
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    memcpy(hello->public_key, self->identity->public_key, sizeof hello->public_key);
    memcpy(hello->token, self->options->link.token, sizeof hello->token);
    (void)snprintf(hello->name, sizeof hello->name, "%s", self->options->name);
    hello->thread_count = (uint32_t)self->options->compute.thread_count;
    hello->version_held = version_held;
    hello->digest_held = self->digest;
    hello->computes = !self->options->aggregates_only;
    hello->aggregates = self->owner != NULL;
    if (self->owner != NULL) {
        (void)snprintf(hello->bulk_address, sizeof hello->bulk_address, "%s:%u",
                       self->options->bulk_host, (unsigned)daemon_owner_port(self->owner));
    }
    hello->up_bytes_per_s_max = self->options->up_bytes_per_s_max;
    hello->down_bytes_per_s_max = self->options->down_bytes_per_s_max;
    attest_hello_sign(self->identity, self->options->link.coordinator_key, hello);
    daemon_send(self);
    /* The token stays in the options alone. */
    secret_wipe(hello->token, sizeof hello->token);
    secret_wipe(self->head, WIRE_HEAD_MAX);
}

_Static_assert((int)WORK_RANGES_MAX <= (int)WIRE_RANGES_MAX, "a claim holds all ranges");
_Static_assert((int)WORK_LEASES_MAX <= (int)WIRE_CLAIM_LEASES_MAX, "and all leases");

static uint32_t list_ranges(const struct work_range *ranges, size_t count, struct sample_range *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct sample_range){.first = ranges[i].first, .count = ranges[i].count};
    }
    return (uint32_t)count;
}

/* What the accumulator holds, or is lent and will hold, and the leases that have not ended. */
static void list_work(struct daemon *self, struct wire_claim *claim)
{
    struct work_range ranges[WORK_RANGES_MAX];
    (void)pthread_mutex_lock(&self->shared.lock);
    const struct work *work = &self->session.work;
    claim->range_count = list_ranges(ranges, work_owned(work, ranges), claim->ranges);
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &work->leases[i];
        if (lease->id != 0 && lease->done < lease->count) {
            claim->leases[claim->lease_count++] = (struct wire_claim_lease){.lease_id = lease->id,
                                                                            .first = lease->first,
                                                                            .count = lease->count,
                                                                            .done = lease->done};
        }
    }
    (void)pthread_mutex_unlock(&self->shared.lock);
}

static void send_claim(struct daemon *self, bool claims_work)
{
    struct work_range ranges[WORK_RANGES_MAX];
    struct wire_claim *claim = &self->outgoing.as.claim;
    self->outgoing.type = WIRE_CLAIM;
    claim->step = self->session.version;
    claim->range_count = 0;
    claim->lease_count = 0;
    claim->kept_count = list_ranges(ranges, offers_samples(&self->offers, ranges), claim->kept);
    if (claims_work) {
        list_work(self, claim);
    }
    daemon_send(self);
}

static void send_message(struct daemon *self, const struct session_action *action)
{
    if (action->send == WIRE_HELLO) {
        send_hello(self, action->as.version_held);
        return;
    }
    if (action->send == WIRE_CLAIM) {
        send_claim(self, action->as.claims_work);
        return;
    }
    self->outgoing.type = action->send;
    switch (action->send) {
    case WIRE_READY:
        self->outgoing.as.ready = action->as.ready;
        break;
    case WIRE_PROGRESS:
        self->outgoing.as.progress = action->as.progress;
        break;
    case WIRE_YIELDED:
        self->outgoing.as.yielded = action->as.yielded;
        break;
    case WIRE_APPLIED:
        self->outgoing.as.applied = action->as.applied;
        break;
    case WIRE_ALIVE:
    case WIRE_LEAVE:
        break;
    case WIRE_HELLO:
    case WIRE_WELCOME:
    case WIRE_REFUSED:
    case WIRE_LEASE:
    case WIRE_RECLAIM:
    case WIRE_COLLECT:
    case WIRE_CONTRIBUTION:
    case WIRE_VERDICT:
    case WIRE_COMMITTED:
    case WIRE_GRANT:
    case WIRE_FINISHED:
    case WIRE_CLAIM:
    case WIRE_CLAIMED:
    case WIRE_ROUTE:
    case WIRE_DELIVER:
    case WIRE_OPEN:
    case WIRE_SET:
    case WIRE_HOLDS:
    case WIRE_RATES:
    case WIRE_PROBE: /* hello, claim and contribution have their own ways */
    case WIRE_TYPE_END:
    default:
        CHECK(false);
    }
    daemon_send(self);
}

static void send_offer(struct daemon *self, const struct offer *offer)
{
    self->outgoing.type = WIRE_CONTRIBUTION;
    self->outgoing.as.contribution = offer->facts;
    attest_contribution_sign(self->identity, &self->session.run_id,
                             &self->outgoing.as.contribution);
    daemon_send(self);
}

/* The accumulator's content with exactly the samples inside it. NULL: the daemon ends. */
static struct offer *encode(struct daemon *self, uint64_t id)
{
    size_t size_bytes = compute_encoded_bytes(self->compute);
    uint8_t *data = malloc(size_bytes);
    enum status status = data != NULL ? compute_encode(self->compute, data) : STATUS_NO_MEMORY;
    if (status != STATUS_OK) {
        free(data);
        daemon_fail(self, fault(status,
                                "the gradient cannot be encoded (%s); this machine's "
                                "samples go to others",
                                status_text(status)));
        return NULL;
    }
    enum codec codec = compute_offer_codec(self->compute);
    struct offer *offer = /* NOLINT(clang-analyzer-unix.Malloc): it takes the data */
        offers_add(&self->offers, id, codec, data, size_bytes);
    (void)pthread_mutex_lock(&self->shared.lock);
    struct work *work = &self->session.work;
    offer->facts.step = work->held_step;
    offer->facts.range_count = list_ranges(work->held, work->held_count, offer->facts.ranges);
    offer->facts.tokens = work->held_samples * work->context;
    offer->facts.stale_tokens = work->held_stale * work->context;
    offer->facts.loss_sum = work->held_loss_sum;
    work_clear_held(work);
    (void)pthread_mutex_unlock(&self->shared.lock);
    self->held_samples = 0;
    return offer;
}

static void hand_in(struct daemon *self, uint64_t id)
{
    struct offer *offer = encode(self, id);
    if (offer != NULL) {
        send_offer(self, offer);
        offer->facts.again = true; /* whenever it is offered from now on */
    }
}

/* It is one of several of its step, whenever it is offered. */
static void set_aside(struct daemon *self, uint64_t id)
{
    struct offer *offer = encode(self, id);
    if (offer != NULL) {
        offer->facts.again = true;
        log_info("peer", "set_aside", "step=%" PRIu64 " tokens=%" PRIu64, offer->facts.step,
                 offer->facts.tokens);
    }
}

static void offer_again(struct daemon *self, uint64_t id)
{
    const struct offer *offer = offers_find(&self->offers, id);
    CHECK(offer != NULL); /* the session says which are kept */
    log_info("peer", "offered_again", "step=%" PRIu64 " tokens=%" PRIu64, offer->facts.step,
             offer->facts.tokens);
    send_offer(self, offer);
}

static void report_mismatch(struct daemon *self)
{
    self->mismatches++;
    progress_break(&self->progress);
    log_error("peer", "digest_mismatch",
              "count=%" PRIu64 " reason=\"the parameters here are not the coordinator's; "
              "fetching them again\"",
              self->mismatches);
}

static void reconnect(struct daemon *self)
{
    if (!self->told_away) {
        self->told_away = true;
        progress_break(&self->progress);
        log_warn("peer", "reconnecting", "address=%s", self->options->link.address);
    }
    daemon_line_close(self);
    channel_client_drop(self->channel); /* what it still had to say must not come after a hello */
    daemon_forget_uploads(self);
    self->flow = (struct pace_flow){.delivered_bytes = 0};
    self->channel = NULL;
    self->connections = 0;
    self->cut_off = true; /* hellos would pile up; one is said when the connection stands */
    enum status status = daemon_connect(self);
    if (status != STATUS_OK) {
        daemon_fail(self, status);
    }
}

static void tell_applied(struct daemon *self, struct digest digest)
{
    shelf_finish(&self->shelf, self->owner != NULL);
    self->digest = digest;
    struct session_event event = {.type = SESSION_APPLIED, .digest = digest};
    daemon_step(self, &event);
    if (self->session.update_count > 0) {
        daemon_fetch_own(self); /* unless the session fetches all of it */
    }
}

static void end(struct daemon *self, const struct session_action *action)
{
    progress_break(&self->progress);
    self->over = true;
    self->result = action->status;
    if (action->status == STATUS_NO_HOST && self->wrong_key_ms > 0) {
        self->result = daemon_shut_out(self);
    } else if (action->status == STATUS_NO_HOST) {
        self->result = fault(STATUS_NO_HOST,
                             "nobody answers at %s; check that the coordinator runs and that "
                             "this port can be reached",
                             self->options->link.address);
    } else if (action->status != STATUS_OK) {
        self->result = fault(action->status, "the coordinator refused: %s", action->text);
    } else {
        log_info("peer", "ended", "reason=\"%s\" tokens=%" PRIu64, action->text,
                 self->progress.tokens);
    }
}

void daemon_act(struct daemon *self, const struct session_action *action)
{
    switch (action->type) {
    case SESSION_SEND:
        send_message(self, action);
        break;
    case SESSION_SETUP:
        daemon_set_up(self);
        break;
    case SESSION_FETCH:
        daemon_fetch(self, &action->ref, action->codec);
        break;
    case SESSION_LOAD:
        tell_applied(self, compute_load(self->compute, fetch_data(self->shelf.coming)));
        break;
    case SESSION_APPLY:
        tell_applied(
            self, compute_apply(self->compute, self->coming_codec, fetch_data(self->shelf.coming)));
        break;
    case SESSION_ENCODE:
        hand_in(self, action->offer_id);
        break;
    case SESSION_SET_ASIDE:
        set_aside(self, action->offer_id);
        break;
    case SESSION_OPEN:
        compute_open(self->compute, action->ahead);
        daemon_step(self, &(struct session_event){.type = SESSION_OPENED});
        break;
    case SESSION_OFFER_AGAIN:
        offer_again(self, action->offer_id);
        break;
    case SESSION_DROP_OFFER:
        offers_drop(&self->offers, action->offer_id);
        break;
    case SESSION_DISCARD:
        if (self->compute != NULL) {
            compute_discard(self->compute);
        }
        self->held_samples = 0;
        break;
    case SESSION_DROP_OFFERS:
        offers_clear(&self->offers);
        break;
    case SESSION_RECONNECT:
        reconnect(self);
        break;
    case SESSION_MISMATCH:
        report_mismatch(self);
        break;
    case SESSION_EXIT:
        end(self, action);
        break;
    default:
        CHECK(false);
    }
}
