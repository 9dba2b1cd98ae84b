/* owner_fixture - an owner's port on 127.0.0.1, its coordinator, and peers that write by hand what
 * they say. */
#ifndef DUGNAD_TESTS_UNIT_OWNER_FIXTURE_H
#define DUGNAD_TESTS_UNIT_OWNER_FIXTURE_H

#include "common/clock.h"
#include "common/files.h"
#include "peer/daemon/daemon_owner.h"
#include "proto/blob_tree.h"
#include "tests/unit/contribution_fixture.h"

#include <stdio.h>

/* Five chunks, the last one short; the owner has the last three. */
enum {
    VALUES = 4 * CODEC_CHUNK_VALUES + 1024,
    ALL = 5,
    FIRST = 2,
    CHUNKS = 3,
    TOKENS = 100,
    STEP_TOKENS = 1000,
    STEP = 7,
    PLAN = 3,
    PATIENCE_MS = 10000,
    QUIET_MS = 250,
    TURN_MS = 5
};

struct fixture {
    struct channel_set *owner_set;
    struct channel_set *peer_set;
    struct identity coordinator;
    struct identity owner_identity;
    struct identity anna;
    struct identity bert;
    struct digest run_id;
    struct pace pace;
    struct offers offers;
    struct shelf shelf;
    struct daemon_owner *owner;
    struct exact_grid grid;
    struct contribution contribution; /* Anna's, and Bert's */
    struct digest tree[2 * ALL + 1];  /* over its chunks */
    struct wire_message message;      /* scratch */
    uint8_t head[WIRE_HEAD_MAX];
};

static inline void make_identity(struct identity *out)
{
    char folder[] = "/tmp/dugnad-test-XXXXXX";
    char path[FILES_PATH_MAX];
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    CU_ASSERT_EQUAL_FATAL(files_join(folder, "identity", path), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(identity_open(path, out), STATUS_OK);
    CU_ASSERT_EQUAL(files_remove_folder(folder), STATUS_OK);
}

static inline void plan(struct fixture *self, uint64_t plan_id)
{
    const struct fetch_range own = {FIRST, CHUNKS};
    daemon_owner_plan(self->owner, plan_id, &own);
}

/* What goes by the name of the contribution is what it is now. */
static inline void name_contribution(struct fixture *self)
{
    CU_ASSERT_FATAL(blob_tree_size(ALL) <= sizeof self->tree / sizeof self->tree[0]);
    for (uint32_t i = 0; i < ALL; i++) {
        size_t size_bytes = 0;
        const uint8_t *data = contribution_chunk(&self->contribution, VALUES, i, &size_bytes);
        self->tree[i] = digest_of(data, size_bytes);
    }
    blob_tree_grow(self->tree, ALL);
}

static inline void begin_with(struct fixture *self, uint64_t memory_bytes_max)
{
    memset(self, 0, sizeof *self);
    make_identity(&self->coordinator);
    make_identity(&self->owner_identity);
    make_identity(&self->anna);
    make_identity(&self->bert);
    memset(self->run_id.bytes, 0x5a, DIGEST_BYTES);
    pace_init(&self->pace, 0, 0, clock_now_ms());
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &self->owner_set), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &self->peer_set), STATUS_OK);
    struct daemon_owner_settings settings = {.listen = "tcp://127.0.0.1:*",
                                             .identity = &self->owner_identity,
                                             .memory_bytes_max = memory_bytes_max,
                                             .pace = &self->pace,
                                             .offers = &self->offers,
                                             .shelf = &self->shelf};
    memcpy(settings.coordinator_key, self->coordinator.public_key, IDENTITY_KEY_BYTES);
    CU_ASSERT_EQUAL_FATAL(daemon_owner_new(self->owner_set, &settings, &self->owner), STATUS_OK);
    const struct daemon_owner_run run = {
        .run_id = self->run_id, .value_count = VALUES, .step_tokens = STEP_TOKENS};
    daemon_owner_follow(self->owner, &run);
    struct random random;
    random_init(&random, 5, 0);
    self->grid = exact_grid_for(STEP_TOKENS);
    self->contribution = contribution_make(&random, CODEC_MX8, &self->grid, VALUES, TOKENS);
    name_contribution(self);
}

static inline void begin(struct fixture *self)
{
    begin_with(self, UINT64_C(1) << 30);
    plan(self, PLAN);
}

static inline void end(struct fixture *self)
{
    free(self->contribution.data);
    offers_clear(&self->offers);
    shelf_clear(&self->shelf);
    daemon_owner_free(self->owner);
    channel_set_free(self->owner_set);
    channel_set_free(self->peer_set);
}

static inline struct channel_client *dial(const struct fixture *self,
                                          const struct identity *identity)
{
    struct channel_client *client = NULL;
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u",
                   (unsigned)daemon_owner_port(self->owner));
    CU_ASSERT_EQUAL_FATAL(channel_client_new(self->peer_set, CHANNEL_BULK, address,
                                             self->owner_identity.public_key, identity, &client),
                          STATUS_OK);
    return client;
}

/* The owner takes a turn, and everybody has time to hear of it. */
static inline void turn(struct fixture *self)
{
    unsigned budget = 256;
    (void)daemon_owner_turn(self->owner, clock_now_ms());
    daemon_owner_serve_begin(self->owner);
    while (daemon_owner_serve(self->owner, clock_now_ms(), &budget)) {
    }
    channel_set_wait(self->owner_set, -1, TURN_MS);
    channel_set_wait(self->peer_set, -1, 0);
}

static inline void turns_for(struct fixture *self, uint64_t duration_ms)
{
    uint64_t end_ms = clock_now_ms() + duration_ms;
    while (clock_now_ms() < end_ms) {
        turn(self);
    }
}

/* The next message for a client; false: none came. */
static inline bool hears(struct fixture *self, struct channel_client *client,
                         struct channel_message *out, uint64_t patience_ms)
{
    uint64_t end_ms = clock_now_ms() + patience_ms;
    do {
        if (channel_client_receive(client, out) == STATUS_OK) {
            return true;
        }
        turn(self);
    } while (clock_now_ms() < end_ms);
    return false;
}

static inline bool hears_type(struct fixture *self, struct channel_client *client,
                              enum wire_type type)
{
    struct channel_message incoming;
    while (hears(self, client, &incoming, PATIENCE_MS)) {
        bool found =
            !wire_is_chunk(incoming.head, incoming.head_size_bytes) &&
            wire_decode(incoming.head, incoming.head_size_bytes, &self->message) == STATUS_OK &&
            self->message.type == type;
        channel_message_close(&incoming);
        if (found) {
            return true;
        }
    }
    return false;
}

static inline void say(struct fixture *self, struct channel_client *client)
{
    size_t size_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &size_bytes),
                          STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_client_send(client, self->head, size_bytes, NULL, 0), STATUS_OK);
}

static inline struct ticket ticket_for(const struct fixture *self, const struct identity *peer,
                                       enum ticket_kind kind, uint64_t serial)
{
    struct ticket ticket = {.run_id = self->run_id,
                            .kind = kind,
                            .codec = CODEC_MX8,
                            .plan_id = PLAN,
                            .step = STEP,
                            .serial = serial,
                            .tokens = TOKENS,
                            .root = self->tree[blob_tree_size(ALL) - 1],
                            .expires_unix_ms = clock_unix_ms() + 60000};
    memcpy(ticket.peer_key, peer->public_key, IDENTITY_KEY_BYTES);
    return ticket;
}

static inline void show(struct fixture *self, struct channel_client *client,
                        const struct ticket *ticket, uint64_t blob_id)
{
    self->message.type = WIRE_OPEN;
    self->message.as.open.blob_id = blob_id;
    ticket_sign(&self->coordinator, ticket, self->message.as.open.ticket);
    say(self, client);
}

static inline void show_pass(struct fixture *self, struct channel_client *client,
                             const struct identity *peer)
{
    struct ticket ticket = ticket_for(self, peer, TICKET_PASS, 0);
    show(self, client, &ticket, 0);
}

static inline void ask(struct fixture *self, struct channel_client *client, enum blob_kind kind,
                       uint64_t id, struct fetch_range range)
{
    self->message.type = WIRE_GRANT;
    self->message.as.grant = (struct wire_grant){
        .kind = kind, .id = id, .first_chunk = range.first_chunk, .chunk_count = range.chunk_count};
    say(self, client);
}

/* Sends a chunk of the contribution, whether it was granted or not. */
static inline void send_part(const struct fixture *self, struct channel_client *client,
                             uint64_t blob_id, uint32_t chunk)
{
    size_t size_bytes = 0;
    uint8_t head[BLOB_HEAD_MAX];
    const uint8_t *data = contribution_chunk(&self->contribution, VALUES, chunk, &size_bytes);
    const struct blob_chunk_header header = {.kind = BLOB_CONTRIBUTION,
                                             .id = blob_id,
                                             .index = chunk,
                                             .size_bytes = (uint32_t)size_bytes,
                                             .hash = digest_of(data, size_bytes)};
    size_t head_bytes = blob_tree_head(&header, self->tree, ALL, head);
    CU_ASSERT_EQUAL_FATAL(channel_client_send(client, head, head_bytes, data, size_bytes),
                          STATUS_OK);
}

/* Waits for grants of all the owner's chunks, in one or several, and sends each. */
static inline void deliver(struct fixture *self, struct channel_client *client, uint64_t blob_id)
{
    for (uint32_t granted = 0; granted < CHUNKS;) {
        CU_ASSERT_TRUE_FATAL(hears_type(self, client, WIRE_GRANT));
        const struct wire_grant grant = self->message.as.grant;
        CU_ASSERT_EQUAL(grant.kind, BLOB_CONTRIBUTION);
        CU_ASSERT_EQUAL(grant.id, blob_id);
        CU_ASSERT_EQUAL(grant.first_chunk, FIRST + granted);
        for (uint32_t i = 0; i < grant.chunk_count; i++) {
            send_part(self, client, blob_id, grant.first_chunk + i);
        }
        granted += grant.chunk_count;
    }
}

static inline void tell_set(struct fixture *self, uint64_t epoch, const uint64_t *serials,
                            uint32_t count)
{
    uint8_t body[64];
    const struct wire_set set = {.step = STEP,
                                 .epoch = epoch,
                                 .plan_id = PLAN,
                                 .first_chunk = FIRST,
                                 .chunk_count = CHUNKS,
                                 .step_tokens = STEP_TOKENS,
                                 .serial_count = count};
    CU_ASSERT_FATAL(count * sizeof *serials <= sizeof body);
    wire_serials_write(serials, count, body);
    daemon_owner_set(self->owner, &set, body, count * sizeof *serials);
}

/* The latest report, in a while. */
static inline bool reports(struct fixture *self, struct wire_holds *out)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;
    while (clock_now_ms() < end_ms) {
        if (daemon_owner_holds(self->owner, clock_now_ms(), out)) {
            return true;
        }
        turn(self);
    }
    return false;
}

/* The connection was cut, and not for long: a client connects again by itself. */
static inline bool is_cut(struct fixture *self, struct channel_client *client)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;
    while (clock_now_ms() < end_ms) {
        turn(self);
        uint64_t connections = channel_client_connections(client);
        if (connections > 1 ||
            (connections == 1 && channel_client_trouble(client) != CHANNEL_FINE)) {
            return true;
        }
    }
    return false;
}

static inline bool is_kept(struct fixture *self, struct channel_client *client)
{
    turns_for(self, QUIET_MS);
    return channel_client_connections(client) == 1 &&
           channel_client_trouble(client) == CHANNEL_FINE;
}

/* Sends, or waits for room in the queue. */
static inline void send_anyhow(struct fixture *self, struct channel_client *client,
                               const struct blob_chunk_header *header, const uint8_t *body)
{
    uint8_t head[BLOB_HEADER_BYTES];
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;
    blob_header_write(header, head);
    while (channel_client_send(client, head, sizeof head, body, header->size_bytes) != STATUS_OK &&
           clock_now_ms() < end_ms) {
        turn(self);
    }
}

/* Its key does not get through again. */
static inline bool is_barred(struct fixture *self, struct channel_client *client,
                             const struct identity *identity)
{
    bool cut = is_cut(self, client);
    struct channel_client *again = dial(self, identity);
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;
    while (channel_client_trouble(again) == CHANNEL_CONNECTING && clock_now_ms() < end_ms) {
        turn(self);
    }
    bool refused = channel_client_trouble(again) != CHANNEL_FINE;
    channel_client_free(again);
    return cut && refused;
}

#endif
