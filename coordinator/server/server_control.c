#include "common/clock.h"
#include "common/disk.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/server/server_members.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    GUARD_MS = 1000,
    UPLOADS_MAX = 8,
    UPLOADS_BYTES_MAX = 1 << 30, /* of all contributions that are being fetched */
    UPLOADS_KEPT_SHARE = 3       /* one in so many is of peers that lost their place */
};

uint64_t server_step_tokens(const struct server *self)
{
    return (uint64_t)store_state(self->store)->settings.target_batch * self->run->config.context;
}

enum status server_follow_settings(struct server *self)
{
    size_t encoded_bytes = codec_encoded_bytes(store_state(self->store)->settings.codec,
                                               layout_value_count(self->run->layout));
    aggregate_set_step_tokens(self->aggregate, server_step_tokens(self));
    if (self->publisher != NULL &&
        self->publisher_codec == store_state(self->store)->settings.codec) {
        return STATUS_OK;
    }
    publisher_free(self->publisher);
    self->publisher = NULL;
    self->publisher_codec = store_state(self->store)->settings.codec;
    self->version_first = store_state(self->store)->version;
    size_t fit = UPLOADS_BYTES_MAX / encoded_bytes;
    size_t places = fit - fit / UPLOADS_KEPT_SHARE;
    self->uploads_max = places < 1 ? 1 : places > UPLOADS_MAX ? UPLOADS_MAX : places;
    size_t kept = fit > self->uploads_max ? fit - self->uploads_max : 0;
    self->uploads_kept_max = kept > UPLOADS_MAX ? UPLOADS_MAX : kept;
    return publisher_new(layout_value_count(self->run->layout), self->publisher_codec,
                         &self->publisher);
}

/* Peers learn of it by a new welcome. With another codec those who have not followed to this
 * version take a snapshot: the updates that lead here are in the old one. */
static void send_away(struct server *self)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (session->used && !session->away) {
            server_tell_unknown(self, session);
        }
    }
}

enum status server_change_settings(struct server *self)
{
    const struct journal_state *state = store_state(self->store);
    const struct live_settings old = state->settings;
    struct live_settings *next = &self->settings_next;
    bool told = old.target_batch != next->target_batch || old.codec != next->codec;
    next->update_codec = told ? next->codec : old.update_codec; /* the plan goes with the codec */
    const struct journal_event event = {.type = JOURNAL_SETTINGS,
                                        .version = state->version,
                                        .unix_ms = clock_unix_ms(),
                                        .settings = *next};
    enum status status = store_event(self->store, &event);
    if (status != STATUS_OK) {
        return status;
    }
    self->settings_wait = false;
    core_hold(self->core, false);
    log_info("run", "settings",
             "step=%" PRIu64 " learning_rate=%.9g target_batch=%" PRIu32 " codec=%s journal=%s",
             state->version, next->learning_rate, next->target_batch, codec_name(next->codec),
             codec_name(next->mean_codec));
    if (!told) {
        return STATUS_OK; /* nothing that a peer knows of */
    }
    status = core_set_target_batch(self->core, next->target_batch);
    if (status == STATUS_OK) {
        status = server_follow_settings(self);
    }
    if (status == STATUS_OK) {
        server_routes_reset(self);
        send_away(self);
    }
    return status;
}

enum status server_set_update_codec(struct server *self, enum codec codec)
{
    const struct journal_state *state = store_state(self->store);
    struct journal_event event = {.type = JOURNAL_SETTINGS,
                                  .version = state->version,
                                  .unix_ms = clock_unix_ms(),
                                  .settings = state->settings};
    if (codec == state->settings.update_codec) {
        return STATUS_OK;
    }
    event.settings.update_codec = codec;
    enum status status = store_event(self->store, &event);
    if (status == STATUS_OK) {
        log_info("run", "update_codec", "step=%" PRIu64 " codec=%s", state->version,
                 codec_name(codec));
    }
    return status;
}

/* A step that was begun may end in another way than by its commit: those who had its samples are
 * lost. While the run is paused nothing begins again, and the change would wait for ever. */
enum status server_settings_tick(struct server *self)
{
    bool due = self->settings_wait && !self->finishing && !core_begun(self->core);
    return due ? server_change_settings(self) : STATUS_OK;
}

static bool wants_pause(const struct server *self)
{
    return store_state(self->store)->paused || self->disk_level == DISK_LEVEL_FULL ||
           self->stopping;
}

static void follow_pause(struct server *self)
{
    bool wanted = wants_pause(self);
    if (wanted != self->paused) {
        self->paused = wanted;
        server_push(self, &(struct core_event){.type = wanted ? CORE_PAUSE : CORE_RESUME});
    }
}

static void tell_disk(const struct server *self, uint64_t free_bytes, uint64_t reserve_bytes)
{
    const char *path = self->run->path;
    if (self->disk_level == DISK_LEVEL_FULL) {
        log_error("disk", "paused",
                  "free_mb=%" PRIu64 " needed_mb=%" PRIu64
                  " reason=\"no new step begins until there is room; free some in %s\"",
                  free_bytes / 1000000, (reserve_bytes + reserve_bytes / 2) / 1000000, path);
    } else if (self->disk_level == DISK_LEVEL_LOW) {
        log_warn("disk", "low",
                 "free_mb=%" PRIu64 " pauses_below_mb=%" PRIu64 " reason=\"free some room in %s\"",
                 free_bytes / 1000000, reserve_bytes / 1000000, path);
    } else {
        log_info("disk", "ample", "free_mb=%" PRIu64, free_bytes / 1000000);
    }
}

static void guard_disk(struct server *self)
{
    uint64_t free_bytes = disk_free_bytes(self->run->path);
    uint64_t reserve_bytes = disk_guard_reserve_bytes(store_step_bytes(self->store),
                                                      store_checkpoint_bytes(self->store));
    enum disk_level level = disk_guard_level(self->disk_level, free_bytes, reserve_bytes);
    if (level != self->disk_level) {
        self->disk_level = level;
        tell_disk(self, free_bytes, reserve_bytes);
    }
}

void server_pause_tick(struct server *self, uint64_t now_ms)
{
    if (self->guard_ms == 0 || now_ms - self->guard_ms >= GUARD_MS) {
        self->guard_ms = now_ms > 0 ? now_ms : 1;
        guard_disk(self);
    }
    follow_pause(self);
}

bool server_stopped(const struct server *self, uint64_t now_ms)
{
    return self->stopping && (core_idle(self->core) || now_ms >= self->stop_ms);
}

/* Steps that will be committed if none is begun from now on. */
static uint64_t last_begun(const struct server *self)
{
    uint64_t begun = core_begun(self->core) ? 1 : 0;
    return store_state(self->store)->version + begun + (core_next_begun(self->core) ? 1 : 0);
}

static enum status set_paused(struct server *self, bool paused, char *reply)
{
    const struct journal_state *state = store_state(self->store);
    const struct journal_event event = {.type = paused ? JOURNAL_PAUSED : JOURNAL_RESUMED,
                                        .version = state->version,
                                        .unix_ms = clock_unix_ms()};
    if (state->paused == paused) {
        (void)snprintf(reply, CONTROL_REPLY_BYTES_MAX, "the run is %s already",
                       paused ? "paused" : "not paused; it goes on");
        return STATUS_OK;
    }
    enum status status = store_event(self->store, &event);
    if (status == STATUS_OK) {
        follow_pause(self);
        self->status_ms = 0;
        log_info("run", paused ? "paused" : "resumed", "step=%" PRIu64, state->version);
        (void)snprintf(reply, CONTROL_REPLY_BYTES_MAX,
                       paused ? "paused after step %" PRIu64 : "goes on after step %" PRIu64,
                       paused ? last_begun(self) : state->version);
    }
    return status;
}

static void stop(struct server *self, uint64_t wait_ms, uint64_t now_ms, char *reply)
{
    self->stopping = true;
    self->stop_ms = now_ms + wait_ms;
    follow_pause(self);
    log_info("run", "stopping", "step=%" PRIu64 " wait_ms=%" PRIu64,
             store_state(self->store)->version, wait_ms);
    (void)snprintf(reply, CONTROL_REPLY_BYTES_MAX, "stopping after step %" PRIu64,
                   last_begun(self));
}

static struct live_settings changed(const struct server *self,
                                    const struct control_request *request)
{
    struct live_settings next = store_state(self->store)->settings;
    const struct live_settings *wanted = &request->settings;
    next.learning_rate = request->has_learning_rate ? wanted->learning_rate : next.learning_rate;
    next.target_batch = request->has_target_batch ? wanted->target_batch : next.target_batch;
    next.codec = request->has_codec ? wanted->codec : next.codec;
    next.mean_codec = request->has_mean_codec ? wanted->mean_codec : next.mean_codec;
    return next;
}

/* But for update_codec, which is the plan's. */
static bool same_settings(const struct live_settings *a, const struct live_settings *b)
{
    return a->learning_rate == b->learning_rate && a->target_batch == b->target_batch &&
           a->codec == b->codec && a->mean_codec == b->mean_codec;
}

/* AGAIN until the settings are the run's: the step in progress keeps the old ones. */
static enum status set(struct server *self, const struct control_request *request, char *reply)
{
    struct live_settings next = changed(self, request);
    if (same_settings(&next, &store_state(self->store)->settings)) {
        (void)snprintf(reply, CONTROL_REPLY_BYTES_MAX, "so from step %" PRIu64 " on",
                       store_state(self->store)->version + 1);
        return STATUS_OK;
    }
    if (self->settings_wait) {
        return STATUS_AGAIN;
    }
    uint64_t tokens = (uint64_t)next.target_batch * self->run->config.context;
    if (tokens > UINT64_C(1) << EXACT_SUM_TOKENS_LOG2_MAX) {
        return fault(STATUS_BAD_CONFIG, "a target batch of %" PRIu32 " samples is too large",
                     next.target_batch);
    }
    self->settings_next = next;
    self->settings_wait = true;
    core_hold(self->core, true); /* else two steps in a row could leave no moment between them */
    if (core_begun(self->core)) {
        return STATUS_AGAIN;
    }
    enum status status = server_change_settings(self);
    return status == STATUS_OK ? set(self, request, reply) : status;
}

static enum status obey(struct server *self, const struct control_request *request, uint64_t now_ms,
                        char *reply)
{
    if (request->command == CONTROL_PLAN) {
        return server_report(self, reply);
    }
    if (request->command == CONTROL_MEMBERS) {
        return server_members_control(self, request, reply);
    }
    if (self->finishing) {
        return fault(STATUS_UNAVAILABLE, "the run is finished");
    }
    switch (request->command) {
    case CONTROL_PAUSE:
    case CONTROL_RESUME:
        return set_paused(self, request->command == CONTROL_PAUSE, reply);
    case CONTROL_STOP:
        stop(self, request->wait_ms, now_ms, reply);
        return STATUS_OK;
    case CONTROL_SET:
        return set(self, request, reply);
    case CONTROL_PLAN:
    case CONTROL_MEMBERS:
    case CONTROL_COMMAND_COUNT:
    default:
        return fault(STATUS_BAD_DATA, "there is no such command");
    }
}

enum status server_control(struct server *self, const struct control_request *request,
                           uint64_t now_ms, char reply[CONTROL_REPLY_BYTES_MAX])
{
    enum status status = obey(self, request, now_ms, reply);
    return status == STATUS_OK ? server_pump(self, now_ms) : status;
}
