/* relay_fixture - a core with a gateway that does what the test says. The functions of
 * relay_process.h are part of the test's own program, so those of the library stay out. */
#ifndef DUGNAD_TESTS_UNIT_RELAY_FIXTURE_H
#define DUGNAD_TESTS_UNIT_RELAY_FIXTURE_H

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/gateway/gateway_facts.h"
#include "coordinator/gateway/gateway_link.h"
#include "coordinator/gateway/relay_process.h"
#include "coordinator/gateway/relay_state.h"
#include "proto/blob.h"
#include "tests/unit/suite.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUEUE_BYTES_MAX = 64 * 1024 * 1024, BODY_BYTES = 128 * 1024 };

/* The gateway of the moment. */
static struct {
    struct gateway_link *link; /* NULL: none runs */
    unsigned starts;
    unsigned ends;
    bool says_failed;
} fake;

static struct {
    struct identity identity;
    struct channel_set *set;
    struct channel_server *server;
} core;

static inline void fake_say(enum gateway_frame_type type, uint64_t number, const uint8_t *head,
                            size_t head_size_bytes)
{
    struct gateway_frame frame = {
        .type = type, .number = number, .head = head, .head_size_bytes = head_size_bytes};
    CU_ASSERT_EQUAL(gateway_link_put(fake.link, &frame), STATUS_OK);
}

enum status relay_process_start(const int listen_fds[GATEWAY_PORTS], struct relay_process *out)
{
    static const uint8_t ready[] = {1, 1, 0, 'n', 'o'};
    int ends[2];
    CU_ASSERT(listen_fds[GATEWAY_CONTROL_PORT] >= 0 && listen_fds[GATEWAY_BULK_PORT] >= 0);
    CU_ASSERT_PTR_NULL(fake.link);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
                          0);
    CU_ASSERT_EQUAL_FATAL(gateway_link_new(ends[1], GATEWAY_CORE, QUEUE_BYTES_MAX, &fake.link),
                          STATUS_OK);
    fake.starts++;
    if (fake.says_failed) {
        fake_say(GATEWAY_FAILED, 0, (const uint8_t *)"no \"more\" files", 15);
    } else {
        fake_say(GATEWAY_READY, 0, ready, sizeof ready);
    }
    *out = (struct relay_process){.pid = 1, .fd = ends[0]};
    return STATUS_OK;
}

void relay_process_end(struct relay_process *self, uint64_t wait_ms)
{
    (void)wait_ms;
    if (self->pid != 0) {
        gateway_link_free(fake.link);
        fake.link = NULL;
        fake.ends++;
        self->pid = 0;
    }
}

/* It is killed by somebody: the stream ends. */
static inline void fake_die(void)
{
    gateway_link_free(fake.link);
    fake.link = NULL;
}

static inline void begin(void)
{
    uint8_t seed[IDENTITY_SEED_BYTES] = {3};
    memset(&fake, 0, sizeof fake);
    CU_ASSERT_EQUAL_FATAL(identity_of_seed(seed, &core.identity), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &core.set), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_server_new_both(core.set, "tcp://127.0.0.1:0",
                                                  "tcp://127.0.0.1:0", &core.identity,
                                                  &core.server),
                          STATUS_OK);
}

static inline void end(void)
{
    channel_server_free(core.server);
    channel_set_free(core.set);
    identity_wipe(&core.identity);
    CU_ASSERT_PTR_NULL(fake.link);
}

/* What the core said next, of a type; false: nothing of that type. */
static inline bool fake_hears(enum gateway_frame_type type, struct gateway_frame *out)
{
    while (gateway_link_read(fake.link, out) == STATUS_OK) {
        if (out->type == type) {
            return true;
        }
    }
    return false;
}

static inline void fake_heard_body(uint64_t connection, uint8_t key, const uint8_t *body,
                                   size_t body_size_bytes)
{
    uint8_t head[GATEWAY_SENDER_BYTES + 3] = {0};
    struct gateway_sender sender = {.curve_key = {key}, .host = "127.0.0.1"};
    gateway_sender_write(&sender, head);
    memcpy(head + GATEWAY_SENDER_BYTES, "abc", 3);
    struct gateway_frame frame = {.type = GATEWAY_HEARD,
                                  .number = connection,
                                  .head = head,
                                  .head_size_bytes = sizeof head,
                                  .body = body,
                                  .body_size_bytes = body_size_bytes};
    CU_ASSERT_EQUAL(gateway_link_put(fake.link, &frame), STATUS_OK);
}

static inline void fake_heard(uint64_t connection, uint8_t key)
{
    fake_heard_body(connection, key, (const uint8_t *)"body", 4);
}

/* The number by which the core knows the sender of its next message; 0: there is none. */
static inline uint64_t receive(void)
{
    struct channel_message message;
    if (channel_server_receive(core.server, &message) != STATUS_OK) {
        return 0;
    }
    uint64_t connection = message.connection;
    CU_ASSERT(connection != 0);
    channel_message_close(&message);
    return connection;
}

static inline enum status send_body(uint64_t connection, size_t size_bytes)
{
    static uint8_t body[WIRE_BODY_MAX];
    return channel_server_send(core.server, connection, (const uint8_t *)"h", 1, body, size_bytes);
}

static inline enum status send_chunk(uint64_t connection)
{
    static const uint8_t body[BODY_BYTES];
    const struct blob_chunk_header header = {.kind = BLOB_UPDATE, .size_bytes = BODY_BYTES};
    uint8_t head[BLOB_HEADER_BYTES];
    blob_header_write(&header, head);
    return channel_server_send(core.server, connection, head, sizeof head, body, sizeof body);
}

static inline void fake_taken(enum gateway_frame_type type, uint64_t number, uint32_t messages,
                              uint64_t bytes)
{
    uint8_t head[GATEWAY_TAKEN_BYTES];
    struct gateway_taken taken = {.messages = messages, .bytes = bytes};
    gateway_taken_write(&taken, head);
    fake_say(type, number, head, sizeof head);
}

static inline void turn(void)
{
    channel_set_wait(core.set, -1, 0);
}

#endif
