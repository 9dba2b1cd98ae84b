/* sim_channel - the functions of proto/channel.h on the simulator's lines. */
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_lines.h"

#include "common/check.h"
#include "common/fault.h"
#include "proto/channel_incidents.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_US_MAX = 30000, RETRY_US_MAX = 500000, PORT = 7700 };

/* Each lies in the memory of its process; what is on the line does not. */
struct channel_set {
    size_t endpoint_count;
};

struct channel_server {
    struct channel_set *set;
    uint32_t machine;
    enum channel_use use;
    struct channel_incidents incidents;
};

struct channel_client {
    struct channel_set *set;
    struct sim_line *line;
    size_t body_bytes_max;
};

enum status channel_set_new(int io_thread_count, struct channel_set **out)
{
    CHECK(io_thread_count > 0);
    *out = calloc(1, sizeof **out);
    return *out != NULL ? STATUS_OK : fault(STATUS_OS, "no memory for the sockets");
}

void channel_set_free(struct channel_set *self)
{
    CHECK(self == NULL || self->endpoint_count == 0);
    free(self);
}

void channel_set_wait(struct channel_set *self, int wake_fd, int timeout_ms)
{
    (void)self;
    (void)wake_fd;
    (void)timeout_ms;
    sim_fail("a process waits by itself");
}

static enum status join(struct channel_set *set)
{
    if (set->endpoint_count == CHANNEL_ENDPOINTS_MAX) {
        return fault(STATUS_FULL, "more than %d connections are asked for at once",
                     CHANNEL_ENDPOINTS_MAX);
    }
    set->endpoint_count++;
    return STATUS_OK;
}

static size_t body_bytes_max(enum channel_use use)
{
    return use == CHANNEL_CONTROL ? WIRE_BODY_MAX : CHANNEL_BULK_BODY_MAX;
}

static struct sim_letter **letter_of(struct channel_message *message)
{
    return (struct sim_letter **)(void *)message->opaque;
}

static void hand_over(struct sim_letter *letter, struct channel_message *out)
{
    sim_queue_put(&sim->network->held[sim_letter_receiver(letter)], letter);
    *letter_of(out) = letter;
    out->head = letter->data;
    out->head_size_bytes = letter->head_bytes;
    out->body = letter->data + letter->head_bytes;
    out->body_size_bytes = letter->body_bytes;
}

void channel_message_close(struct channel_message *message)
{
    struct sim_letter *letter = *letter_of(message);
    if (!sim_queue_remove(&sim->network->held[sim_letter_receiver(letter)], letter)) {
        sim_fail("a message was closed that was not open");
        return;
    }
    sim_letter_free(letter);
}

static uint16_t port_of(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;
    return (uint16_t)(port > 0 && port <= UINT16_MAX ? port : PORT);
}

/* listen_bulk NULL: one port. */
static enum status new_server(struct channel_set *set, enum channel_use use, const char *listen,
                              const char *listen_bulk, const struct identity *identity,
                              struct channel_server **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return fault(STATUS_OS, "no memory for the server's socket");
    }
    enum status status = join(set);
    if (status != STATUS_OK) {
        free(*out);
        *out = NULL;
        return status;
    }
    uint32_t machine = sim->running->index;
    struct sim_network *network = sim->network;
    struct sim_listener *listener = &network->listeners[machine];
    if (listener->open) {
        sim_fail("a second server listens on %s", sim_process_name(machine));
    }
    **out = (struct channel_server){.set = set, .machine = machine, .use = use};
    listener->open = true;
    listener->ports[SIM_CONTROL_PORT] = port_of(listen);
    listener->ports[SIM_BULK_PORT] = listen_bulk != NULL ? port_of(listen_bulk) : 0;
    memcpy(listener->public_key, identity->public_key, IDENTITY_KEY_BYTES);
    memset(listener->routes, 0, sizeof listener->routes);
    listener->barred_count = 0;
    for (struct sim_line *line = network->lines; line != NULL; line = line->next) {
        if (line->server == machine) {
            line->connection = ++network->numbers;
        }
        if (line->server == machine && line->open) {
            sim_line_connect_in(line, random_below(&sim->networks, RETRY_US_MAX));
        }
    }
    return STATUS_OK;
}

enum status channel_server_new(struct channel_set *set, enum channel_use use, const char *listen,
                               const struct identity *identity, struct channel_server **out)
{
    return new_server(set, use, listen, NULL, identity, out);
}

enum status channel_server_new_both(struct channel_set *set, const char *listen,
                                    const char *listen_bulk, const struct identity *identity,
                                    struct channel_server **out)
{
    return new_server(set, CHANNEL_CONTROL, listen, listen_bulk, identity, out);
}

/* What was sent still arrives. */
void channel_server_free(struct channel_server *self)
{
    if (self == NULL) {
        return;
    }
    struct sim_network *network = sim->network;
    network->listeners[self->machine].open = false;
    sim_queue_empty(&network->listeners[self->machine].inbox);
    for (struct sim_line *line = network->lines; line != NULL; line = line->next) {
        line->ending = line->ending || (line->connected && line->server == self->machine);
        line->connected = line->connected && line->server != self->machine;
    }
    self->set->endpoint_count--;
    free(self);
}

uint16_t channel_server_port(const struct channel_server *self)
{
    return sim->network->listeners[self->machine].ports[SIM_CONTROL_PORT];
}

uint16_t channel_server_bulk_port(const struct channel_server *self)
{
    return sim->network->listeners[self->machine].ports[SIM_BULK_PORT];
}

static struct sim_listener *listener_of(const struct channel_server *self)
{
    return &sim->network->listeners[self->machine];
}

static struct sim_route *find_route(const struct channel_server *self, uint64_t connection)
{
    struct sim_route *routes = listener_of(self)->routes;
    for (size_t i = 0; i < SIM_ROUTES; i++) {
        if (connection > 0 && routes[i].connection == connection) {
            return &routes[i];
        }
    }
    return NULL;
}

/* The line whose connection it still is; NULL: it is gone. */
static struct sim_line *line_of(const struct sim_route *route)
{
    struct sim_line *line = route != NULL ? sim_line_find(route->line) : NULL;
    return line != NULL && line->connected && line->connection == route->connection ? line : NULL;
}

/* A free place, or that of the connection that went first. */
static struct sim_route *make_room(const struct channel_server *self)
{
    struct sim_route *routes = listener_of(self)->routes;
    struct sim_route *oldest = NULL;
    for (size_t i = 0; i < SIM_ROUTES; i++) {
        if (routes[i].connection == 0) {
            return &routes[i];
        }
        if (line_of(&routes[i]) == NULL &&
            (oldest == NULL || routes[i].connection < oldest->connection)) {
            oldest = &routes[i];
        }
    }
    CHECK(oldest != NULL); /* there are not as many lines */
    return oldest;
}

static struct sim_route *route_of(const struct channel_server *self,
                                  const struct sim_letter *letter)
{
    struct sim_route *route = find_route(self, letter->connection);
    if (route == NULL) {
        route = make_room(self);
        *route = (struct sim_route){.connection = letter->connection,
                                    .client = letter->line->client,
                                    .line = letter->line->id,
                                    .at = letter->line->at};
        memcpy(route->curve_key, letter->line->curve_key, IDENTITY_KEY_BYTES);
    }
    return route;
}

static void cut(struct sim_route *route)
{
    struct sim_line *line = line_of(route);
    route->cut = true;
    if (line != NULL) {
        sim_line_break(line);
    }
}

static void cut_for(struct channel_server *self, struct sim_route *route,
                    enum channel_reason reason)
{
    struct channel_incident incident = {
        .reason = reason, .has_key = true, .connection = route->connection};
    memcpy(incident.curve_key, route->curve_key, IDENTITY_KEY_BYTES);
    sim_network_host(route->client, incident.host);
    channel_incidents_add(&self->incidents, &incident, 1 + sim->now_us / 1000);
    cut(route);
}

/* Why a stranger may not say this; 0: it may. */
static enum channel_reason judge_stranger(const struct channel_server *self,
                                          struct sim_route *route, const struct sim_letter *letter)
{
    if (++route->messages > CHANNEL_STRANGER_MESSAGES_MAX) {
        return CHANNEL_NOT_ADMITTED;
    }
    bool small = letter->head_bytes <= CHANNEL_STRANGER_HEAD_MAX &&
                 (self->use == CHANNEL_BULK || letter->body_bytes == 0);
    return small ? 0 : CHANNEL_OVERSIZE;
}

static bool is_heard(struct channel_server *self, struct sim_route *route,
                     const struct sim_letter *letter)
{
    enum channel_reason reason = 0;
    if (!route->cut && !route->member) {
        reason = judge_stranger(self, route, letter);
    }
    if (reason != 0) {
        cut_for(self, route, reason);
    }
    return !route->cut;
}

enum status channel_server_receive(struct channel_server *self, struct channel_message *out)
{
    struct sim_letter *letter = NULL;
    while ((letter = sim_queue_take(&listener_of(self)->inbox)) != NULL) {
        struct sim_route *route = route_of(self, letter);
        bool lucky = self->machine == SIM_COORDINATOR &&
                     !sim_hostile_arrives(&sim->peers[route->client], letter);
        if (!lucky && is_heard(self, route, letter)) {
            memcpy(out->curve_key, route->curve_key, IDENTITY_KEY_BYTES);
            out->connection = route->connection;
            sim_network_host(route->client, out->host);
            hand_over(letter, out);
            out->bulk = route->at == SIM_BULK_PORT;
            if (self->machine == SIM_COORDINATOR) {
                sim_check_received(route->client, letter->data, letter->head_bytes);
            }
            return STATUS_OK;
        }
        sim_letter_free(letter);
    }
    return STATUS_AGAIN;
}

/* Sends what a process on `machine` says, unless it thinks better of it. */
static void send_letter(uint32_t machine, struct sim_letter *letter)
{
    struct sim_line *line = letter->line;
    if (machine != SIM_COORDINATOR && !sim_hostile_letter(&sim->peers[machine], &letter)) {
        sim_letter_free(letter);
    } else if (line->connected) {
        sim_letter_dispatch(letter);
    } else {
        sim_queue_put(&line->outbox, letter);
    }
}

enum status channel_server_send(struct channel_server *self, uint64_t connection,
                                const uint8_t *head, size_t head_size_bytes, const uint8_t *body,
                                size_t body_size_bytes)
{
    struct sim_route *route = find_route(self, connection);
    bool bulk = route != NULL && route->at == SIM_BULK_PORT;
    CHECK(body_size_bytes <= body_bytes_max(bulk ? CHANNEL_CHUNKS : self->use));
    struct sim_line *line = line_of(route);
    if (route != NULL && self->machine == SIM_COORDINATOR) {
        sim_check_sent(route->client, head, head_size_bytes);
    }
    if (line == NULL) {
        return STATUS_STALE;
    }
    if (line->under_way[SIM_DOWN] >= sim->plan.queue_max) {
        return STATUS_AGAIN;
    }
    struct sim_blocks *own = sim_blocks_use(NULL);
    send_letter(self->machine,
                sim_letter_new(line, SIM_DOWN, head, head_size_bytes, body, body_size_bytes));
    (void)sim_blocks_use(own);
    return STATUS_OK;
}

void channel_server_admit(struct channel_server *self, uint64_t connection)
{
    struct sim_route *member = find_route(self, connection);
    struct sim_route *routes = listener_of(self)->routes;
    if (member == NULL || member->cut) {
        return;
    }
    member->member = true;
    for (size_t i = 0; i < SIM_ROUTES; i++) {
        if (&routes[i] != member && routes[i].connection > 0 && routes[i].at == member->at &&
            memcmp(routes[i].curve_key, member->curve_key, IDENTITY_KEY_BYTES) == 0) {
            cut(&routes[i]);
        }
    }
}

void channel_server_cut(struct channel_server *self, uint64_t connection)
{
    struct sim_route *route = find_route(self, connection);
    if (route != NULL) {
        cut(route);
    }
}

bool sim_is_barred(const struct sim_listener *listener, const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    bool barred = false;
    for (uint32_t i = 0; i < listener->barred_count; i++) {
        barred = barred || memcmp(listener->barred[i], curve_key, IDENTITY_KEY_BYTES) == 0;
    }
    return barred;
}

static void let_in(struct sim_listener *listener, const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    for (uint32_t i = 0; i < listener->barred_count; i++) {
        if (memcmp(listener->barred[i], curve_key, IDENTITY_KEY_BYTES) == 0) {
            listener->barred_count--;
            memcpy(listener->barred[i], listener->barred[listener->barred_count],
                   IDENTITY_KEY_BYTES);
            return;
        }
    }
}

/* Lines of the key that have said nothing yet break as well. */
static void break_lines(const struct channel_server *self,
                        const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    for (struct sim_line *line = sim->network->lines; line != NULL; line = line->next) {
        if (line->server == self->machine && line->connected &&
            memcmp(line->curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
            sim_line_break(line);
        }
    }
}

enum status channel_server_bar(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES], bool barred)
{
    struct sim_listener *listener = listener_of(self);
    if (!barred) {
        let_in(listener, curve_key);
        return STATUS_OK;
    }
    for (size_t i = 0; i < SIM_ROUTES; i++) {
        struct sim_route *route = &listener->routes[i];
        if (route->connection > 0 && !route->cut &&
            memcmp(route->curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
            cut_for(self, route, CHANNEL_BARRED);
        }
    }
    break_lines(self, curve_key);
    if (sim_is_barred(listener, curve_key)) {
        return STATUS_OK;
    }
    CHECK(listener->barred_count < SIM_PROCESSES); /* there are no more keys */
    memcpy(listener->barred[listener->barred_count++], curve_key, IDENTITY_KEY_BYTES);
    return STATUS_OK;
}

bool channel_server_incident(struct channel_server *self, struct channel_incident *out)
{
    return channel_incidents_next(&self->incidents, 1 + sim->now_us / 1000, out);
}

/* Where no peer sums, no kernel counts the bytes. */
static uint64_t came_bytes(const struct sim_line *line, enum sim_way way)
{
    bool counted = line != NULL && line->connected && sim->plan.aggregation.peers;
    return counted ? line->came_bytes[way] : 0;
}

uint64_t channel_server_delivered_bytes(struct channel_server *self, uint64_t connection)
{
    return came_bytes(line_of(find_route(self, connection)), SIM_DOWN);
}

uint64_t channel_server_received_bytes(struct channel_server *self, uint64_t connection)
{
    const struct sim_line *line = line_of(find_route(self, connection));
    return line != NULL && line->connected ? line->came_bytes[SIM_UP] : 0;
}

static bool is_numeric(const char *address)
{
    char host[CHANNEL_HOST_MAX];
    uint8_t binary[sizeof(struct in_addr)];
    size_t length = strcspn(address, ":");
    if (length >= sizeof host) {
        return false;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    return inet_pton(AF_INET, host, binary) == 1;
}

enum status channel_client_new(struct channel_set *set, enum channel_use use, const char *address,
                               const uint8_t public_key[IDENTITY_KEY_BYTES],
                               const struct identity *identity, struct channel_client **out)
{
    *out = NULL;
    if (use != CHANNEL_CONTROL && !is_numeric(address)) {
        return fault(STATUS_USAGE, "'%.100s' is no IP address with a port", address);
    }
    struct channel_client *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the socket");
    }
    enum status status = join(set);
    if (status != STATUS_OK) {
        free(self);
        return status;
    }
    struct sim_line *line = sim_line_new(sim->running->index, address);
    memcpy(line->server_key, public_key, IDENTITY_KEY_BYTES);
    memcpy(line->curve_key, identity->curve_public, IDENTITY_KEY_BYTES);
    *self =
        (struct channel_client){.set = set, .line = line, .body_bytes_max = body_bytes_max(use)};
    sim_line_connect_in(line, 1 + random_below(&sim->networks, CONNECT_US_MAX));
    *out = self;
    return STATUS_OK;
}

/* What was sent on a connection still arrives. */
void channel_client_free(struct channel_client *self)
{
    if (self == NULL) {
        return;
    }
    sim_line_close(self->line);
    self->set->endpoint_count--;
    free(self);
}

/* What was sent may be on its way all the same. */
void channel_client_drop(struct channel_client *self)
{
    channel_client_free(self);
}

enum channel_trouble channel_client_trouble(struct channel_client *self)
{
    bool ending = self->line->ending && self->line->under_way[SIM_DOWN] > 0;
    return self->line->connected || ending                       ? CHANNEL_FINE
           : self->line->shut_out                                ? CHANNEL_SHUT_OUT
           : self->line->failed_handshakes >= SIM_HANDSHAKES_MAX ? CHANNEL_WRONG_KEY
                                                                 : CHANNEL_CONNECTING;
}

void channel_client_host(struct channel_client *self, char out[CHANNEL_HOST_MAX])
{
    out[0] = '\0';
    if (self->line->connections > 0) {
        sim_network_host(self->line->server, out);
    }
}

uint64_t channel_client_connections(struct channel_client *self)
{
    return self->line->connections;
}

uint64_t channel_client_delivered_bytes(struct channel_client *self)
{
    return came_bytes(self->line, SIM_UP);
}

enum status channel_client_receive(struct channel_client *self, struct channel_message *out)
{
    struct sim_letter *letter = sim_queue_take(&self->line->inbox);
    if (letter == NULL) {
        return STATUS_AGAIN;
    }
    hand_over(letter, out);
    return STATUS_OK;
}

enum status channel_client_send(struct channel_client *self, const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    CHECK(body_size_bytes <= self->body_bytes_max);
    struct sim_line *line = self->line;
    if (line->under_way[SIM_UP] >= sim->plan.queue_max) {
        return STATUS_AGAIN;
    }
    struct sim_blocks *own = sim_blocks_use(NULL);
    send_letter(line->client,
                sim_letter_new(line, SIM_UP, head, head_size_bytes, body, body_size_bytes));
    (void)sim_blocks_use(own);
    return STATUS_OK;
}
