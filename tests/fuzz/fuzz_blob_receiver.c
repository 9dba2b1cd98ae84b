/* A receiver in the hands of senders who send what they like: chunks of other blobs, damaged ones,
 * ungranted ones, lists of hashes of others. What it calls whole is the blob. */
#include "proto/blob_receiver.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* Beside the blob, of which it was told before: for each chunk its hash and what was granted. */
enum { BASE_BYTES = 2048, CHUNK_COST = 64 };

enum { BLOB_BYTES_MAX = 160, STEPS_MAX = 200, CHUNKS_MAX = BLOB_BYTES_MAX };

struct case_of {
    struct fuzz_bytes in;
    uint8_t blob[BLOB_BYTES_MAX];
    struct blob_ref ref;
    struct digest hashes[CHUNKS_MAX];
    uint32_t chunk_count; /* of the whole blob */
    struct blob_receiver *receiver;
    uint64_t now_ms;
};

static void grant(struct case_of *self)
{
    struct wire_grant grant;
    struct blob_ask ask = {.now_ms = self->now_ms};
    ask.source = fuzz_take_u8(&self->in) % SMALL_SOURCES;
    ask.first_chunk = fuzz_take_u8(&self->in);
    ask.chunk_count = fuzz_take_u32(&self->in);
    ask.window = 1 + fuzz_take_u8(&self->in);
    ask.retry_ms = fuzz_take_u8(&self->in);
    bool any = ask.retry_ms % 2 == 0 ? blob_receiver_grant(self->receiver, ask.window, ask.now_ms,
                                                           ask.retry_ms, &grant)
                                     : blob_receiver_grant_from(self->receiver, &ask, &grant);
    if (any) {
        CHECK(grant.chunk_count > 0 && grant.first_chunk < self->chunk_count &&
              grant.chunk_count <= self->chunk_count - grant.first_chunk);
    }
}

static void add(struct case_of *self)
{
    struct blob_chunk_header header = {0};
    const uint8_t *chunk = self->blob;
    uint32_t index = fuzz_take_u8(&self->in);
    uint8_t spoil = fuzz_take_u8(&self->in);
    uint8_t spoilt[BLOB_BYTES_MAX];
    if (blob_chunk(&self->ref, self->blob, self->hashes, index, &header, &chunk) != STATUS_OK) {
        header.index = index;
    }
    size_t size_bytes = header.size_bytes;
    memcpy(spoilt, chunk, size_bytes);
    switch (spoil) {
    case 1:
        spoilt[0] ^= 1;
        break;
    case 2:
        spoilt[0] ^= 1;
        header.hash = digest_of(spoilt, size_bytes);
        break;
    case 3:
        header.kind = BLOB_SUM;
        break;
    case 4:
        header.id++;
        break;
    case 5:
        header.index = fuzz_take_u32(&self->in);
        break;
    case 6:
        header.size_bytes++;
        break;
    case 7:
        size_bytes -= size_bytes > 0;
        break;
    default:
        break;
    }
    if (blob_receiver_add(self->receiver, &header, spoilt, size_bytes) == STATUS_OK) {
        const uint8_t *kept = blob_receiver_chunk(self->receiver, header.index);
        CHECK(kept != NULL);
        struct digest hash = digest_of(kept, blob_chunk_size(&self->ref, header.index));
        CHECK(digest_equal(blob_receiver_hash(self->receiver, header.index), &hash));
    }
}

static void use_hashes(struct case_of *self)
{
    struct digest list[CHUNKS_MAX];
    uint32_t count = self->chunk_count - (fuzz_take_u8(&self->in) == 1);
    bool spoilt = fuzz_take_u8(&self->in) == 1;
    memcpy(list, self->hashes, sizeof list);
    list[0].bytes[0] ^= spoilt;
    bool used = blob_receiver_use_hashes(self->receiver, list, count) == STATUS_OK;
    CHECK(used == (!spoilt && count == self->chunk_count));
}

static void look(const struct case_of *self, bool whole)
{
    CHECK(memcmp(blob_receiver_ref(self->receiver), &self->ref, sizeof self->ref) == 0);
    uint64_t received_bytes = blob_receiver_received_bytes(self->receiver);
    CHECK(received_bytes <= self->ref.size_bytes);
    bool is_good = blob_receiver_verify(self->receiver) == STATUS_OK;
    CHECK(!is_good || blob_receiver_complete(self->receiver));
    if (is_good && whole) {
        CHECK(received_bytes == self->ref.size_bytes &&
              memcmp(blob_receiver_data(self->receiver), self->blob, received_bytes) == 0);
    }
}

static void step(struct case_of *self)
{
    uint32_t source = 0;
    self->now_ms += 5;
    switch (fuzz_take_u8(&self->in) % 8) {
    case 0:
    case 1:
        grant(self);
        break;
    case 2:
    case 3:
        add(self);
        break;
    case 4:
        use_hashes(self);
        break;
    case 5:
        source = fuzz_take_u8(&self->in) % SMALL_SOURCES;
        blob_receiver_forget_source(self->receiver, source);
        CHECK(blob_receiver_outstanding(self->receiver, source) == 0);
        break;
    case 6:
        blob_receiver_reset_grants(self->receiver);
        break;
    default:
        self->now_ms += fuzz_take_u32(&self->in);
        break;
    }
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    static struct case_of self;
    self = (struct case_of){.in = {data, size_bytes}};
    bool whole = fuzz_take_u8(&self.in) % 2 == 0;
    uint32_t chunk_bytes = 1 + fuzz_take_u8(&self.in);
    size_t blob_bytes = 1 + fuzz_take_u32(&self.in) % BLOB_BYTES_MAX;
    uint8_t first = fuzz_take_u8(&self.in);
    uint8_t count = fuzz_take_u8(&self.in);
    uint64_t bytes_max = fuzz_take_u8(&self.in) == 1 ? blob_bytes - 1 : blob_bytes;
    for (size_t i = 0; i < blob_bytes; i++) {
        self.blob[i] = (uint8_t)(i * 7 + i / 64);
    }
    self.ref = blob_describe(BLOB_UPDATE, 9, self.blob, blob_bytes, chunk_bytes, self.hashes);
    self.chunk_count = blob_chunk_count(blob_bytes, chunk_bytes);
    CHECK(blob_window(&self.ref, blob_bytes) > 0);
    fuzz_memory_begin();
    enum status status =
        whole ? blob_receiver_new(&self.ref, bytes_max, &self.receiver)
              : blob_receiver_new_part(&self.ref, first, count, bytes_max, &self.receiver);
    for (int i = 0; status == STATUS_OK && i < STEPS_MAX && self.in.size_bytes > 0; i++) {
        step(&self);
        look(&self, whole);
    }
    fuzz_memory_end(0, blob_bytes + self.chunk_count * (size_t)CHUNK_COST + BASE_BYTES);
    blob_receiver_free(self.receiver);
}
