#include "coordinator/gateway/gateway_facts.h"

#include "common/check.h"
#include "proto/little_endian.h"

#include <string.h>

static bool read_bool(uint8_t byte, bool *out)
{
    *out = byte == 1;
    return byte <= 1;
}

static bool is_host(const char host[CHANNEL_HOST_MAX])
{
    size_t length = strnlen(host, CHANNEL_HOST_MAX);
    if (length == CHANNEL_HOST_MAX || strspn(host, "0123456789abcdefABCDEF.:[]") != length) {
        return false;
    }
    for (size_t i = length; i < CHANNEL_HOST_MAX; i++) {
        if (host[i] != '\0') {
            return false;
        }
    }
    return true;
}

static void write_host(const char *host, uint8_t out[CHANNEL_HOST_MAX])
{
    size_t length = strnlen(host, CHANNEL_HOST_MAX - 1);
    memset(out, 0, CHANNEL_HOST_MAX);
    memcpy(out, host, length);
}

void gateway_bar_write(const struct gateway_bar *self, uint8_t out[GATEWAY_BAR_BYTES])
{
    memcpy(out, self->curve_key, IDENTITY_KEY_BYTES);
    out[IDENTITY_KEY_BYTES] = self->barred ? 1 : 0;
}

enum status gateway_bar_read(const struct gateway_frame *frame, struct gateway_bar *out)
{
    memcpy(out->curve_key, frame->head, IDENTITY_KEY_BYTES);
    return read_bool(frame->head[IDENTITY_KEY_BYTES], &out->barred) ? STATUS_OK : STATUS_PROTOCOL;
}

size_t gateway_dial_write(const struct gateway_dial *self, uint8_t out[GATEWAY_DIAL_BYTES_MAX])
{
    size_t length = strnlen(self->address, LINK_ADDRESS_MAX);
    CHECK(length < LINK_ADDRESS_MAX);
    out[0] = self->use == CHANNEL_BULK ? 1 : 0;
    memcpy(out + 1, self->public_key, IDENTITY_KEY_BYTES);
    memcpy(out + 1 + IDENTITY_KEY_BYTES, self->address, length);
    return 1 + IDENTITY_KEY_BYTES + length;
}

enum status gateway_dial_read(const struct gateway_frame *frame, struct gateway_dial *out)
{
    bool bulk = false;
    const uint8_t *address = frame->head + 1 + IDENTITY_KEY_BYTES;
    size_t length = frame->head_size_bytes - 1 - IDENTITY_KEY_BYTES;
    if (!read_bool(frame->head[0], &bulk) || memchr(address, '\0', length) != NULL) {
        return STATUS_PROTOCOL;
    }
    out->use = bulk ? CHANNEL_BULK : CHANNEL_CONTROL;
    memcpy(out->public_key, frame->head + 1, IDENTITY_KEY_BYTES);
    memcpy(out->address, address, length);
    out->address[length] = '\0';
    return STATUS_OK;
}

size_t gateway_ready_write(const struct gateway_ready *self,
                           uint8_t out[GATEWAY_READY_BYTES_MIN + GATEWAY_TEXT_MAX])
{
    size_t length = strnlen(self->missing, GATEWAY_TEXT_MAX);
    out[0] = self->files ? 1 : 0;
    out[1] = self->network ? 1 : 0;
    out[2] = self->calls ? 1 : 0;
    memcpy(out + GATEWAY_READY_BYTES_MIN, self->missing, length);
    return GATEWAY_READY_BYTES_MIN + length;
}

enum status gateway_ready_read(const struct gateway_frame *frame, struct gateway_ready *out)
{
    if (!read_bool(frame->head[0], &out->files) || !read_bool(frame->head[1], &out->network) ||
        !read_bool(frame->head[2], &out->calls)) {
        return STATUS_PROTOCOL;
    }
    gateway_text_read(frame->head + GATEWAY_READY_BYTES_MIN,
                      frame->head_size_bytes - GATEWAY_READY_BYTES_MIN, out->missing);
    return STATUS_OK;
}

/* A quotation mark would end a value in a log line, and a control character the line. */
void gateway_text_read(const uint8_t *bytes, size_t size_bytes, char out[GATEWAY_TEXT_MAX + 1])
{
    size_t length = size_bytes < GATEWAY_TEXT_MAX ? size_bytes : GATEWAY_TEXT_MAX;
    for (size_t i = 0; i < length; i++) {
        bool harmless = bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '"' && bytes[i] != '\\';
        out[i] = '?';
        if (harmless) {
            memcpy(&out[i], &bytes[i], 1);
        }
    }
    out[length] = '\0';
}

void gateway_sender_write(const struct gateway_sender *self, uint8_t out[GATEWAY_SENDER_BYTES])
{
    memcpy(out, self->curve_key, IDENTITY_KEY_BYTES);
    write_host(self->host, out + IDENTITY_KEY_BYTES);
}

enum status gateway_sender_read(const struct gateway_frame *frame, struct gateway_sender *out)
{
    memcpy(out->curve_key, frame->head, IDENTITY_KEY_BYTES);
    memcpy(out->host, frame->head + IDENTITY_KEY_BYTES, CHANNEL_HOST_MAX);
    return is_host(out->host) ? STATUS_OK : STATUS_PROTOCOL;
}

void gateway_taken_write(const struct gateway_taken *self, uint8_t out[GATEWAY_TAKEN_BYTES])
{
    little_endian_put(out, self->messages, 4);
    little_endian_put(out + 4, self->bytes, 8);
}

struct gateway_taken gateway_taken_read(const struct gateway_frame *frame)
{
    return (struct gateway_taken){.messages = (uint32_t)little_endian_get(frame->head, 4),
                                  .bytes = little_endian_get(frame->head + 4, 8)};
}

void gateway_traffic_write(const struct gateway_traffic *self, uint8_t out[GATEWAY_TRAFFIC_BYTES])
{
    little_endian_put(out, self->delivered_bytes, 8);
    little_endian_put(out + 8, self->received_bytes, 8);
}

struct gateway_traffic gateway_traffic_read(const struct gateway_frame *frame)
{
    return (struct gateway_traffic){.delivered_bytes = little_endian_get(frame->head, 8),
                                    .received_bytes = little_endian_get(frame->head + 8, 8)};
}

void gateway_incident_write(const struct channel_incident *self,
                            uint8_t out[GATEWAY_INCIDENT_BYTES])
{
    out[0] = (uint8_t)self->reason;
    out[1] = self->has_key ? 1 : 0;
    memset(out + 2, 0, IDENTITY_KEY_BYTES);
    if (self->has_key) {
        memcpy(out + 2, self->curve_key, IDENTITY_KEY_BYTES);
    }
    write_host(self->host, out + 2 + IDENTITY_KEY_BYTES);
    little_endian_put(out + 2 + IDENTITY_KEY_BYTES + CHANNEL_HOST_MAX, self->count, 8);
}

enum status gateway_incident_read(const struct gateway_frame *frame, struct channel_incident *out)
{
    const uint8_t *head = frame->head;
    if (head[0] < CHANNEL_MALFORMED || head[0] >= CHANNEL_REASON_END ||
        !read_bool(head[1], &out->has_key)) {
        return STATUS_PROTOCOL;
    }
    out->reason = (enum channel_reason)head[0];
    out->connection = frame->number;
    memcpy(out->curve_key, head + 2, IDENTITY_KEY_BYTES);
    memcpy(out->host, head + 2 + IDENTITY_KEY_BYTES, CHANNEL_HOST_MAX);
    out->count = little_endian_get(head + 2 + IDENTITY_KEY_BYTES + CHANNEL_HOST_MAX, 8);
    return out->count > 0 && is_host(out->host) ? STATUS_OK : STATUS_PROTOCOL;
}

void gateway_line_write(const struct gateway_line *self, uint8_t out[GATEWAY_LINE_BYTES])
{
    out[0] = (uint8_t)self->trouble;
    little_endian_put(out + 1, self->connections, 8);
    little_endian_put(out + 9, self->delivered_bytes, 8);
}

enum status gateway_line_read(const struct gateway_frame *frame, struct gateway_line *out)
{
    if (frame->head[0] > CHANNEL_SHUT_OUT) {
        return STATUS_PROTOCOL;
    }
    out->trouble = (enum channel_trouble)frame->head[0];
    out->connections = little_endian_get(frame->head + 1, 8);
    out->delivered_bytes = little_endian_get(frame->head + 9, 8);
    return STATUS_OK;
}
