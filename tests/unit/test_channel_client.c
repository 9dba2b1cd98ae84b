/* A client whose server is hostile, or no server at all: what that can make it wait for, and keep.
 */
#include "tests/unit/channel_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

enum {
    HANDSHAKE_MS_MAX = 2000,
    SLACK_MS = 1500,
    OVERSIZE = WIRE_BODY_MAX + 1024,
    PIECE_BYTES = 64 * 1024,
    STUCK_MS = 500,
    WAITING_MAX = 500, /* messages: 64 in libzmq's queue, the rest in the kernel's */
    WAITING_ENOUGH = 5000
};

/* A ROUTER that has the coordinator's key, and obeys none of our rules. */
struct rogue {
    void *context;
    void *socket;
    void *monitor; /* of connections that ended */
    zmq_msg_t client;
};

static void rogue_begin(struct rogue *self, struct fixture *fixture)
{
    int one = 1;
    int none = 0;
    int patience_ms = PATIENCE_MS;
    char endpoint[64];
    size_t endpoint_bytes = sizeof endpoint;
    begin(fixture);
    self->context = zmq_ctx_new();
    self->socket = zmq_socket(self->context, ZMQ_ROUTER);
    CU_ASSERT_PTR_NOT_NULL_FATAL(self->socket);
    (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &none, sizeof none);
    (void)zmq_setsockopt(self->socket, ZMQ_SNDHWM, &one, sizeof one);
    (void)zmq_setsockopt(self->socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    (void)zmq_setsockopt(self->socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SERVER, &one, sizeof one);
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SECRETKEY, fixture->server_identity.secrets->curve,
                         32);
    CU_ASSERT_EQUAL_FATAL(
        zmq_socket_monitor(self->socket, "inproc://ended", ZMQ_EVENT_DISCONNECTED), 0);
    self->monitor = zmq_socket(self->context, ZMQ_PAIR);
    (void)zmq_setsockopt(self->monitor, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
    CU_ASSERT_EQUAL_FATAL(zmq_connect(self->monitor, "inproc://ended"), 0);
    CU_ASSERT_EQUAL_FATAL(zmq_bind(self->socket, "tcp://127.0.0.1:*"), 0);
    CU_ASSERT_EQUAL_FATAL(
        zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_bytes), 0);
    (void)snprintf(fixture->link.address, sizeof fixture->link.address, "%s",
                   endpoint + strlen("tcp://"));
    (void)zmq_msg_init(&self->client);
}

static void rogue_end(struct rogue *self, struct fixture *fixture)
{
    (void)zmq_msg_close(&self->client);
    (void)zmq_close(self->monitor);
    (void)zmq_close(self->socket);
    (void)zmq_ctx_term(self->context);
    end(fixture);
}

/* Hears the client's two frames, and keeps its routing id. */
static bool rogue_hears(struct rogue *self)
{
    uint8_t bytes[64];
    return zmq_msg_recv(&self->client, self->socket, 0) > 0 &&
           zmq_recv(self->socket, bytes, sizeof bytes, 0) >= 0 &&
           zmq_recv(self->socket, bytes, sizeof bytes, 0) >= 0;
}

static bool rogue_says(struct rogue *self, const void *body, size_t body_bytes)
{
    zmq_msg_t to;
    (void)zmq_msg_init(&to);
    (void)zmq_msg_copy(&to, &self->client);
    bool said = zmq_msg_send(&to, self->socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) > 0;
    if (!said) {
        (void)zmq_msg_close(&to);
        return false;
    }
    return zmq_send(self->socket, "x", 1, ZMQ_SNDMORE | ZMQ_DONTWAIT) == 1 &&
           zmq_send(self->socket, body, body_bytes, ZMQ_DONTWAIT) == (int)body_bytes;
}

static void giant_frame_of_a_server_costs_its_connection(void)
{
    struct fixture fixture;
    struct rogue rogue;
    struct channel_message message;
    uint8_t event[6];
    rogue_begin(&rogue, &fixture);
    uint8_t *large = need(OVERSIZE);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_EQUAL(say(anna, "hello"), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(rogue_hears(&rogue));
    CU_ASSERT_TRUE(rogue_says(&rogue, large, WIRE_BODY_MAX));
    CU_ASSERT_TRUE(client_gets(&fixture, anna, &message, PATIENCE_MS));
    CU_ASSERT_EQUAL(message.body_size_bytes, WIRE_BODY_MAX);
    channel_message_close(&message);
    CU_ASSERT_TRUE(rogue_says(&rogue, large, OVERSIZE));
    CU_ASSERT_EQUAL(zmq_recv(rogue.monitor, event, sizeof event, 0), (int)sizeof event);
    CU_ASSERT_FALSE(client_gets(&fixture, anna, &message, TICK_MS));
    free(large);
    channel_client_drop(anna);
    rogue_end(&rogue, &fixture);
}

static void flood_of_a_server_waits_where_it_comes_from(void)
{
    static const uint8_t piece[PIECE_BYTES];
    struct fixture fixture;
    struct rogue rogue;
    rogue_begin(&rogue, &fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_EQUAL(say(anna, "hello"), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(rogue_hears(&rogue));
    unsigned sent = 0;
    uint64_t taken_ms = clock_now_ms();
    while (sent < WAITING_ENOUGH && clock_now_ms() - taken_ms < STUCK_MS) {
        if (rogue_says(&rogue, piece, sizeof piece)) {
            taken_ms = clock_now_ms();
            sent++;
        } else {
            (void)poll(NULL, 0, 1);
        }
    }
    (void)printf("[%u] ", sent);
    CU_ASSERT_TRUE(sent > 0 && sent < WAITING_MAX);
    channel_client_drop(anna);
    rogue_end(&rogue, &fixture);
}

/* Listens at a port of its own, to which the fixture's link points from now on. */
static int listen_instead(struct fixture *fixture)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size_bytes = sizeof local;
    int one = 1; /* somebody else listens there later */
    int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL(setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    CU_ASSERT_EQUAL_FATAL(bind(listen_fd, (struct sockaddr *)&local, sizeof local), 0);
    CU_ASSERT_EQUAL_FATAL(listen(listen_fd, 8), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(listen_fd, (struct sockaddr *)&local, &size_bytes), 0);
    (void)snprintf(fixture->link.address, sizeof fixture->link.address, "127.0.0.1:%u",
                   (unsigned)ntohs(local.sin_port));
    return listen_fd;
}

/* It looks as a wrong key does, but not as a ban; and it passes. */
static void front_that_closes_is_no_ban(void)
{
    struct fixture fixture;
    char listen[LINK_ADDRESS_MAX + 8];
    begin(&fixture);
    stop_server(&fixture);
    int listen_fd = listen_instead(&fixture);
    (void)snprintf(listen, sizeof listen, "tcp://%s", fixture.link.address);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    struct pollfd item = {.fd = listen_fd, .events = POLLIN};
    bool failed = false;
    for (uint64_t end_ms = clock_now_ms() + PATIENCE_MS; clock_now_ms() < end_ms && !failed;) {
        if (poll(&item, 1, TICK_MS) == 1) {
            (void)close(accept(listen_fd, NULL, NULL));
        }
        CU_ASSERT_NOT_EQUAL(channel_client_trouble(anna), CHANNEL_SHUT_OUT);
        failed = channel_client_trouble(anna) == CHANNEL_WRONG_KEY;
    }
    CU_ASSERT_TRUE(failed);
    (void)close(listen_fd);
    start_server(&fixture, listen);
    CU_ASSERT_TRUE(trouble_becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS));
    channel_client_drop(anna);
    end(&fixture);
}

/* Whatever answers there: the client ends it and tries again. */
static void server_that_says_nothing_is_left_in_time(void)
{
    struct fixture fixture;
    uint8_t bytes[64];
    begin(&fixture);
    int listen_fd = listen_instead(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    int fd = accept(listen_fd, NULL, NULL);
    uint64_t begun_ms = clock_now_ms();
    struct pollfd item = {.fd = fd, .events = POLLIN};
    ssize_t have = 1;
    while (have > 0 && poll(&item, 1, HANDSHAKE_MS_MAX + SLACK_MS) == 1) {
        have = recv(fd, bytes, sizeof bytes, 0);
    }
    CU_ASSERT_TRUE(have <= 0);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms < HANDSHAKE_MS_MAX + SLACK_MS);
    item.fd = listen_fd;
    CU_ASSERT_EQUAL(poll(&item, 1, PATIENCE_MS), 1); /* it comes again */
    (void)close(fd);
    (void)close(listen_fd);
    channel_client_drop(anna);
    end(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(giant_frame_of_a_server_costs_its_connection),
        SUITE_TEST(flood_of_a_server_waits_where_it_comes_from),
        SUITE_TEST(server_that_says_nothing_is_left_in_time),
        SUITE_TEST(front_that_closes_is_no_ban),
    };
    return suite_run("channel_client", tests, sizeof tests / sizeof tests[0]);
}
