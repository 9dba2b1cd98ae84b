/* channel_stubs - what every stand-in for proto/channel.h in a test has: a set that waits for
 * nothing, and messages that are letters of the test's own.
 *
 * It is part of the test's own program, so those of the library stay out. */
#ifndef DUGNAD_TESTS_UNIT_CHANNEL_STUBS_H
#define DUGNAD_TESTS_UNIT_CHANNEL_STUBS_H

#include "proto/channel.h"

#include <stdlib.h>
#include <string.h>

struct channel_set {
    int unused;
};

enum status channel_set_new(int io_thread_count, struct channel_set **out)
{
    (void)io_thread_count;
    *out = calloc(1, sizeof **out);
    return STATUS_OK;
}

void channel_set_free(struct channel_set *self)
{
    free(self);
}

void channel_set_wait(struct channel_set *self, int wake_fd, int timeout_ms)
{
    (void)self;
    (void)wake_fd;
    (void)timeout_ms;
}

/* Makes a message of a letter, memory that channel_message_close() frees. */
static void letter_hold(struct channel_message *message, void *letter)
{
    memcpy(message->opaque, &letter, sizeof letter);
}

void channel_message_close(struct channel_message *message)
{
    void *letter = NULL;
    memcpy(&letter, message->opaque, sizeof letter);
    free(letter);
}

#endif
