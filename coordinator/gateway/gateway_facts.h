/* gateway_facts - what stands in the heads of the gateway's frames (gateway_frame.h), and what of
 * it is believed.
 *
 * A writer fills a head of the size that is named; a reader gets one whose size was checked, and
 * refuses what its sender cannot mean: PROTOCOL. Texts that go to a log are made harmless.
 *
 * Pure; thread-safe. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_FACTS_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_FACTS_H

#include "coordinator/gateway/gateway_frame.h"

enum {
    GATEWAY_START_BYTES = 2 * IDENTITY_KEY_BYTES, /* public, secret */
    GATEWAY_BAR_BYTES = IDENTITY_KEY_BYTES + 1,
    GATEWAY_DIAL_BYTES_MIN = 1 + IDENTITY_KEY_BYTES + 3, /* use, key, HOST:PORT */
    GATEWAY_DIAL_BYTES_MAX = 1 + IDENTITY_KEY_BYTES + LINK_ADDRESS_MAX - 1,
    GATEWAY_HANG_UP_BYTES = 1,
    GATEWAY_READY_BYTES_MIN = 3,
    GATEWAY_TAKEN_BYTES = 12,
    GATEWAY_TRAFFIC_BYTES = 16,
    GATEWAY_INCIDENT_BYTES = 2 + IDENTITY_KEY_BYTES + CHANNEL_HOST_MAX + 8,
    GATEWAY_LINE_BYTES = 17
};

struct gateway_bar {
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    bool barred;
};
void gateway_bar_write(const struct gateway_bar *self, uint8_t out[GATEWAY_BAR_BYTES]);
MUST_CHECK enum status gateway_bar_read(const struct gateway_frame *frame, struct gateway_bar *out);

struct gateway_dial {
    enum channel_use use;
    uint8_t public_key[IDENTITY_KEY_BYTES]; /* Ed25519 */
    char address[LINK_ADDRESS_MAX];         /* HOST:PORT */
};
size_t gateway_dial_write(const struct gateway_dial *self, uint8_t out[GATEWAY_DIAL_BYTES_MAX]);
MUST_CHECK enum status gateway_dial_read(const struct gateway_frame *frame,
                                         struct gateway_dial *out);

struct gateway_ready {
    bool files; /* as in common/sandbox.h */
    bool network;
    bool calls;
    char missing[GATEWAY_TEXT_MAX + 1];
};
size_t gateway_ready_write(const struct gateway_ready *self,
                           uint8_t out[GATEWAY_READY_BYTES_MIN + GATEWAY_TEXT_MAX]);
MUST_CHECK enum status gateway_ready_read(const struct gateway_frame *frame,
                                          struct gateway_ready *out);

/* Of a failed: text for a log or a fault. */
void gateway_text_read(const uint8_t *bytes, size_t size_bytes, char out[GATEWAY_TEXT_MAX + 1]);

/* Who said what a heard holds: GATEWAY_SENDER_BYTES, then the message's own head. */
struct gateway_sender {
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    char host[CHANNEL_HOST_MAX];
};
void gateway_sender_write(const struct gateway_sender *self, uint8_t out[GATEWAY_SENDER_BYTES]);
MUST_CHECK enum status gateway_sender_read(const struct gateway_frame *frame,
                                           struct gateway_sender *out);

/* Of a taken or told. */
struct gateway_taken {
    uint32_t messages;
    uint64_t bytes; /* of heads and bodies */
};
void gateway_taken_write(const struct gateway_taken *self, uint8_t out[GATEWAY_TAKEN_BYTES]);
struct gateway_taken gateway_taken_read(const struct gateway_frame *frame);

struct gateway_traffic {
    uint64_t delivered_bytes; /* as in channel.h */
    uint64_t received_bytes;
};
void gateway_traffic_write(const struct gateway_traffic *self, uint8_t out[GATEWAY_TRAFFIC_BYTES]);
struct gateway_traffic gateway_traffic_read(const struct gateway_frame *frame);

void gateway_incident_write(const struct channel_incident *self,
                            uint8_t out[GATEWAY_INCIDENT_BYTES]);
MUST_CHECK enum status gateway_incident_read(const struct gateway_frame *frame,
                                             struct channel_incident *out);

struct gateway_line {
    enum channel_trouble trouble;
    uint64_t connections;
    uint64_t delivered_bytes;
};
void gateway_line_write(const struct gateway_line *self, uint8_t out[GATEWAY_LINE_BYTES]);
MUST_CHECK enum status gateway_line_read(const struct gateway_frame *frame,
                                         struct gateway_line *out);

#endif
