#include "coordinator/gateway/relay_state.h"

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
    BACKOFF_FIRST_MS = 100,
    STEADY_MS = 10000, /* who lived so long is started again at once */
    PING_MS = 1000,
    BURY_MS_MAX = 500,
    SILENT_MS_MAX = 20000,
    TEND_MS_COUNTED_MAX = 1000, /* while this program was busy itself, nobody was silent */
    SHARE = 32                  /* of what is free in all, for one window */
};

static const uint64_t generations_end = UINT64_C(1) << (64 - GATEWAY_NUMBER_BITS);

void relay_say(struct channel_set *set, const struct gateway_frame *frame)
{
    if (set->link != NULL && gateway_link_put(set->link, frame) != STATUS_OK) {
        relay_gateway_lost(set, "it takes nothing that it is told");
    }
}

static void say_start(struct channel_set *set)
{
    uint8_t head[GATEWAY_START_BYTES];
    memcpy(head, set->identity.curve_public, IDENTITY_KEY_BYTES);
    memcpy(head + IDENTITY_KEY_BYTES, set->identity.secrets->curve, IDENTITY_KEY_BYTES);
    relay_say(set, &(struct gateway_frame){
                       .type = GATEWAY_START, .head = head, .head_size_bytes = sizeof head});
    sodium_memzero(head, sizeof head);
}

static void say_barred(struct channel_set *set)
{
    size_t cursor = 0;
    struct gateway_bar bar = {.barred = true};
    for (const uint8_t *key; (key = key_set_next(set->server->barred, &cursor)) != NULL;) {
        uint8_t head[GATEWAY_BAR_BYTES];
        memcpy(bar.curve_key, key, IDENTITY_KEY_BYTES);
        gateway_bar_write(&bar, head);
        relay_say(set, &(struct gateway_frame){
                           .type = GATEWAY_BAR, .head = head, .head_size_bytes = sizeof head});
    }
}

void relay_say_dial(struct channel_client *client)
{
    uint8_t head[GATEWAY_DIAL_BYTES_MAX];
    client->number = ++client->set->numbers;
    size_t head_size_bytes = gateway_dial_write(&client->dial, head);
    relay_say(client->set, &(struct gateway_frame){.type = GATEWAY_DIAL,
                                                   .number = client->number,
                                                   .head = head,
                                                   .head_size_bytes = head_size_bytes});
}

enum status relay_gateway_start(struct channel_set *set)
{
    CHECK(set->link == NULL && set->server != NULL);
    uint64_t now_ms = clock_now_ms();
    set->started_ms = now_ms;
    set->pumped_ms = now_ms;
    set->ready = false;
    set->silent_ms = 0;
    set->pings = 0;
    set->pongs = 0;
    set->fence = 0;
    if (set->generation + 1 == generations_end) {
        return fault(STATUS_OS, "the gateway was started too often; start the coordinator again");
    }
    set->generation++;
    enum status status = relay_process_start(set->server->listen_fds, &set->process);
    if (status != STATUS_OK) {
        return status;
    }
    status = gateway_link_new(set->process.fd, GATEWAY_OUTSIDE, RELAY_QUEUE_BYTES_MAX, &set->link);
    if (status != STATUS_OK) {
        relay_process_end(&set->process, 0);
        return fault(STATUS_OS, "no memory for the gateway");
    }
    say_start(set);
    say_barred(set); /* before it listens: it reads in order */
    for (size_t i = 0; i < set->client_count; i++) {
        relay_say_dial(set->clients[i]);
    }
    return STATUS_OK;
}

/* All connections are gone with it, and what they said. */
static void forget(struct channel_set *set)
{
    struct channel_server *server = set->server;
    memset(&server->connections, 0, sizeof server->connections);
    relay_inbox_clear(&server->inbox);
    for (size_t i = 0; i < set->client_count; i++) {
        struct channel_client *client = set->clients[i];
        client->connections_before += client->line.connections;
        client->line = (struct gateway_line){.trouble = CHANNEL_CONNECTING};
        client->window = (struct relay_window){.bytes = 0};
        relay_inbox_clear(&client->inbox);
    }
    set->unconfirmed_bytes = 0;
}

static void plan_restart(struct channel_set *set, uint64_t now_ms)
{
    if (now_ms - set->started_ms >= STEADY_MS) {
        set->backoff_ms = 0;
    }
    set->restart_ms = now_ms + set->backoff_ms;
    set->backoff_ms = set->backoff_ms == 0 ? BACKOFF_FIRST_MS : 2 * set->backoff_ms;
    if (set->backoff_ms > RELAY_RESTART_MS_MAX) {
        set->backoff_ms = RELAY_RESTART_MS_MAX;
    }
}

void relay_gateway_lost(struct channel_set *set, const char *reason)
{
    if (set->link == NULL) {
        return;
    }
    gateway_link_free(set->link);
    set->link = NULL;
    set->ready = false;
    /* Its end of the stream closes a moment before the kernel says how it ended. */
    relay_process_end(&set->process, reason != NULL ? 0 : BURY_MS_MAX);
    if (reason == NULL) {
        reason = set->process.how[0] != '\0' ? set->process.how : "it closed its stream";
    }
    (void)snprintf(set->reason, sizeof set->reason, "%s", reason);
    forget(set);
    plan_restart(set, clock_now_ms());
}

static void restart(struct channel_set *set, uint64_t now_ms)
{
    char reason[GATEWAY_TEXT_MAX + 1];
    (void)snprintf(reason, sizeof reason, "%s", set->reason);
    if (relay_gateway_start(set) != STATUS_OK) {
        log_error("gateway", "not_restarted", "reason=\"%s\" retry_ms=%" PRIu64, fault_text(),
                  set->backoff_ms);
        plan_restart(set, now_ms);
        return;
    }
    log_warn("gateway", "restarted", "reason=\"%s\" pid=%d starts=%" PRIu64, reason,
             (int)set->process.pid, set->generation);
}

uint64_t relay_gateway_ping(struct channel_set *set, uint64_t now_ms)
{
    set->pinged_ms = now_ms;
    set->pings++;
    relay_say(set, &(struct gateway_frame){.type = GATEWAY_PING, .number = set->pings});
    return set->pings;
}

bool relay_gateway_catches_up(const struct channel_set *set, uint64_t now_ms)
{
    return set->link != NULL && set->pongs < set->fence && now_ms < set->fence_ms;
}

void relay_gateway_tend(struct channel_set *set, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - set->tended_ms;
    set->tended_ms = now_ms;
    if (set->server == NULL) {
        return;
    }
    if (set->link == NULL) {
        if (now_ms >= set->restart_ms) {
            restart(set, now_ms);
        }
        return;
    }
    bool owes = !set->ready || set->pongs < set->pings;
    if (owes) {
        set->silent_ms += elapsed_ms < TEND_MS_COUNTED_MAX ? elapsed_ms : TEND_MS_COUNTED_MAX;
    }
    if (set->silent_ms > SILENT_MS_MAX) {
        relay_gateway_lost(set, "it does not answer");
    } else if (set->ready && !owes && now_ms - set->pinged_ms >= PING_MS) {
        (void)relay_gateway_ping(set, now_ms);
    }
}

static bool fits(const struct channel_set *set, const struct relay_window *window,
                 size_t size_bytes)
{
    return window->messages < RELAY_MESSAGES_MAX && window->bytes + size_bytes <= RELAY_BYTES_MAX &&
           set->unconfirmed_bytes + size_bytes <= RELAY_ALL_BYTES_MAX;
}

/* Everybody gets a share of what is left in all, so that a few who do not read leave room. */
static bool chunk_fits(const struct channel_set *set, const struct relay_window *window,
                       size_t size_bytes)
{
    if (window->messages >= RELAY_CHUNKS_MAX ||
        set->unconfirmed_bytes + size_bytes > RELAY_ALL_CHUNKS_BYTES_MAX) {
        return false;
    }
    size_t share_bytes = (RELAY_ALL_CHUNKS_BYTES_MAX - set->unconfirmed_bytes) / SHARE;
    size_t max_bytes =
        share_bytes < RELAY_CHUNKS_BYTES_MAX ? share_bytes : (size_t)RELAY_CHUNKS_BYTES_MAX;
    return window->bytes == 0 || window->bytes + size_bytes <= max_bytes;
}

enum status relay_send(struct channel_set *set, struct relay_window *window,
                       const struct gateway_frame *frame)
{
    size_t size_bytes = frame->head_size_bytes + frame->body_size_bytes;
    bool has_room = wire_is_chunk(frame->head, frame->head_size_bytes)
                        ? chunk_fits(set, window, size_bytes)
                        : fits(set, window, size_bytes);
    if (set->link == NULL || !has_room || gateway_link_put(set->link, frame) != STATUS_OK) {
        return STATUS_AGAIN;
    }
    window->messages++;
    window->bytes += size_bytes;
    set->unconfirmed_bytes += size_bytes;
    return STATUS_OK;
}

bool relay_confirm(struct channel_set *set, struct relay_window *window,
                   const struct gateway_taken *taken)
{
    if (taken->messages > window->messages || taken->bytes > window->bytes ||
        (taken->messages == window->messages && taken->bytes != window->bytes)) {
        return false;
    }
    window->messages -= taken->messages;
    window->bytes -= (size_t)taken->bytes;
    set->unconfirmed_bytes -= (size_t)taken->bytes;
    return true;
}

void relay_window_end(struct channel_set *set, struct relay_window *window)
{
    set->unconfirmed_bytes -= window->bytes;
    *window = (struct relay_window){.bytes = 0};
}
