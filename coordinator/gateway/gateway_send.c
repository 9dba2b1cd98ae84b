#include "coordinator/gateway/gateway_state.h"

static void cut(struct gateway *self, uint64_t number)
{
    channel_server_cut(gateway_server_of(self, number), gateway_inner_number(number));
}

static enum status say(struct gateway *self, uint64_t number, const struct gateway_frame *message)
{
    return channel_server_send(gateway_server_of(self, number), gateway_inner_number(number),
                               message->head, message->head_size_bytes, message->body,
                               message->body_size_bytes);
}

static void tell_gone(struct gateway *self, uint64_t number)
{
    gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_GONE, .number = number});
}

static void tell_taken(struct gateway *self, struct gateway_connection *line)
{
    uint8_t head[GATEWAY_TAKEN_BYTES];
    if (line->mail.taken.messages > 0) {
        gateway_taken_write(&line->mail.taken, head);
        line->mail.taken = (struct gateway_taken){.messages = 0};
        gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_TAKEN,
                                                   .number = line->number,
                                                   .head = head,
                                                   .head_size_bytes = sizeof head});
    }
}

/* Nothing more goes to this connection. A busy one is removed at its turn. */
static void forget(struct gateway *self, struct gateway_connection *line)
{
    gateway_mail_clear(&line->mail);
    line->watched = false;
    tell_gone(self, line->number);
    if (!line->busy) {
        gateway_lines_remove(self->lines, line);
    }
}

void gateway_drop_line(struct gateway *self, uint64_t connection)
{
    struct gateway_connection *line = gateway_lines_find(self->lines, connection);
    cut(self, connection);
    if (line != NULL) {
        forget(self, line);
    } else {
        tell_gone(self, connection);
    }
}

void gateway_send(struct gateway *self, const struct gateway_frame *frame, uint64_t now_ms)
{
    struct gateway_connection *line = NULL;
    if (gateway_lines_get(self->lines, frame->number, &line) != STATUS_OK) {
        gateway_drop_line(self, frame->number);
        return;
    }
    enum status status = STATUS_AGAIN;
    if (line->mail.first == NULL) {
        status = say(self, frame->number, frame);
        if (status == STATUS_OK) {
            gateway_mail_taken(&line->mail, frame->head_size_bytes + frame->body_size_bytes);
        } else if (status == STATUS_AGAIN) {
            gateway_mail_wait(&line->mail, now_ms);
        }
    }
    if (status == STATUS_AGAIN && gateway_mail_put(&line->mail, frame) != STATUS_OK) {
        cut(self, frame->number); /* a message less is another conversation */
        status = STATUS_STALE;
    }
    if (status == STATUS_STALE) {
        forget(self, line);
        return;
    }
    line->watched = line->watched || frame->body_size_bytes > 0;
    gateway_lines_busy(self->lines, line);
}

static enum status send_mail(struct gateway *self, struct gateway_connection *line, uint64_t now_ms)
{
    enum status status = STATUS_OK;
    while (line->mail.first != NULL && status == STATUS_OK) {
        const struct gateway_letter *letter = line->mail.first;
        status = say(self, line->number,
                     &(struct gateway_frame){.head = letter->bytes,
                                             .head_size_bytes = letter->head_size_bytes,
                                             .body = letter->bytes + letter->head_size_bytes,
                                             .body_size_bytes = letter->body_size_bytes});
        if (status == STATUS_OK) {
            gateway_mail_pop(&line->mail);
        }
    }
    if (status == STATUS_AGAIN) {
        gateway_mail_wait(&line->mail, now_ms);
    }
    return status;
}

/* The kernel's counts are told now and then, as long as the connection lives. */
static void watch(struct gateway *self, struct gateway_connection *line)
{
    uint8_t head[GATEWAY_TRAFFIC_BYTES];
    struct channel_server *server = gateway_server_of(self, line->number);
    uint64_t number = gateway_inner_number(line->number);
    const struct gateway_traffic now = {
        .delivered_bytes = channel_server_delivered_bytes(server, number),
        .received_bytes = channel_server_received_bytes(server, number)};
    line->watched = now.delivered_bytes > 0; /* it ended */
    if (now.delivered_bytes == line->traffic.delivered_bytes &&
        now.received_bytes == line->traffic.received_bytes) {
        return;
    }
    line->traffic = now;
    gateway_traffic_write(&now, head);
    gateway_tell(self, &(struct gateway_frame){.type = GATEWAY_TRAFFIC,
                                               .number = line->number,
                                               .head = head,
                                               .head_size_bytes = sizeof head});
}

void gateway_admit(struct gateway *self, uint64_t connection)
{
    struct gateway_connection *line = NULL;
    channel_server_admit(gateway_server_of(self, connection), gateway_inner_number(connection));
    if (gateway_lines_get(self->lines, connection, &line) == STATUS_OK) {
        line->watched = true; /* one that is gone, for one look */
    }
}

static void watch_all(struct gateway *self)
{
    for (size_t i = 0; i < GATEWAY_LINE_BUCKETS; i++) {
        for (struct gateway_connection *at = self->lines->buckets[i]; at != NULL;) {
            struct gateway_connection *next = at->next;
            if (at->watched) {
                watch(self, at);
            }
            if (!at->watched && !at->busy) {
                gateway_lines_remove(self->lines, at);
            }
            at = next;
        }
    }
}

void gateway_send_turn(struct gateway *self, uint64_t now_ms, bool tells)
{
    struct gateway_connection *line = self->lines->busy;
    self->lines->busy = NULL;
    while (line != NULL) {
        struct gateway_connection *next = line->busy_next;
        enum status status = STATUS_OK;
        line->busy = false;
        if (line->mail.first != NULL && now_ms >= line->mail.due_ms) {
            status = send_mail(self, line, now_ms);
        }
        tell_taken(self, line);
        if (status == STATUS_STALE) {
            forget(self, line);
        } else if (line->mail.first != NULL) {
            self->due_ms = line->mail.due_ms < self->due_ms ? line->mail.due_ms : self->due_ms;
            gateway_lines_busy(self->lines, line);
        } else if (!line->watched) {
            gateway_lines_remove(self->lines, line);
        }
        line = next;
    }
    if (tells) {
        watch_all(self);
    }
}
