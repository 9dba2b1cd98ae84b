#include "coordinator/gateway/relay_state.h"

#include <stdlib.h>
#include <string.h>

bool relay_inbox_put(struct relay_inbox *self, size_t bytes_max, size_t messages_max,
                     const struct relay_letter *like, const struct gateway_frame *message)
{
    size_t size_bytes = message->head_size_bytes + message->body_size_bytes;
    if (self->count >= messages_max || self->bytes > bytes_max ||
        size_bytes > bytes_max - self->bytes) {
        return false;
    }
    struct relay_letter *letter = malloc(sizeof *letter + size_bytes);
    if (letter == NULL) {
        return false;
    }
    *letter = *like;
    letter->next = NULL;
    letter->head_size_bytes = message->head_size_bytes;
    letter->body_size_bytes = message->body_size_bytes;
    memcpy(letter->bytes, message->head, message->head_size_bytes);
    memcpy(letter->bytes + message->head_size_bytes, message->body, message->body_size_bytes);
    if (self->first == NULL) {
        self->first = letter;
    } else {
        self->last->next = letter;
    }
    self->last = letter;
    self->bytes += size_bytes;
    self->count++;
    return true;
}

struct relay_letter *relay_inbox_take(struct relay_inbox *self)
{
    struct relay_letter *letter = self->first;
    if (letter != NULL) {
        self->first = letter->next;
        self->bytes -= letter->head_size_bytes + letter->body_size_bytes;
        self->count--;
    }
    return letter;
}

void relay_inbox_clear(struct relay_inbox *self)
{
    for (struct relay_letter *letter; (letter = relay_inbox_take(self)) != NULL;) {
        free(letter);
    }
}

/* In the opaque bytes of a message. */
struct handle {
    struct relay_letter *letter;
};

_Static_assert(sizeof(struct handle) <= sizeof((struct channel_message *)0)->opaque,
               "a message holds its letter");

void relay_hand_over(struct relay_letter *letter, struct channel_message *out)
{
    const struct handle handle = {letter};
    memset(out, 0, sizeof *out);
    memcpy(out->curve_key, letter->sender.curve_key, IDENTITY_KEY_BYTES);
    memcpy(out->host, letter->sender.host, CHANNEL_HOST_MAX);
    out->head = letter->bytes;
    out->head_size_bytes = letter->head_size_bytes;
    out->body = letter->bytes + letter->head_size_bytes;
    out->body_size_bytes = letter->body_size_bytes;
    memcpy(out->opaque, &handle, sizeof handle);
}

void channel_message_close(struct channel_message *message)
{
    struct handle handle;
    memcpy(&handle, message->opaque, sizeof handle);
    free(handle.letter);
    memset(message, 0, sizeof *message);
}
