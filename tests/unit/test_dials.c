#include "coordinator/server/dials.h"
#include "tests/unit/owner_fixture.h"

/* A peer's port that answers probes. */
struct port {
    struct channel_set *set;
    struct identity identity;
    struct channel_server *server;
    struct wire_message message; /* scratch: it is large */
    uint8_t head[WIRE_HEAD_MAX];
    size_t largest_bytes; /* of its answers */
};

static struct port port;

enum { DIAL_MS_MAX = 60000 }; /* the thread sanitizer looks at each byte that libzmq wrote */

static void port_turn(struct port *self)
{
    struct channel_message incoming;
    size_t size_bytes = 0;
    channel_set_wait(self->set, -1, TURN_MS);
    while (channel_server_receive(self->server, &incoming) == STATUS_OK) {
        CU_ASSERT_EQUAL_FATAL(wire_decode(incoming.head, incoming.head_size_bytes, &self->message),
                              STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(self->message.type, WIRE_PROBE);
        self->message.as.probe.answer = true;
        CU_ASSERT_EQUAL_FATAL(wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &size_bytes),
                              STATUS_OK);
        channel_server_admit(self->server, incoming.connection);
        CU_ASSERT_EQUAL(channel_server_send(self->server, incoming.connection, self->head,
                                            size_bytes, incoming.body, incoming.body_size_bytes),
                        STATUS_OK);
        if (incoming.body_size_bytes > self->largest_bytes) {
            self->largest_bytes = incoming.body_size_bytes;
        }
        channel_message_close(&incoming);
    }
}

static void port_begin(struct port *self)
{
    memset(self, 0, sizeof *self);
    make_identity(&self->identity);
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &self->set), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_server_new(self->set, CHANNEL_BULK, "tcp://127.0.0.1:*",
                                             &self->identity, &self->server),
                          STATUS_OK);
}

static void port_end(struct port *self)
{
    channel_server_free(self->server);
    channel_set_free(self->set);
}

/* Dials a peer with this cap until that has ended. The largest probe that it answered. */
static size_t dial_with_cap(uint64_t cap)
{
    struct port *self = &port;
    struct identity coordinator;
    struct channel_set *set = NULL;
    struct dials *dials = NULL;
    struct dial_result result = {.reachable = false};
    char address[64];
    port_begin(self);
    make_identity(&coordinator);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u",
                   (unsigned)channel_server_port(self->server));
    const struct dial_peer peer = {.number = 5,
                                   .address = address,
                                   .public_key = self->identity.public_key,
                                   .bytes_per_s_max = cap};
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &set), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(dials_new(set, &coordinator, &dials), STATUS_OK);
    uint64_t began_ms = clock_now_ms();
    const uint64_t now_ms = began_ms; /* stands still: every answer is quick */
    CU_ASSERT_EQUAL_FATAL(dials_start(dials, &peer, now_ms), STATUS_OK);
    while (!dials_next(dials, now_ms, &result) && clock_now_ms() - began_ms < DIAL_MS_MAX) {
        port_turn(self);
        channel_set_wait(set, -1, 0);
    }
    CU_ASSERT_TRUE(result.reachable);
    CU_ASSERT_EQUAL(result.number, 5);
    CU_ASSERT_TRUE(result.bytes_per_s > 0);
    dials_free(dials);
    channel_set_free(set);
    port_end(self);
    return self->largest_bytes;
}

static void probes_grow_while_they_are_quick(void)
{
    CU_ASSERT_EQUAL(dial_with_cap(0), DIALS_PROBE_BYTES);
    CU_ASSERT_EQUAL(dial_with_cap(10000000), DIALS_PROBE_BYTES);
}

/* What it answers beyond its cap is paid back, and its contributions wait for that. */
static void probes_stay_within_the_cap_of_the_peer(void)
{
    CU_ASSERT_TRUE(dial_with_cap(200000) <= DIALS_PROBE_BYTES / 4);
    CU_ASSERT_EQUAL(dial_with_cap(100000), DIALS_PROBE_BYTES / 16);
    CU_ASSERT_EQUAL(dial_with_cap(1000), DIALS_PROBE_BYTES / 16);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(probes_grow_while_they_are_quick),
        SUITE_TEST(probes_stay_within_the_cap_of_the_peer),
    };
    return suite_run("dials", tests, sizeof tests / sizeof tests[0]);
}
