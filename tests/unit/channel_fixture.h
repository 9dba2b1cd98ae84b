/* channel_fixture - a channel server on 127.0.0.1 and keys for two clients. */
#ifndef DUGNAD_TESTS_UNIT_CHANNEL_FIXTURE_H
#define DUGNAD_TESTS_UNIT_CHANNEL_FIXTURE_H

#include "common/clock.h"
#include "common/files.h"
#include "proto/channel.h"
#include "proto/wire.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 3000, TICK_MS = 20 };

/* A server with its key, and keys for two clients. Server and clients are programs of their own. */
struct fixture {
    struct channel_set *server_set;
    struct channel_set *client_set;
    struct identity server_identity;
    struct identity anna;
    struct identity bert;
    struct channel_server *server;
    struct join_link link;
    uint64_t connection; /* over which the server heard something last */
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

static inline void start_server(struct fixture *self, const char *listen)
{
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &self->server_set), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(channel_server_new(self->server_set, CHANNEL_CONTROL, listen,
                                             &self->server_identity, &self->server),
                          STATUS_OK);
    (void)snprintf(self->link.address, sizeof self->link.address, "127.0.0.1:%u",
                   (unsigned)channel_server_port(self->server));
}

static inline void stop_server(struct fixture *self)
{
    channel_server_free(self->server);
    channel_set_free(self->server_set);
    self->server = NULL;
    self->server_set = NULL;
}

static inline void begin(struct fixture *self)
{
    memset(self, 0, sizeof *self);
    make_identity(&self->server_identity);
    make_identity(&self->anna);
    make_identity(&self->bert);
    memcpy(self->link.coordinator_key, self->server_identity.public_key, IDENTITY_KEY_BYTES);
    CU_ASSERT_EQUAL_FATAL(channel_set_new(1, &self->client_set), STATUS_OK);
    start_server(self, "tcp://127.0.0.1:*");
}

static inline void end(struct fixture *self)
{
    stop_server(self);
    channel_set_free(self->client_set);
}

static inline struct channel_client *connect_as(const struct fixture *fixture,
                                                const struct identity *identity)
{
    struct channel_client *client = NULL;
    CU_ASSERT_EQUAL_FATAL(channel_client_new(fixture->client_set, CHANNEL_CONTROL,
                                             fixture->link.address, fixture->link.coordinator_key,
                                             identity, &client),
                          STATUS_OK);
    return client;
}

static inline bool server_gets(struct fixture *self, struct channel_message *out, int patience_ms)
{
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)patience_ms;
    do {
        if (channel_server_receive(self->server, out) == STATUS_OK) {
            self->connection = out->connection;
            return true;
        }
        channel_set_wait(self->server_set, -1, TICK_MS);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

static inline bool client_gets(struct fixture *self, struct channel_client *client,
                               struct channel_message *out, int patience_ms)
{
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)patience_ms;
    do {
        if (channel_client_receive(client, out) == STATUS_OK) {
            return true;
        }
        channel_set_wait(self->client_set, -1, TICK_MS);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

static inline bool trouble_becomes(struct fixture *self, struct channel_client *client,
                                   enum channel_trouble trouble, int patience_ms)
{
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)patience_ms;
    do {
        if (channel_client_trouble(client) == trouble) {
            return true;
        }
        channel_set_wait(self->client_set, -1, TICK_MS);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

static inline enum status say(struct channel_client *client, const char *text)
{
    return channel_client_send(client, (const uint8_t *)text, strlen(text), NULL, 0);
}

static inline bool head_is(const struct channel_message *message, const char *text)
{
    return message->head_size_bytes == strlen(text) &&
           memcmp(message->head, text, strlen(text)) == 0;
}

/* Sends `text` and waits for it at the server, whose message is closed. */
static inline bool says_and_is_heard(struct fixture *fixture, struct channel_client *client,
                                     const struct identity *identity, const char *text)
{
    struct channel_message message;
    if (say(client, text) != STATUS_OK || !server_gets(fixture, &message, PATIENCE_MS)) {
        return false;
    }
    bool good = head_is(&message, text) && message.body_size_bytes == 0 &&
                memcmp(message.curve_key, identity->curve_public, IDENTITY_KEY_BYTES) == 0;
    channel_message_close(&message);
    return good;
}

/* The same, and the server admits the connection. */
static inline bool says_and_is_admitted(struct fixture *fixture, struct channel_client *client,
                                        const struct identity *identity)
{
    bool heard = says_and_is_heard(fixture, client, identity, "hello");
    channel_server_admit(fixture->server, fixture->connection);
    return heard;
}

/* What the server sends over a connection, as a head without a body. */
static inline enum status tell(struct fixture *fixture, uint64_t connection, const char *text)
{
    return channel_server_send(fixture->server, connection, (const uint8_t *)text, strlen(text),
                               NULL, 0);
}

/* Waits for an incident of the reason, and for whatever comes with it; false: none was told. */
static inline bool is_told(struct fixture *fixture, enum channel_reason reason,
                           struct channel_incident *out)
{
    uint64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    do {
        while (channel_server_incident(fixture->server, out)) {
            if (out->reason == reason) {
                return true;
            }
        }
        channel_set_wait(fixture->server_set, -1, TICK_MS);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

/* Memory for a test; zeroed. */
static inline uint8_t *need(size_t size_bytes)
{
    uint8_t *memory = calloc(1, size_bytes);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

#endif
