#include "common/fault.h"
#include "common/log.h"
#include "peer/daemon/daemon_state.h"

#include <stdio.h>
#include <string.h>

enum {
    COMING_MS_MAX = 1000,
    SAY_MS = 1500, /* also while chunks come: the coordinator has to hear something */
    TELL_MS = 5000,
    LOOK_MS = 500,
    DEAD_MS_MAX = 4000, /* nothing came and nothing was delivered, though an answer was due */
    AGAIN_MS = 200,
    AGAIN_MS_MAX = 10000
};

/* Where the channel has reached the coordinator, and the other port. Looking up the link's name
 * once more could hold up the channel's own signs of life for too long. */
static void write_address(const struct daemon *self, char out[LINK_ADDRESS_MAX])
{
    char host[CHANNEL_HOST_MAX];
    channel_client_host(self->channel, host);
    (void)snprintf(out, LINK_ADDRESS_MAX, "%s:%u", host, (unsigned)self->line.port);
}

static void hang_up(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    channel_client_drop(line->client);
    line->client = NULL;
    line->answered = false;
    line->connections = 0;
    line->said_ms = 0;
    line->flow = (struct pace_flow){.delivered_bytes = 0};
}

/* One that cannot be dialled is tried again, as one that nobody answers. */
static void dial(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    char address[LINK_ADDRESS_MAX];
    line->dial_ms = self->now_ms + line->wait_ms;
    line->wait_ms = 2 * line->wait_ms < AGAIN_MS_MAX ? 2 * line->wait_ms : (uint64_t)AGAIN_MS_MAX;
    write_address(self, address);
    if (channel_client_new(self->channels, CHANNEL_CHUNKS, address,
                           self->options->link.coordinator_key, self->identity,
                           &line->client) != STATUS_OK) {
        log_event(LOG_DEBUG, "peer", "not_dialled", "reason=\"%s\"", fault_text());
        line->client = NULL;
    }
}

void daemon_line_close(struct daemon *self)
{
    hang_up(self);
    self->line.port = 0;
}

void daemon_line_open(struct daemon *self, uint16_t port)
{
    daemon_line_close(self);
    if (port == 0) {
        return;
    }
    self->line = (struct chunk_line){.port = port, .wait_ms = AGAIN_MS};
    self->more = true; /* the next turn dials: the welcome's model may take long to make */
}

bool daemon_line_is_coming(const struct daemon *self)
{
    const struct chunk_line *line = &self->line;
    return line->port != 0 && !line->answered && !line->lost &&
           (line->since_ms == 0 || self->now_ms - line->since_ms < COMING_MS_MAX);
}

/* What was sent on it may be lost, and must not be the first that the next connection brings. */
static void lose(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    log_event(LOG_DEBUG, "peer", "chunk_line_lost", "port=%u", (unsigned)line->port);
    line->lost = true;
    line->since_ms = line->answered ? self->now_ms : line->since_ms;
    self->upload_begun = false;
    line->dial_ms = self->now_ms + line->wait_ms;
    hang_up(self);
}

/* The first time it lets this connection in, by the session that this key has. */
static void say(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    size_t size_bytes = 0;
    line->said_ms = self->now_ms;
    self->outgoing.type = WIRE_ALIVE;
    if (wire_encode(&self->outgoing, self->head, WIRE_HEAD_MAX, &size_bytes) == STATUS_OK) {
        (void)!channel_client_send(line->client, self->head, size_bytes, NULL, 0);
    }
}

/* TCP would take minutes to tell. Time in which nobody looked does not count. */
static bool is_dead(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    uint64_t passed_ms = self->now_ms - line->turned_ms;
    line->turned_ms = self->now_ms;
    if (passed_ms > LOOK_MS) {
        uint64_t moved_ms = line->moved_ms + passed_ms;
        line->moved_ms = moved_ms < self->now_ms ? moved_ms : self->now_ms;
    }
    if (!line->answered || self->now_ms < line->moved_ms + LOOK_MS) {
        return false;
    }
    uint64_t delivered_bytes = channel_client_delivered_bytes(line->client);
    if (delivered_bytes != line->delivered_bytes) {
        line->delivered_bytes = delivered_bytes;
        line->moved_ms = self->now_ms;
    }
    return self->now_ms > line->moved_ms + DEAD_MS_MAX;
}

/* Once until it is answered: somebody may want to open the port. */
static void tell_if_out_of_reach(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    if (!line->told && !line->answered && self->now_ms - line->since_ms >= TELL_MS) {
        line->told = true;
        log_info("peer", "one_port",
                 "port=%u reason=\"the coordinator's port for chunks cannot be reached; they go "
                 "over the other one\"",
                 (unsigned)line->port);
    }
}

void daemon_line_turn(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    if (line->port == 0) {
        return;
    }
    line->since_ms = line->since_ms > 0 ? line->since_ms : self->now_ms;
    tell_if_out_of_reach(self);
    if (line->client == NULL) {
        if (self->now_ms >= line->dial_ms) {
            dial(self);
        }
        return;
    }
    enum channel_trouble trouble = channel_client_trouble(line->client);
    uint64_t connections = channel_client_connections(line->client);
    if (line->connections > 0 && (trouble != CHANNEL_FINE || connections > line->connections)) {
        lose(self);
        return;
    }
    line->connections = connections;
    if (is_dead(self)) {
        lose(self);
        return;
    }
    bool due = line->said_ms == 0 || self->now_ms - line->said_ms >= SAY_MS;
    if (trouble == CHANNEL_FINE && due) {
        say(self);
    }
}

static void take_answer(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    if (line->answered) {
        return;
    }
    line->answered = true;
    line->told = false;
    line->wait_ms = AGAIN_MS;
    if (line->lost) {
        daemon_fetch_line_back(self); /* what was on its way is not any more */
    }
    log_event(LOG_DEBUG, "peer", "chunk_line", "port=%u", (unsigned)line->port);
}

void daemon_line_receive(struct daemon *self, int messages_max)
{
    struct chunk_line *line = &self->line;
    struct channel_message incoming;
    for (int i = 0; i < messages_max && line->client != NULL &&
                    channel_client_receive(line->client, &incoming) == STATUS_OK;
         i++) {
        line->moved_ms = self->now_ms;
        if (wire_is_chunk(incoming.head, incoming.head_size_bytes)) {
            daemon_take_chunk(self, FETCH_COORDINATOR, &incoming);
        } else {
            pace_came_unasked(&self->pace, incoming.head_size_bytes + incoming.body_size_bytes,
                              self->now_ms);
            if (wire_decode(incoming.head, incoming.head_size_bytes, &self->incoming) ==
                    STATUS_OK &&
                self->incoming.type == WIRE_ALIVE) {
                take_answer(self);
            }
        }
        channel_message_close(&incoming);
    }
}

enum status daemon_line_send(struct daemon *self, const uint8_t *head, size_t head_bytes,
                             const uint8_t *chunk, size_t size_bytes)
{
    struct chunk_line *line = &self->line;
    enum status status = channel_client_send(line->answered ? line->client : self->channel, head,
                                             head_bytes, chunk, size_bytes);
    if (status == STATUS_OK) {
        pace_flow_add(line->answered ? &line->flow : &self->flow, size_bytes);
    }
    return status;
}

uint64_t daemon_line_look(struct daemon *self)
{
    struct chunk_line *line = &self->line;
    uint64_t bytes = pace_flow_look(&self->flow, channel_client_delivered_bytes(self->channel));
    if (line->client != NULL) {
        bytes += pace_flow_look(&line->flow, channel_client_delivered_bytes(line->client));
    }
    return bytes;
}
