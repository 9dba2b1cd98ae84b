/* The coordinator's core with a gateway that was taken over: it says what it likes, frames in any
 * order and bytes that are none, while the core goes on to use it. Whatever it says, windows add
 * up, queues stay within their limits, and no message comes from another key than that by which the
 * core knows its connection.
 *
 * The socket, the process and the clock are this file's own. */
#include "common/clock.h"
#include "coordinator/gateway/relay_state.h"
#include "proto/little_endian.h"
#include "tests/fuzz/fuzz.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* The buffer that frames are read in, and what stands for the gateway. */
enum { BASE_BYTES = GATEWAY_BUFFER_BYTES + 8 * 1024 };

enum { STEPS_MAX = 200, STREAM_BYTES_MAX = 1 << 16, OPERATIONS = 12, BARRED_MAX = 4 };

/* What the gateway has said and the core has not read. */
static struct {
    uint8_t bytes[STREAM_BYTES_MAX];
    size_t first;
    size_t end;
    bool ended;
    bool full; /* takes nothing */
} stream;
static uint64_t now_ms;

struct gateway_link {
    struct gateway_reader *reader;
};

uint64_t clock_now_ms(void)
{
    return now_ms;
}

uint64_t clock_now_ns(void)
{
    return now_ms * 1000000;
}

uint64_t clock_unix_ms(void)
{
    return now_ms;
}

void clock_sleep_ms(uint64_t duration_ms)
{
    now_ms += duration_ms;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming):
 * the linker chooses the name. */
int __wrap_poll(struct pollfd *watched, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *watched, nfds_t count, int timeout_ms)
{
    (void)watched;
    (void)count;
    now_ms += timeout_ms > 0 ? (uint64_t)timeout_ms : 0;
    return 0;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */

enum status relay_process_start(const int listen_fds[GATEWAY_PORTS], struct relay_process *out)
{
    (void)listen_fds;
    *out = (struct relay_process){.pid = 1, .fd = -1};
    return STATUS_OK;
}

void relay_process_end(struct relay_process *self, uint64_t wait_ms)
{
    (void)wait_ms;
    self->pid = 0;
}

enum status gateway_link_new(int fd, enum gateway_side from, size_t queue_bytes_max,
                             struct gateway_link **out)
{
    (void)fd;
    CHECK(queue_bytes_max > 0);
    stream.first = stream.end = 0;
    stream.ended = stream.full = false;
    *out = malloc(sizeof **out);
    if (*out == NULL || gateway_reader_new(from, &(*out)->reader) != STATUS_OK) {
        free(*out);
        *out = NULL;
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void gateway_link_free(struct gateway_link *self)
{
    if (self != NULL) {
        gateway_reader_free(self->reader);
        free(self);
    }
}

int gateway_link_fd(const struct gateway_link *self)
{
    (void)self;
    return -1;
}

size_t gateway_link_queued_bytes(const struct gateway_link *self)
{
    (void)self;
    return 0;
}

enum status gateway_link_put(struct gateway_link *self, const struct gateway_frame *frame)
{
    uint8_t header[GATEWAY_HEADER_BYTES];
    (void)self;
    gateway_frame_header(frame, header); /* keeps to the limits */
    return stream.full ? STATUS_FULL : STATUS_OK;
}

bool gateway_link_flush(struct gateway_link *self)
{
    (void)self;
    return true;
}

enum status gateway_link_read(struct gateway_link *self, struct gateway_frame *out)
{
    enum status status = gateway_reader_next(self->reader, out);
    while (status == STATUS_AGAIN && stream.first < stream.end) {
        uint8_t *place = NULL;
        size_t space = gateway_reader_space(self->reader, &place);
        size_t here = stream.end - stream.first;
        here = here < space ? here : space;
        memcpy(place, stream.bytes + stream.first, here);
        stream.first += here;
        gateway_reader_filled(self->reader, here);
        status = gateway_reader_next(self->reader, out);
    }
    return status == STATUS_AGAIN && stream.ended ? STATUS_STALE : status;
}

void gateway_link_wipe(struct gateway_link *self)
{
    gateway_reader_wipe(self->reader);
}

void gateway_link_end(struct gateway_link *self)
{
    (void)self;
    stream.ended = true;
}

static void say(const void *bytes, size_t size_bytes)
{
    if (size_bytes <= sizeof stream.bytes - stream.end) {
        memcpy(stream.bytes + stream.end, bytes, size_bytes);
        stream.end += size_bytes;
    }
}

struct case_of {
    struct fuzz_bytes in;
    struct channel_set *set;
    struct channel_server *server;
    uint64_t connection; /* of the message that came last */
    uint8_t curve_key[IDENTITY_KEY_BYTES];
};

/* A frame whose sizes are right; what it says is the input's. */
static void say_frame(struct case_of *self)
{
    uint8_t header[GATEWAY_HEADER_BYTES] = {0};
    uint8_t type = fuzz_take_u8(&self->in);
    uint64_t number = fuzz_take_u8(&self->in) % 8;
    struct fuzz_bytes head = fuzz_take(&self->in, fuzz_take_u8(&self->in));
    struct fuzz_bytes body = fuzz_take(&self->in, fuzz_take_u8(&self->in));
    uint8_t sender[GATEWAY_SENDER_BYTES] = {0};
    bool heard = type % GATEWAY_OUTSIDE_END == GATEWAY_HEARD;
    if (heard) {
        memset(sender, (int)number, IDENTITY_KEY_BYTES); /* mostly one key a connection */
        sender[0] ^= head.size_bytes == 1;
        memcpy(sender + IDENTITY_KEY_BYTES, "10.0.0.1", sizeof "10.0.0.1");
    }
    size_t head_bytes = head.size_bytes + (heard ? sizeof sender : 0);
    header[0] = type % GATEWAY_OUTSIDE_END;
    little_endian_put(header + 4, head_bytes, 4);
    little_endian_put(header + 8, body.size_bytes, 4);
    little_endian_put(header + 16, number, 8);
    say(header, sizeof header);
    say(sender, heard ? sizeof sender : 0);
    say(head.data, head.size_bytes);
    say(body.data, body.size_bytes);
}

static void say_ready(void)
{
    static const uint8_t ready[GATEWAY_HEADER_BYTES + GATEWAY_READY_BYTES_MIN] = {
        GATEWAY_READY, [4] = GATEWAY_READY_BYTES_MIN};
    say(ready, sizeof ready);
}

static void receive(struct case_of *self)
{
    struct channel_message message;
    if (channel_server_receive(self->server, &message) == STATUS_OK) {
        CHECK(message.connection != 0 && message.head_size_bytes > 0);
        uint64_t number = message.connection & ((UINT64_C(1) << GATEWAY_NUMBER_BITS) - 1);
        const struct relay_connection *from =
            relay_connections_find(&self->server->connections, number);
        CHECK(from != NULL && memcmp(from->curve_key, message.curve_key, IDENTITY_KEY_BYTES) == 0);
        CHECK(!key_set_has(self->server->barred, message.curve_key));
        self->connection = message.connection;
        memcpy(self->curve_key, message.curve_key, sizeof message.curve_key);
        channel_message_close(&message);
    }
}

static void use_clients(struct case_of *self, uint8_t what)
{
    static const uint8_t head[] = {1};
    static const uint8_t body[SMALL_BODY];
    struct channel_message message;
    for (size_t i = 0; i < self->set->client_count; i++) {
        struct channel_client *client = self->set->clients[i];
        fuzz_ignore(channel_client_send(client, head, sizeof head, body, 8U * what));
        if (channel_client_receive(client, &message) == STATUS_OK) {
            CHECK(message.body_size_bytes <= client->body_bytes_max);
            channel_message_close(&message);
        }
        (void)channel_client_trouble(client);
        (void)channel_client_delivered_bytes(client);
    }
}

static void look(const struct case_of *self)
{
    const struct channel_set *set = self->set;
    size_t sum = 0;
    for (size_t i = 0; i < RELAY_SETS; i++) {
        for (size_t j = 0; j < RELAY_WAYS; j++) {
            const struct relay_connection *one = &self->server->connections.sets[i][j];
            sum += one->window.bytes;
            CHECK(one->window.messages <= RELAY_MESSAGES_MAX);
            CHECK(one->window.messages > 0 || one->window.bytes == 0);
        }
    }
    for (size_t i = 0; i < set->client_count; i++) {
        sum += set->clients[i]->window.bytes;
        CHECK(set->clients[i]->inbox.count <= RELAY_CLIENT_INBOX_MESSAGES_MAX);
    }
    CHECK(sum == set->unconfirmed_bytes);
    CHECK(self->server->inbox.count <= RELAY_INBOX_MESSAGES_MAX + 1);
    CHECK(self->server->incident_count <= RELAY_INCIDENTS_MAX);
    CHECK(set->link != NULL || self->server->inbox.count == 0);
}

static void operate(struct case_of *self)
{
    static const uint8_t body[SMALL_BODY];
    struct channel_incident incident;
    uint8_t what = fuzz_take_u8(&self->in);
    struct fuzz_bytes raw;
    switch (what % OPERATIONS) {
    case 0:
    case 1:
    case 2:
        say_frame(self);
        break;
    case 3:
        raw = fuzz_take(&self->in, fuzz_take_u8(&self->in));
        say(raw.data, raw.size_bytes);
        break;
    case 4:
        receive(self);
        break;
    case 5:
        fuzz_ignore(channel_server_send(self->server, self->connection, body, 1, body, 8U * what));
        break;
    case 6:
        use_clients(self, what);
        break;
    case 7:
        channel_server_admit(self->server, self->connection);
        (void)channel_server_delivered_bytes(self->server, self->connection);
        (void)channel_server_received_bytes(self->server, self->connection);
        break;
    case 8:
        channel_server_cut(self->server, self->connection);
        break;
    case 9:
        fuzz_ignore(channel_server_bar(self->server, self->curve_key, what < 128));
        while (channel_server_incident(self->server, &incident)) {
            CHECK(incident.count > 0 && strlen(incident.host) < CHANNEL_HOST_MAX);
        }
        break;
    case 10:
        now_ms += 30U * what;
        stream.ended = what == 238; /* 12 * 19 + 10 */
        stream.full = what == 250;
        break;
    default:
        say_ready();
        break;
    }
    channel_set_wait(self->set, -1, 0);
}

/* Not on the heap: it is large, and all but a little of it stays zero. */
static struct channel_server server;

static void end(struct case_of *self)
{
    while (self->set != NULL && self->set->client_count > 0) {
        channel_client_free(self->set->clients[0]);
    }
    if (self->server != NULL) {
        struct relay_connection *used = server.connections.sets[0];
        gateway_link_free(self->set->link); /* relay_gateway_lost() zeroes a large table */
        relay_inbox_clear(&server.inbox);
        key_set_free(server.barred);
        memset(used, 0, sizeof server.connections.sets[0] * RELAY_SETS);
        server.connections.now = 0;
        server.incident_first = server.incident_count = server.incidents_came = 0;
        server.incidents_ms = 0;
        server.barred = NULL;
        self->set->server = NULL;
        memset(&self->set->identity, 0, sizeof self->set->identity);
    }
    channel_set_free(self->set);
}

/* What channel_server_new_both and channel_client_new do, without a port. */
static bool begin(struct case_of *self)
{
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {5};
    static struct identity identity; /* kept: its memory is locked, which takes time */
    if (identity.secrets == NULL && identity_of_seed(seed, &identity) != STATUS_OK) {
        return false;
    }
    if (channel_set_new(1, &self->set) != STATUS_OK) {
        return false;
    }
    self->set->identity = identity;
    self->server = &server;
    self->server->set = self->set;
    self->server->listen_fds[GATEWAY_CONTROL_PORT] = -1;
    self->server->listen_fds[GATEWAY_BULK_PORT] = -1;
    self->set->server = self->server;
    if (key_set_new(BARRED_MAX, &self->server->barred) != STATUS_OK ||
        relay_gateway_start(self->set) != STATUS_OK) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        struct channel_client *client = NULL;
        fuzz_ignore(channel_client_new(self->set, CHANNEL_CONTROL, "127.0.0.1:7700",
                                       self->set->identity.public_key, &self->set->identity,
                                       &client));
    }
    return true;
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct case_of self = {.in = {data, size_bytes}};
    now_ms = 1000;
    fuzz_memory_begin();
    if (begin(&self)) {
        say_ready();
        for (int i = 0; i < STEPS_MAX && self.in.size_bytes > 0; i++) {
            operate(&self);
            look(&self);
        }
    }
    fuzz_memory_end(size_bytes, BASE_BYTES);
    end(&self);
}
