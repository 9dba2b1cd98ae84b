#include "coordinator/gateway/gateway_mail.h"

#include <stdlib.h>
#include <string.h>

/* Each try may copy a body for nothing, so those that stay full are not asked all the time. */
enum { WAIT_MS = 1, WAIT_MS_MAX = 32 };

static void drop_first(struct gateway_mail *self)
{
    struct gateway_letter *letter = self->first;
    self->first = letter->next;
    free(letter);
}

void gateway_mail_clear(struct gateway_mail *self)
{
    while (self->first != NULL) {
        drop_first(self);
    }
    *self = (struct gateway_mail){.first = NULL};
}

enum status gateway_mail_put(struct gateway_mail *self, const struct gateway_frame *frame)
{
    struct gateway_letter *letter =
        malloc(sizeof *letter + frame->head_size_bytes + frame->body_size_bytes);
    if (letter == NULL) {
        return STATUS_NO_MEMORY;
    }
    letter->next = NULL;
    letter->head_size_bytes = frame->head_size_bytes;
    letter->body_size_bytes = frame->body_size_bytes;
    memcpy(letter->bytes, frame->head, frame->head_size_bytes);
    memcpy(letter->bytes + frame->head_size_bytes, frame->body, frame->body_size_bytes);
    if (self->first == NULL) {
        self->first = letter;
    } else {
        self->last->next = letter;
    }
    self->last = letter;
    return STATUS_OK;
}

void gateway_mail_taken(struct gateway_mail *self, size_t size_bytes)
{
    self->taken.messages++;
    self->taken.bytes += size_bytes;
    self->wait_ms = 0;
}

void gateway_mail_pop(struct gateway_mail *self)
{
    gateway_mail_taken(self, self->first->head_size_bytes + self->first->body_size_bytes);
    drop_first(self);
}

void gateway_mail_wait(struct gateway_mail *self, uint64_t now_ms)
{
    self->wait_ms = self->wait_ms == 0 ? WAIT_MS : 2 * self->wait_ms;
    self->wait_ms = self->wait_ms < WAIT_MS_MAX ? self->wait_ms : WAIT_MS_MAX;
    self->due_ms = now_ms + self->wait_ms;
}
