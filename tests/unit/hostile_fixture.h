/* hostile_fixture - a peer's daemon whose coordinator is the test: it hears what the test says and
 * what it says is counted. Stands in for proto/channel.h, without a network or threads of one. */
#ifndef DUGNAD_TESTS_UNIT_HOSTILE_FIXTURE_H
#define DUGNAD_TESTS_UNIT_HOSTILE_FIXTURE_H

#include "common/fault.h"
#include "peer/daemon/daemon_state.h"
#include "tests/unit/channel_stubs.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/layout/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TINY_CONTEXT = 12, TINY_VOCAB = 40, TURN_MS = 10, LETTERS_MAX = 1 << 15 };

struct letter {
    size_t head_bytes, body_bytes;
    uint8_t data[];
};

/* The coordinator's port for chunks. */
struct fake_line {
    struct letter *letters[LETTERS_MAX]; /* to the daemon */
    size_t read, written;
    char address[LINK_ADDRESS_MAX]; /* dialled last */
    bool stands;                    /* whoever dials is connected */
    bool answers;                   /* the first words; from then on chunks go over it */
    bool answered;
    uint32_t dials, words;
    uint32_t chunks; /* that the daemon sent */
    uint64_t breaks;
};

/* What all owners say, again and again. */
struct owners_letter {
    const uint8_t *head, *body;
    size_t head_bytes, body_bytes;
};

struct fake_owners {
    struct owners_letter letter;
    uint64_t left; /* so often */
    uint64_t read;
    uint32_t closed;
};

struct channel_client {
    enum channel_use use;
};

struct channel_server {
    int unused;
};

/* The coordinator's side. */
static struct {
    struct letter *letters[LETTERS_MAX]; /* to the daemon */
    size_t read, written;
    uint64_t said[WIRE_TYPE_END]; /* messages of the daemon */
    uint64_t chunks;              /* that it sent */
    uint64_t said_bytes;          /* heads and bodies, chunks too */
    uint32_t bulk_opens;
    bool away; /* nobody answers at its port, or: */
    enum channel_trouble trouble;
    uint32_t dials; /* of that port */
    struct fake_line line;
    float *snapshot;
    struct blob_ref ref;
    struct fake_owners owners;
    bool listens; /* a daemon that aggregates finds a port */
    size_t value_count;
} fake;

/* --- proto/channel.h --- */

enum status channel_client_new(struct channel_set *set, enum channel_use use, const char *address,
                               const uint8_t public_key[IDENTITY_KEY_BYTES],
                               const struct identity *identity, struct channel_client **out)
{
    (void)set;
    (void)public_key;
    (void)identity;
    if (use == CHANNEL_CHUNKS) {
        (void)snprintf(fake.line.address, sizeof fake.line.address, "%s", address);
        fake.line.dials++;
        fake.line.breaks = 0;
        fake.line.answered = false;
    }
    *out = calloc(1, sizeof **out);
    CU_ASSERT_PTR_NOT_NULL_FATAL(*out);
    (*out)->use = use;
    fake.bulk_opens += use == CHANNEL_BULK ? 1 : 0;
    fake.dials += use == CHANNEL_CONTROL ? 1 : 0;
    return STATUS_OK;
}

void channel_client_drop(struct channel_client *self)
{
    fake.owners.closed += self != NULL && self->use == CHANNEL_BULK ? 1 : 0;
    free(self);
}

void channel_client_free(struct channel_client *self)
{
    free(self);
}

enum channel_trouble channel_client_trouble(struct channel_client *self)
{
    bool stands = (self->use == CHANNEL_CONTROL && !fake.away) ||
                  (self->use == CHANNEL_CHUNKS && fake.line.stands);
    enum channel_trouble trouble = self->use == CHANNEL_CONTROL ? fake.trouble : CHANNEL_FINE;
    return stands ? CHANNEL_FINE : trouble == CHANNEL_FINE ? CHANNEL_CONNECTING : trouble;
}

void channel_client_host(struct channel_client *self, char out[CHANNEL_HOST_MAX])
{
    CU_ASSERT_EQUAL(self->use, CHANNEL_CONTROL);
    (void)snprintf(out, CHANNEL_HOST_MAX, "198.51.100.4");
}

uint64_t channel_client_connections(struct channel_client *self)
{
    return channel_client_trouble(self) != CHANNEL_FINE ? 0
           : self->use == CHANNEL_CHUNKS                ? 1 + fake.line.breaks
                                                        : 1;
}

uint64_t channel_client_delivered_bytes(struct channel_client *self)
{
    (void)self;
    return 0;
}

static struct letter *make_letter(const uint8_t *head, size_t head_bytes, const void *body,
                                  size_t body_bytes)
{
    struct letter *letter = malloc(sizeof *letter + head_bytes + body_bytes);
    CU_ASSERT_FATAL(letter != NULL && fake.written - fake.read < LETTERS_MAX);
    *letter = (struct letter){.head_bytes = head_bytes, .body_bytes = body_bytes};
    uint8_t *end = mempcpy(letter->data, head, head_bytes);
    if (body_bytes > 0) {
        memcpy(end, body, body_bytes);
    }
    return letter;
}

static struct letter *hear_owner(void)
{
    const struct owners_letter *what = &fake.owners.letter;
    fake.owners.left--;
    fake.owners.read++;
    return make_letter(what->head, what->head_bytes, what->body, what->body_bytes);
}

enum status channel_client_receive(struct channel_client *self, struct channel_message *out)
{
    struct letter *letter = NULL;
    if (self->use == CHANNEL_CONTROL && fake.read < fake.written) {
        letter = fake.letters[fake.read++ % LETTERS_MAX];
    } else if (self->use == CHANNEL_CHUNKS && fake.line.read < fake.line.written) {
        letter = fake.line.letters[fake.line.read++ % LETTERS_MAX];
    } else if (self->use == CHANNEL_BULK && fake.owners.left > 0) {
        letter = hear_owner();
    } else {
        return STATUS_AGAIN;
    }
    *out = (struct channel_message){.head = letter->data,
                                    .head_size_bytes = letter->head_bytes,
                                    .body = letter->data + letter->head_bytes,
                                    .body_size_bytes = letter->body_bytes};
    letter_hold(out, letter);
    return STATUS_OK;
}

static void put(const uint8_t *head, size_t head_bytes, const void *body, size_t body_bytes)
{
    fake.letters[fake.written++ % LETTERS_MAX] = make_letter(head, head_bytes, body, body_bytes);
}

static void put_there(const uint8_t *head, size_t head_bytes, const void *body, size_t body_bytes)
{
    fake.line.letters[fake.line.written++ % LETTERS_MAX] =
        make_letter(head, head_bytes, body, body_bytes);
}

/* Serves what is asked of the snapshot. */
static void answer_grant(const struct wire_grant *grant)
{
    struct blob_chunk_header header;
    uint8_t head[BLOB_HEADER_BYTES];
    const uint8_t *data = NULL;
    for (uint32_t i = 0; grant->kind == BLOB_SNAPSHOT && i < grant->chunk_count; i++) {
        CU_ASSERT_EQUAL_FATAL(blob_chunk(&fake.ref, (const uint8_t *)fake.snapshot, NULL,
                                         grant->first_chunk + i, &header, &data),
                              STATUS_OK);
        blob_header_write(&header, head);
        (fake.line.answered ? put_there : put)(head, sizeof head, data, header.size_bytes);
    }
}

enum status channel_client_send(struct channel_client *self, const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    static struct wire_message message;
    bool there = self->use == CHANNEL_CHUNKS;
    (void)body;
    fake.said_bytes += head_size_bytes + body_size_bytes;
    if (wire_is_chunk(head, head_size_bytes)) {
        if (there) {
            fake.line.chunks++;
        } else {
            fake.chunks++;
        }
        return STATUS_OK;
    }
    CU_ASSERT_EQUAL_FATAL(wire_decode(head, head_size_bytes, &message), STATUS_OK);
    if (there) {
        CU_ASSERT_EQUAL(message.type, WIRE_ALIVE);
        fake.line.words++;
        fake.line.answered = fake.line.answered || fake.line.answers;
        if (fake.line.answers) {
            put_there(head, head_size_bytes, NULL, 0);
        }
        return STATUS_OK;
    }
    fake.said[message.type]++;
    if (message.type == WIRE_GRANT) {
        answer_grant(&message.as.grant);
    }
    return STATUS_OK;
}

/* A daemon that aggregates needs these; most of ours do not. */
enum status channel_server_new(struct channel_set *set, enum channel_use use, const char *listen,
                               const struct identity *identity, struct channel_server **out)
{
    (void)set;
    (void)use;
    (void)listen;
    (void)identity;
    *out = fake.listens ? calloc(1, sizeof **out) : NULL;
    return *out != NULL ? STATUS_OK : STATUS_FULL;
}

void channel_server_free(struct channel_server *self)
{
    free(self);
}

uint16_t channel_server_port(const struct channel_server *self)
{
    (void)self;
    return 7701;
}

enum status channel_server_receive(struct channel_server *self, struct channel_message *out)
{
    (void)self;
    (void)out;
    return STATUS_AGAIN;
}

enum status channel_server_send(struct channel_server *self, uint64_t connection,
                                const uint8_t *head, size_t head_size_bytes, const uint8_t *body,
                                size_t body_size_bytes)
{
    (void)self;
    (void)connection;
    (void)head;
    (void)head_size_bytes;
    (void)body;
    (void)body_size_bytes;
    return STATUS_STALE;
}

void channel_server_admit(struct channel_server *self, uint64_t connection)
{
    (void)self;
    (void)connection;
}

void channel_server_cut(struct channel_server *self, uint64_t connection)
{
    (void)self;
    (void)connection;
}

enum status channel_server_bar(struct channel_server *self,
                               const uint8_t curve_key[IDENTITY_KEY_BYTES], bool barred)
{
    (void)self;
    (void)curve_key;
    (void)barred;
    return STATUS_OK;
}

bool channel_server_incident(struct channel_server *self, struct channel_incident *out)
{
    (void)self;
    (void)out;
    return false;
}

uint64_t channel_server_delivered_bytes(struct channel_server *self, uint64_t connection)
{
    (void)self;
    (void)connection;
    return 0;
}

uint64_t channel_server_received_bytes(struct channel_server *self, uint64_t connection)
{
    (void)self;
    (void)connection;
    return 0;
}

/* --- the peer --- */

static const struct model_config TINY = {.kind = MODEL_LLAMA,
                                         .vocab_size = TINY_VOCAB,
                                         .width = 16,
                                         .layer_count = 1,
                                         .head_count = 2,
                                         .kv_head_count = 2,
                                         .head_size = 8,
                                         .ffn_width = 24,
                                         .context_max = 16,
                                         .tied_head = true,
                                         .norm_eps = 1e-5F,
                                         .rope_theta = 10000.0F,
                                         .init_std = 0.2F,
                                         .bos_id = -1,
                                         .eos_id = -1};

struct victim {
    struct daemon_options options;
    struct identity identity;
    struct sequence sequence;
    struct daemon *daemon;
    uint64_t now_ms;
    bool over;
    enum status result;
    struct wire_message say; /* scratch: it is large */
};

static struct victim victim;

static void describe(const struct model_config *config, struct wire_welcome *out)
{
    char *json = NULL;
    CU_ASSERT_EQUAL_FATAL(model_config_to_json(config, &json), STATUS_OK);
    memset(out, 0, sizeof *out);
    (void)snprintf(out->run_name, sizeof out->run_name, "tiny");
    (void)snprintf(out->model_json, sizeof out->model_json, "%s", json);
    free(json);
    out->run_id.bytes[0] = 7;
    out->context = TINY_CONTEXT;
    out->step_tokens = TINY_CONTEXT * 32;
    out->codec = CODEC_MX8;
    out->has_snapshot = true;
    out->snapshot = fake.ref;
}

/* Sets the options that a test then changes, before victim_start. */
static void victim_begin(struct victim *self)
{
    struct layout *layout = NULL;
    scratch_begin();
    memset(&fake, 0, sizeof fake);
    memset(self, 0, sizeof *self);
    CU_ASSERT_EQUAL_FATAL(layout_new(&TINY, &layout), STATUS_OK);
    fake.value_count = layout_value_count(layout);
    fake.snapshot = calloc(fake.value_count, sizeof *fake.snapshot);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fake.snapshot);
    layout_init_params(layout, &TINY, 3, fake.snapshot);
    layout_free(layout);
    fake.ref = blob_describe(BLOB_SNAPSHOT, 5, (const uint8_t *)fake.snapshot,
                             fake.value_count * sizeof(float),
                             (uint32_t)codec_encoded_bytes(CODEC_FP32, CODEC_CHUNK_VALUES), NULL);
    CU_ASSERT_EQUAL_FATAL(identity_open(scratch_path("identity.key"), &self->identity), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(sequence_open(scratch_folder, &self->sequence), STATUS_OK);
    self->options = (struct daemon_options){
        .sequence = &self->sequence,
        .name = "victim",
        .compute = {.backend = &backend_ref, .thread_count = 1, .cpu_percent = 100},
        .pins_folder = scratch_folder,
        .disk_bytes_max = 1 << 20};
    (void)snprintf(self->options.link.address, sizeof self->options.link.address, "%s",
                   "203.0.113.7:7700");
    memcpy(self->options.link.coordinator_key, self->identity.public_key, IDENTITY_KEY_BYTES);
    self->now_ms = 1000;
}

static void victim_start(struct victim *self)
{
    CU_ASSERT_EQUAL_FATAL(daemon_new(&self->options, &self->identity, self->now_ms, &self->daemon),
                          STATUS_OK);
}

static void victim_end(struct victim *self)
{
    daemon_free(self->daemon);
    identity_wipe(&self->identity);
    while (fake.read < fake.written) {
        free(fake.letters[fake.read++ % LETTERS_MAX]);
    }
    while (fake.line.read < fake.line.written) {
        free(fake.line.letters[fake.line.read++ % LETTERS_MAX]);
    }
    free(fake.snapshot);
    scratch_end();
}

static void victim_turns(struct victim *self, uint32_t count)
{
    for (uint32_t i = 0; i < count && !self->over; i++) {
        self->now_ms += TURN_MS;
        self->over = daemon_turn(self->daemon, self->now_ms, false, &self->result);
    }
}

/* Says self->say with a body. */
static void victim_hears(struct victim *self, const void *body, size_t body_bytes)
{
    static uint8_t head[WIRE_HEAD_MAX];
    size_t head_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&self->say, head, sizeof head, &head_bytes), STATUS_OK);
    put(head, head_bytes, body, body_bytes);
}

/* Until it computes, or would. */
static void victim_joins(struct victim *self)
{
    victim_start(self);
    victim_turns(self, 3);
    CU_ASSERT_TRUE(fake.said[WIRE_HELLO] > 0);
    self->say.type = WIRE_WELCOME;
    describe(&TINY, &self->say.as.welcome);
    victim_hears(self, NULL, 0);
    victim_turns(self, 10);
    CU_ASSERT_FALSE_FATAL(self->over);
    CU_ASSERT_EQUAL_FATAL(self->daemon->session.phase, SESSION_TRAIN);
}

/* It ended so, and said that. */
static inline void expect_end(struct victim *self, enum status expected, const char *part)
{
    victim_turns(self, 20);
    if (!self->over || self->result != expected || strstr(fault_text(), part) == NULL) {
        CU_FAIL("another end was expected");
        (void)printf("\n    over=%d %s: '%s'; expected %s: '%s'\n", self->over,
                     status_text(self->result), fault_text(), status_text(expected), part);
    }
}

#endif
