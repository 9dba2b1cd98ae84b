#include "tests/sim/sim_lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRY_US_MIN = 100000, /* ZeroMQ's backoff, as channel_client_new says */
    RETRY_US_MAX = 500000,
    HOST_FIRST = 10 /* of machine 0, in 10.0.0.0/24 */
};

#define COORDINATOR_HOST "coordinator"

void sim_queue_put(struct sim_queue *self, struct sim_letter *letter)
{
    letter->next = NULL;
    if (self->first == NULL) {
        self->first = letter;
    } else {
        self->last->next = letter;
    }
    self->last = letter;
}

struct sim_letter *sim_queue_take(struct sim_queue *self)
{
    struct sim_letter *letter = self->first;
    if (letter != NULL) {
        self->first = letter->next;
        letter->next = NULL;
    }
    return letter;
}

bool sim_queue_remove(struct sim_queue *self, struct sim_letter *letter)
{
    struct sim_letter *before = NULL;
    for (struct sim_letter *at = self->first; at != NULL; before = at, at = at->next) {
        if (at == letter) {
            *(before != NULL ? &before->next : &self->first) = at->next;
            self->last = self->last == at ? before : self->last;
            return true;
        }
    }
    return false;
}

void sim_queue_empty(struct sim_queue *self)
{
    for (struct sim_letter *letter; (letter = sim_queue_take(self)) != NULL;) {
        sim_letter_free(letter);
    }
}

struct sim_network *sim_network_new(void)
{
    return sim_outer_alloc(sizeof(struct sim_network));
}

void sim_network_free(struct sim_network *self)
{
    for (size_t i = 0; i < SIM_PROCESSES; i++) {
        sim_queue_empty(&self->held[i]);
        sim_queue_empty(&self->listeners[i].inbox);
    }
    while (self->lines != NULL) {
        struct sim_line *line = self->lines;
        self->lines = line->next;
        sim_queue_empty(&line->outbox);
        sim_queue_empty(&line->inbox);
        sim_outer_free(line);
    }
    sim_outer_free(self);
}

struct sim_letter *sim_letter_new(struct sim_line *line, enum sim_way way, const uint8_t *head,
                                  size_t head_bytes, const uint8_t *body, size_t body_bytes)
{
    struct sim_letter *letter = sim_outer_realloc(NULL, sizeof *letter + head_bytes + body_bytes);
    *letter = (struct sim_letter){.line = line,
                                  .way = way,
                                  .connection = line->connection,
                                  .head_bytes = head_bytes,
                                  .body_bytes = body_bytes};
    memcpy(letter->data, head, head_bytes);
    if (body_bytes > 0) {
        memcpy(letter->data + head_bytes, body, body_bytes);
    }
    line->under_way[way]++;
    return letter;
}

void sim_letter_free(struct sim_letter *letter)
{
    letter->line->under_way[letter->way]--;
    sim_outer_free(letter);
}

uint32_t sim_letter_sender(const struct sim_letter *letter)
{
    return letter->way == SIM_UP ? letter->line->client : letter->line->server;
}

uint32_t sim_letter_receiver(const struct sim_letter *letter)
{
    return letter->way == SIM_UP ? letter->line->server : letter->line->client;
}

void sim_network_drop(void *letter)
{
    sim_letter_free(letter);
}

void sim_network_host(uint32_t machine, char out[CHANNEL_HOST_MAX])
{
    (void)snprintf(out, CHANNEL_HOST_MAX, "10.0.0.%" PRIu32, HOST_FIRST + machine);
}

static uint32_t machine_at(const char *address)
{
    size_t length = strcspn(address, ":");
    if (length == strlen(COORDINATOR_HOST) && strncmp(address, COORDINATOR_HOST, length) == 0) {
        return SIM_COORDINATOR;
    }
    for (uint32_t machine = 0; machine < SIM_PROCESSES; machine++) {
        char host[CHANNEL_HOST_MAX];
        sim_network_host(machine, host);
        if (length == strlen(host) && strncmp(address, host, length) == 0) {
            return machine;
        }
    }
    return SIM_NOWHERE;
}

static void forget_closed(struct sim_network *network)
{
    for (struct sim_line **at = &network->lines; *at != NULL;) {
        struct sim_line *line = *at;
        if (!line->open && line->under_way[SIM_UP] == 0 && line->under_way[SIM_DOWN] == 0) {
            *at = line->next;
            sim_outer_free(line);
        } else {
            at = &line->next;
        }
    }
}

struct sim_line *sim_line_new(uint32_t client, const char *address)
{
    struct sim_network *network = sim->network;
    forget_closed(network);
    struct sim_line *line = sim_outer_alloc(sizeof *line);
    const char *colon = strrchr(address, ':');
    line->id = ++network->numbers;
    line->client = client;
    line->server = machine_at(address);
    line->port = (uint16_t)(colon != NULL ? strtoul(colon + 1, NULL, 10) : 0);
    line->open = true;
    line->connection = ++network->numbers;
    struct sim_line **end = &network->lines;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = line;
    return line;
}

struct sim_line *sim_line_find(uint64_t id)
{
    struct sim_line *line = sim->network->lines;
    while (line != NULL && line->id != id) {
        line = line->next;
    }
    return line;
}

void sim_line_close(struct sim_line *line)
{
    line->open = false;
    line->connected = false;
    sim_queue_empty(&line->inbox);
    sim_queue_empty(&line->outbox);
}

static const struct sim_listener *listener_of(const struct sim_line *line)
{
    if (line->server == SIM_NOWHERE) {
        return NULL;
    }
    const struct sim_listener *listener = &sim->network->listeners[line->server];
    bool heard = line->port != 0 && (listener->ports[SIM_CONTROL_PORT] == line->port ||
                                     listener->ports[SIM_BULK_PORT] == line->port);
    return listener->open && heard ? listener : NULL;
}

static uint64_t retry_us(void)
{
    return sim->calm ? RETRY_US_MIN
                     : RETRY_US_MIN + random_below(&sim->networks, RETRY_US_MAX - RETRY_US_MIN);
}

void sim_line_connect_in(struct sim_line *line, uint64_t wait_us)
{
    if (line->open && listener_of(line) != NULL) {
        sim_push(sim->now_us + wait_us, SIM_CONNECT, line->client, line->connection);
    }
}

void sim_line_break(struct sim_line *line)
{
    line->connected = false;
    line->ending = false;
    line->lossy = false;
    line->connection = ++sim->network->numbers;
    if (line->open && listener_of(line) != NULL) {
        sim_line_connect_in(line, retry_us());
    }
}

void sim_network_connect(uint64_t connection)
{
    struct sim_line *line = sim->network->lines;
    while (line != NULL && line->connection != connection) {
        line = line->next;
    }
    const struct sim_listener *listener = line != NULL ? listener_of(line) : NULL;
    if (listener == NULL || !line->open || line->connected) {
        return;
    }
    if (memcmp(listener->public_key, line->server_key, IDENTITY_KEY_BYTES) != 0 ||
        sim_is_barred(listener, line->curve_key)) {
        line->failed_handshakes++;
        line->shut_out = sim_is_barred(listener, line->curve_key);
        sim_line_connect_in(line, retry_us());
        return;
    }
    line->at = listener->ports[SIM_BULK_PORT] == line->port ? SIM_BULK_PORT : SIM_CONTROL_PORT;
    line->connected = true;
    line->ending = false;
    line->connections++;
    line->came_bytes[SIM_UP] = line->came_bytes[SIM_DOWN] = 0;
    line->failed_handshakes = 0;
    line->shut_out = false;
    if (sim_tracing()) {
        sim_line("%s is connected to %s%s", sim_process_name(line->client),
                 sim_process_name(line->server), line->at == SIM_BULK_PORT ? ", for chunks" : "");
    }
    for (struct sim_letter *letter; (letter = sim_queue_take(&line->outbox)) != NULL;) {
        letter->connection = line->connection;
        sim_letter_dispatch(letter);
    }
}

void sim_network_lose(uint32_t machine)
{
    struct sim_network *network = sim->network;
    struct sim_listener *listener = &network->listeners[machine];
    listener->open = false;
    sim_queue_empty(&listener->inbox);
    sim_queue_empty(&network->held[machine]);
    network->up_free_us[machine] = sim->now_us;
    for (struct sim_line *line = network->lines; line != NULL; line = line->next) {
        if (line->client == machine) {
            sim_line_close(line);
        }
        if (line->client == machine || line->server == machine) {
            sim_line_break(line);
        }
    }
}

struct sim_wire *sim_wire(uint32_t from, uint32_t to, enum sim_port at, enum sim_way *out_way)
{
    bool rising = from < to;
    *out_way = rising ? SIM_UP : SIM_DOWN;
    return &sim->network->wires[rising ? from : to][rising ? to : from][at];
}
