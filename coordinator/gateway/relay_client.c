#include "coordinator/gateway/relay_state.h"

#include "common/check.h"
#include "common/fault.h"
#include "proto/channel_address.h"

#include <stdlib.h>
#include <string.h>

enum status channel_client_new(struct channel_set *set, enum channel_use use, const char *address,
                               const uint8_t public_key[IDENTITY_KEY_BYTES],
                               const struct identity *identity, struct channel_client **out)
{
    *out = NULL;
    /* The gateway has one key pair, and it is started with the server. */
    CHECK(set->server != NULL &&
          memcmp(set->identity.curve_public, identity->curve_public, IDENTITY_KEY_BYTES) == 0);
    uint8_t server_key[IDENTITY_KEY_BYTES];
    enum status status = channel_address_check(use, address);
    if (status != STATUS_OK) {
        return status;
    }
    if (identity_curve_of(public_key, server_key) != STATUS_OK) {
        return fault(STATUS_USAGE, "the key that belongs to '%.100s' is no key; ask for a new link",
                     address);
    }
    if (set->client_count == CHANNEL_ENDPOINTS_MAX) {
        return fault(STATUS_FULL, "more than %d connections are asked for at once",
                     CHANNEL_ENDPOINTS_MAX);
    }
    struct channel_client *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_OS, "no memory for the client");
    }
    self->set = set;
    self->body_bytes_max = use == CHANNEL_CONTROL ? WIRE_BODY_MAX : CHANNEL_BULK_BODY_MAX;
    self->line.trouble = CHANNEL_CONNECTING;
    self->dial.use = use;
    memcpy(self->dial.public_key, public_key, IDENTITY_KEY_BYTES);
    memcpy(self->dial.address, address, strlen(address) + 1);
    set->clients[set->client_count++] = self;
    relay_say_dial(self);
    *out = self;
    return STATUS_OK;
}

static void end(struct channel_client *self, bool at_once)
{
    struct channel_set *set = self->set;
    uint8_t head[GATEWAY_HANG_UP_BYTES] = {at_once ? 1 : 0};
    for (size_t i = 0; i < set->client_count; i++) {
        if (set->clients[i] == self) {
            set->clients[i] = set->clients[--set->client_count];
        }
    }
    relay_window_end(set, &self->window);
    relay_inbox_clear(&self->inbox);
    relay_say(set, &(struct gateway_frame){.type = GATEWAY_HANG_UP,
                                           .number = self->number,
                                           .head = head,
                                           .head_size_bytes = sizeof head});
    free(self);
}

void channel_client_free(struct channel_client *self)
{
    if (self != NULL) {
        end(self, false);
    }
}

void channel_client_drop(struct channel_client *self)
{
    if (self != NULL) {
        end(self, true);
    }
}

enum channel_trouble channel_client_trouble(struct channel_client *self)
{
    return self->line.trouble;
}

uint64_t channel_client_connections(struct channel_client *self)
{
    return self->connections_before + self->line.connections;
}

uint64_t channel_client_delivered_bytes(struct channel_client *self)
{
    return self->line.delivered_bytes;
}

enum status channel_client_receive(struct channel_client *self, struct channel_message *out)
{
    struct relay_letter *letter = relay_inbox_take(&self->inbox);
    if (letter == NULL) {
        return STATUS_AGAIN;
    }
    relay_hand_over(letter, out);
    return STATUS_OK;
}

enum status channel_client_send(struct channel_client *self, const uint8_t *head,
                                size_t head_size_bytes, const uint8_t *body, size_t body_size_bytes)
{
    CHECK(head_size_bytes > 0 && head_size_bytes <= WIRE_HEAD_MAX);
    CHECK(body_size_bytes <= self->body_bytes_max);
    return relay_send(self->set, &self->window,
                      &(struct gateway_frame){.type = GATEWAY_TELL,
                                              .number = self->number,
                                              .head = head,
                                              .head_size_bytes = head_size_bytes,
                                              .body = body,
                                              .body_size_bytes = body_size_bytes});
}
