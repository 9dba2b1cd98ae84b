/* sim_channel - the functions of proto/channel.h on the simulator's lines. */
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_lines.h"

#include "common/fault.h"

#include <stdlib.h>
#include <string.h>

enum { CONNECT_US_MAX = 30000, RETRY_US_MAX = 500000, PORT = 7700 };

/* Each lies in the memory of its process; what is on the line does not. */
struct channel_server {
    uint64_t dropped_count;
};

struct channel_client {
    uint32_t peer;
    uint64_t endpoint;
};

static struct sim_letter **letter_of(struct channel_message *message)
{
    return (struct sim_letter **)(void *)message->opaque;
}

static void hand_over(uint32_t receiver, struct sim_letter *letter, struct channel_message *out)
{
    sim_queue_put(&sim->network->held[receiver], letter);
    *letter_of(out) = letter;
    out->head = letter->data;
    out->head_size_bytes = letter->head_bytes;
    out->body = letter->data + letter->head_bytes;
    out->body_size_bytes = letter->body_bytes;
}

void channel_message_close(struct channel_message *message)
{
    struct sim_letter *letter = *letter_of(message);
    uint32_t receiver = letter->way == SIM_UP ? SIM_COORDINATOR : letter->peer;
    if (!sim_queue_remove(&sim->network->held[receiver], letter)) {
        sim_fail("a message was closed that was not open");
        return;
    }
    sim_letter_free(letter);
}

enum status channel_server_new(const char *listen, const struct identity *identity,
                               struct channel_server **out)
{
    (void)listen;
    (void)identity;
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return fault(STATUS_OS, "no memory for the server's socket");
    }
    struct sim_network *network = sim->network;
    if (network->server_open) {
        sim_fail("a second server listens");
    }
    network->server_open = true;
    memset(network->routes, 0, sizeof network->routes);
    for (uint32_t i = 0; i < SIM_PEERS_MAX; i++) {
        struct sim_line *line = &network->lines[i];
        line->connection++;
        if (line->open) {
            uint64_t wait_us = random_below(&sim->networks, RETRY_US_MAX);
            sim_push(sim->now_us + wait_us, SIM_CONNECT, i, line->connection);
        }
    }
    return STATUS_OK;
}

/* What was sent still arrives. */
void channel_server_free(struct channel_server *self)
{
    if (self == NULL) {
        return;
    }
    struct sim_network *network = sim->network;
    network->server_open = false;
    for (struct sim_letter *letter; (letter = sim_queue_take(&network->server_inbox)) != NULL;) {
        sim_letter_free(letter);
    }
    for (uint32_t i = 0; i < SIM_PEERS_MAX; i++) {
        network->lines[i].connected = false;
    }
    free(self);
}

uint16_t channel_server_port(const struct channel_server *self)
{
    (void)self;
    return PORT;
}

uint64_t channel_server_dropped(const struct channel_server *self)
{
    return self->dropped_count;
}

void channel_server_wait(struct channel_server *self, int wake_fd, int timeout_ms)
{
    (void)self;
    (void)wake_fd;
    (void)timeout_ms;
    sim_fail("the server waits by itself");
}

static struct sim_route *find_route(const uint8_t *curve_key)
{
    struct sim_route *routes = sim->network->routes;
    for (size_t i = 0; i < SIM_PEERS_MAX; i++) {
        if (routes[i].used && memcmp(routes[i].curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

static void remember(const struct sim_letter *letter, const uint8_t *curve_key)
{
    struct sim_route *route = find_route(curve_key);
    for (size_t i = 0; route == NULL && i < SIM_PEERS_MAX; i++) {
        route = sim->network->routes[i].used ? NULL : &sim->network->routes[i];
    }
    route->used = true;
    memcpy(route->curve_key, curve_key, IDENTITY_KEY_BYTES);
    route->peer = letter->peer;
    route->endpoint = letter->endpoint;
}

enum status channel_server_receive(struct channel_server *self, struct channel_message *out)
{
    (void)self;
    struct sim_letter *letter = sim_queue_take(&sim->network->server_inbox);
    if (letter == NULL) {
        return STATUS_AGAIN;
    }
    memcpy(out->curve_key, sim->network->lines[letter->peer].curve_key, IDENTITY_KEY_BYTES);
    remember(letter, out->curve_key);
    hand_over(SIM_COORDINATOR, letter, out);
    sim_check_received(letter->peer, letter->data, letter->head_bytes);
    return STATUS_OK;
}

enum status channel_server_send(struct channel_server *self,
                                const uint8_t curve_key[IDENTITY_KEY_BYTES], const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    (void)self;
    struct sim_route *route = find_route(curve_key);
    if (route != NULL) {
        sim_check_sent(route->peer, head, head_size_bytes);
    }
    struct sim_line *line = route != NULL ? &sim->network->lines[route->peer] : NULL;
    if (line == NULL || !line->connected || line->endpoint != route->endpoint) {
        return STATUS_STALE;
    }
    if (line->under_way[SIM_DOWN] >= sim->plan.queue_max) {
        return STATUS_AGAIN;
    }
    struct sim_blocks *own = sim_blocks_use(NULL);
    sim_letter_dispatch(
        sim_letter_new(route->peer, SIM_DOWN, head, head_size_bytes, body, body_size_bytes));
    (void)sim_blocks_use(own);
    return STATUS_OK;
}

void channel_server_disconnect(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    (void)self;
    struct sim_route *route = find_route(curve_key);
    if (route == NULL) {
        return;
    }
    route->used = false;
    if (sim->network->lines[route->peer].endpoint == route->endpoint) {
        sim_line_break(route->peer);
    }
}

enum status channel_client_new(const struct join_link *link, const struct identity *identity,
                               struct channel_client **out)
{
    (void)link;
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return fault(STATUS_OS, "no memory for the socket");
    }
    uint32_t peer = sim->running->index;
    struct sim_line *line = &sim->network->lines[peer];
    line->open = true;
    line->connected = false;
    line->endpoint++;
    line->connection++;
    line->connections = 0;
    memcpy(line->curve_key, identity->curve_public, IDENTITY_KEY_BYTES);
    **out = (struct channel_client){.peer = peer, .endpoint = line->endpoint};
    if (sim->network->server_open) {
        sim_push(sim->now_us + 1 + random_below(&sim->networks, CONNECT_US_MAX), SIM_CONNECT, peer,
                 line->connection);
    }
    return STATUS_OK;
}

static void drop_all(struct sim_queue *queue)
{
    for (struct sim_letter *letter; (letter = sim_queue_take(queue)) != NULL;) {
        sim_letter_free(letter);
    }
}

/* What was sent on a connection still arrives. */
void channel_client_free(struct channel_client *self)
{
    if (self == NULL) {
        return;
    }
    struct sim_line *line = &sim->network->lines[self->peer];
    line->open = false;
    line->connected = false;
    drop_all(&line->inbox);
    drop_all(&line->outbox);
    free(self);
}

enum channel_trouble channel_client_trouble(struct channel_client *self)
{
    return sim->network->lines[self->peer].connected ? CHANNEL_FINE : CHANNEL_CONNECTING;
}

uint64_t channel_client_connections(struct channel_client *self)
{
    return sim->network->lines[self->peer].connections;
}

void channel_client_wait(struct channel_client *self, int wake_fd, int timeout_ms)
{
    (void)self;
    (void)wake_fd;
    (void)timeout_ms;
    sim_fail("a peer waits by itself");
}

enum status channel_client_receive(struct channel_client *self, struct channel_message *out)
{
    struct sim_letter *letter = sim_queue_take(&sim->network->lines[self->peer].inbox);
    if (letter == NULL) {
        return STATUS_AGAIN;
    }
    hand_over(self->peer, letter, out);
    return STATUS_OK;
}

enum status channel_client_send(struct channel_client *self, const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    struct sim_line *line = &sim->network->lines[self->peer];
    if (line->under_way[SIM_UP] >= sim->plan.queue_max) {
        return STATUS_AGAIN;
    }
    struct sim_blocks *own = sim_blocks_use(NULL);
    struct sim_letter *letter =
        sim_letter_new(self->peer, SIM_UP, head, head_size_bytes, body, body_size_bytes);
    if (!sim_hostile_letter(&sim->peers[self->peer], &letter)) {
        sim_letter_free(letter);
    } else if (line->connected) {
        sim_letter_dispatch(letter);
    } else {
        sim_queue_put(&line->outbox, letter);
    }
    (void)sim_blocks_use(own);
    return STATUS_OK;
}
