#include "common/fault.h"
#include "common/log.h"
#include "coordinator/gateway/gateway_check.h"
#include "coordinator/gateway/gateway_state.h"

#include <string.h>

enum { MESSAGES_PER_CALL = 16 };

static struct gateway_call *find(struct gateway *self, uint64_t number)
{
    for (size_t i = 0; i < self->call_count; i++) {
        if (self->calls[i].number == number) {
            return &self->calls[i];
        }
    }
    return NULL;
}

/* One that cannot connect stays, as one that does not come through: the core gives up on it. */
void gateway_dial_out(struct gateway *self, uint64_t number, const struct gateway_dial *dial)
{
    if (self->call_count == CHANNEL_ENDPOINTS_MAX || find(self, number) != NULL) {
        return;
    }
    struct gateway_call *call = &self->calls[self->call_count++];
    *call = (struct gateway_call){.number = number,
                                  .body_bytes_max = dial->use == CHANNEL_CONTROL
                                                        ? (size_t)WIRE_BODY_MAX
                                                        : (size_t)CHANNEL_BULK_BODY_MAX,
                                  .told = {.trouble = CHANNEL_CONNECTING}};
    if (channel_client_new(self->set, dial->use, dial->address, dial->public_key, &self->identity,
                           &call->client) != STATUS_OK) {
        log_warn("gateway", "not_dialled", "reason=\"%s\"", fault_text());
    }
}

static enum status say(struct gateway_call *call, const uint8_t *head, size_t head_size_bytes,
                       const uint8_t *body, size_t body_size_bytes)
{
    if (call->client == NULL || body_size_bytes > call->body_bytes_max) {
        return STATUS_OK; /* it is lost */
    }
    enum status status =
        channel_client_send(call->client, head, head_size_bytes, body, body_size_bytes);
    call->unanswered += status == STATUS_OK ? 1 : 0;
    return status;
}

void gateway_call_say(struct gateway *self, const struct gateway_frame *frame, uint64_t now_ms)
{
    struct gateway_call *call = find(self, frame->number);
    if (call == NULL) {
        return;
    }
    enum status status = STATUS_AGAIN;
    if (call->mail.first == NULL) {
        status =
            say(call, frame->head, frame->head_size_bytes, frame->body, frame->body_size_bytes);
        if (status == STATUS_AGAIN) {
            gateway_mail_wait(&call->mail, now_ms);
        }
    }
    /* Without memory it is lost, as by a connection that breaks. */
    if (status != STATUS_AGAIN || gateway_mail_put(&call->mail, frame) != STATUS_OK) {
        gateway_mail_taken(&call->mail, frame->head_size_bytes + frame->body_size_bytes);
    }
}

void gateway_hang_up(struct gateway *self, uint64_t number, bool at_once)
{
    struct gateway_call *call = find(self, number);
    if (call == NULL) {
        return;
    }
    gateway_mail_clear(&call->mail);
    if (at_once) {
        channel_client_drop(call->client);
    } else {
        channel_client_free(call->client);
    }
    *call = self->calls[--self->call_count];
}

static void send_mail(struct gateway_call *call, uint64_t now_ms)
{
    enum status status = STATUS_OK;
    while (call->mail.first != NULL && status != STATUS_AGAIN) {
        const struct gateway_letter *letter = call->mail.first;
        status = say(call, letter->bytes, letter->head_size_bytes,
                     letter->bytes + letter->head_size_bytes, letter->body_size_bytes);
        if (status == STATUS_AGAIN) {
            gateway_mail_wait(&call->mail, now_ms);
        } else {
            gateway_mail_pop(&call->mail);
        }
    }
}

static void tell_taken(struct gateway *self, struct gateway_call *call)
{
    uint8_t head[GATEWAY_TAKEN_BYTES];
    if (call->mail.taken.messages > 0) {
        gateway_taken_write(&call->mail.taken, head);
        call->mail.taken = (struct gateway_taken){.messages = 0};
        gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_TOLD,
                                                   .number = call->number,
                                                   .head = head,
                                                   .head_size_bytes = sizeof head});
    }
}

static void tell_line(struct gateway *self, struct gateway_call *call)
{
    struct gateway_line line = {.trouble = channel_client_trouble(call->client),
                                .connections = channel_client_connections(call->client),
                                .delivered_bytes = channel_client_delivered_bytes(call->client)};
    uint8_t head[GATEWAY_LINE_BYTES];
    if (line.trouble == call->told.trouble && line.connections == call->told.connections &&
        line.delivered_bytes == call->told.delivered_bytes) {
        return;
    }
    call->told = line;
    gateway_line_write(&line, head);
    gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_LINE,
                                               .number = call->number,
                                               .head = head,
                                               .head_size_bytes = sizeof head});
}

/* Whoever says what a dialled peer may not, or more than it was asked, is not listened to again. */
static void hear(struct gateway *self, struct gateway_call *call)
{
    struct channel_message incoming;
    for (int i = 0; i < MESSAGES_PER_CALL && call->client != NULL &&
                    gateway_link_queued_bytes(self->link) < GATEWAY_CROWDED_BYTES &&
                    channel_client_receive(call->client, &incoming) == STATUS_OK;
         i++) {
        bool good = call->unanswered > 0 &&
                    gateway_check_answer(&self->message, incoming.head, incoming.head_size_bytes);
        if (good) {
            call->unanswered--;
            gateway_tell(self,
                         &(struct gateway_frame){.type = GATEWAY_ANSWERED,
                                                 .number = call->number,
                                                 .head = incoming.head,
                                                 .head_size_bytes = incoming.head_size_bytes,
                                                 .body = incoming.body,
                                                 .body_size_bytes = incoming.body_size_bytes});
        }
        channel_message_close(&incoming);
        if (!good) {
            channel_client_drop(call->client);
            call->client = NULL;
        }
    }
}

void gateway_calls_turn(struct gateway *self, uint64_t now_ms, bool tells)
{
    for (size_t i = 0; i < self->call_count; i++) {
        struct gateway_call *call = &self->calls[i];
        if (call->mail.first != NULL && now_ms >= call->mail.due_ms) {
            send_mail(call, now_ms);
        }
        if (call->mail.first != NULL) {
            self->due_ms = call->mail.due_ms < self->due_ms ? call->mail.due_ms : self->due_ms;
        }
        tell_taken(self, call);
        if (tells && call->client != NULL) {
            tell_line(self, call);
        }
        hear(self, call);
    }
}
