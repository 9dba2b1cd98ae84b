/* What libzmq's socket holds by itself, should the door in front of it ever fail: connections that
 * go past it (only this process can make one), a process that stands still, and a routing id that
 * somebody came to know. */
#include "tests/unit/channel_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#define INNER_BEGIN "@dugnad-"
#define DOORS_BEGIN "@dugnad-door-"

enum {
    ROUTING_ID_BYTES = 5, /* as libzmq gives them out: a zero and a number */
    HANDSHAKE_MS_MAX = 2000,
    SLACK_MS = 1500,
    OVERSIZE = WIRE_BODY_MAX + 1024,
    PIECE_BYTES = 4096,
    STUCK_MS = 300,
    WAITING_MAX = 200, /* messages: 16 in libzmq's queue, the rest in the kernel's */
    WAITING_ENOUGH = 10000,
    BACKLOG_INNER_MIN = 600, /* more than the door has in their handshakes */
    BACKLOG_MIN = 3000,
    FILES_WANTED = 5000,
    SOMAXCONN_WANTED = 4096
};

/* The routing id that the server used last. */
static uint8_t routing_id[ROUTING_ID_BYTES];

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming):
 * the linker chooses these names. */
int __real_zmq_msg_send(zmq_msg_t *message, void *socket, int flags);
int __wrap_zmq_msg_send(zmq_msg_t *message, void *socket, int flags);

int __wrap_zmq_msg_send(zmq_msg_t *message, void *socket, int flags)
{
    const uint8_t *bytes = zmq_msg_data(message);
    if (zmq_msg_size(message) == ROUTING_ID_BYTES && bytes[0] == 0) {
        memcpy(routing_id, bytes, sizeof routing_id);
    }
    return __real_zmq_msg_send(message, socket, flags);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */

/* A DEALER with CURVE that obeys none of our rules, not connected yet. */
struct stranger {
    void *context;
    void *socket;
};

static void stranger_begin(struct stranger *self, const struct fixture *fixture,
                           const struct identity *identity)
{
    int linger_ms = 0;
    self->context = zmq_ctx_new();
    self->socket = zmq_socket(self->context, ZMQ_DEALER);
    CU_ASSERT_PTR_NOT_NULL_FATAL(self->socket);
    (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_PUBLICKEY, identity->curve_public, 32);
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SECRETKEY, identity->secrets->curve, 32);
    (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SERVERKEY, fixture->server_identity.curve_public,
                         32);
}

static void stranger_end(struct stranger *self)
{
    (void)zmq_close(self->socket);
    (void)zmq_ctx_term(self->context);
}

/* A unix address at which a server listens for its door. */
struct inner_name {
    char text[108]; /* without the NUL in front of it */
};

/* The next one of any server on this machine; false: there is none. */
static bool next_inner(FILE *file, struct inner_name *out)
{
    char line[512];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *name = strstr(line, INNER_BEGIN);
        if (name != NULL && strstr(line, DOORS_BEGIN) == NULL) {
            name[strcspn(name, "\n")] = '\0';
            (void)snprintf(out->text, sizeof out->text, "%s", name + 1);
            return true;
        }
    }
    return false;
}

static int dial_inner(const struct inner_name *name, int flags)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name->text);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    memcpy(address.sun_path + 1, name->text, length);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Whether anything comes before the end. */
static bool is_greeted(int fd)
{
    uint8_t byte = 0;
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, PATIENCE_MS) == 1 && recv(fd, &byte, 1, 0) == 1;
}

/* The server of this process: other programs' do not greet it. */
static struct inner_name own_inner(void)
{
    struct inner_name name = {""};
    struct inner_name found = {""};
    FILE *file = fopen("/proc/net/unix", "r");
    while (found.text[0] == '\0' && next_inner(file, &name)) {
        int fd = dial_inner(&name, 0);
        if (fd >= 0 && is_greeted(fd)) {
            found = name;
        }
        (void)close(fd);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    CU_ASSERT_TRUE_FATAL(found.text[0] != '\0');
    return found;
}

static void stranger_goes_past_the_door(struct stranger *self)
{
    struct inner_name name = own_inner();
    char endpoint[sizeof name.text + 8];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://@%s", name.text);
    CU_ASSERT_EQUAL_FATAL(zmq_connect(self->socket, endpoint), 0);
}

static void silent_connection_behind_the_door_is_ended_in_time(void)
{
    struct fixture fixture;
    uint8_t bytes[64];
    begin(&fixture);
    struct inner_name name = own_inner();
    int fd = dial_inner(&name, 0);
    uint64_t begun_ms = clock_now_ms();
    struct pollfd item = {.fd = fd, .events = POLLIN};
    ssize_t have = 1;
    while (have > 0 && poll(&item, 1, HANDSHAKE_MS_MAX + SLACK_MS) == 1) {
        have = recv(fd, bytes, sizeof bytes, 0);
    }
    CU_ASSERT_TRUE(have <= 0);
    CU_ASSERT_TRUE(clock_now_ms() - begun_ms < HANDSHAKE_MS_MAX + SLACK_MS);
    (void)close(fd);
    end(&fixture);
}

static void giant_frame_behind_the_door_costs_its_connection(void)
{
    struct fixture fixture;
    struct stranger stranger;
    uint8_t event[6];
    int patience_ms = PATIENCE_MS;
    begin(&fixture);
    uint8_t *large = need(OVERSIZE);
    stranger_begin(&stranger, &fixture, &fixture.bert);
    CU_ASSERT_EQUAL_FATAL(
        zmq_socket_monitor(stranger.socket, "inproc://events", ZMQ_EVENT_DISCONNECTED), 0);
    void *monitor = zmq_socket(stranger.context, ZMQ_PAIR);
    CU_ASSERT_EQUAL_FATAL(zmq_connect(monitor, "inproc://events"), 0);
    (void)zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
    stranger_goes_past_the_door(&stranger);
    CU_ASSERT_EQUAL(zmq_send(stranger.socket, "x", 1, ZMQ_SNDMORE), 1);
    CU_ASSERT_EQUAL(zmq_send(stranger.socket, large, OVERSIZE, 0), OVERSIZE);
    CU_ASSERT_EQUAL(zmq_recv(monitor, event, sizeof event, 0), (int)sizeof event);
    (void)zmq_close(monitor);
    stranger_end(&stranger);
    free(large);
    end(&fixture);
}

static void messages_behind_the_door_wait_where_they_come_from(void)
{
    static const uint8_t piece[PIECE_BYTES];
    struct fixture fixture;
    struct stranger stranger;
    int one = 1;
    begin(&fixture);
    stranger_begin(&stranger, &fixture, &fixture.bert);
    (void)zmq_setsockopt(stranger.socket, ZMQ_SNDHWM, &one, sizeof one);
    stranger_goes_past_the_door(&stranger);
    unsigned sent = 0;
    uint64_t taken_ms = clock_now_ms();
    while (sent < WAITING_ENOUGH && clock_now_ms() - taken_ms < STUCK_MS) {
        if (zmq_send(stranger.socket, piece, sizeof piece, ZMQ_SNDMORE | ZMQ_DONTWAIT) > 0) {
            CU_ASSERT_TRUE(zmq_send(stranger.socket, piece, sizeof piece, ZMQ_DONTWAIT) > 0);
            taken_ms = clock_now_ms();
            sent++;
        } else {
            (void)poll(NULL, 0, 1);
        }
    }
    (void)printf("[%u] ", sent);
    CU_ASSERT_TRUE(sent > 0 && sent < WAITING_MAX);
    stranger_end(&stranger);
    end(&fixture);
}

/* Whoever came to know a member's routing id could have its answers if it might take it over. */
static void routing_id_of_another_brings_none_of_its_messages(void)
{
    struct fixture fixture;
    struct stranger thief;
    struct channel_message message;
    uint8_t bytes[16];
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    uint64_t of_anna = fixture.connection;
    CU_ASSERT_EQUAL(tell(&fixture, of_anna, "first"), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(client_gets(&fixture, anna, &message, PATIENCE_MS));
    CU_ASSERT_TRUE(head_is(&message, "first"));
    CU_ASSERT_EQUAL(message.body_size_bytes, 0); /* and no routing id among what it is told */
    channel_message_close(&message);
    stranger_begin(&thief, &fixture, &fixture.bert);
    CU_ASSERT_EQUAL_FATAL(
        zmq_setsockopt(thief.socket, ZMQ_ROUTING_ID, routing_id, sizeof routing_id), 0);
    char endpoint[LINK_ADDRESS_MAX + 8];
    (void)snprintf(endpoint, sizeof endpoint, "tcp://%s", fixture.link.address);
    CU_ASSERT_EQUAL_FATAL(zmq_connect(thief.socket, endpoint), 0);
    (void)zmq_send(thief.socket, "x", 1, ZMQ_SNDMORE);
    (void)zmq_send(thief.socket, "x", 1, 0);
    while (server_gets(&fixture, &message, STUCK_MS)) {
        channel_message_close(&message);
    }
    CU_ASSERT_EQUAL(tell(&fixture, of_anna, "for anna"), STATUS_OK);
    CU_ASSERT_TRUE(client_gets(&fixture, anna, &message, PATIENCE_MS) &&
                   head_is(&message, "for anna"));
    channel_message_close(&message);
    CU_ASSERT_EQUAL(zmq_recv(thief.socket, bytes, sizeof bytes, ZMQ_DONTWAIT), -1);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "here"));
    CU_ASSERT_EQUAL(fixture.connection, of_anna);
    stranger_end(&thief);
    channel_client_free(anna);
    end(&fixture);
}

/* How many connections the kernel makes for a program that accepts none. */
static unsigned connect_many(int (*dial)(const void *), const void *where, unsigned count_max)
{
    int *held = (int *)(void *)need(count_max * sizeof *held);
    unsigned count = 0;
    while (count < count_max && (held[count] = dial(where)) >= 0) {
        count++;
    }
    for (unsigned i = 0; i < count; i++) {
        (void)close(held[i]);
    }
    free(held);
    return count;
}

static int dial_behind(const void *where)
{
    return dial_inner(where, SOCK_NONBLOCK);
}

/* -1 when no answer comes at once: the kernel drops what the queue has no room for. */
static int dial_tcp(const void *where)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    if (fd >= 0 && (connect(fd, where, sizeof(struct sockaddr_in)) == 0 ||
                    (errno == EINPROGRESS && poll(&item, 1, STUCK_MS) == 1))) {
        return fd;
    }
    (void)close(fd);
    return -1;
}

struct standing {
    uint16_t port;
    struct inner_name inner;
};

/* In a process of its own: serves, tells where, and waits to be stopped. */
static void serve_and_tell(int out_fd)
{
    struct fixture fixture;
    struct standing standing;
    memset(&standing, 0, sizeof standing);
    begin(&fixture);
    standing.port = channel_server_port(fixture.server);
    standing.inner = own_inner();
    _exit(write(out_fd, &standing, sizeof standing) == (ssize_t)sizeof standing && pause() == -1);
}

static unsigned somaxconn(void)
{
    char text[32] = "";
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "r");
    if (file != NULL) {
        (void)fgets(text, sizeof text, file);
        (void)fclose(file);
    }
    return (unsigned)strtoul(text, NULL, 10);
}

/* When a coordinator starts again all its peers come at once. */
static void crowd_waits_while_the_process_stands_still(void)
{
    struct standing standing;
    struct rlimit files;
    int ends[2];
    int status = 0;
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        serve_and_tell(ends[1]);
    }
    CU_ASSERT_EQUAL_FATAL(read(ends[0], &standing, sizeof standing), (ssize_t)sizeof standing);
    CU_ASSERT_EQUAL(kill(child, SIGSTOP), 0);
    CU_ASSERT_EQUAL(waitpid(child, &status, WUNTRACED), child);
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_port = htons(standing.port)};
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CU_ASSERT_TRUE(connect_many(dial_behind, &standing.inner, BACKLOG_INNER_MIN) ==
                   BACKLOG_INNER_MIN);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur == FILES_WANTED && somaxconn() >= SOMAXCONN_WANTED) {
        CU_ASSERT_EQUAL(connect_many(dial_tcp, &tcp, BACKLOG_MIN), BACKLOG_MIN);
    } else {
        (void)printf("[this machine's limits are too low for TCP's] ");
    }
    CU_ASSERT_EQUAL(kill(child, SIGKILL), 0);
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(crowd_waits_while_the_process_stands_still),
        SUITE_TEST(silent_connection_behind_the_door_is_ended_in_time),
        SUITE_TEST(giant_frame_behind_the_door_costs_its_connection),
        SUITE_TEST(messages_behind_the_door_wait_where_they_come_from),
        SUITE_TEST(routing_id_of_another_brings_none_of_its_messages),
    };
    return suite_run("channel_behind", tests, sizeof tests / sizeof tests[0]);
}
