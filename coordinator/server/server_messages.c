#include "common/log.h"
#include "common/secret.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_incident.h"
#include "coordinator/server/server_members.h"
#include "coordinator/server/server_rest.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"
#include "proto/attest.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A peer says something each second. */
enum { SPEAKS_MS = 2000 };

/* Sends self->message over a connection that has no session. */
static void answer(struct server *self, uint64_t connection)
{
    size_t head_size_bytes = 0;
    if (wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &head_size_bytes) != STATUS_OK ||
        channel_server_send(self->channel, connection, self->head, head_size_bytes, NULL, 0) !=
            STATUS_OK) {
        log_event(LOG_DEBUG, "peers", "unreachable", "message=%s",
                  wire_type_name(self->message.type));
    }
}

static void refuse(struct server *self, uint64_t connection, enum wire_refusal code,
                   const char *text)
{
    struct wire_refused *refused = &self->message.as.refused;
    self->message.type = WIRE_REFUSED;
    refused->code = code;
    (void)snprintf(refused->text, sizeof refused->text, "%s", text);
    answer(self, connection);
}

void server_tell_unknown(struct server *self, struct session *session)
{
    refuse(self, session->connection, WIRE_REFUSED_UNKNOWN,
           "the run's settings changed; say hello");
}

void server_tell_refused(struct server *self, struct session *session, enum wire_refusal code,
                         const char *text)
{
    refuse(self, session->connection, code, text);
}

void server_tell_gone(struct server *self, struct session *session)
{
    refuse(self, session->connection, WIRE_REFUSED_GONE, "that version is no longer kept");
}

static enum status fill_welcome(struct server *self, bool has_snapshot)
{
    const struct run_config *config = &self->run->config;
    struct wire_welcome *welcome = &self->message.as.welcome;
    char *json = NULL;
    enum status status = model_config_to_json(&config->model, &json);
    if (status != STATUS_OK) {
        return status;
    }
    self->message.type = WIRE_WELCOME;
    (void)snprintf(welcome->run_name, sizeof welcome->run_name, "%s", config->name);
    (void)snprintf(welcome->model_json, sizeof welcome->model_json, "%s", json);
    free(json);
    welcome->run_id = self->run->run_id;
    welcome->context = config->context;
    welcome->step_tokens = server_step_tokens(self);
    welcome->codec = store_state(self->store)->settings.codec;
    welcome->has_snapshot = has_snapshot;
    welcome->max_staleness = config->max_staleness;
    welcome->predicts = config->predict;
    welcome->bulk_port = self->status.bulk_port;
    return STATUS_OK;
}

/* The peer holds this run's own parameters, as far as the digests reach back. */
static bool is_of_run(const struct server *self, const struct wire_hello *hello, uint64_t version)
{
    uint64_t held = hello->version_held;
    return held >= self->digest_first && held <= version && version - held < DIGESTS_KEPT &&
           digest_equal(&hello->digest_held, &self->digests[held % DIGESTS_KEPT]);
}

/* And the updates that lead from there to the present are all kept. */
static bool can_follow(const struct server *self, const struct wire_hello *hello, uint64_t version)
{
    uint64_t held = hello->version_held;
    return is_of_run(self, hello, version) && held >= self->version_first &&
           (held == version || publisher_committed(self->publisher, held) != NULL);
}

/* The peer's parameters are those of the step in progress, or those that its samples may be
 * computed on as well. */
static bool may_hold_samples(const struct server *self, const struct wire_hello *hello,
                             uint64_t version)
{
    uint64_t held = hello->version_held;
    bool fits = held == version ||
                (self->run->config.max_staleness > 0 && version > 0 && held == version - 1);
    return fits && is_of_run(self, hello, version);
}

/* Sends the welcome and what leads from the peer's parameters, or a snapshot, to the present. */
static void welcome_peer(struct server *self, struct session *session,
                         const struct wire_hello *hello)
{
    struct master *master = aggregate_master(self->aggregate);
    uint64_t version = master_version(master);
    uint64_t held = hello->version_held;
    bool has_snapshot = !can_follow(self, hello, version);
    if (fill_welcome(self, has_snapshot) != STATUS_OK) {
        server_drop(self, session, "no memory");
        return;
    }
    if (has_snapshot) {
        struct blob_ref ref = publisher_snapshot(self->publisher, master_params(master), version);
        self->message.as.welcome.snapshot = ref;
        held = ref.id;
    }
    server_send(self, session, NULL, 0);
    for (uint64_t step = held; step < version; step++) {
        const struct wire_committed *committed = publisher_committed(self->publisher, step);
        if (committed != NULL) {
            self->message.type = WIRE_COMMITTED;
            self->message.as.committed = *committed;
            server_send(self, session, NULL, 0);
        }
    }
}

/* From now on the peer speaks over this connection, and over no other. */
static void admit(struct server *self, struct session *session, uint64_t connection)
{
    session->connection = connection;
    session->heard_ms = self->turn_ms;
    conduct_meet(self->conduct->conduct, session->curve_key, self->turn_ms);
    channel_server_admit(self->channel, connection);
}

/* A peer that comes back with the parameters of the step in progress may still hold samples of it:
 * they stay its own until it has said which. */
static bool welcome_back(struct server *self, struct session *session,
                         const struct wire_hello *hello, const struct channel_message *incoming)
{
    uint64_t version = master_version(aggregate_master(self->aggregate));
    if (!may_hold_samples(self, hello, version)) {
        return false;
    }
    server_upload_end(self, session);
    server_bulk_end(self, session);
    if (sessions_return(self->sessions, session, hello) != STATUS_OK) {
        return false;
    }
    admit(self, session, incoming->connection);
    server_push(self, &(struct core_event){.type = CORE_RETURNED,
                                           .peer = sessions_index(self->sessions, session),
                                           .threads = hello->thread_count});
    store_name_peer(self->store, session->public_key, session->name);
    log_info("peers", "returned", "peer=%s name=\"%s\" threads=%" PRIu32 " peers=%" PRIu32,
             session->id, session->name, session->threads, self->sessions->count);
    welcome_peer(self, session, hello);
    server_routes_join(self, session, hello, incoming->host);
    return true;
}

static void refuse_hello(struct server *self, uint64_t connection, enum wire_refusal code,
                         const char *text)
{
    if (server_may_tell(self)) {
        log_warn("peers", "refused", "reason=\"%s\"", text);
    }
    refuse(self, connection, code, text);
}

/* When a line breaks, its connection is gone, or silent for longer, before its peer comes back over
 * another. One that stands and speaks may be a copy's, or the original's: nobody can tell which. */
static void note_second(struct server *self, const struct session *session,
                        const struct channel_message *incoming)
{
    if (!session->away && session->connection != incoming->connection &&
        self->turn_ms - session->heard_ms < SPEAKS_MS &&
        channel_server_received_bytes(self->channel, session->connection) > 0) {
        server_incident(self, session, incoming->host, "second_connection",
                        "a hello over another connection while the one before stood and spoke");
    }
}

/* Whoever says hello again gets a new session, unless it may still hold samples. */
static void take_hello(struct server *self, const struct channel_message *incoming)
{
    const uint8_t *curve_key = incoming->curve_key;
    struct wire_hello hello = self->message.as.hello;
    const struct hello_answer judged = server_members_judge(self, &hello, incoming);
    sodium_memzero(hello.token, sizeof hello.token);
    if (judged.ignored) {
        return;
    }
    if (judged.refusal != 0) { /* the key's session is another connection's concern */
        refuse_hello(self, incoming->connection, judged.refusal, judged.text);
        return;
    }
    struct session *session = sessions_find(self->sessions, curve_key);
    if (session != NULL) {
        note_second(self, session, incoming);
    }
    if (session != NULL && !self->finishing && welcome_back(self, session, &hello, incoming)) {
        return;
    }
    if (session != NULL) {
        server_drop(self, session, "hello again");
    }
    if (self->finishing) {
        self->message.type = WIRE_FINISHED;
        self->message.as.finished.step_count = core_current_step(self->core);
        answer(self, incoming->connection);
        return;
    }
    if (sessions_add(self->sessions, &hello, curve_key, &session) != STATUS_OK) {
        refuse_hello(self, incoming->connection, WIRE_REFUSED_FULL,
                     "this run has as many peers as it can take; trying again later");
        return;
    }
    admit(self, session, incoming->connection);
    server_push(self, &(struct core_event){.type = CORE_JOINED,
                                           .peer = sessions_index(self->sessions, session),
                                           .threads = hello.thread_count});
    store_name_peer(self->store, session->public_key, session->name);
    log_info("peers", "joined", "peer=%s name=\"%s\" threads=%" PRIu32 " peers=%" PRIu32,
             session->id, session->name, session->threads, self->sessions->count);
    welcome_peer(self, session, &hello);
    server_routes_join(self, session, &hello, incoming->host);
}

static void take_applied(struct server *self, struct session *session, uint64_t now_ms)
{
    const struct wire_applied *applied = &self->message.as.applied;
    uint64_t version = master_version(aggregate_master(self->aggregate));
    bool known = applied->version > self->version_first && applied->version <= version &&
                 version - applied->version < DIGESTS_KEPT;
    if (!known) {
        return;
    }
    server_routes_applied(self, session, applied->version, now_ms);
    if (digest_equal(&applied->digest, &self->digests[applied->version % DIGESTS_KEPT])) {
        self->status.digests_agreed++;
    } else {
        self->status.digest_mismatches++;
        if (server_may_tell(self)) {
            log_error("peers", "digest_mismatch", "peer=%s version=%" PRIu64, session->id,
                      applied->version);
        }
    }
    if (self->finishing && applied->version == version) {
        self->message.type = WIRE_FINISHED;
        self->message.as.finished.step_count = version;
        server_send(self, session, NULL, 0);
        server_drop(self, session, "finished");
    }
}

/* Counts their samples. */
static uint64_t copy_ranges(const struct sample_range *ranges, uint32_t count,
                            struct core_range *out)
{
    uint64_t samples = 0;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = (struct core_range){.first = ranges[i].first, .count = ranges[i].count};
        samples += ranges[i].count;
    }
    return samples;
}

static void take_claim(struct server *self, struct session *session)
{
    const struct wire_claim *claim = &self->message.as.claim;
    (void)copy_ranges(claim->ranges, claim->range_count, self->ranges);
    (void)copy_ranges(claim->kept, claim->kept_count, self->kept);
    for (uint32_t i = 0; i < claim->lease_count; i++) {
        const struct wire_claim_lease *lease = &claim->leases[i];
        self->leases[i] = (struct core_lease){.id = lease->lease_id,
                                              .first = lease->first,
                                              .count = lease->count,
                                              .done = lease->done};
    }
    server_push(self, &(struct core_event){.type = CORE_CLAIMED,
                                           .peer = sessions_index(self->sessions, session),
                                           .step = claim->step,
                                           .ranges = self->ranges,
                                           .range_count = claim->range_count,
                                           .kept = self->kept,
                                           .kept_count = claim->kept_count,
                                           .leases = self->leases,
                                           .lease_count = claim->lease_count});
}

/* The answer to it was lost, and may have been for the last of its step. */
static bool is_counted(const struct server *self, const struct session *session,
                       const struct wire_contribution *offer)
{
    const struct contributions *steps[] = {&self->contributions, &self->contributions_before};
    bool counted = false;
    for (size_t i = 0; i < 2 && offer->again && !counted; i++) {
        counted =
            contributions_have(steps[i], session->public_key, offer->ranges, offer->range_count);
    }
    return counted;
}

static void take_contribution(struct server *self, struct session *session)
{
    const struct wire_contribution *offer = &self->message.as.contribution;
    uint64_t samples = copy_ranges(offer->ranges, offer->range_count, self->ranges);
    if (session->offer != NULL) {
        server_breach(self, session, "offered a contribution before the last was judged");
        return;
    }
    if (offer->tokens != samples * self->run->config.context) {
        server_breach(self, session, "offered a contribution that does not add up");
        return;
    }
    if (!attest_contribution_is_good(offer, &self->run->run_id, session->public_key)) {
        server_incident(self, session, "", "bad_contribution_signature",
                        "a contribution that its key did not sign");
        (void)server_offend(self, session, CONDUCT_FORBIDDEN,
                            "offered a contribution that it did not sign");
        return;
    }
    session->offer = malloc(sizeof *session->offer);
    if (session->offer == NULL) {
        server_drop(self, session, "no memory");
        return;
    }
    *session->offer = *offer;
    struct core_event event = {.type = CORE_OFFERED,
                               .peer = sessions_index(self->sessions, session),
                               .step = offer->step,
                               .ranges = self->ranges,
                               .range_count = offer->range_count,
                               .again = offer->again,
                               .counted = is_counted(self, session, offer)};
    server_push(self, &event);
}

static void push_simple(struct server *self, const struct session *session, struct core_event event)
{
    event.peer = sessions_index(self->sessions, session);
    server_push(self, &event);
}

static void take_ready(struct server *self, const struct session *session, uint64_t version)
{
    bool rests = server_routes_ready(self, session, version);
    rests = server_conduct_rests(self, session) || rests;
    push_simple(self, session,
                (struct core_event){.type = CORE_READY, .version = version, .rests = rests});
}

/* Progress, or what is kept of a lease: never more than the lease has, which only this peer makes
 * smaller. Of a lease that is gone, the core does not care. */
static void take_samples(struct server *self, struct session *session, enum core_event_type type,
                         uint64_t lease_id, uint64_t samples)
{
    uint32_t leased =
        core_lease_samples(self->core, sessions_index(self->sessions, session), lease_id);
    if (leased > 0 && samples > leased) {
        (void)server_offend(self, session, CONDUCT_FALSE_WORD, "did more samples than it was lent");
        return;
    }
    push_simple(self, session,
                (struct core_event){.type = type, .lease_id = lease_id, .samples = samples});
}

static void take_control(struct server *self, struct session *session, uint64_t now_ms)
{
    const struct wire_message *message = &self->message;
    switch (message->type) {
    case WIRE_READY:
        take_ready(self, session, message->as.ready.version);
        break;
    case WIRE_PROGRESS:
        take_samples(self, session, CORE_PROGRESS, message->as.progress.lease_id,
                     message->as.progress.samples_done);
        break;
    case WIRE_YIELDED:
        take_samples(self, session, CORE_YIELDED, message->as.yielded.lease_id,
                     message->as.yielded.kept);
        break;
    case WIRE_CONTRIBUTION:
        take_contribution(self, session);
        break;
    case WIRE_CLAIM:
        take_claim(self, session);
        break;
    case WIRE_APPLIED:
        take_applied(self, session, now_ms);
        break;
    case WIRE_GRANT: {
        const struct wire_grant grant = message->as.grant; /* answers are made where it lies */
        server_download_grant(self, session, &grant);
        break;
    }
    case WIRE_RATES:
        server_routes_rates(self, session, &message->as.rates);
        break;
    case WIRE_HOLDS:
        server_gather_holds(self, session, &message->as.holds, now_ms);
        break;
    case WIRE_ALIVE:
        server_send(self, session, NULL, 0); /* so that the peer knows that we live */
        break;
    case WIRE_LEAVE:
        server_drop(self, session, "left");
        break;
    case WIRE_HELLO:
    case WIRE_WELCOME:
    case WIRE_REFUSED:
    case WIRE_LEASE:
    case WIRE_RECLAIM:
    case WIRE_COLLECT:
    case WIRE_VERDICT:
    case WIRE_COMMITTED:
    case WIRE_FINISHED:
    case WIRE_CLAIMED:
    case WIRE_ROUTE:
    case WIRE_DELIVER:
    case WIRE_OPEN:
    case WIRE_SET:
    case WIRE_PROBE: /* its body counts: server_receive */
    case WIRE_TYPE_END:
    default:
        (void)server_offend(self, session, CONDUCT_FORBIDDEN,
                            "sent a message that only a coordinator sends");
    }
}

/* The session that a message is of; NULL: none. All but a hello belongs to the connection over
 * which the hello was accepted: what comes over another one of the same key, or was meant for the
 * process before this one, has no session. */
static struct session *session_of(struct server *self, const struct channel_message *incoming)
{
    struct session *session = sessions_find(self->sessions, incoming->curve_key);
    return session != NULL && !session->away && session->connection == incoming->connection
               ? session
               : NULL;
}

void server_receive(struct server *self, const struct channel_message *incoming, uint64_t now_ms)
{
    if (incoming->bulk) {
        server_bulk_receive(self, incoming, now_ms);
        return;
    }
    struct session *session = session_of(self, incoming);
    if (session != NULL) {
        session->heard_ms = now_ms;
    }
    if (wire_is_chunk(incoming->head, incoming->head_size_bytes)) {
        if (session == NULL) {
            server_unasked(self, incoming);
            return;
        }
        push_simple(self, session, (struct core_event){.type = CORE_HEARD});
        server_upload_chunk(self, session, incoming, now_ms);
        return;
    }
    if (wire_decode(incoming->head, incoming->head_size_bytes, &self->message) != STATUS_OK) {
        server_malformed(self, incoming);
        return;
    }
    if (self->message.type == WIRE_HELLO) {
        if (server_may_greet(self, incoming)) {
            take_hello(self, incoming);
        }
        secret_wipe(self->message.as.hello.token, sizeof self->message.as.hello.token);
    } else if (session == NULL) {
        if (server_may_answer(self, incoming)) {
            refuse(self, incoming->connection, WIRE_REFUSED_UNKNOWN, "no session; say hello");
        }
    } else {
        server_note_said(session, incoming);
        push_simple(self, session, (struct core_event){.type = CORE_HEARD});
        server_routes_heard(self, session);
        if (!server_may_say(self, session, self->message.type)) {
            return;
        }
        if (self->message.type == WIRE_PROBE) {
            server_rest_answer(self, session, &self->message.as.probe, incoming->body_size_bytes,
                               now_ms);
        } else {
            take_control(self, session, now_ms);
        }
    }
}
