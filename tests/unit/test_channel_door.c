/* What the door does for a server of ZeroMQ, seen from outside. */
#include "proto/channel/door_framing.h"
#include "tests/unit/channel_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#define INNER_BEGIN "@dugnad-"
#define DOORS_BEGIN "@dugnad-door-"

enum { FILES_MAX = 128, CROWD = 60, FRAMES = 1000, LONG_MS = 20000, GROWTH_MAX_KIB = 16 * 1024 };

static int dial_plain(const struct fixture *fixture)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(channel_server_port(fixture->server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Bytes that come within PATIENCE_MS; 0: the end, or nothing. */
static ssize_t hears(int fd)
{
    uint8_t bytes[256];
    struct pollfd item = {.fd = fd, .events = POLLIN};
    ssize_t have = poll(&item, 1, PATIENCE_MS) == 1 ? recv(fd, bytes, sizeof bytes, 0) : 0;
    return have > 0 ? have : 0;
}

/* Connects to every unix socket that looks as if a server of ours listened there. The most that
 * one of them says; -1: there is none. */
static ssize_t try_inner_sockets(void)
{
    char line[512];
    ssize_t most = -1;
    FILE *file = fopen("/proc/net/unix", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *name = strstr(line, INNER_BEGIN);
        if (name == NULL || strstr(line, DOORS_BEGIN) != NULL) {
            continue;
        }
        name[strcspn(name, "\n")] = '\0';
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
        if (connect(fd, (struct sockaddr *)&address,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) == 0) {
            ssize_t have = hears(fd);
            most = have > most ? have : most;
        }
        (void)close(fd);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return most;
}

static void connection_of_another_process_behind_the_door_is_refused(void)
{
    struct fixture fixture;
    int status = 0;
    begin(&fixture);
    CU_ASSERT_TRUE(try_inner_sockets() > 0); /* it is there, and greets this process */
    pid_t child = fork();
    if (child == 0) {
        ssize_t most = try_inner_sockets();
        _exit(most == 0 ? 0 : most < 0 ? 1 : 2);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_TRUE(WIFEXITED(status));
    CU_ASSERT_EQUAL(WEXITSTATUS(status), 0); /* found, and told nothing */
    end(&fixture);
}

/* Descriptors until `left` more can be opened; returns how many are in `held`. */
static size_t hold_files(int held[FILES_MAX], size_t left)
{
    size_t count = 0;
    while (count < FILES_MAX && (held[count] = dup(STDERR_FILENO)) >= 0) {
        count++;
    }
    for (size_t i = 0; i < left && count > 0; i++) {
        (void)close(held[--count]);
    }
    return count;
}

static void files_that_run_out_leave_the_honest_alone(void)
{
    struct rlimit before;
    struct fixture fixture;
    int crowd[CROWD];
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = {.rlim_cur = FILES_MAX, .rlim_max = before.rlim_max};
    begin(&fixture);
    stop_server(&fixture);
    start_server(&fixture, "tcp://127.0.0.1:*"); /* the crowd has the limit of before */
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    for (size_t i = 0; i < CROWD; i++) {
        crowd[i] = dial_plain(&fixture);
    }
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    int held[FILES_MAX];
    size_t count = hold_files(held, 0);
    int64_t begun_ms = (int64_t)clock_now_ms();
    for (unsigned i = 0; i < 50; i++) {
        CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "still here"));
    }
    CU_ASSERT_TRUE((int64_t)clock_now_ms() - begun_ms < PATIENCE_MS);
    while (count > 0) {
        (void)close(held[--count]);
    }
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < CROWD; i++) {
        (void)close(crowd[i]);
    }
    struct channel_client *bert = connect_as(&fixture, &fixture.bert);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, bert, &fixture.bert, "hello"));
    channel_client_free(bert);
    channel_client_free(anna);
    end(&fixture);
}

static void last_file_is_not_taken_from_libzmq(void)
{
    struct rlimit before;
    struct rlimit few;
    struct fixture fixture;
    struct channel_incident incident;
    uint8_t opening[DOOR_OPENING_BYTES] = {0};
    int held[FILES_MAX];
    static const uint8_t hello[] = {4, 200, 5, 'H', 'E', 'L', 'L', 'O', 1, 0};
    memcpy(opening, door_greeting, DOOR_GREETING_BYTES);
    opening[32] = 0; /* a client's */
    memcpy(opening + DOOR_GREETING_BYTES, hello, sizeof hello);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = FILES_MAX, .rlim_max = before.rlim_max};
    begin(&fixture);
    int plain = dial_plain(&fixture);
    CU_ASSERT_TRUE_FATAL(hears(plain) > 0); /* it was let in */
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    size_t count = hold_files(held, 1);
    CU_ASSERT_EQUAL(send(plain, opening, sizeof opening, MSG_NOSIGNAL), (ssize_t)sizeof opening);
    CU_ASSERT_TRUE(is_told(&fixture, CHANNEL_CROWDED, &incident));
    while (count > 0) {
        (void)close(held[--count]);
    }
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)close(plain);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    channel_client_free(anna);
    end(&fixture);
}

static void few_files_are_few_connections_and_no_more(void)
{
    struct rlimit before;
    struct fixture fixture;
    int crowd[CROWD];
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    begin(&fixture);
    stop_server(&fixture);
    /* The set has raised the limit already; the server looks at it again. */
    struct rlimit few = {.rlim_cur = FILES_MAX, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &fixture.server_set), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    CU_ASSERT_EQUAL_FATAL(channel_server_new(fixture.server_set, CHANNEL_CONTROL,
                                             "tcp://127.0.0.1:*", &fixture.server_identity,
                                             &fixture.server),
                          STATUS_OK);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)snprintf(fixture.link.address, sizeof fixture.link.address, "127.0.0.1:%u",
                   (unsigned)channel_server_port(fixture.server));
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    size_t greeted = 0;
    for (size_t i = 0; i < CROWD; i++) {
        crowd[i] = dial_plain(&fixture);
        greeted += crowd[i] >= 0 && hears(crowd[i]) > 0;
    }
    CU_ASSERT_EQUAL(greeted, (FILES_MAX - 64) / (2 * 3) - 1); /* of two doors; and Anna */
    struct channel_incident incident;
    CU_ASSERT_TRUE(is_told(&fixture, CHANNEL_CROWDED, &incident));
    CU_ASSERT_STRING_EQUAL(incident.host, "127.0.0.1");
    CU_ASSERT_FALSE(incident.has_key);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "still here"));
    for (size_t i = 0; i < CROWD; i++) {
        (void)close(crowd[i]);
    }
    channel_client_free(anna);
    end(&fixture);
}

static long peak_kib(void)
{
    struct rusage usage;
    CU_ASSERT_EQUAL(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* A member in a process of its own, so that what it keeps itself does not count. It is begun before
 * there are threads, and told later where the server is. */
struct huge {
    uint8_t curve_public[IDENTITY_KEY_BYTES];
    uint8_t curve_secret[IDENTITY_KEY_BYTES];
    pid_t process;
    int tell_fd;
};

struct place {
    uint8_t curve_public[IDENTITY_KEY_BYTES];
    char endpoint[LINK_ADDRESS_MAX + 8];
};

/* Says hello, and when it is admitted one message of a thousand frames. */
static void say_huge(const struct huge *self, const struct place *place)
{
    static uint8_t frame[64 * 1024];
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    (void)zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, self->curve_public, 32);
    (void)zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, self->curve_secret, 32);
    (void)zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, place->curve_public, 32);
    (void)zmq_connect(socket, place->endpoint);
    (void)zmq_send(socket, "hello", 5, ZMQ_SNDMORE);
    (void)zmq_send(socket, "", 0, 0);
    (void)zmq_recv(socket, frame, sizeof frame, 0);
    (void)zmq_recv(socket, frame, sizeof frame, 0);
    for (unsigned i = 0; i < FRAMES; i++) {
        (void)zmq_send(socket, frame, sizeof frame, i + 1 < FRAMES ? ZMQ_SNDMORE : 0);
    }
    (void)zmq_close(socket);
    (void)zmq_ctx_term(context); /* until it is said, or somebody ends this process */
}

static void start_huge(struct huge *self)
{
    int pipes[2];
    struct place place;
    CU_ASSERT_EQUAL_FATAL(pipe(pipes), 0);
    CU_ASSERT_EQUAL(crypto_box_keypair(self->curve_public, self->curve_secret), 0);
    self->process = fork();
    if (self->process == 0) {
        if (read(pipes[0], &place, sizeof place) == (ssize_t)sizeof place) {
            say_huge(self, &place);
        }
        _exit(0);
    }
    (void)close(pipes[0]);
    self->tell_fd = pipes[1];
}

static void message_of_a_thousand_frames_is_cut_with_bounded_memory(void)
{
    struct huge huge;
    struct fixture fixture;
    struct channel_message message;
    struct channel_incident incident = {.count = 0};
    start_huge(&huge);
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    struct place place = {.endpoint = ""};
    memcpy(place.curve_public, fixture.server_identity.curve_public, sizeof place.curve_public);
    (void)snprintf(place.endpoint, sizeof place.endpoint, "tcp://%s", fixture.link.address);
    CU_ASSERT_EQUAL(write(huge.tell_fd, &place, sizeof place), (ssize_t)sizeof place);
    CU_ASSERT_TRUE_FATAL(server_gets(&fixture, &message, LONG_MS));
    channel_server_admit(fixture.server, message.connection);
    long before_kib = peak_kib();
    CU_ASSERT_EQUAL(tell(&fixture, message.connection, "welcome"), STATUS_OK);
    channel_message_close(&message);
    uint64_t begun_ms = clock_now_ms();
    while (!channel_server_incident(fixture.server, &incident) &&
           clock_now_ms() - begun_ms < LONG_MS) {
        CU_ASSERT_FALSE(server_gets(&fixture, &message, TICK_MS));
    }
    CU_ASSERT_EQUAL(incident.reason, CHANNEL_UNFINISHED);
    CU_ASSERT_TRUE(incident.has_key);
    CU_ASSERT_EQUAL(memcmp(incident.curve_key, huge.curve_public, IDENTITY_KEY_BYTES), 0);
    CU_ASSERT_TRUE(peak_kib() - before_kib < GROWTH_MAX_KIB);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "still here"));
    (void)kill(huge.process, SIGKILL);
    (void)waitpid(huge.process, NULL, 0);
    (void)close(huge.tell_fd);
    channel_client_free(anna);
    end(&fixture);
}

static void member_that_says_too_much_is_cut_with_its_key(void)
{
    struct fixture fixture;
    struct channel_message message;
    struct channel_incident incident;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    uint64_t connection = fixture.connection;
    unsigned heard = 0;
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)2 * PATIENCE_MS;
    while (heard < 20000 && clock_now_ms() < deadline_ms &&
           tell(&fixture, connection, "x") != STATUS_STALE) {
        while (say(anna, "again and again") == STATUS_OK) {
        }
        while (channel_server_receive(fixture.server, &message) == STATUS_OK) {
            heard++;
            channel_message_close(&message);
        }
    }
    CU_ASSERT_TRUE(heard >= 1990 && heard < 20000);
    CU_ASSERT_TRUE(is_told(&fixture, CHANNEL_TOO_FAST, &incident));
    CU_ASSERT_TRUE(incident.has_key);
    CU_ASSERT_EQUAL(incident.connection, connection);
    channel_client_drop(anna);
    end(&fixture);
}

static void words_of_a_client_that_left_at_once_are_heard(void)
{
    struct fixture fixture;
    begin(&fixture);
    for (unsigned i = 0; i < 10; i++) {
        struct channel_message message;
        struct channel_set *set = NULL;
        struct channel_client *client = NULL;
        CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &set), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(channel_client_new(set, CHANNEL_CONTROL, fixture.link.address,
                                                 fixture.link.coordinator_key, &fixture.anna,
                                                 &client),
                              STATUS_OK);
        CU_ASSERT_EQUAL(say(client, "and goodbye"), STATUS_OK);
        channel_client_free(client);
        channel_set_free(set);
        clock_sleep_ms(20); /* it is gone before anybody reads */
        CU_ASSERT_TRUE_FATAL(server_gets(&fixture, &message, PATIENCE_MS));
        CU_ASSERT_TRUE(head_is(&message, "and goodbye"));
        CU_ASSERT_EQUAL(tell(&fixture, message.connection, "x"), STATUS_STALE);
        channel_message_close(&message);
    }
    end(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(connection_of_another_process_behind_the_door_is_refused),
        SUITE_TEST(files_that_run_out_leave_the_honest_alone),
        SUITE_TEST(last_file_is_not_taken_from_libzmq),
        SUITE_TEST(few_files_are_few_connections_and_no_more),
        SUITE_TEST(message_of_a_thousand_frames_is_cut_with_bounded_memory),
        SUITE_TEST(member_that_says_too_much_is_cut_with_its_key),
        SUITE_TEST(words_of_a_client_that_left_at_once_are_heard),
    };
    return suite_run("channel_door", tests, sizeof tests / sizeof tests[0]);
}
