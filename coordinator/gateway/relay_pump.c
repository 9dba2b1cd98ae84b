#include "coordinator/gateway/relay_state.h"

#include "common/log.h"

#include <inttypes.h>
#include <string.h>

enum { SECOND_MS = 1000 };

/* A message of a connection. Errors: PROTOCOL (a connection has one key). */
static enum status take_heard(struct channel_set *set, const struct gateway_frame *frame)
{
    struct channel_server *server = set->server;
    struct relay_window pushed;
    struct relay_letter like = {.number = frame->number};
    if (gateway_sender_read(frame, &like.sender) != STATUS_OK) {
        return STATUS_PROTOCOL;
    }
    struct relay_connection *connection = relay_connections_touch(
        &server->connections, frame->number, like.sender.curve_key, &pushed);
    relay_window_end(set, &pushed);
    if (memcmp(connection->curve_key, like.sender.curve_key, IDENTITY_KEY_BYTES) != 0) {
        return STATUS_PROTOCOL;
    }
    struct gateway_frame message = *frame;
    message.head += GATEWAY_SENDER_BYTES;
    message.head_size_bytes -= GATEWAY_SENDER_BYTES;
    /* The pump stops before it is full: only memory can be lacking, and then what is lost is one
     * message, as where a connection breaks. */
    (void)relay_inbox_put(&server->inbox, RELAY_INBOX_BYTES_MAX + GATEWAY_FRAME_MAX,
                          RELAY_INBOX_MESSAGES_MAX + 1, &like, &message);
    return STATUS_OK;
}

static enum status take_taken(struct channel_set *set, const struct gateway_frame *frame)
{
    struct relay_connection *connection =
        relay_connections_find(&set->server->connections, frame->number);
    struct gateway_taken taken = gateway_taken_read(frame);
    if (connection == NULL) {
        return STATUS_OK; /* another has its place by now */
    }
    return relay_confirm(set, &connection->window, &taken) ? STATUS_OK : STATUS_PROTOCOL;
}

static void take_gone(struct channel_set *set, const struct gateway_frame *frame)
{
    struct relay_connection *connection =
        relay_connections_find(&set->server->connections, frame->number);
    if (connection != NULL) {
        relay_window_end(set, &connection->window);
        connection->gone = true;
    }
}

static void take_traffic(struct channel_set *set, const struct gateway_frame *frame)
{
    struct relay_connection *connection =
        relay_connections_find(&set->server->connections, frame->number);
    if (connection != NULL) {
        connection->traffic = gateway_traffic_read(frame);
    }
}

static enum status take_incident(struct channel_set *set, const struct gateway_frame *frame,
                                 uint64_t now_ms)
{
    struct channel_server *server = set->server;
    struct channel_incident incident;
    if (gateway_incident_read(frame, &incident) != STATUS_OK) {
        return STATUS_PROTOCOL;
    }
    if (now_ms - server->incidents_ms >= SECOND_MS) {
        server->incidents_ms = now_ms;
        server->incidents_came = 0;
    }
    if (server->incidents_came < RELAY_INCIDENTS_MAX &&
        server->incident_count < RELAY_INCIDENTS_MAX) {
        incident.connection = relay_number(set, incident.connection);
        size_t last = (server->incident_first + server->incident_count) % RELAY_INCIDENTS_MAX;
        server->incidents[last] = incident;
        server->incident_count++;
        server->incidents_came++;
    }
    return STATUS_OK;
}

/* NULL: it was hung up. */
static struct channel_client *client_of(struct channel_set *set, uint64_t number)
{
    for (size_t i = 0; i < set->client_count; i++) {
        if (set->clients[i]->number == number) {
            return set->clients[i];
        }
    }
    return NULL;
}

/* Of a client. What is said to one that does not listen is dropped: it was not asked for. */
static enum status take_of_client(struct channel_set *set, const struct gateway_frame *frame)
{
    struct channel_client *client = client_of(set, frame->number);
    if (client == NULL) {
        return frame->number <= set->numbers ? STATUS_OK : STATUS_PROTOCOL;
    }
    if (frame->type == GATEWAY_LINE) {
        struct gateway_line line;
        if (gateway_line_read(frame, &line) != STATUS_OK ||
            line.connections < client->line.connections) {
            return STATUS_PROTOCOL;
        }
        client->line = line;
        return STATUS_OK;
    }
    if (frame->type == GATEWAY_TOLD) {
        struct gateway_taken taken = gateway_taken_read(frame);
        return relay_confirm(set, &client->window, &taken) ? STATUS_OK : STATUS_PROTOCOL;
    }
    if (frame->body_size_bytes > client->body_bytes_max) {
        return STATUS_PROTOCOL;
    }
    (void)relay_inbox_put(&client->inbox, RELAY_CLIENT_INBOX_BYTES_MAX,
                          RELAY_CLIENT_INBOX_MESSAGES_MAX, &(struct relay_letter){.number = 0},
                          frame);
    return STATUS_OK;
}

static enum status take_ready(struct channel_set *set, const struct gateway_frame *frame)
{
    struct gateway_ready ready;
    if (set->ready || gateway_ready_read(frame, &ready) != STATUS_OK) {
        return STATUS_PROTOCOL;
    }
    set->ready = true;
    set->silent_ms = 0;
    log_info("gateway", "ready", "pid=%d files=%s network=%s calls=%s missing=\"%s\"",
             (int)set->process.pid, ready.files ? "closed" : "open",
             ready.network ? "closed" : "open", ready.calls ? "closed" : "open", ready.missing);
    return STATUS_OK;
}

static enum status take_pong(struct channel_set *set, const struct gateway_frame *frame)
{
    if (frame->number <= set->pongs || frame->number > set->pings) {
        return STATUS_PROTOCOL;
    }
    set->pongs = frame->number;
    set->silent_ms = 0;
    return STATUS_OK;
}

/* Errors: PROTOCOL; STALE (it says itself that it cannot go on). */
static enum status take(struct channel_set *set, const struct gateway_frame *frame, uint64_t now_ms)
{
    if (!set->ready && frame->type != GATEWAY_READY && frame->type != GATEWAY_FAILED) {
        return STATUS_PROTOCOL;
    }
    switch ((unsigned)frame->type) {
    case GATEWAY_READY:
        return take_ready(set, frame);
    case GATEWAY_FAILED:
        return STATUS_STALE;
    case GATEWAY_HEARD:
        return take_heard(set, frame);
    case GATEWAY_TAKEN:
        return take_taken(set, frame);
    case GATEWAY_GONE:
        take_gone(set, frame);
        return STATUS_OK;
    case GATEWAY_TRAFFIC:
        take_traffic(set, frame);
        return STATUS_OK;
    case GATEWAY_INCIDENT:
        return take_incident(set, frame, now_ms);
    case GATEWAY_ANSWERED:
    case GATEWAY_TOLD:
    case GATEWAY_LINE:
        return take_of_client(set, frame);
    case GATEWAY_PONG:
        return take_pong(set, frame);
    default: /* the reader lets no other pass */
        return STATUS_PROTOCOL;
    }
}

static void lost(struct channel_set *set, enum status status, const struct gateway_frame *frame)
{
    char text[GATEWAY_TEXT_MAX + 1] = "";
    if (status == STATUS_PROTOCOL) {
        relay_gateway_lost(set, "it broke the rules");
    } else if (frame->type == GATEWAY_FAILED) {
        gateway_text_read(frame->head, frame->head_size_bytes, text);
        relay_gateway_lost(set, text);
    } else {
        relay_gateway_lost(set, NULL);
    }
}

void relay_pump(struct channel_set *set, uint64_t now_ms)
{
    if (set->server == NULL) {
        return;
    }
    const struct relay_inbox *inbox = &set->server->inbox;
    if (set->link != NULL && set->ready && now_ms - set->pumped_ms >= RELAY_STALL_MS) {
        set->fence = relay_gateway_ping(set, now_ms);
        set->fence_ms = now_ms + RELAY_FENCE_MS_MAX;
    }
    set->pumped_ms = now_ms;
    for (int i = 0; i < RELAY_FRAMES_PER_PUMP_MAX && set->link != NULL &&
                    inbox->bytes < RELAY_INBOX_BYTES_MAX && inbox->count < RELAY_INBOX_MESSAGES_MAX;
         i++) {
        struct gateway_frame frame = {.number = 0};
        enum status status = gateway_link_read(set->link, &frame);
        if (status == STATUS_AGAIN) {
            return;
        }
        if (status == STATUS_OK) {
            status = take(set, &frame, now_ms);
        }
        if (status != STATUS_OK) {
            lost(set, status, &frame);
        }
    }
}
