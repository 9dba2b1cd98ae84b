/* A client of ours whose server is somebody else's: it speaks by its own code, as the attackers of
 * tests/integration/hostile. */
#include "common/clock.h"
#include "proto/channel.h"
#include "proto/wire.h"
#include "tests/integration/hostile/raw_curve.h"
#include "tests/unit/suite.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 5000,
    HEAD_BYTES = 50,
    WAITING = 20,
    SENT_MAX = 128 << 20,
    /* With what the kernel holds: some 10 MiB. */
    TAKEN_MAX = 20 << 20,
    TAKEN_WHOLE_MAX = 48 << 20 /* while messages wait to be taken */
};

struct scene {
    struct identity server; /* the other side's */
    struct identity ours;
    struct raw_keys keys;
    struct raw_curve line;
    int listener;
    struct channel_set *set;
    struct channel_client *client;
};

static uint8_t body[CHANNEL_BULK_BODY_MAX];

/* The next connection, with its handshake. */
static void accept_line(struct scene *self)
{
    uint8_t out[RAW_HEADER_MAX + RAW_READY_MAX];
    uint8_t metadata[64];
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    struct pollfd item = {.fd = self->listener, .events = POLLIN};
    while (poll(&item, 1, 10) != 1 && clock_now_ms() < deadline_ms) {
        channel_set_wait(self->set, -1, 0);
    }
    int fd = accept4(self->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CU_ASSERT_TRUE_FATAL(fd >= 0 && raw_curve_take(&self->line, fd));
    CU_ASSERT_EQUAL_FATAL(raw_curve_greet(&self->line, deadline_ms), RAW_OK);
    CU_ASSERT_EQUAL_FATAL(raw_curve_hear_hello(&self->line, deadline_ms), RAW_OK);
    size_t size_bytes = raw_curve_make_welcome(&self->line, &self->keys, out);
    CU_ASSERT_EQUAL(raw_send(&self->line.socket, out, size_bytes, deadline_ms, NULL), RAW_OK);
    CU_ASSERT_EQUAL_FATAL(raw_curve_hear_initiate(&self->line, deadline_ms), RAW_OK);
    size_t metadata_bytes = raw_property("Socket-Type", "ROUTER", 6, metadata);
    size_bytes = raw_curve_make_ready(&self->line, metadata, metadata_bytes, out);
    CU_ASSERT_EQUAL(raw_send(&self->line.socket, out, size_bytes, deadline_ms, NULL), RAW_OK);
    while (channel_client_trouble(self->client) != CHANNEL_FINE) {
        CU_ASSERT_TRUE_FATAL(clock_now_ms() < deadline_ms);
        channel_set_wait(self->set, -1, 10);
    }
}

static void begin(struct scene *self)
{
    uint8_t seed[IDENTITY_SEED_BYTES];
    char address[64];
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t here_bytes = sizeof here;
    memset(self, 0, sizeof *self);
    randombytes_buf(seed, sizeof seed);
    CU_ASSERT_EQUAL_FATAL(identity_of_seed(seed, &self->server), STATUS_OK);
    randombytes_buf(seed, sizeof seed);
    CU_ASSERT_EQUAL_FATAL(identity_of_seed(seed, &self->ours), STATUS_OK);
    memcpy(self->keys.public_key, self->server.curve_public, RAW_KEY_BYTES);
    memcpy(self->keys.secret_key, self->server.secrets->curve, RAW_KEY_BYTES);
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(self->listener, (struct sockaddr *)&here, sizeof here), 0);
    CU_ASSERT_EQUAL_FATAL(listen(self->listener, 4), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(self->listener, (struct sockaddr *)&here, &here_bytes), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)ntohs(here.sin_port));
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &self->set), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_client_new(self->set, CHANNEL_BULK, address,
                                             self->server.public_key, &self->ours, &self->client),
                          STATUS_OK);
    accept_line(self);
}

static void end(struct scene *self)
{
    raw_curve_end(&self->line);
    channel_client_drop(self->client);
    channel_set_free(self->set);
    (void)close(self->listener);
    identity_wipe(&self->server);
    identity_wipe(&self->ours);
}

/* Says such a part; meanwhile the client's program looks after its socket, and never gets anything.
 */
static enum raw_result say_part(struct scene *self, uint8_t flags, size_t part_bytes,
                                uint64_t end_ms)
{
    static uint8_t out[sizeof body + RAW_SEAL_BYTES + RAW_HEADER_MAX];
    size_t out_bytes = raw_curve_seal(&self->line, flags, body, part_bytes, out);
    size_t said_bytes = 0;
    enum raw_result result = RAW_LATE;
    while (result == RAW_LATE && clock_now_ms() < end_ms) {
        struct channel_message incoming;
        size_t taken_bytes = 0;
        result = raw_send(&self->line.socket, out + said_bytes, out_bytes - said_bytes,
                          clock_now_ms() + 1, &taken_bytes);
        said_bytes += taken_bytes;
        channel_set_wait(self->set, -1, 0);
        CU_ASSERT_EQUAL(channel_client_receive(self->client, &incoming), STATUS_AGAIN);
    }
    return result;
}

/* Says such parts until the connection is cut; returns what was taken of them. */
static size_t say_parts(struct scene *self, uint8_t flags, size_t part_bytes)
{
    uint64_t end_ms = clock_now_ms() + 2 * PATIENCE_MS;
    enum raw_result result = RAW_OK;
    size_t sent_bytes = 0;
    while (result == RAW_OK && sent_bytes < SENT_MAX) {
        result = say_part(self, flags, part_bytes, end_ms);
        sent_bytes += part_bytes + RAW_SEAL_BYTES;
    }
    CU_ASSERT_EQUAL(result, RAW_CUT);
    return sent_bytes;
}

static void endless_message_costs_the_server_its_connection(void)
{
    static struct scene s;
    begin(&s);
    CU_ASSERT_TRUE(say_parts(&s, RAW_MORE, sizeof body) < TAKEN_MAX);
    CU_ASSERT_NOT_EQUAL(channel_client_trouble(s.client), CHANNEL_FINE);
    raw_curve_end(&s.line);
    accept_line(&s); /* and comes again, as after any connection that broke */
    CU_ASSERT_TRUE(say_parts(&s, RAW_MORE, 0) < TAKEN_MAX);
    raw_curve_end(&s.line);
    accept_line(&s);
    CU_ASSERT_TRUE(say_parts(&s, 0, sizeof body) < TAKEN_WHOLE_MAX); /* one frame is no message */
    CU_ASSERT_EQUAL(channel_client_connections(s.client), 3);
    end(&s);
}

static void take_all(struct scene *self, unsigned count)
{
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (count > 0 && clock_now_ms() < deadline_ms) {
        struct channel_message incoming;
        if (channel_client_receive(self->client, &incoming) == STATUS_OK) {
            CU_ASSERT_EQUAL(incoming.head_size_bytes, HEAD_BYTES);
            channel_message_close(&incoming);
            count--;
        } else {
            channel_set_wait(self->set, -1, 1);
        }
    }
    CU_ASSERT_EQUAL(count, 0);
}

/* Many wait untaken, and a multiple of what may be under way goes by in all. */
static void whole_messages_are_never_too_many(void)
{
    static struct scene s;
    begin(&s);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < WAITING; i++) {
            uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
            CU_ASSERT_EQUAL_FATAL(raw_curve_send(&s.line, RAW_MORE, body, HEAD_BYTES, deadline_ms),
                                  RAW_OK);
            CU_ASSERT_EQUAL_FATAL(raw_curve_send(&s.line, 0, body, sizeof body, deadline_ms),
                                  RAW_OK);
            channel_set_wait(s.set, -1, 0);
        }
        for (int i = 0; i < 5; i++) {
            channel_set_wait(s.set, -1, 0);
            clock_sleep_ms(2);
        }
        take_all(&s, WAITING);
    }
    channel_set_wait(s.set, -1, 10);
    CU_ASSERT_EQUAL(channel_client_trouble(s.client), CHANNEL_FINE);
    CU_ASSERT_EQUAL(channel_client_connections(s.client), 1);
    end(&s);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(endless_message_costs_the_server_its_connection),
        SUITE_TEST(whole_messages_are_never_too_many),
    };
    return sodium_init() < 0 ? 1
                             : suite_run("channel_dialled", tests, sizeof tests / sizeof tests[0]);
}
