/* What the sockets' settings do when a line goes dead, or its reader takes nothing: seen from both
 * ends of a line that this test can stop. Heartbeats run faster here than they are set. */
#include "tests/unit/channel_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

enum {
    FASTER = 20,
    NOTICES_MS_MIN = 30000 / FASTER, /* as long as docs/transport.md lets a peer be silent */
    NOTICES_MS_MAX = 40000 / FASTER,
    SLACK_MS = 1500, /* of a busy machine */
    EARLY_MS = 200,  /* of libzmq's timers, which are told of the time now and then only */
    RELAY_BYTES = 4096,
    HEADS_MAX = 100000,
    HEADS_WAITING_MAX = 15000, /* 512 in libzmq's queue, the rest in the kernel's */
    LARGE_HEAD_BYTES = 32 * 1024,
    FULL_MS = 300,
    LINGERS_MS_MIN = 500, /* a reader that is only slow gets its last words */
    ENDS_MS_MAX = 5000
};

static int heartbeats_faster = 1;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming):
 * the linker chooses these names. */
int __real_zmq_setsockopt(void *socket, int option, const void *value, size_t size_bytes);
int __wrap_zmq_setsockopt(void *socket, int option, const void *value, size_t size_bytes);

int __wrap_zmq_setsockopt(void *socket, int option, const void *value, size_t size_bytes)
{
    int ms = 0;
    if (option == ZMQ_HEARTBEAT_IVL || option == ZMQ_HEARTBEAT_TIMEOUT) {
        memcpy(&ms, value, sizeof ms);
        ms /= heartbeats_faster;
        value = &ms;
    }
    return __real_zmq_setsockopt(socket, option, value, size_bytes);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */

/* A line to the server: it takes one connection, and nothing from either end while it is dead. */
struct line {
    pthread_t thread;
    int listen_fd;
    uint16_t server_port;
    atomic_bool dead;
    atomic_bool ends;
};

static struct sockaddr_in at_loopback(uint16_t port)
{
    struct sockaddr_in out = {.sin_family = AF_INET, .sin_port = htons(port)};
    out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return out;
}

/* What `from` has goes to `to`; false: the line is at its end. */
static bool pass_on(int from, int to)
{
    uint8_t bytes[RELAY_BYTES];
    ssize_t have = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    return have > 0 && send(to, bytes, (size_t)have, MSG_NOSIGNAL) == have;
}

static void *run_line(void *argument)
{
    struct line *self = argument;
    int few_bytes = RELAY_BYTES; /* so that little lies in the kernel while the line is dead */
    struct sockaddr_in server = at_loopback(self->server_port);
    int client_fd = accept(self->listen_fd, NULL, NULL);
    int server_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(server_fd, SOL_SOCKET, SO_RCVBUF, &few_bytes, sizeof few_bytes);
    bool stands = client_fd >= 0 && server_fd >= 0 &&
                  connect(server_fd, (const struct sockaddr *)&server, sizeof server) == 0;
    while (stands && !atomic_load(&self->ends)) {
        struct pollfd items[] = {{.fd = client_fd, .events = POLLIN},
                                 {.fd = server_fd, .events = POLLIN}};
        if (atomic_load(&self->dead)) {
            (void)poll(NULL, 0, 1);
            continue;
        }
        (void)poll(items, 2, TICK_MS);
        stands = (items[0].revents == 0 || pass_on(client_fd, server_fd)) &&
                 (items[1].revents == 0 || pass_on(server_fd, client_fd));
    }
    (void)close(client_fd);
    (void)close(server_fd);
    return NULL;
}

/* Clients of the fixture come by way of the line from now on. */
static void line_begin(struct line *self, struct fixture *fixture)
{
    struct sockaddr_in address = at_loopback(0);
    socklen_t size_bytes = sizeof address;
    self->server_port = channel_server_port(fixture->server);
    self->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    atomic_store(&self->dead, false);
    atomic_store(&self->ends, false);
    CU_ASSERT_EQUAL_FATAL(bind(self->listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    CU_ASSERT_EQUAL_FATAL(listen(self->listen_fd, 8), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(self->listen_fd, (struct sockaddr *)&address, &size_bytes),
                          0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&self->thread, NULL, run_line, self), 0);
    (void)snprintf(fixture->link.address, sizeof fixture->link.address, "127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
}

static void line_end(struct line *self)
{
    atomic_store(&self->ends, true);
    CU_ASSERT_EQUAL(pthread_join(self->thread, NULL), 0);
    (void)close(self->listen_fd);
}

/* The line keeps both connections open, so that each end can only tell by the silence. */
static void line_that_goes_dead_is_noticed_at_both_ends(void)
{
    struct fixture fixture;
    struct line line;
    heartbeats_faster = FASTER;
    begin(&fixture);
    line_begin(&line, &fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, client, &fixture.anna));
    uint64_t begun_ms = clock_now_ms();
    while (clock_now_ms() - begun_ms < NOTICES_MS_MAX + EARLY_MS) { /* idle is not silent */
        channel_set_wait(fixture.server_set, -1, TICK_MS);
        CU_ASSERT_EQUAL(channel_client_trouble(client), CHANNEL_FINE);
    }
    CU_ASSERT_EQUAL(tell(&fixture, fixture.connection, "x"), STATUS_OK);
    atomic_store(&line.dead, true);
    begun_ms = clock_now_ms();
    uint64_t server_ms = 0;
    uint64_t client_ms = 0;
    uint64_t now_ms = 0;
    while ((server_ms == 0 || client_ms == 0) && now_ms < NOTICES_MS_MAX + SLACK_MS) {
        channel_set_wait(fixture.server_set, -1, TICK_MS);
        now_ms = clock_now_ms() - begun_ms;
        if (server_ms == 0 && tell(&fixture, fixture.connection, "x") == STATUS_STALE) {
            server_ms = now_ms;
        }
        if (client_ms == 0 && channel_client_trouble(client) != CHANNEL_FINE) {
            client_ms = now_ms;
        }
    }
    (void)printf("[noticed after %llu and %llu ms] ", (unsigned long long)server_ms,
                 (unsigned long long)client_ms);
    CU_ASSERT_TRUE(server_ms >= NOTICES_MS_MIN - EARLY_MS);
    CU_ASSERT_TRUE(client_ms >= NOTICES_MS_MIN - EARLY_MS);
    channel_client_drop(client);
    line_end(&line);
    end(&fixture);
    heartbeats_faster = 1;
}

/* Heads with their number, until no more is taken. */
static unsigned tell_until_full(struct fixture *fixture)
{
    unsigned sent = 0;
    enum status status = STATUS_OK;
    while (sent < HEADS_MAX && status == STATUS_OK) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", sent);
        status = tell(fixture, fixture->connection, text);
        sent += status == STATUS_OK;
    }
    CU_ASSERT_EQUAL(status, STATUS_AGAIN);
    return sent;
}

/* A ROUTER by itself takes what it has no room for, and loses it without a word. */
static void heads_that_nobody_reads_are_again_and_none_is_lost(void)
{
    struct fixture fixture;
    struct line line;
    struct channel_message message;
    begin(&fixture);
    line_begin(&line, &fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, client, &fixture.anna));
    atomic_store(&line.dead, true);
    unsigned sent = tell_until_full(&fixture);
    CU_ASSERT_TRUE(sent < HEADS_WAITING_MAX);
    (void)printf("[%u heads] ", sent);
    atomic_store(&line.dead, false);
    bool in_order = true;
    unsigned received = 0;
    for (; received < sent && client_gets(&fixture, client, &message, PATIENCE_MS); received++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", received);
        in_order = in_order && head_is(&message, text);
        channel_message_close(&message);
    }
    CU_ASSERT_EQUAL(received, sent);
    CU_ASSERT_TRUE(in_order);
    channel_client_free(client);
    line_end(&line);
    end(&fixture);
}

/* Large heads until none was taken for a while: what the kernel holds is full as well. */
static void fill(struct fixture *fixture)
{
    static const uint8_t head[LARGE_HEAD_BYTES];
    uint64_t taken_ms = clock_now_ms();
    while (clock_now_ms() - taken_ms < FULL_MS) {
        if (channel_server_send(fixture->server, fixture->connection, head, sizeof head, NULL, 0) ==
            STATUS_OK) {
            taken_ms = clock_now_ms();
        }
        channel_set_wait(fixture->server_set, -1, 1);
    }
}

/* libzmq by itself waits for as long as the reader likes. */
static void server_ends_in_time_though_nobody_reads(void)
{
    struct fixture fixture;
    struct line line;
    begin(&fixture);
    line_begin(&line, &fixture);
    struct channel_client *client = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, client, &fixture.anna));
    atomic_store(&line.dead, true);
    fill(&fixture);
    uint64_t begun_ms = clock_now_ms();
    stop_server(&fixture);
    uint64_t took_ms = clock_now_ms() - begun_ms;
    (void)printf("[%llu ms] ", (unsigned long long)took_ms);
    CU_ASSERT_TRUE(took_ms >= LINGERS_MS_MIN && took_ms < ENDS_MS_MAX);
    channel_client_drop(client);
    line_end(&line);
    end(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(line_that_goes_dead_is_noticed_at_both_ends),
        SUITE_TEST(heads_that_nobody_reads_are_again_and_none_is_lost),
        SUITE_TEST(server_ends_in_time_though_nobody_reads),
    };
    return suite_run("channel_line", tests, sizeof tests / sizeof tests[0]);
}
