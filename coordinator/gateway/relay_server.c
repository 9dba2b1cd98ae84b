#include "coordinator/gateway/relay_state.h"

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/open_files.h"
#include "proto/channel_listen.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    END_FLUSH_MS_MAX = 1000,
    END_MS_MAX = 4000, /* what was sent still goes out, and its threads end */
    TAKEN_MS_MAX = 1000,
    LOOK_MS = 10,
    FEW_CONNECTIONS = 64
};

uint64_t relay_number(const struct channel_set *set, uint64_t number)
{
    return number == 0 ? 0 : set->generation << GATEWAY_NUMBER_BITS | number;
}

/* Of this gateway; NULL: it is not known any more, or was cut. */
static struct relay_connection *find_uncut(struct channel_server *self, uint64_t connection)
{
    uint64_t number = connection & ((UINT64_C(1) << GATEWAY_NUMBER_BITS) - 1);
    if (self->set->link == NULL || connection >> GATEWAY_NUMBER_BITS != self->set->generation) {
        return NULL;
    }
    struct relay_connection *found = relay_connections_find(&self->connections, number);
    return found != NULL && !found->cut ? found : NULL;
}

/* NULL: it is gone. */
static struct relay_connection *find(struct channel_server *self, uint64_t connection)
{
    struct relay_connection *found = find_uncut(self, connection);
    return found != NULL && !found->gone ? found : NULL;
}

static void wait_readable(struct channel_set *set, int timeout_ms)
{
    struct pollfd watched = {.fd = gateway_link_fd(set->link), .events = POLLIN};
    (void)poll(&watched, 1, timeout_ms);
}

/* The first gateway must be able to do its work: what it says against it is the user's sentence. */
static enum status wait_ready(struct channel_set *set)
{
    uint64_t began_ms = clock_now_ms();
    while (set->link != NULL && !set->ready) {
        if (clock_now_ms() - began_ms > RELAY_START_MS_MAX) {
            relay_gateway_lost(set, "it did not say within 10 s that it listens");
            break;
        }
        (void)gateway_link_flush(set->link);
        wait_readable(set, LOOK_MS);
        relay_pump(set, clock_now_ms());
    }
    return set->ready ? STATUS_OK : fault(STATUS_OS, "the gateway cannot serve: %s", set->reason);
}

/* Of an address that could not be had. */
static bool is_own_port(const struct channel_server *self, enum gateway_port port,
                        const char *listen)
{
    const char *colon = strrchr(listen, ':');
    return port == GATEWAY_BULK_PORT && colon != NULL &&
           strtoul(colon + 1, NULL, 10) == self->ports[GATEWAY_CONTROL_PORT];
}

/* The gateway of a coordinator that was killed holds the port until the kernel has ended it. */
static enum status listen_at(struct channel_server *self, enum gateway_port port,
                             const char *listen)
{
    static const char *const options[GATEWAY_PORTS] = {"--listen tcp://ADDRESS:PORT",
                                                       "--listen-bulk tcp://ADDRESS:PORT"};
    uint64_t began_ms = clock_now_ms();
    enum status status = STATUS_OK;
    while ((status = channel_listen_at(listen, options[port], &self->listen_fds[port],
                                       &self->ports[port])) == STATUS_UNAVAILABLE &&
           !is_own_port(self, port, listen) && clock_now_ms() - began_ms < TAKEN_MS_MAX) {
        clock_sleep_ms(LOOK_MS);
    }
    if (status == STATUS_UNAVAILABLE && is_own_port(self, port, listen)) {
        return fault(STATUS_USAGE, "--listen and --listen-bulk name the same port, %u: take two",
                     (unsigned)self->ports[GATEWAY_CONTROL_PORT]);
    }
    return status;
}

/* Who is turned away later is only counted. The gateway's limit of open files is this program's. */
static void tell_room(void)
{
    uint32_t room =
        open_files_room(GATEWAY_PORTS * CHANNEL_FILES_PER_CONNECTION, (uint32_t)FEW_CONNECTIONS);
    if (room < FEW_CONNECTIONS) {
        log_warn("gateway", "few_files",
                 "connections=%u reason=\"room for %u connections; raise the limit of open files "
                 "(ulimit -n)\"",
                 room, room);
    }
}

enum status channel_server_new_both(struct channel_set *set, const char *listen,
                                    const char *listen_bulk, const struct identity *identity,
                                    struct channel_server **out)
{
    CHECK(set->server == NULL); /* one for a gateway */
    *out = NULL;
    struct channel_server *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the gateway");
    }
    self->set = set;
    self->listen_fds[GATEWAY_CONTROL_PORT] = self->listen_fds[GATEWAY_BULK_PORT] = -1;
    set->server = self;
    identity_wipe(&set->identity);
    enum status status =
        identity_of_curve(identity->curve_public, identity->secrets->curve, &set->identity);
    if (status == STATUS_OK) {
        status = key_set_new(CHANNEL_BARRED_MAX, &self->barred);
    }
    if (status == STATUS_OK) {
        status = listen_at(self, GATEWAY_CONTROL_PORT, listen);
    }
    if (status == STATUS_OK) {
        status = listen_at(self, GATEWAY_BULK_PORT, listen_bulk);
    }
    if (status == STATUS_OK) {
        status = relay_gateway_start(set);
    }
    if (status == STATUS_OK) {
        status = wait_ready(set);
    }
    if (status != STATUS_OK) {
        channel_server_free(self);
        return status;
    }
    tell_room();
    *out = self;
    return STATUS_OK;
}

/* It reads the end of the stream behind all that was said. */
static void end_gateway(struct channel_set *set)
{
    uint64_t began_ms = clock_now_ms();
    while (set->link != NULL && !gateway_link_flush(set->link) &&
           clock_now_ms() - began_ms < END_FLUSH_MS_MAX) {
        wait_readable(set, LOOK_MS);
        relay_pump(set, clock_now_ms());
        relay_inbox_clear(&set->server->inbox);
    }
    if (set->link != NULL) {
        gateway_link_end(set->link);
        relay_process_end(&set->process, END_MS_MAX);
        relay_gateway_lost(set, "it was ended");
    }
}

void channel_server_free(struct channel_server *self)
{
    if (self == NULL) {
        return;
    }
    end_gateway(self->set);
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        if (self->listen_fds[port] >= 0) {
            (void)close(self->listen_fds[port]);
        }
    }
    relay_inbox_clear(&self->inbox);
    key_set_free(self->barred);
    self->set->server = NULL;
    free(self);
}

uint16_t channel_server_port(const struct channel_server *self)
{
    return self->ports[GATEWAY_CONTROL_PORT];
}

uint16_t channel_server_bulk_port(const struct channel_server *self)
{
    return self->ports[GATEWAY_BULK_PORT];
}

/* Of a connection that is known, with this key (another may have its place by now), and not cut. */
static bool is_heard(struct channel_server *self, const struct relay_letter *letter)
{
    const uint8_t *key = letter->sender.curve_key;
    const struct relay_connection *found =
        find_uncut(self, relay_number(self->set, letter->number));
    return found != NULL && memcmp(found->curve_key, key, IDENTITY_KEY_BYTES) == 0 &&
           !key_set_has(self->barred, key);
}

/* The next letter of who may still speak, or went since by itself; NULL: none is here. */
static struct relay_letter *next_letter(struct channel_server *self)
{
    for (struct relay_letter *letter; (letter = relay_inbox_take(&self->inbox)) != NULL;) {
        if (is_heard(self, letter)) {
            return letter;
        }
        free(letter);
    }
    return NULL;
}

enum status channel_server_receive(struct channel_server *self, struct channel_message *out)
{
    struct relay_letter *letter = next_letter(self);
    uint64_t now_ms = clock_now_ms();
    if (letter == NULL) {
        relay_pump(self->set, now_ms);
        letter = next_letter(self);
    }
    while (letter == NULL && relay_gateway_catches_up(self->set, now_ms)) {
        (void)gateway_link_flush(self->set->link);
        wait_readable(self->set, LOOK_MS);
        now_ms = clock_now_ms();
        relay_pump(self->set, now_ms);
        letter = next_letter(self);
    }
    if (letter == NULL) {
        return STATUS_AGAIN;
    }
    relay_hand_over(letter, out);
    out->connection = relay_number(self->set, letter->number);
    out->bulk = letter->number % GATEWAY_PORTS == GATEWAY_BULK_PORT;
    return STATUS_OK;
}

enum status channel_server_send(struct channel_server *self, uint64_t connection,
                                const uint8_t *head, size_t head_size_bytes, const uint8_t *body,
                                size_t body_size_bytes)
{
    CHECK(head_size_bytes > 0 && head_size_bytes <= WIRE_HEAD_MAX);
    bool bulk = connection % GATEWAY_PORTS == GATEWAY_BULK_PORT;
    CHECK(body_size_bytes <= (size_t)(bulk ? CHANNEL_BULK_BODY_MAX : WIRE_BODY_MAX));
    struct relay_connection *found = find(self, connection);
    if (found == NULL) {
        return STATUS_STALE;
    }
    return relay_send(self->set, &found->window,
                      &(struct gateway_frame){.type = GATEWAY_SEND,
                                              .number = found->number,
                                              .head = head,
                                              .head_size_bytes = head_size_bytes,
                                              .body = body,
                                              .body_size_bytes = body_size_bytes});
}

void channel_server_admit(struct channel_server *self, uint64_t connection)
{
    struct relay_connection *found = find(self, connection);
    if (found == NULL) {
        return;
    }
    found->admitted = true;
    relay_connections_cut(&self->connections, found->curve_key, found->number);
    relay_say(self->set, &(struct gateway_frame){.type = GATEWAY_ADMIT, .number = found->number});
}

void channel_server_cut(struct channel_server *self, uint64_t connection)
{
    struct relay_connection *found = find(self, connection);
    if (found == NULL) {
        return;
    }
    found->cut = true;
    relay_say(self->set, &(struct gateway_frame){.type = GATEWAY_CUT, .number = found->number});
}

enum status channel_server_bar(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES], bool barred)
{
    enum status status = STATUS_OK;
    struct gateway_bar bar = {.barred = barred};
    uint8_t head[GATEWAY_BAR_BYTES];
    if (barred) {
        status = key_set_add(self->barred, curve_key);
        relay_connections_cut(&self->connections, curve_key, 0);
    } else {
        key_set_remove(self->barred, curve_key);
    }
    memcpy(bar.curve_key, curve_key, IDENTITY_KEY_BYTES);
    gateway_bar_write(&bar, head);
    relay_say(self->set, &(struct gateway_frame){
                             .type = GATEWAY_BAR, .head = head, .head_size_bytes = sizeof head});
    return status;
}

uint64_t channel_server_delivered_bytes(struct channel_server *self, uint64_t connection)
{
    const struct relay_connection *found = find(self, connection);
    return found != NULL ? found->traffic.delivered_bytes : 0;
}

uint64_t channel_server_received_bytes(struct channel_server *self, uint64_t connection)
{
    const struct relay_connection *found = find(self, connection);
    return found != NULL ? found->traffic.received_bytes : 0;
}

bool channel_server_incident(struct channel_server *self, struct channel_incident *out)
{
    if (self->incident_count == 0) {
        return false;
    }
    *out = self->incidents[self->incident_first];
    self->incident_first = (self->incident_first + 1) % RELAY_INCIDENTS_MAX;
    self->incident_count--;
    return true;
}
