#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct session *session_of(struct server *self, uint32_t peer)
{
    CHECK(peer < SESSIONS_MAX);
    return &self->sessions->items[peer];
}

/* The windows of text go along: peers hold no data. The fact that it was given comes first. */
static enum status send_lease(struct server *self, const struct core_action *action)
{
    const struct journal_lease fact = server_lease_fact(self, action);
    enum status status = store_lease(self->store, &fact);
    if (status != STATUS_OK) {
        return status;
    }
    size_t window = self->run->config.context + 1U;
    uint16_t *tokens = (uint16_t *)(void *)self->body;
    for (uint32_t i = 0; i < action->count; i++) {
        dataset_read(self->data, sampler_offset(&self->sampler, fact.samples.first + i), window,
                     tokens + i * window);
    }
    self->message.type = WIRE_LEASE;
    self->message.as.lease = (struct wire_lease){.lease_id = action->lease_id,
                                                 .step = action->step,
                                                 .version = action->version,
                                                 .samples = fact.samples,
                                                 .duration_ms = action->duration_ms};
    session_of(self, action->peer)->leases_open++;
    server_send(self, session_of(self, action->peer), self->body,
                action->count * window * sizeof *tokens);
    return STATUS_OK;
}

static void send_reclaim(struct server *self, const struct core_action *action)
{
    self->message.type = WIRE_RECLAIM;
    self->message.as.reclaim =
        (struct wire_reclaim){.lease_id = action->lease_id, .keep = action->count};
    server_send(self, session_of(self, action->peer), NULL, 0);
}

static void send_verdict(struct server *self, const struct core_action *action)
{
    struct session *session = session_of(self, action->peer);
    struct wire_verdict *verdict = &self->message.as.verdict;
    if (session->offer == NULL) {
        return;
    }
    self->message.type = WIRE_VERDICT;
    verdict->blob_id = session->offer->blob.id;
    verdict->accepted = action->ok;
    (void)snprintf(verdict->text, sizeof verdict->text, "%s", action->text);
    if (!action->ok) {
        self->status.refused_contributions++;
    }
    if (!action->ok && server_may_tell(self)) {
        log_warn("step", "contribution_refused", "peer=%s step=%" PRIu64 " reason=\"%s\"",
                 session->id, session->offer->step, action->text);
    }
    server_upload_end(self, session);
    server_send(self, session, NULL, 0);
    if (action->blamed) {
        (void)server_offend(self, session, CONDUCT_REFUSED_WORK, action->text);
    }
}

static enum status add_contribution(struct server *self, const struct core_action *action)
{
    struct session *session = session_of(self, action->peer);
    const struct wire_contribution *offer = session->offer;
    bool merged = server_gather_is_merged(self, session);
    CHECK(offer != NULL && (merged || session->receiver != NULL));
    const struct journal_contribution item = {.tokens = offer->tokens,
                                              .loss_sum = offer->loss_sum,
                                              .range_count = offer->range_count,
                                              .ranges = offer->ranges};
    enum status added = contributions_reserve(&self->contributions);
    if (added == STATUS_OK && merged) {
        added = aggregate_count(self->aggregate, offer->tokens, offer->loss_sum);
    } else if (added == STATUS_OK) {
        added = aggregate_add(self->aggregate, offer->codec, blob_receiver_data(session->receiver),
                              offer->blob.size_bytes, offer->tokens, offer->loss_sum);
    }
    if (merged && added != STATUS_OK) {
        return fault(STATUS_NO_MEMORY, "what is summed already cannot be recorded");
    }
    if (added == STATUS_OK) {
        enum status status = contributions_add(&self->contributions, &item);
        if (status != STATUS_OK) {
            return fault(status, "no memory to record a contribution");
        }
        if (!merged) {
            server_gather_count(self, offer->tokens);
        }
        memcpy(self->contributions.items[self->contributions.count - 1].key, session->public_key,
               IDENTITY_KEY_BYTES);
        self->contributions.stale_tokens += offer->stale_tokens;
        server_conduct_counted(self, session);
    }
    struct core_event event = {.type = CORE_ADDED, .peer = action->peer, .ok = added == STATUS_OK};
    server_push_first(self, &event);
    return STATUS_OK;
}

static void announce(struct server *self, const struct wire_committed *committed)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        if (self->sessions->items[i].used && !self->sessions->items[i].away) {
            self->message.type = WIRE_COMMITTED;
            self->message.as.committed = *committed;
            server_send(self, &self->sessions->items[i], NULL, 0);
        }
    }
}

static void note_step(struct server *self, const struct journal_step *step, uint64_t now_ms)
{
    uint64_t elapsed_ms = self->step_began_ms > 0 ? now_ms - self->step_began_ms : 0;
    self->step_began_ms = now_ms;
    if (elapsed_ms > 0) {
        double rate = (double)step->tokens * 1000.0 / (double)elapsed_ms;
        double old = self->status.tokens_per_s;
        self->status.tokens_per_s = old > 0.0 ? old + 0.2 * (rate - old) : rate;
    }
    self->status.stale_tokens += self->contributions.stale_tokens;
    self->status.stale_share = (double)self->contributions.stale_tokens / (double)step->tokens;
    log_info("step", "committed",
             "step=%" PRIu64 " loss=%.4f grad_l2=%.3f lr=%.3g tokens_per_s=%.0f peers=%" PRIu32
             " contributions=%zu stale=%.3f",
             step->step + 1, store_state(self->store)->loss_last, step->grad_l2,
             step->learning_rate, self->status.tokens_per_s, self->sessions->count,
             step->contribution_count, self->status.stale_share);
}

/* The step goes into the journal as what the master has just made of the sums. */
static enum status record_step(struct server *self, const struct aggregate_result *result,
                               struct journal_step *out)
{
    const struct journal_state *state = store_state(self->store);
    *out = (struct journal_step){
        .step = state->version,
        .samples = {.first = state->sample_first, .count = state->settings.target_batch},
        .tokens = result->tokens,
        .loss_sum = result->loss_sum,
        .grad_l2 = result->grad_l2,
        .learning_rate = result->learning_rate,
        .unix_ms = clock_unix_ms(),
        .digest = result->digest,
        .mean_codec = state->settings.mean_codec,
        .contribution_count = self->contributions.count,
        .contributions = self->contributions.items};
    return store_commit(self->store, out);
}

/* Sums become an update: durable in the journal first, then published. */
static enum status commit_step(struct server *self, const struct core_action *action,
                               uint64_t now_ms)
{
    struct aggregate_result result;
    struct journal_step step;
    enum codec update_codec = store_state(self->store)->settings.update_codec;
    enum status status =
        aggregate_commit(self->aggregate, publisher_next_update(self->publisher), &result);
    if (status == STATUS_OK) {
        status = record_step(self, &result, &step);
    }
    if (status != STATUS_OK) {
        return status;
    }
    self->sample_first = store_state(self->store)->sample_first;
    self->digests[(action->step + 1) % DIGESTS_KEPT] = result.digest;
    struct wire_committed committed = {.step = action->step,
                                       .loss = store_state(self->store)->loss_last,
                                       .tokens = result.tokens,
                                       .digest = result.digest,
                                       .codec = update_codec};
    publisher_add(self->publisher, &committed);
    server_gather_end(self);
    server_routes_committed(self, action->step, now_ms); /* a new plan is told first */
    announce(self, &committed);
    note_step(self, &step, now_ms);
    contributions_clear(&self->contributions_before);
    self->contributions_before = self->contributions;
    self->contributions = (struct contributions){0};
    /* After the last step whoever asked is told that the run is finished: then nothing changes. */
    bool last = store_state(self->store)->version == self->run->config.step_count;
    if (!last) {
        status = server_set_update_codec(self, server_routes_update_codec(self));
    }
    if (status == STATUS_OK && (action->step + 1) % self->run->config.checkpoint_every == 0) {
        status = server_checkpoint(self);
    }
    if (status == STATUS_OK && self->settings_wait && !core_next_begun(self->core) && !last) {
        status = server_change_settings(self);
    }
    self->status_ms = 0; /* status.json is due */
    server_push(self, &(struct core_event){.type = CORE_COMMITTED});
    return status;
}

static void expel(struct server *self, const struct core_action *action)
{
    struct session *session = session_of(self, action->peer);
    server_conduct_wasted(self, session, action->held);
    server_upload_end(self, session);
    server_bulk_end(self, session);
    server_routes_leave(self, session);
    sessions_remove(self->sessions, session);
    log_warn("peers", "lost", "peer=%s name=\"%s\" reason=\"%s\" peers=%" PRIu32, session->id,
             session->name, session->away ? "did not come back" : action->text,
             self->sessions->count);
}

static void send_claim_answer(struct server *self, const struct core_action *action)
{
    struct session *session = session_of(self, action->peer);
    self->message.type = WIRE_CLAIMED;
    self->message.as.claimed = (struct wire_claimed){.step = action->step, .accepted = action->ok};
    log_info("peers", "claimed", "peer=%s step=%" PRIu64 " accepted=%s", session->id, action->step,
             action->ok ? "yes" : "no");
    server_send(self, session, NULL, 0);
}

enum status server_act(struct server *self, const struct core_action *action, uint64_t now_ms)
{
    bool to_peer = action->type != CORE_COMMIT && action->type != CORE_FINISHED;
    if (to_peer && !session_of(self, action->peer)->used) {
        return STATUS_OK; /* dropped a moment ago; the core is about to be told */
    }
    switch (action->type) {
    case CORE_LEASE:
        return send_lease(self, action);
    case CORE_RECLAIM:
        send_reclaim(self, action);
        return STATUS_OK;
    case CORE_COLLECT:
        server_routes_collecting(self, now_ms);
        self->message.type = WIRE_COLLECT;
        self->message.as.collect.step = action->step;
        server_send(self, session_of(self, action->peer), NULL, 0);
        return STATUS_OK;
    case CORE_FETCH:
        if (!server_gather_fetch(self, session_of(self, action->peer), now_ms)) {
            server_upload_start(self, session_of(self, action->peer), now_ms);
        }
        return STATUS_OK;
    case CORE_ADD:
        return add_contribution(self, action);
    case CORE_VERDICT:
        send_verdict(self, action);
        return STATUS_OK;
    case CORE_COMMIT:
        return commit_step(self, action, now_ms);
    case CORE_EXPEL:
        expel(self, action);
        return STATUS_OK;
    case CORE_CLAIM_ANSWER:
        send_claim_answer(self, action);
        return STATUS_OK;
    case CORE_FINISHED:
        self->finishing = true;
        self->finishing_ms = now_ms;
        return STATUS_OK;
    default:
        CHECK(false);
    }
}
