/* gateway_fixture - a gateway in a process of its own, whose core and whose peer the test is. */
#ifndef DUGNAD_TESTS_UNIT_GATEWAY_FIXTURE_H
#define DUGNAD_TESTS_UNIT_GATEWAY_FIXTURE_H

#include "common/clock.h"
#include "coordinator/gateway/gateway.h"
#include "coordinator/gateway/gateway_link.h"
#include "proto/channel.h"
#include "tests/unit/suite.h"
#include "tests/unit/wire_samples.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 20000, QUEUE_BYTES_MAX = 16 * 1024 * 1024 };

static uint8_t head[WIRE_HEAD_MAX];

static size_t encode(enum wire_type type)
{
    size_t size_bytes = 0;
    struct wire_message message = make_valid(type);
    CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
    return size_bytes;
}

static struct {
    pid_t pid;
    struct gateway_link *link;
    struct identity run;
    struct identity peer;
    struct channel_set *set;
    struct channel_client *client;
    char addresses[GATEWAY_PORTS][32];
} world;

static struct identity identity_with(uint8_t first)
{
    uint8_t seed[IDENTITY_SEED_BYTES] = {first};
    struct identity identity;
    CU_ASSERT_EQUAL_FATAL(identity_of_seed(seed, &identity), STATUS_OK);
    return identity;
}

static int listen_anywhere(char out_address[32])
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size_bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                    listen(fd, 16) == 0 &&
                    getsockname(fd, (struct sockaddr *)&address, &size_bytes) == 0);
    (void)snprintf(out_address, 32, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return fd;
}

static void say(enum gateway_frame_type type, uint64_t number, const uint8_t *bytes,
                size_t size_bytes)
{
    struct gateway_frame frame = {
        .type = type, .number = number, .head = bytes, .head_size_bytes = size_bytes};
    CU_ASSERT_EQUAL(gateway_link_put(world.link, &frame), STATUS_OK);
}

/* Waits for a frame of this type, and passes over others. */
static struct gateway_frame hear(enum gateway_frame_type type)
{
    struct gateway_frame frame = {.number = 0};
    uint64_t began_ms = clock_now_ms();
    enum status status = STATUS_AGAIN;
    while (status == STATUS_AGAIN || frame.type != type) {
        struct pollfd watched = {.fd = gateway_link_fd(world.link), .events = POLLIN};
        (void)gateway_link_flush(world.link);
        status = gateway_link_read(world.link, &frame);
        if (status == STATUS_AGAIN) {
            (void)poll(&watched, 1, 10);
        }
        CU_ASSERT_FATAL((status == STATUS_OK || status == STATUS_AGAIN) &&
                        clock_now_ms() - began_ms < WAIT_MS);
    }
    return frame;
}

static void start_gateway(void)
{
    int ends[2];
    int listen_fds[GATEWAY_PORTS];
    uint8_t keys[GATEWAY_START_BYTES];
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        listen_fds[port] = listen_anywhere(world.addresses[port]);
    }
    world.run = identity_with(1);
    world.peer = identity_with(2);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
                          0);
    world.pid = fork();
    CU_ASSERT_FATAL(world.pid >= 0);
    if (world.pid == 0) {
        (void)close(ends[0]);
        _exit(status_exit_code(gateway_serve(ends[1], listen_fds)));
    }
    (void)close(ends[1]);
    for (int port = 0; port < GATEWAY_PORTS; port++) {
        (void)close(listen_fds[port]);
    }
    CU_ASSERT_EQUAL_FATAL(gateway_link_new(ends[0], GATEWAY_OUTSIDE, QUEUE_BYTES_MAX, &world.link),
                          STATUS_OK);
    memcpy(keys, world.run.curve_public, IDENTITY_KEY_BYTES);
    memcpy(keys + IDENTITY_KEY_BYTES, world.run.secrets->curve, IDENTITY_KEY_BYTES);
    say(GATEWAY_START, 0, keys, sizeof keys);
}

/* How it ended: its exit code, or -1 by a signal. */
static int end_gateway(void)
{
    int status = 0;
    gateway_link_end(world.link);
    CU_ASSERT_EQUAL(waitpid(world.pid, &status, 0), world.pid);
    gateway_link_free(world.link);
    identity_wipe(&world.run);
    identity_wipe(&world.peer);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void dial_gateway(void)
{
    CU_ASSERT_EQUAL_FATAL(channel_client_new(world.set, CHANNEL_CONTROL,
                                             world.addresses[GATEWAY_CONTROL_PORT],
                                             world.run.public_key, &world.peer, &world.client),
                          STATUS_OK);
}

static void join(void)
{
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &world.set), STATUS_OK);
    dial_gateway();
}

static void leave(void)
{
    channel_client_drop(world.client);
    channel_set_free(world.set);
}

static void peer_says(enum wire_type type)
{
    size_t size_bytes = encode(type);
    CU_ASSERT_EQUAL(channel_client_send(world.client, head, size_bytes, NULL, 0), STATUS_OK);
}

/* Bytes of the body that the peer receives next. */
static size_t peer_hears(void)
{
    struct channel_message message;
    uint64_t began_ms = clock_now_ms();
    while (channel_client_receive(world.client, &message) != STATUS_OK) {
        CU_ASSERT_FATAL(clock_now_ms() - began_ms < WAIT_MS);
        channel_set_wait(world.set, -1, 20);
    }
    size_t body_size_bytes = message.body_size_bytes;
    channel_message_close(&message);
    return body_size_bytes;
}

#endif
