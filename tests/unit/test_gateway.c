/* The gateway: what it lets cross, what it gave up, and how it stands between a core and a peer. */
#include "common/log.h"
#include "coordinator/gateway/gateway_check.h"
#include "coordinator/gateway/gateway_confine.h"
#include "coordinator/gateway/gateway_lines.h"
#include "coordinator/gateway/gateway_state.h"
#include "proto/blob.h"
#include "tests/unit/gateway_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

enum { SKIPPED = 64, CHUNK_BYTES = 256 * 1024, CHUNKS = 100, QUIET_MS = 300 };

static struct wire_message scratch; /* large */

static bool passes(enum gateway_port port, size_t head_size_bytes, size_t body_size_bytes)
{
    return gateway_check_heard(&scratch, port, head, head_size_bytes, body_size_bytes);
}

static void check_heard_passes_what_peers_say(void)
{
    static const enum wire_type peers[] = {
        WIRE_HELLO,   WIRE_READY, WIRE_PROGRESS, WIRE_YIELDED, WIRE_CONTRIBUTION,
        WIRE_APPLIED, WIRE_GRANT, WIRE_ALIVE,    WIRE_LEAVE,   WIRE_CLAIM,
        WIRE_HOLDS,   WIRE_RATES, WIRE_PROBE};
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        bool expected = false;
        for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
            expected = expected || (int)peers[i] == type;
        }
        size_t size_bytes = encode((enum wire_type)type);
        CU_ASSERT_EQUAL(passes(GATEWAY_CONTROL_PORT, size_bytes, 0), expected);
        CU_ASSERT_EQUAL(passes(GATEWAY_CONTROL_PORT, size_bytes, 5), type == WIRE_PROBE);
        CU_ASSERT_EQUAL(passes(GATEWAY_BULK_PORT, size_bytes, 0), type == WIRE_ALIVE);
        CU_ASSERT_FALSE(passes(GATEWAY_BULK_PORT, size_bytes, 5));
        head[size_bytes] = 0xff; /* no field */
        CU_ASSERT_FALSE(passes(GATEWAY_CONTROL_PORT, size_bytes + 1, 0));
    }
    CU_ASSERT_FALSE(gateway_check_heard(&scratch, GATEWAY_CONTROL_PORT, head, 0, 0));
}

static void check_heard_passes_chunks_that_are_whole(void)
{
    struct blob_chunk_header header = {.kind = BLOB_CONTRIBUTION, .id = 3, .size_bytes = 1000};
    uint8_t chunk[BLOB_HEADER_BYTES];
    blob_header_write(&header, chunk);
    for (int i = 0; i < GATEWAY_PORTS; i++) {
        enum gateway_port port = (enum gateway_port)i;
        CU_ASSERT_TRUE(gateway_check_heard(&scratch, port, chunk, sizeof chunk, 1000));
        CU_ASSERT_FALSE(gateway_check_heard(&scratch, port, chunk, sizeof chunk, 999));
        CU_ASSERT_FALSE(gateway_check_heard(&scratch, port, chunk, sizeof chunk - 1, 1000));
    }
    CU_ASSERT_FALSE(gateway_check_answer(&scratch, chunk, sizeof chunk));
}

static void check_answer_passes_echoes_of_probes_alone(void)
{
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        struct wire_message message = make_valid((enum wire_type)type);
        size_t size_bytes = 0;
        if (type == WIRE_PROBE) {
            message.as.probe.answer = true;
        }
        CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
        CU_ASSERT_EQUAL(gateway_check_answer(&scratch, head, size_bytes), type == WIRE_PROBE);
    }
    struct wire_message question = make(WIRE_PROBE);
    size_t size_bytes = 0;
    question.as.probe.nonce = 1;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&question, head, sizeof head, &size_bytes), STATUS_OK);
    CU_ASSERT_FALSE(gateway_check_answer(&scratch, head, size_bytes));
}

static void lines_are_found_until_they_are_removed(void)
{
    struct gateway_lines *lines = calloc(1, sizeof *lines);
    struct gateway_connection *line = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(lines);
    for (uint64_t i = 1; i <= GATEWAY_LINES_MAX; i++) {
        CU_ASSERT_EQUAL_FATAL(gateway_lines_get(lines, i, &line), STATUS_OK);
    }
    CU_ASSERT_EQUAL(gateway_lines_get(lines, GATEWAY_LINES_MAX + 1, &line), STATUS_FULL);
    CU_ASSERT_EQUAL(gateway_lines_get(lines, 1, &line), STATUS_OK);
    gateway_lines_remove(lines, gateway_lines_find(lines, GATEWAY_LINE_BUCKETS + 1));
    CU_ASSERT_PTR_NULL(gateway_lines_find(lines, GATEWAY_LINE_BUCKETS + 1));
    CU_ASSERT_PTR_EQUAL(gateway_lines_find(lines, 1), line);
    CU_ASSERT_EQUAL(gateway_lines_get(lines, GATEWAY_LINES_MAX + 1, &line), STATUS_OK);
    gateway_lines_clear(lines);
    CU_ASSERT_PTR_NULL(gateway_lines_find(lines, 1));
    free(lines);
}

/* The exit code of a child that calls `act` once it is confined; SKIPPED: the kernel lacks it. */
static int confined(int (*act)(const struct sandbox_result *result))
{
    int status = 0;
    pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        struct sandbox_result result;
        _exit(gateway_confine(&result) == STATUS_OK ? act(&result) : 99);
    }
    CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_TRUE_FATAL(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int use_files(const struct sandbox_result *result)
{
    int wrong = open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES ? 1 : 0;
    wrong |= open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 ? 2 : 0;
    wrong |= open("/tmp/dugnad-gateway-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 ? 4 : 0;
#if !defined(__SANITIZE_ADDRESS__) /* its leak detector may read that */
    wrong |= open("/proc/self/maps", O_RDONLY | O_CLOEXEC) >= 0 ? 8 : 0;
#endif
    return result->files ? wrong : SKIPPED;
}

static int use_programs(const struct sandbox_result *result)
{
    char *arguments[] = {(char[]){"true"}, NULL};
    if (!result->calls) {
        return SKIPPED;
    }
    (void)execv("/bin/true", arguments);
#if !defined(__SANITIZE_ADDRESS__) /* its leak detector is a process */
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid > 0 ? 2 : 1;
#else
    return 1;
#endif
}

static int use_ports(const struct sandbox_result *result)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!result->network) {
        return SKIPPED;
    }
    return fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 2 : 1;
}

static int use_memory(const struct sandbox_result *result)
{
    struct rlimit core = {.rlim_cur = 1};
    struct rlimit files = {.rlim_cur = 0};
    (void)result;
    int wrong = getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0 ? 2 : 0;
    wrong |= prctl(PR_GET_DUMPABLE) != 0 ? 4 : 0;
    wrong |= getrlimit(RLIMIT_NOFILE, &files) != 0 ||
                     (files.rlim_cur < files.rlim_max && files.rlim_cur < 65536)
                 ? 8
                 : 0;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    void *all = malloc(GATEWAY_MEMORY_BYTES_MAX);
    void *half = malloc(GATEWAY_MEMORY_BYTES_MAX / 2);
    wrong |= all != NULL ? 16 : 0;
    wrong |= half == NULL ? 32 : 0;
    free(all);
    free(half);
#endif
    return wrong | 1;
}

static void confined_process_reaches_nothing(void)
{
    static const struct {
        const char *what;
        int (*act)(const struct sandbox_result *result);
        int expected;
    } cases[] = {{"files", use_files, 0},
                 {"programs", use_programs, 1},
                 {"ports", use_ports, 1},
                 {"memory", use_memory, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int code = confined(cases[i].act);
        if (code == SKIPPED) {
            (void)printf("not compared, this kernel cannot: %s\n", cases[i].what);
        } else {
            CU_ASSERT_EQUAL(code, cases[i].expected);
        }
    }
}

static void messages_cross_both_ways(void)
{
    static uint8_t body[100000];
    struct gateway_sender sender;
    start_gateway();
    (void)hear(GATEWAY_READY);
    join();
    peer_says(WIRE_HELLO);
    struct gateway_frame frame = hear(GATEWAY_HEARD);
    uint64_t connection = frame.number;
    CU_ASSERT_EQUAL(gateway_sender_read(&frame, &sender), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(sender.curve_key, world.peer.curve_public, IDENTITY_KEY_BYTES), 0);
    CU_ASSERT_STRING_EQUAL(sender.host, "127.0.0.1");
    CU_ASSERT_EQUAL(frame.head_size_bytes, GATEWAY_SENDER_BYTES + encode(WIRE_HELLO));
    CU_ASSERT_EQUAL(memcmp(frame.head + GATEWAY_SENDER_BYTES, head,
                           frame.head_size_bytes - GATEWAY_SENDER_BYTES),
                    0);
    say(GATEWAY_ADMIT, connection, NULL, 0);
    struct gateway_frame answer = {.type = GATEWAY_SEND,
                                   .number = connection,
                                   .head = head,
                                   .head_size_bytes = encode(WIRE_COMMITTED),
                                   .body = body,
                                   .body_size_bytes = sizeof body};
    CU_ASSERT_EQUAL(gateway_link_put(world.link, &answer), STATUS_OK);
    struct gateway_frame told = hear(GATEWAY_TAKEN);
    struct gateway_taken taken = gateway_taken_read(&told);
    CU_ASSERT_EQUAL(told.number, connection);
    CU_ASSERT_EQUAL(taken.messages, 1);
    CU_ASSERT_EQUAL(taken.bytes, answer.head_size_bytes + sizeof body);
    CU_ASSERT_EQUAL(peer_hears(), sizeof body);
    struct gateway_traffic traffic;
    do { /* with the body in it */
        told = hear(GATEWAY_TRAFFIC);
        CU_ASSERT_EQUAL(told.number, connection);
        traffic = gateway_traffic_read(&told);
    } while (traffic.delivered_bytes < sizeof body);
    CU_ASSERT(traffic.received_bytes > encode(WIRE_HELLO));
    say(GATEWAY_SEND, connection + 100, head, 1);
    CU_ASSERT_EQUAL(hear(GATEWAY_GONE).number, connection + 100);
    say(GATEWAY_PING, 8, NULL, 0);
    CU_ASSERT_EQUAL(hear(GATEWAY_PONG).number, 8);
    leave();
    CU_ASSERT_EQUAL(end_gateway(), 0);
}

/* What only a coordinator says, and what nobody says. */
static void bad_messages_cut_and_do_not_cross(void)
{
    for (int i = 0; i < 2; i++) {
        struct channel_incident incident;
        start_gateway();
        (void)hear(GATEWAY_READY);
        join();
        peer_says(WIRE_HELLO);
        uint64_t connection = hear(GATEWAY_HEARD).number;
        say(GATEWAY_ADMIT, connection, NULL, 0);
        say(GATEWAY_PING, 1, NULL, 0);
        (void)hear(GATEWAY_PONG);
        if (i == 0) {
            peer_says(WIRE_WELCOME);
        } else {
            CU_ASSERT_EQUAL(
                channel_client_send(world.client, (const uint8_t *)"\x02\xff\xff", 3, NULL, 0),
                STATUS_OK);
        }
        struct gateway_frame frame = {.number = 0};
        while (frame.type != GATEWAY_INCIDENT) { /* and nothing is heard before */
            enum status status = gateway_link_read(world.link, &frame);
            CU_ASSERT_FATAL(status == STATUS_OK || status == STATUS_AGAIN);
            CU_ASSERT_FATAL(frame.type != GATEWAY_HEARD || status != STATUS_OK);
            clock_sleep_ms(1);
        }
        CU_ASSERT_EQUAL(gateway_incident_read(&frame, &incident), STATUS_OK);
        CU_ASSERT_EQUAL(incident.reason, CHANNEL_MALFORMED);
        CU_ASSERT_EQUAL(incident.connection, connection);
        CU_ASSERT_TRUE(incident.has_key);
        while (channel_client_connections(world.client) < 2) { /* it was cut, and came again */
            channel_set_wait(world.set, -1, 10);
        }
        leave();
        CU_ASSERT_EQUAL(end_gateway(), 0);
    }
}

/* To the other port as well. */
static struct channel_client *dial_bulk(void)
{
    struct channel_client *client = NULL;
    CU_ASSERT_EQUAL_FATAL(channel_client_new(world.set, CHANNEL_CHUNKS,
                                             world.addresses[GATEWAY_BULK_PORT],
                                             world.run.public_key, &world.peer, &client),
                          STATUS_OK);
    return client;
}

static void ports_are_told_apart(void)
{
    start_gateway();
    (void)hear(GATEWAY_READY);
    join();
    struct channel_client *bulk = dial_bulk();
    peer_says(WIRE_HELLO);
    uint64_t connection = hear(GATEWAY_HEARD).number;
    size_t size_bytes = encode(WIRE_ALIVE);
    CU_ASSERT_EQUAL(channel_client_send(bulk, head, size_bytes, NULL, 0), STATUS_OK);
    uint64_t other = hear(GATEWAY_HEARD).number;
    CU_ASSERT_EQUAL(connection % GATEWAY_PORTS, GATEWAY_CONTROL_PORT);
    CU_ASSERT_EQUAL(other % GATEWAY_PORTS, GATEWAY_BULK_PORT);
    say(GATEWAY_ADMIT, other, NULL, 0);
    say(GATEWAY_ADMIT, connection, NULL, 0); /* which cuts none at the other port */
    say(GATEWAY_PING, 1, NULL, 0);
    (void)hear(GATEWAY_PONG);
    struct blob_chunk_header header = {.kind = BLOB_CONTRIBUTION, .id = 3, .size_bytes = 50000};
    static uint8_t body[50000];
    uint8_t chunk[BLOB_HEADER_BYTES];
    blob_header_write(&header, chunk);
    CU_ASSERT_EQUAL(channel_client_send(bulk, chunk, sizeof chunk, body, sizeof body), STATUS_OK);
    struct gateway_frame frame = hear(GATEWAY_HEARD);
    CU_ASSERT_EQUAL(frame.number, other);
    CU_ASSERT_EQUAL(frame.body_size_bytes, sizeof body);
    say(GATEWAY_CUT, other, NULL, 0);
    CU_ASSERT_EQUAL(hear(GATEWAY_GONE).number, other);
    peer_says(WIRE_ALIVE);
    CU_ASSERT_EQUAL(hear(GATEWAY_HEARD).number, connection);
    channel_client_drop(bulk);
    leave();
    CU_ASSERT_EQUAL(end_gateway(), 0);
}

#ifndef __SANITIZE_THREAD__ /* it takes chunks too slowly then, and its time says nothing */
/* Says chunks at the port for them until the gateway takes no more: the core does not read. */
static void crowd(struct channel_client *bulk)
{
    static uint8_t body[CHUNK_BYTES];
    uint8_t chunk[BLOB_HEADER_BYTES];
    struct blob_chunk_header header = {
        .kind = BLOB_CONTRIBUTION, .id = 3, .size_bytes = sizeof body};
    blob_header_write(&header, chunk);
    for (int i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL(channel_client_send(bulk, chunk, sizeof chunk, body, sizeof body),
                        STATUS_OK);
    }
    uint64_t began_ms = clock_now_ms();
    uint64_t moved_ms = began_ms;
    uint64_t delivered_bytes = 0;
    while (delivered_bytes < GATEWAY_CHUNKS_BYTES || clock_now_ms() - moved_ms < QUIET_MS) {
        uint64_t bytes = channel_client_delivered_bytes(bulk);
        moved_ms = bytes != delivered_bytes ? clock_now_ms() : moved_ms;
        delivered_bytes = bytes;
        CU_ASSERT_FATAL(clock_now_ms() - began_ms < WAIT_MS);
        channel_set_wait(world.set, -1, 10);
    }
    CU_ASSERT_TRUE(delivered_bytes < (uint64_t)CHUNKS * CHUNK_BYTES);
}

/* That the gateway's process has used so far. */
static uint64_t cpu_ms(void)
{
    clockid_t clock = 0;
    struct timespec used = {.tv_sec = 0};
    CU_ASSERT_EQUAL_FATAL(clock_getcpuclockid(world.pid, &clock), 0);
    CU_ASSERT_EQUAL_FATAL(clock_gettime(clock, &used), 0);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

static void chunks_that_wait_leave_it_at_rest(void)
{
    start_gateway();
    (void)hear(GATEWAY_READY);
    join();
    struct channel_client *bulk = dial_bulk();
    peer_says(WIRE_HELLO);
    uint64_t connection = hear(GATEWAY_HEARD).number;
    size_t size_bytes = encode(WIRE_ALIVE);
    CU_ASSERT_EQUAL(channel_client_send(bulk, head, size_bytes, NULL, 0), STATUS_OK);
    say(GATEWAY_ADMIT, hear(GATEWAY_HEARD).number, NULL, 0);
    say(GATEWAY_ADMIT, connection, NULL, 0);
    say(GATEWAY_PING, 1, NULL, 0);
    (void)hear(GATEWAY_PONG);
    crowd(bulk);
    uint64_t before_ms = cpu_ms();
    clock_sleep_ms(QUIET_MS);
    CU_ASSERT_TRUE(cpu_ms() - before_ms < QUIET_MS / 4);
    peer_says(WIRE_ALIVE); /* is heard beside them */
    while (hear(GATEWAY_HEARD).number != connection) {
    }
    channel_client_drop(bulk);
    leave();
    CU_ASSERT_EQUAL(end_gateway(), 0);
}

#endif

/* Who says there what belongs to the other one is cut at once. */
static void hello_at_the_port_for_chunks_cuts(void)
{
    struct channel_incident incident;
    start_gateway();
    (void)hear(GATEWAY_READY);
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &world.set), STATUS_OK);
    world.client = dial_bulk();
    peer_says(WIRE_HELLO);
    struct gateway_frame frame = hear(GATEWAY_INCIDENT);
    CU_ASSERT_EQUAL(gateway_incident_read(&frame, &incident), STATUS_OK);
    CU_ASSERT_EQUAL(incident.reason, CHANNEL_MALFORMED);
    CU_ASSERT_EQUAL(incident.connection % GATEWAY_PORTS, GATEWAY_BULK_PORT);
    leave();
    CU_ASSERT_EQUAL(end_gateway(), 0);
}

static void a_core_that_breaks_the_rules_is_left(void)
{
    uint8_t garbage[64];
    start_gateway();
    (void)hear(GATEWAY_READY);
    memset(garbage, 0xee, sizeof garbage);
    CU_ASSERT_EQUAL(send(gateway_link_fd(world.link), garbage, sizeof garbage, MSG_NOSIGNAL),
                    (ssize_t)sizeof garbage);
    CU_ASSERT_EQUAL(end_gateway(), status_exit_code(STATUS_PROTOCOL));
}

static void bar(bool barred)
{
    struct gateway_bar order = {.barred = barred};
    uint8_t bytes[GATEWAY_BAR_BYTES];
    memcpy(order.curve_key, world.peer.curve_public, IDENTITY_KEY_BYTES);
    gateway_bar_write(&order, bytes);
    say(GATEWAY_BAR, 0, bytes, sizeof bytes);
}

static void a_barred_key_does_not_come_in(void)
{
    struct channel_incident incident;
    struct gateway_frame frame = {.number = 0};
    start_gateway();
    (void)hear(GATEWAY_READY);
    join();
    struct channel_client *bulk = dial_bulk();
    peer_says(WIRE_HELLO);
    uint64_t connection = hear(GATEWAY_HEARD).number;
    size_t size_bytes = encode(WIRE_ALIVE);
    CU_ASSERT_EQUAL(channel_client_send(bulk, head, size_bytes, NULL, 0), STATUS_OK);
    (void)hear(GATEWAY_HEARD);
    bar(true);
    do {
        frame = hear(GATEWAY_INCIDENT);
        CU_ASSERT_EQUAL(gateway_incident_read(&frame, &incident), STATUS_OK);
    } while (incident.reason != CHANNEL_BARRED);
    CU_ASSERT_EQUAL(incident.connection, connection);
    uint64_t barred_ms = clock_now_ms();
    while (channel_client_trouble(bulk) == CHANNEL_FINE) {
        CU_ASSERT_FATAL(clock_now_ms() - barred_ms < 1000);
        channel_set_wait(world.set, -1, 10);
    }
    channel_client_drop(bulk);
    for (int i = 0; i < 10; i++) { /* it tries again every 0.1 s */
        channel_set_wait(world.set, -1, 100);
        CU_ASSERT(channel_client_trouble(world.client) != CHANNEL_FINE || i < 5);
        while (gateway_link_read(world.link, &frame) == STATUS_OK) {
            CU_ASSERT(frame.type != GATEWAY_HEARD);
        }
    }
    bar(false);
    channel_client_drop(world.client); /* libzmq does not try again where it was refused */
    dial_gateway();
    peer_says(WIRE_HELLO);
    (void)hear(GATEWAY_HEARD);
    leave();
    CU_ASSERT_EQUAL(end_gateway(), 0);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    (void)fputs("chunks_that_wait_leave_it_at_rest: not with the thread sanitizer\n", stderr);
#endif
    const struct suite_test tests[] = {
        SUITE_TEST(check_heard_passes_what_peers_say),
        SUITE_TEST(check_heard_passes_chunks_that_are_whole),
        SUITE_TEST(check_answer_passes_echoes_of_probes_alone),
        SUITE_TEST(lines_are_found_until_they_are_removed),
        SUITE_TEST(confined_process_reaches_nothing),
        SUITE_TEST(messages_cross_both_ways),
        SUITE_TEST(bad_messages_cut_and_do_not_cross),
        SUITE_TEST(ports_are_told_apart),
#ifndef __SANITIZE_THREAD__
        SUITE_TEST(chunks_that_wait_leave_it_at_rest),
#endif
        SUITE_TEST(hello_at_the_port_for_chunks_cuts),
        SUITE_TEST(a_core_that_breaks_the_rules_is_left),
        SUITE_TEST(a_barred_key_does_not_come_in),
    };
    log_set_level(LOG_ERROR);
    return sodium_init() < 0 ? 1 : suite_run("gateway", tests, sizeof tests / sizeof tests[0]);
}
