#include "proto/channel/channel_inflow.h"

enum {
    SEAL_BYTES = 33, /* of CURVE's MESSAGE: name, nonce, authenticator, flags */
    SMALL_MAX = 255,
    SMALL_HEADER_BYTES = 2,
    LARGE_HEADER_BYTES = 9,
    MS_PER_S = 1000
};

static uint64_t frame_bytes(size_t size_bytes)
{
    uint64_t sealed = (uint64_t)size_bytes + SEAL_BYTES;
    return sealed + (sealed > SMALL_MAX ? LARGE_HEADER_BYTES : SMALL_HEADER_BYTES);
}

uint64_t channel_inflow_message_bytes(size_t head_bytes_max, size_t body_bytes_max)
{
    return frame_bytes(head_bytes_max) + frame_bytes(body_bytes_max);
}

void channel_inflow_take(struct channel_inflow *self, size_t head_size_bytes,
                         size_t body_size_bytes)
{
    self->taken_bytes += frame_bytes(head_size_bytes) + frame_bytes(body_size_bytes);
}

static void forgive(struct channel_inflow *self, uint64_t now_ms)
{
    if (self->forgiven_ms == 0) {
        self->forgiven_ms = now_ms;
    }
    uint64_t seconds = (now_ms - self->forgiven_ms) / MS_PER_S;
    self->forgiven_bytes += seconds * CHANNEL_INFLOW_FREE_BYTES_PER_S;
    self->forgiven_ms += seconds * MS_PER_S;
}

bool channel_inflow_exceeds(struct channel_inflow *self, uint64_t read_bytes,
                            uint64_t message_bytes, unsigned message_count, uint64_t now_ms)
{
    forgive(self, now_ms);
    uint64_t known_bytes = self->taken_bytes + self->forgiven_bytes;
    if (known_bytes > read_bytes) { /* nothing is saved up */
        self->forgiven_bytes -= known_bytes - read_bytes < self->forgiven_bytes
                                    ? known_bytes - read_bytes
                                    : self->forgiven_bytes;
        return false;
    }
    return read_bytes - known_bytes > CHANNEL_INFLOW_FREE_BYTES + message_count * message_bytes;
}
