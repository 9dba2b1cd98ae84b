#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_incident.h"
#include "coordinator/server/server_members.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"
#include "proto/channel_listen.h"
#include "trainer/run/run_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEASE_MS = 5000,
    SILENCE_MS_MAX = 6000,
    PATIENCE_MS = 60000,
    FETCH_MS_MAX = 1800000, /* a big gradient over a slow line; a stall is seen much sooner */
    TICK_MS = 100,
    STATUS_MS = 2000,
    FINISHING_MS_MAX = 15000,
    MESSAGES_PER_TURN = 256,
    IO_THREADS = 2,
    TURNS_UNREAD_MAX = 64, /* so that a flood does not starve the timers */
    SERIAL_SHIFT = 32      /* no process gives as many leases */
};

static void warn_of_store(const char *sentence)
{
    log_warn("store", "note", "reason=\"%s\"", sentence);
}

static enum status open_data(struct server *self)
{
    const struct run_config *config = &self->run->config;
    enum status status = run_data_open(config, DATASET_TRAIN, &self->data);
    if (status != STATUS_OK) {
        return status;
    }
    if (dataset_vocab_size(self->data) > config->model.vocab_size) {
        return fault(STATUS_BAD_CONFIG, "the data in %s is not the data this run began with",
                     config->data_folder);
    }
    return sampler_init(&self->sampler, dataset_token_count(self->data), config->context,
                        config->seed);
}

/* Who edited run.yaml would wonder. */
static void tell_settings(const struct server *self)
{
    const struct live_settings *live = &store_state(self->store)->settings;
    const struct run_config *config = &self->run->config;
    if (live->learning_rate != config->schedule.learning_rate ||
        live->target_batch != config->target_batch || live->codec != config->codec ||
        live->mean_codec != config->mean_codec) {
        log_info("run", "settings",
                 "learning_rate=%.9g target_batch=%" PRIu32 " codec=%s journal=%s "
                 "reason=\"the journal's, which differ from run.yaml's; 'set' changes them\"",
                 live->learning_rate, live->target_batch, codec_name(live->codec),
                 codec_name(live->mean_codec));
    }
}

/* Peers that were told of the last step by the process before this one may still be at the version
 * before it, and hold samples of the step in progress. */
static enum status find_digest_before(struct server *self)
{
    bool found = false;
    uint64_t version = self->version_first;
    self->digest_first = version;
    if (version == 0 || self->run->config.max_staleness == 0) {
        return STATUS_OK;
    }
    struct digest *digest = &self->digests[(version - 1) % DIGESTS_KEPT];
    enum status status = store_digest(self->store, version - 1, digest, &found);
    self->digest_first -= found ? 1 : 0;
    return status;
}

static enum status open_state(struct server *self, size_t thread_count)
{
    enum status status = aggregate_new(self->run, thread_count, &self->aggregate);
    if (status != STATUS_OK) {
        return status;
    }
    struct master *master = aggregate_master(self->aggregate);
    status = store_open(self->run, master, aggregate_slices(self->aggregate), warn_of_store,
                        &self->store);
    if (status != STATUS_OK) {
        return status;
    }
    tell_settings(self);
    /* A coordinator that begins has no plan. */
    status = server_set_update_codec(self, store_state(self->store)->settings.codec);
    if (status != STATUS_OK) {
        return status;
    }
    self->version_first = master_version(master);
    self->sample_first = store_state(self->store)->sample_first;
    self->digests[self->version_first % DIGESTS_KEPT] =
        params_digest(master_params(master), layout_value_count(self->run->layout));
    status = find_digest_before(self);
    if (status != STATUS_OK) {
        return status;
    }
    status =
        checkpoint_path(self->run, store_checkpoint_version(self->store), self->status.checkpoint);
    if (status != STATUS_OK) {
        return status;
    }
    return server_follow_settings(self);
}

static enum status open_core(struct server *self)
{
    const struct run_config *config = &self->run->config;
    const struct journal_state *state = store_state(self->store);
    uint32_t lease_bytes = (config->context + 1U) * (uint32_t)sizeof(uint16_t);
    uint32_t lease_samples_max = (uint32_t)WIRE_BODY_MAX / lease_bytes;
    if (lease_samples_max == 0) {
        return fault(STATUS_BAD_CONFIG, "data.context %u is too long: a sample must fit %d bytes",
                     config->context, WIRE_BODY_MAX);
    }
    struct core_settings settings = {.step_first = self->version_first,
                                     .sample_first = self->sample_first,
                                     .step_count = config->step_count,
                                     .target_batch = state->settings.target_batch,
                                     .lease_id_first = state->serial << SERIAL_SHIFT,
                                     .lease_samples_max =
                                         lease_samples_max < (uint32_t)WIRE_LEASE_SAMPLES_MAX
                                             ? lease_samples_max
                                             : (uint32_t)WIRE_LEASE_SAMPLES_MAX,
                                     .lease_ms = LEASE_MS,
                                     .silence_ms_max = SILENCE_MS_MAX,
                                     .patience_ms = PATIENCE_MS,
                                     .fetch_ms_max = FETCH_MS_MAX,
                                     .max_staleness = config->max_staleness,
                                     .stale_from = config->stale_from};
    return core_new(&settings, &self->core);
}

/* The port for peers, and the one for chunks. */
static enum status open_channel(struct server *self, const struct server_options *options)
{
    char beside[CHANNEL_LISTEN_MAX];
    const char *listen_bulk = options->listen_bulk;
    enum status status = STATUS_OK;
    if (listen_bulk == NULL) {
        status = channel_listen_beside(options->listen, beside);
        listen_bulk = beside;
    }
    if (status == STATUS_OK) {
        status = channel_set_new(IO_THREADS, &self->channels);
    }
    if (status == STATUS_OK) {
        status = channel_server_new_both(self->channels, options->listen, listen_bulk,
                                         &self->run->identity, &self->channel);
    }
    return status;
}

static enum status open_server(struct server *self, const struct server_options *options)
{
    self->sessions = calloc(1, sizeof *self->sessions);
    self->head = malloc(WIRE_HEAD_MAX);
    self->body = malloc(WIRE_BODY_MAX);
    enum status status = server_conduct_open(self);
    if (status != STATUS_OK) {
        return status;
    }
    if (self->sessions == NULL || self->head == NULL || self->body == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to serve the run");
    }
    status = run_dir_lock(self->run);
    if (status == STATUS_OK) {
        status = open_data(self);
    }
    if (status == STATUS_OK) {
        status = open_state(self, options->thread_count);
    }
    if (status == STATUS_OK) {
        status = server_members_open(self);
    }
    if (status == STATUS_OK) {
        status = open_core(self);
    }
    if (status == STATUS_OK) {
        status = open_channel(self, options);
    }
    if (status == STATUS_OK) {
        status = server_members_bar(self);
    }
    if (status == STATUS_OK) {
        status = server_gather_open(self);
    }
    if (status == STATUS_OK) {
        status = server_routes_open(self);
    }
    if (status != STATUS_OK) {
        return status;
    }
    (void)snprintf(self->status.name, sizeof self->status.name, "%s", self->run->config.name);
    self->status.step_count = self->run->config.step_count;
    self->status.port = channel_server_port(self->channel);
    self->status.bulk_port = channel_server_bulk_port(self->channel);
    return STATUS_OK;
}

void server_free(struct server *self)
{
    if (self == NULL) {
        return;
    }
    server_routes_close(self);
    server_gather_close(self);
    server_members_close(self);
    server_conduct_close(self);
    channel_server_free(self->channel);
    channel_set_free(self->channels);
    if (self->sessions != NULL) {
        sessions_deinit(self->sessions);
    }
    free(self->sessions);
    core_free(self->core);
    core_actions_deinit(&self->actions);
    contributions_clear(&self->contributions);
    contributions_clear(&self->contributions_before);
    store_close(self->store);
    publisher_free(self->publisher);
    aggregate_free(self->aggregate);
    dataset_close(self->data);
    free(self->head);
    free(self->body);
    free(self);
}

void server_push(struct server *self, const struct core_event *event)
{
    CHECK(self->event_count < EVENTS_MAX);
    self->events[(self->event_first + self->event_count) % EVENTS_MAX] = *event;
    self->event_count++;
}

void server_push_first(struct server *self, const struct core_event *event)
{
    CHECK(self->event_count < EVENTS_MAX);
    self->event_first = (self->event_first + EVENTS_MAX - 1) % EVENTS_MAX;
    self->events[self->event_first] = *event;
    self->event_count++;
}

enum status server_pump(struct server *self, uint64_t now_ms)
{
    enum status status = STATUS_OK;
    while (self->event_count > 0 && status == STATUS_OK) {
        struct core_event event = self->events[self->event_first];
        self->event_first = (self->event_first + 1) % EVENTS_MAX;
        self->event_count--;
        status = core_step(self->core, now_ms, &event, &self->actions);
        for (size_t i = 0; i < self->actions.count && status == STATUS_OK; i++) {
            struct core_action action = self->actions.items[i];
            status = server_act(self, &action, now_ms);
        }
    }
    return status;
}

void server_drop(struct server *self, struct session *session, const char *why)
{
    struct core_event event = {.type = CORE_LEFT, .peer = sessions_index(self->sessions, session)};
    server_push(self, &event);
    server_conduct_wasted(self, session, false);
    server_upload_end(self, session);
    server_bulk_end(self, session);
    server_routes_leave(self, session);
    sessions_remove(self->sessions, session);
    log_info("peers", "left", "peer=%s name=\"%s\" reason=\"%s\" peers=%" PRIu32, session->id,
             session->name, why, self->sessions->count);
}

void server_send(struct server *self, struct session *session, const uint8_t *body,
                 size_t body_size_bytes)
{
    size_t head_size_bytes = 0;
    CHECK(wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &head_size_bytes) == STATUS_OK);
    enum status status = channel_server_send(self->channel, session->connection, self->head,
                                             head_size_bytes, body, body_size_bytes);
    session->missed = session->missed || status == STATUS_AGAIN;
    if (status != STATUS_OK) {
        /* Every message of a lost peer ends here until the core expels it, which is told. */
        log_event(LOG_DEBUG, "peers", "unreachable", "peer=%s message=%s", session->id,
                  wire_type_name(self->message.type));
    }
}

enum status server_checkpoint(struct server *self)
{
    uint64_t version = store_state(self->store)->version;
    if (store_checkpoint_version(self->store) == version) {
        return STATUS_OK;
    }
    enum status status = store_checkpoint(self->store, self->status.checkpoint);
    if (status == STATUS_OK) {
        log_info("checkpoint", "written", "step=%" PRIu64 " path=\"%s\"", version,
                 self->status.checkpoint);
    }
    return status;
}

/* status.json can always be made again: failing to write it is told, and no reason to stop. */
static void write_status(struct server *self, const char *state, uint64_t now_ms)
{
    const struct journal_state *durable = store_state(self->store);
    (void)snprintf(self->status.state, sizeof self->status.state, "%s", state);
    self->status.tokens = durable->tokens;
    self->status.train_loss_first = durable->loss_first;
    self->status.loss = durable->loss_last;
    self->status.step = core_current_step(self->core);
    self->status.peers = self->sessions->count;
    self->status.peers_seen = self->sessions->seen_count;
    self->status.updated_ms = clock_unix_ms();
    self->status_ms = now_ms;
    if (status_file_write(self->run->path, &self->status) != STATUS_OK) {
        log_warn("server", "status_not_written", "reason=\"%s\"", fault_text());
    }
}

/* A peer that missed a message is not what the core takes it for: on a new connection it says hello
 * again, and what it holds. */
static void cut_missed(struct server *self)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (session->used && session->missed) {
            session->missed = false;
            channel_server_cut(self->channel, session->connection);
        }
    }
}

/* The samples of the step in progress belong to those who had them when the process before this one
 * ended. */
static enum status begin(struct server *self, uint64_t now_ms)
{
    size_t count = 0;
    const struct journal_lease *facts = store_leases(self->store, &count);
    self->begun = true;
    self->finishing_ms = now_ms;
    enum status status =
        self->finishing ? STATUS_OK : server_reserve_leases(self, facts, count, now_ms);
    server_pause_tick(self, now_ms); /* before anybody can ask for work */
    return status == STATUS_OK ? server_pump(self, now_ms) : status;
}

/* *out_unread: there may be more to read. */
static enum status receive_turn(struct server *self, uint64_t now_ms, bool *out_unread)
{
    enum status status = STATUS_OK;
    *out_unread = true;
    for (int i = 0; i < MESSAGES_PER_TURN && status == STATUS_OK; i++) {
        struct channel_message incoming;
        if (channel_server_receive(self->channel, &incoming) != STATUS_OK) {
            *out_unread = false;
            break;
        }
        server_receive(self, &incoming, now_ms);
        channel_message_close(&incoming);
        status = server_pump(self, now_ms);
    }
    return status;
}

static const char *state_of(const struct server *self)
{
    return !self->paused ? "running" : core_idle(self->core) ? "paused" : "pausing";
}

/* Who serves a run that was over already does it for peers that were away when it ended: they get
 * some time to come and be told. */
static bool finished(const struct server *self, uint64_t now_ms)
{
    bool told = self->sessions->count == 0 && self->version_first < self->run->config.step_count;
    return self->finishing && (told || now_ms - self->finishing_ms > FINISHING_MS_MAX);
}

enum status server_turn(struct server *self, uint64_t now_ms, bool *out_over)
{
    bool unread = false;
    self->turn_ms = now_ms;
    enum status status = self->begun ? STATUS_OK : begin(self, now_ms);
    if (status == STATUS_OK) {
        status = receive_turn(self, now_ms, &unread);
    }
    self->turns_unread = unread ? self->turns_unread + 1 : 0;
    *out_over = finished(self, now_ms) || server_stopped(self, now_ms);
    if (*out_over) {
        return status;
    }
    /* While signs of life wait to be read (a checkpoint took long, say), nobody is silent. */
    bool tick_due =
        now_ms - self->tick_ms >= TICK_MS && (!unread || self->turns_unread > TURNS_UNREAD_MAX);
    if (status == STATUS_OK) {
        status = server_routes_turn(self, now_ms, tick_due);
    }
    if (status == STATUS_OK) {
        status = server_gather_turn(self, now_ms);
    }
    if (status == STATUS_OK) {
        server_downloads_turn(self); /* a queue that was full may have room */
    }
    if (status == STATUS_OK && tick_due) {
        self->tick_ms = now_ms;
        cut_missed(self);
        server_conduct_tick(self);
        server_incident_take(self);
        server_members_tick(self);
        server_bulk_tick(self, now_ms);
        server_uploads_tick(self, now_ms);
        server_pause_tick(self, now_ms);
        server_push(self, &(struct core_event){.type = CORE_TICK});
        status = server_pump(self, now_ms);
        if (status == STATUS_OK) {
            status = server_settings_tick(self);
        }
    }
    if (status == STATUS_OK && now_ms - self->status_ms >= STATUS_MS) {
        write_status(self, state_of(self), now_ms);
    }
    return status;
}

void server_wait(struct server *self, int wake_fd)
{
    channel_set_wait(self->channels, wake_fd, server_gather_is_busy(self) ? 0 : TICK_MS);
}

enum status server_stop(struct server *self, uint64_t now_ms)
{
    enum status status = server_checkpoint(self);
    if (status == STATUS_OK) {
        write_status(self, self->finishing ? "finished" : "stopped", now_ms);
    }
    return status;
}

enum status server_new(struct run_dir *run, const struct server_options *options,
                       struct server **out)
{
    *out = NULL;
    struct server *self = calloc(1, sizeof *self);
    if (self == NULL) {
        (void)fault(STATUS_NO_MEMORY, "no memory to serve the run");
        return STATUS_NO_MEMORY;
    }
    self->run = run;
    enum status status = open_server(self, options);
    if (status != STATUS_OK) {
        server_free(self);
        return status;
    }
    self->finishing = self->version_first >= run->config.step_count;
    log_info("server", "serving",
             "run=%s port=%u bulk_port=%u step=%" PRIu64 " steps=%" PRIu64
             " parameters=%zu codec=%s",
             run->config.name, (unsigned)self->status.port, (unsigned)self->status.bulk_port,
             self->version_first, run->config.step_count, layout_parameter_count(run->layout),
             codec_name(run->config.codec));
    *out = self;
    return STATUS_OK;
}
