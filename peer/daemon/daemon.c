#include "peer/daemon/daemon.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "peer/daemon/daemon_state.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 100,
    ALIVE_MS = 1000,
    SILENCE_MS_MAX = 30000,
    HELLO_MS = 1000,
    HELLO_MS_MAX = 10000,
    PROGRESS_MS = 200,
    LEAVE_MS_MAX = 30000,
    WRONG_KEY_MS_MAX = 3000,
    SHUT_OUT_MS_MAX = 60000,
    MISSED_MS = 1000, /* a queue that was full gets room meanwhile */
    MESSAGES_PER_TURN = 64,
    IO_THREADS = 1 /* the cores are the workers' */
};

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

/* The first signal asks; a second one ends the process at once. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = request_stop, .sa_flags = (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action = (struct sigaction){.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &action, NULL);
}

void daemon_fail(struct daemon *self, enum status status)
{
    self->over = true;
    self->result = status;
}

/* Said again by itself until it is answered. */
static bool is_repeated(enum wire_type type)
{
    return type == WIRE_HELLO || type == WIRE_ALIVE || type == WIRE_READY || type == WIRE_GRANT;
}

void daemon_send(struct daemon *self)
{
    size_t size_bytes = 0;
    if (wire_encode(&self->outgoing, self->head, WIRE_HEAD_MAX, &size_bytes) != STATUS_OK) {
        log_error("peer", "too_large", "message=%s", wire_type_name(self->outgoing.type));
        return;
    }
    if (self->channel == NULL || self->cut_off ||
        channel_client_send(self->channel, self->head, size_bytes, NULL, 0) != STATUS_OK) {
        log_event(LOG_DEBUG, "peer", "not_sent", "message=%s", wire_type_name(self->outgoing.type));
        self->missed_ms = is_repeated(self->outgoing.type) ? self->missed_ms : self->now_ms;
    }
}

/* Counts what the workers did since the last look, for the progress line. */
static void count_work(struct daemon *self, uint64_t now_ms)
{
    const struct work *work = &self->session.work;
    uint64_t fresh =
        work->held_samples > self->held_samples ? work->held_samples - self->held_samples : 0;
    self->held_samples = work->held_samples;
    progress_count(&self->progress, fresh * work->context, now_ms);
}

void daemon_step(struct daemon *self, struct session_event *event)
{
    struct session_actions actions;
    (void)pthread_mutex_lock(&self->shared.lock);
    count_work(self, self->now_ms);
    session_step(&self->session, self->now_ms, event, &actions);
    (void)pthread_cond_broadcast(&self->shared.changed);
    (void)pthread_mutex_unlock(&self->shared.lock);
    for (size_t i = 0; i < actions.count && !self->over; i++) {
        daemon_act(self, &actions.items[i]);
    }
}

/* Copies a lease's tokens; NULL when the coordinator sent what cannot be computed. */
static uint16_t *take_tokens(struct daemon *self, const struct channel_message *incoming)
{
    const struct wire_lease *lease = &self->incoming.as.lease;
    size_t count = lease->samples.count * ((size_t)self->session.work.context + 1);
    if (self->compute == NULL || incoming->body_size_bytes != count * sizeof(uint16_t)) {
        return NULL;
    }
    uint16_t *tokens = malloc(count * sizeof *tokens);
    if (tokens == NULL) {
        return NULL;
    }
    memcpy(tokens, incoming->body, count * sizeof *tokens);
    uint32_t vocab_size = compute_vocab_size(self->compute);
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] >= vocab_size) {
            free(tokens);
            return NULL;
        }
    }
    return tokens;
}

/* What the coordinator acknowledged: absolute sample ranges as first+count. */
static void note_counted(struct daemon *self, uint64_t blob_id)
{
    char samples[LOG_LINE_MAX / 2];
    size_t length = 0;
    const struct offer *offer = offers_find(&self->offers, blob_id);
    if (offer == NULL) {
        return;
    }
    samples[0] = '\0';
    for (uint32_t i = 0; i < offer->facts.range_count && length < sizeof samples - 64; i++) {
        const struct sample_range *range = &offer->facts.ranges[i];
        length +=
            (size_t)snprintf(samples + length, sizeof samples - length, "%s%" PRIu64 "+%" PRIu64,
                             i > 0 ? "," : "", range->first, range->count);
    }
    log_event(LOG_DEBUG, "peer", "counted", "step=%" PRIu64 " samples=%s", offer->facts.step,
              samples);
}

static void note_message(struct daemon *self, const struct wire_message *message)
{
    switch (message->type) {
    case WIRE_VERDICT:
        if (message->as.verdict.accepted) {
            note_counted(self, message->as.verdict.blob_id);
        } else {
            log_warn("peer", "contribution_refused", "reason=\"%s\"", message->as.verdict.text);
        }
        break;
    case WIRE_CLAIMED:
        if (!message->as.claimed.accepted) {
            log_warn("peer", "claim_refused",
                     "step=%" PRIu64 " reason=\"others compute its samples\"",
                     message->as.claimed.step);
        }
        break;
    case WIRE_COMMITTED:
        progress_step(&self->progress, message->as.committed.step + 1, message->as.committed.loss);
        break;
    case WIRE_REFUSED:
        if (message->as.refused.code == WIRE_REFUSED_FULL && !self->told_full) {
            self->told_full = true;
            log_warn("peer", "refused", "reason=\"%s\"", message->as.refused.text);
        }
        break;
    case WIRE_WELCOME:
        self->told_full = false;
        break;
    case WIRE_HELLO:
    case WIRE_READY:
    case WIRE_LEASE:
    case WIRE_PROGRESS:
    case WIRE_RECLAIM:
    case WIRE_YIELDED:
    case WIRE_COLLECT:
    case WIRE_CONTRIBUTION:
    case WIRE_APPLIED:
    case WIRE_GRANT:
    case WIRE_ALIVE:
    case WIRE_LEAVE:
    case WIRE_FINISHED:
    case WIRE_CLAIM:
    case WIRE_ROUTE:
    case WIRE_DELIVER:
    case WIRE_OPEN:
    case WIRE_SET:
    case WIRE_HOLDS:
    case WIRE_RATES:
    case WIRE_PROBE:
    case WIRE_TYPE_END:
    default:
        break;
    }
}

static void take_message(struct daemon *self, const struct channel_message *incoming)
{
    struct session_event event = {.type = SESSION_MESSAGE, .message = &self->incoming};
    if (wire_is_chunk(incoming->head, incoming->head_size_bytes)) {
        daemon_take_chunk(self, FETCH_COORDINATOR, incoming);
        return;
    }
    pace_came_unasked(&self->pace, incoming->head_size_bytes + incoming->body_size_bytes,
                      self->now_ms);
    if (self->over) {
        return; /* it only passes on what it has */
    }
    if (wire_decode(incoming->head, incoming->head_size_bytes, &self->incoming) != STATUS_OK) {
        log_warn("peer", "malformed", "bytes=%zu", incoming->head_size_bytes);
        self->missed_ms = self->now_ms;
        return;
    }
    if (self->incoming.type == WIRE_GRANT) {
        daemon_serve_grant(self, &self->incoming.as.grant);
    }
    if (self->incoming.type == WIRE_LEASE) {
        event.tokens = take_tokens(self, incoming);
        if (event.tokens == NULL) {
            log_warn("peer", "malformed", "reason=\"a lease whose tokens do not fit the model\"");
            self->missed_ms = self->now_ms;
            return;
        }
    }
    note_message(self, &self->incoming);
    bool welcomed = self->incoming.type == WIRE_WELCOME && self->session.phase == SESSION_HELLO;
    if (welcomed) {
        if (!daemon_judge_welcome(self, &self->incoming.as.welcome)) {
            return;
        }
        if (self->compute != NULL) {
            compute_follow(self->compute, &self->incoming.as.welcome);
            event.cramped = !compute_has_room(self->compute);
        }
        daemon_line_open(self, self->incoming.as.welcome.bulk_port);
    }
    daemon_step(self, &event);
    if (!self->over && welcomed) {
        daemon_plan_follow(self);
    } else if (!self->over) {
        daemon_plan_message(self, incoming);
    }
}

static void receive_all(struct daemon *self)
{
    self->flooded = pace_is_flooded(&self->pace, self->now_ms);
    for (int i = 0; i < MESSAGES_PER_TURN && self->channel != NULL && !self->flooded; i++) {
        struct channel_message incoming;
        if (channel_client_receive(self->channel, &incoming) != STATUS_OK) {
            return;
        }
        take_message(self, &incoming);
        channel_message_close(&incoming);
    }
}

/* What the coordinator says, then what it sends. */
static void receive_both(struct daemon *self)
{
    receive_all(self);
    if (!self->flooded) {
        daemon_line_receive(self, MESSAGES_PER_TURN);
    }
}

enum status daemon_shut_out(const struct daemon *self)
{
    return fault(STATUS_REFUSED,
                 "%s answers, but is not the coordinator of this link, or has banned this key; ask "
                 "its owner, or for a new link",
                 self->options->link.address);
}

/* What closes the connection may be a tunnel or a container's proxy whose coordinator is away, so
 * that is tried on: who never joined ends with its wait. */
static void watch_key(struct daemon *self, uint64_t now_ms)
{
    self->shut_out_ms = 0;
    self->wrong_key_ms = self->wrong_key_ms > 0 ? self->wrong_key_ms : now_ms;
    if (!self->told_wrong_key && now_ms - self->wrong_key_ms > WRONG_KEY_MS_MAX) {
        self->told_wrong_key = true;
        progress_break(&self->progress);
        log_warn("peer", "wrong_key",
                 "address=%s reason=\"somebody answers, but not as the coordinator of this link; "
                 "trying on\"",
                 self->options->link.address);
    }
}

/* A key that is banned never gets anywhere: say so instead of trying for ever. Between two tries
 * nothing is known. Who took part already has time for a ban that was a mistake. */
static void watch_handshake(struct daemon *self, enum channel_trouble trouble, uint64_t now_ms)
{
    if (trouble == CHANNEL_FINE) {
        self->wrong_key_ms = 0;
        self->shut_out_ms = 0;
        self->told_wrong_key = false;
    } else if (trouble == CHANNEL_WRONG_KEY) {
        watch_key(self, now_ms);
    } else if (trouble == CHANNEL_SHUT_OUT) {
        uint64_t limit_ms = self->session.welcomed ? SHUT_OUT_MS_MAX : WRONG_KEY_MS_MAX;
        self->shut_out_ms = self->shut_out_ms > 0 ? self->shut_out_ms : now_ms;
        if (now_ms - self->shut_out_ms > limit_ms) {
            daemon_fail(self, daemon_shut_out(self));
        }
    }
}

/* What was still to be said over a connection that is gone must not come before the hello on the
 * next one: from whom the coordinator has not admitted, it bears little. What came over it counts.
 */
static void lose_connection(struct daemon *self)
{
    receive_both(self);
    if (self->over) {
        return;
    }
    daemon_line_close(self);
    channel_client_drop(self->channel);
    self->channel = NULL;
    self->connections = 0;
    self->cut_off = true;
    enum status status = daemon_connect(self);
    if (status != STATUS_OK) {
        daemon_fail(self, status);
    }
}

/* Before anything is received: what a new connection brings must find a session that knows of it.
 * A message that a full queue did not take, or that could not be read (memory may be short), is
 * lost as with a connection. */
static void watch_connection(struct daemon *self, uint64_t now_ms)
{
    enum channel_trouble trouble = channel_client_trouble(self->channel);
    uint64_t connections = channel_client_connections(self->channel);
    bool missed = self->missed_ms > 0 && now_ms - self->missed_ms >= MISSED_MS;
    if (self->connections > 0 && (trouble != CHANNEL_FINE || connections > self->connections)) {
        lose_connection(self);
        return;
    }
    self->connections = connections;
    if (trouble == CHANNEL_FINE && (self->cut_off || missed)) {
        if (self->has_stood) {
            log_info("peer", "connected_again", "address=%s lost=%s", self->options->link.address,
                     self->cut_off ? "connection" : "message");
        }
        self->has_stood = true;
        self->told_away = false;
        self->cut_off = false;
        self->missed_ms = 0;
        daemon_forget_uploads(self); /* it asks again for what is missing */
        self->flow = (struct pace_flow){.delivered_bytes = 0};
        daemon_step(self, &(struct session_event){.type = SESSION_CONNECTED});
    }
    watch_handshake(self, trouble, now_ms);
}

static bool computes(struct daemon *self)
{
    (void)pthread_mutex_lock(&self->shared.lock);
    bool any = work_ready(&self->session.work) > 0;
    (void)pthread_mutex_unlock(&self->shared.lock);
    return any;
}

static const char *doing(struct daemon *self)
{
    switch (self->session.phase) {
    case SESSION_HELLO:
        return "connecting";
    case SESSION_SYNC:
        return "fetching parameters";
    case SESSION_TRAIN:
        return self->options->aggregates_only   ? "summing for others"
               : self->session.stopping         ? "leaving"
               : computes(self)                 ? "computing"
               : self->session.offer_open       ? "handing in"
               : self->session.update_count > 0 ? "updating"
               : self->session.rests            ? "resting: the links are better without it"
               : self->session.asked            ? "waiting for work"
                                                : "computing";
    case SESSION_OVER:
    default:
        return "ending";
    }
}

static void drain_wakeups(int wake_fd)
{
    uint64_t count = 0;
    ssize_t got = read(wake_fd, &count, sizeof count);
    (void)got;
}

bool daemon_turn(struct daemon *self, uint64_t now_ms, bool stop, enum status *out_result)
{
    self->now_ms = now_ms;
    self->more = false;
    drain_wakeups(self->shared.wake_fd);
    if (!self->over) {
        watch_connection(self, now_ms);
    }
    daemon_line_turn(self);
    receive_both(self);
    daemon_plan_turn(self);
    struct session_event event = {.type = SESSION_WORKED};
    if (stop && !self->stop_told) {
        self->stop_told = true;
        event.type = SESSION_STOP;
        progress_break(&self->progress);
        log_info("peer", "stopping", "reason=\"finishing the sequence and handing in\"");
    } else if (now_ms - self->tick_ms >= TICK_MS) {
        self->tick_ms = now_ms;
        event.type = SESSION_TICK;
    }
    if (!self->over) {
        daemon_step(self, &event);
    }
    if (event.type == SESSION_TICK) {
        daemon_fetch_tick(self);
    }
    daemon_transfer(self);
    daemon_measure(self);
    if (!self->over) {
        progress_show(&self->progress, doing(self), now_ms);
    }
    *out_result = self->result;
    return self->over && !daemon_lingers(self);
}

void daemon_wait(struct daemon *self)
{
    uint64_t capped_ms = pace_wait_ms(&self->pace, self->now_ms);
    int timeout_ms = capped_ms > 0 && capped_ms < TICK_MS ? (int)capped_ms : TICK_MS;
    if (self->flooded) { /* what waits at the channel must not keep this from resting */
        struct pollfd wakeup = {.fd = self->shared.wake_fd, .events = POLLIN};
        (void)poll(&wakeup, 1, timeout_ms);
        return;
    }
    channel_set_wait(self->channels, self->shared.wake_fd, self->more ? 0 : timeout_ms);
}

enum status daemon_connect(struct daemon *self)
{
    const struct join_link *link = &self->options->link;
    return channel_client_new(self->channels, CHANNEL_CONTROL, link->address, link->coordinator_key,
                              self->identity, &self->channel);
}

static enum status open_links(struct daemon *self)
{
    const struct bulk_settings settings = {.set = self->channels,
                                           .identity = self->identity,
                                           .coordinator_address = self->options->link.address,
                                           .pace = &self->pace,
                                           .offers = &self->offers};
    if (bulk_new(&settings, &self->bulk) != STATUS_OK) {
        return fault(STATUS_NO_MEMORY, "no memory to start");
    }
    return self->options->aggregates ? daemon_open_owner(self) : STATUS_OK;
}

static enum status open_daemon(struct daemon *self, uint64_t now_ms)
{
    self->now_ms = now_ms;
    pace_init(&self->pace, self->options->up_bytes_per_s_max, self->options->down_bytes_per_s_max,
              now_ms);
    struct session_settings settings = {.thread_count =
                                            (uint32_t)self->options->compute.thread_count,
                                        .alive_ms = ALIVE_MS,
                                        .silence_ms_max = SILENCE_MS_MAX,
                                        .hello_ms = HELLO_MS,
                                        .hello_ms_max = HELLO_MS_MAX,
                                        .first_ms_max = self->options->first_ms_max,
                                        .progress_ms = PROGRESS_MS,
                                        .leave_ms_max = LEAVE_MS_MAX,
                                        .aggregates_only = self->options->aggregates_only};
    session_init(&self->session, &settings, now_ms);
    progress_init(&self->progress, now_ms);
    self->shared.work = &self->session.work;
    (void)pthread_mutex_init(&self->shared.lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&self->shared.changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    self->shared.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    self->head = malloc(WIRE_HEAD_MAX);
    if (self->shared.wake_fd < 0 || self->head == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to start");
    }
    enum status status = channel_set_new(IO_THREADS, &self->channels);
    if (status == STATUS_OK) {
        status = open_links(self);
    }
    return status == STATUS_OK ? daemon_connect(self) : status;
}

void daemon_free(struct daemon *self)
{
    if (self == NULL) {
        return;
    }
    compute_free(self->compute);
    channel_client_free(self->channel);
    daemon_line_close(self);
    daemon_owner_free(self->owner);
    bulk_free(self->bulk);
    channel_set_free(self->channels);
    shelf_clear(&self->shelf);
    daemon_forget_uploads(self);
    offers_clear(&self->offers);
    session_deinit(&self->session);
    (void)pthread_cond_destroy(&self->shared.changed);
    (void)pthread_mutex_destroy(&self->shared.lock);
    if (self->shared.wake_fd >= 0) {
        (void)close(self->shared.wake_fd);
    }
    free(self->head);
    free(self);
}

enum status daemon_new(const struct daemon_options *options, const struct identity *identity,
                       uint64_t now_ms, struct daemon **out)
{
    *out = NULL;
    struct daemon *self = calloc(1, sizeof *self);
    if (self == NULL) {
        (void)fault(STATUS_NO_MEMORY, "no memory to start");
        return STATUS_NO_MEMORY;
    }
    self->options = options;
    self->identity = identity;
    self->cut_off = true;
    enum status status = open_daemon(self, now_ms);
    if (status != STATUS_OK) {
        daemon_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

enum status daemon_run(const struct daemon_options *options, const struct identity *identity)
{
    struct daemon *self = NULL;
    enum status status = daemon_new(options, identity, clock_now_ms(), &self);
    if (status != STATUS_OK) {
        return status;
    }
    catch_signals();
    while (!daemon_turn(self, clock_now_ms(), stop_requested != 0, &status)) {
        daemon_wait(self);
    }
    daemon_free(self);
    return status;
}
