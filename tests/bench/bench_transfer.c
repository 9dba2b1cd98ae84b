/* bench_transfer - how fast a blob goes between coordinator and peer, over loopback with CURVE.
 *
 *     bench_transfer [MB [CHUNK_BYTES [WINDOW_BYTES]]]      72, 33792 (mx8) and 8 MiB
 *
 * Two threads, a socket each, and what both sides do besides: grants, chunks, hashes. Each figure
 * is the best of several rounds. Prints JSON, in MB (10^6) a second. */
#include "common/clock.h"
#include "common/fault.h"
#include "common/files.h"
#include "proto/blob_receiver.h"
#include "proto/blob_sender.h"
#include "proto/channel.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, WAIT_MS = 100, RETRY_MS = 5000, PATIENCE_MS = 60000 };

/* One end of the line: the server's when it has no client. */
struct end {
    struct channel_set *set;
    struct channel_server *server;
    struct channel_client *client;
    uint64_t connection; /* the server's way to the client */
};

struct bench {
    struct end sender;
    struct end receiver;
    uint8_t *data;
    struct blob_ref ref;
    struct digest *hashes;
    uint32_t window;
    uint64_t again_count; /* chunks that a full queue did not take at once */
    atomic_bool over;
};

static enum status receive(struct end *end, struct channel_message *out)
{
    return end->client != NULL ? channel_client_receive(end->client, out)
                               : channel_server_receive(end->server, out);
}

static enum status transmit(struct end *end, const uint8_t *head, size_t head_bytes,
                            const uint8_t *body, size_t body_bytes)
{
    return end->client != NULL
               ? channel_client_send(end->client, head, head_bytes, body, body_bytes)
               : channel_server_send(end->server, end->connection, head, head_bytes, body,
                                     body_bytes);
}

static void rest(struct end *end)
{
    channel_set_wait(end->set, -1, WAIT_MS);
}

static void send_granted(struct bench *self, struct blob_sender *sender)
{
    uint32_t index = 0;
    while (blob_sender_next(sender, 0, &index)) {
        struct blob_chunk_header header;
        uint8_t head[BLOB_HEADER_BYTES];
        const uint8_t *chunk = NULL;
        if (blob_chunk(&self->ref, self->data, self->hashes, index, &header, &chunk) != STATUS_OK) {
            return;
        }
        blob_header_write(&header, head);
        if (transmit(&self->sender, head, sizeof head, chunk, header.size_bytes) != STATUS_OK) {
            self->again_count++;
            return;
        }
        blob_sender_sent(sender, index);
    }
}

static void *run_sender(void *context)
{
    static struct wire_message message;
    struct bench *self = context;
    struct blob_sender *sender = NULL;
    uint32_t count = blob_chunk_count(self->ref.size_bytes, self->ref.chunk_bytes);
    if (blob_sender_new(self->ref.kind, self->ref.id, count, &sender) != STATUS_OK) {
        return NULL;
    }
    while (!self->over) {
        struct channel_message incoming;
        while (receive(&self->sender, &incoming) == STATUS_OK) {
            if (wire_decode(incoming.head, incoming.head_size_bytes, &message) == STATUS_OK &&
                message.type == WIRE_GRANT &&
                blob_sender_grant(sender, &message.as.grant) != STATUS_OK) {
                (void)fputs("a grant does not fit\n", stderr);
            }
            channel_message_close(&incoming);
            send_granted(self, sender);
        }
        send_granted(self, sender);
        rest(&self->sender);
    }
    blob_sender_free(sender);
    return NULL;
}

static void grant(struct bench *self, struct blob_receiver *receiver)
{
    static struct wire_message message;
    uint8_t head[256];
    size_t head_bytes = 0;
    message.type = WIRE_GRANT;
    while (
        blob_receiver_grant(receiver, self->window, clock_now_ms(), RETRY_MS, &message.as.grant)) {
        if (wire_encode(&message, head, sizeof head, &head_bytes) != STATUS_OK ||
            transmit(&self->receiver, head, head_bytes, NULL, 0) != STATUS_OK) {
            (void)fputs("a grant was lost\n", stderr);
        }
    }
}

static bool fetch(struct bench *self, struct blob_receiver *receiver)
{
    uint64_t began_ms = clock_now_ms();
    grant(self, receiver);
    while (!blob_receiver_complete(receiver) && clock_now_ms() - began_ms < PATIENCE_MS) {
        struct channel_message incoming;
        while (receive(&self->receiver, &incoming) == STATUS_OK) {
            struct blob_chunk_header header;
            if (blob_header_read(incoming.head, incoming.head_size_bytes, &header) == STATUS_OK &&
                blob_receiver_add(receiver, &header, incoming.body, incoming.body_size_bytes) !=
                    STATUS_OK) {
                (void)fputs("a chunk does not fit\n", stderr);
            }
            channel_message_close(&incoming);
            grant(self, receiver);
        }
        rest(&self->receiver);
    }
    return blob_receiver_complete(receiver) && blob_receiver_verify(receiver) == STATUS_OK;
}

/* MB a second, best of the rounds; 0: it failed. */
static double measure(struct bench *self)
{
    double best = 0.0;
    for (int round = 0; round < ROUNDS; round++) {
        struct blob_receiver *receiver = NULL;
        pthread_t thread;
        self->over = false;
        if (blob_receiver_new(&self->ref, self->ref.size_bytes, &receiver) != STATUS_OK ||
            pthread_create(&thread, NULL, run_sender, self) != 0) {
            blob_receiver_free(receiver);
            return 0.0;
        }
        uint64_t began_ns = clock_now_ns();
        bool good = fetch(self, receiver);
        double speed = (double)self->ref.size_bytes * 1e3 / (double)(clock_now_ns() - began_ns);
        self->over = true;
        (void)pthread_join(thread, NULL);
        blob_receiver_free(receiver);
        if (!good) {
            return 0.0;
        }
        best = speed > best ? speed : best;
    }
    return best;
}

static enum status make_identity(struct identity *out)
{
    char folder[] = "/tmp/dugnad-bench-XXXXXX";
    char path[FILES_PATH_MAX];
    if (mkdtemp(folder) == NULL) {
        return fault(STATUS_CANNOT_CREATE, "no folder for a key can be made in /tmp");
    }
    enum status status = files_join(folder, "identity", path);
    if (status == STATUS_OK) {
        status = identity_open(path, out);
    }
    enum status removed = files_remove_folder(folder);
    return status != STATUS_OK ? status : removed;
}

/* Connects, and lets the server hear who is there. */
static enum status connect_ends(struct end *server, struct end *client)
{
    struct identity coordinator;
    struct identity peer;
    char address[LINK_ADDRESS_MAX];
    struct channel_message hello;
    enum status status = make_identity(&coordinator);
    if (status == STATUS_OK) {
        status = make_identity(&peer);
    }
    if (status == STATUS_OK) {
        status = channel_set_new(1, &server->set);
    }
    if (status == STATUS_OK) {
        status = channel_set_new(1, &client->set);
    }
    if (status == STATUS_OK) {
        status = channel_server_new(server->set, CHANNEL_CONTROL, "tcp://127.0.0.1:*", &coordinator,
                                    &server->server);
    }
    if (status != STATUS_OK) {
        return status;
    }
    (void)snprintf(address, sizeof address, "127.0.0.1:%u",
                   (unsigned)channel_server_port(server->server));
    status = channel_client_new(client->set, CHANNEL_CONTROL, address, coordinator.public_key,
                                &peer, &client->client);
    if (status != STATUS_OK ||
        channel_client_send(client->client, (const uint8_t *)"!", 1, NULL, 0) != STATUS_OK) {
        return STATUS_UNAVAILABLE;
    }
    uint64_t began_ms = clock_now_ms();
    while (channel_server_receive(server->server, &hello) != STATUS_OK) {
        if (clock_now_ms() - began_ms > PATIENCE_MS) {
            return fault(STATUS_NO_HOST, "the client does not come");
        }
        channel_set_wait(server->set, -1, WAIT_MS);
    }
    server->connection = hello.connection;
    channel_message_close(&hello);
    channel_server_admit(server->server, server->connection);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    size_t size_bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 72) * 1000000;
    uint32_t chunk_bytes = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 33792;
    uint64_t window_bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : BLOB_WINDOW_BYTES;
    if (size_bytes == 0 || chunk_bytes == 0 || chunk_bytes > WIRE_BODY_MAX) {
        (void)fputs("usage: bench_transfer [MB [CHUNK_BYTES [WINDOW_BYTES]]]\n", stderr);
        return 64;
    }
    struct end server = {.set = NULL};
    struct end client = {.set = NULL};
    bench.data = calloc(1, size_bytes);
    bench.hashes = calloc(blob_chunk_count(size_bytes, chunk_bytes), sizeof *bench.hashes);
    if (bench.data == NULL || bench.hashes == NULL || connect_ends(&server, &client) != STATUS_OK) {
        (void)fprintf(stderr, "bench_transfer: %s\n", fault_text());
        return 71;
    }
    bench.ref = blob_describe(BLOB_UPDATE, 1, bench.data, size_bytes, chunk_bytes, bench.hashes);
    bench.window = blob_window(&bench.ref, window_bytes);
    bench.sender = server;
    bench.receiver = client;
    double down = measure(&bench);
    bench.sender = client;
    bench.receiver = server;
    double up = measure(&bench);
    (void)printf("{\"bytes\":%zu,\"chunk_bytes\":%" PRIu32 ",\"window\":%" PRIu32
                 ",\"download_mb_per_s\":%.0f,\"upload_mb_per_s\":%.0f,\"again\":%" PRIu64 "}\n",
                 size_bytes, chunk_bytes, bench.window, down, up, bench.again_count);
    channel_client_free(client.client);
    channel_server_free(server.server);
    channel_set_free(client.set);
    channel_set_free(server.set);
    free(bench.data);
    free(bench.hashes);
    return down > 0.0 && up > 0.0 ? 0 : 1;
}
