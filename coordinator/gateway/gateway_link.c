#include "coordinator/gateway/gateway_link.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    PARTS_MAX = 64,
    SOCKET_BYTES = 1024 * 1024 /* fewer turns to each other; what the system allows is enough */
};

struct letter {
    struct letter *next;
    size_t size_bytes;
    uint8_t bytes[];
};

struct gateway_link {
    int fd;
    struct gateway_reader *reader;
    struct letter *first;
    struct letter *last;
    size_t sent_bytes; /* of the first */
    size_t queued_bytes;
    size_t queue_bytes_max;
    bool blocked; /* the socket took no more at the latest try */
};

enum status gateway_link_new(int fd, enum gateway_side from, size_t queue_bytes_max,
                             struct gateway_link **out)
{
    static const int socket_bytes = SOCKET_BYTES;
    *out = calloc(1, sizeof **out);
    if (*out == NULL || gateway_reader_new(from, &(*out)->reader) != STATUS_OK) {
        free(*out);
        *out = NULL;
        (void)close(fd);
        return STATUS_NO_MEMORY;
    }
    (*out)->fd = fd;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes);
    (*out)->queue_bytes_max = queue_bytes_max;
    return STATUS_OK;
}

static void drop_first(struct gateway_link *self)
{
    struct letter *letter = self->first;
    self->first = letter->next;
    self->queued_bytes -= letter->size_bytes - self->sent_bytes;
    self->sent_bytes = 0;
    if (letter->bytes[0] == GATEWAY_START) {
        sodium_memzero(letter->bytes, letter->size_bytes); /* a secret key */
    }
    free(letter);
}

void gateway_link_free(struct gateway_link *self)
{
    if (self == NULL) {
        return;
    }
    while (self->first != NULL) {
        drop_first(self);
    }
    gateway_reader_free(self->reader);
    (void)close(self->fd);
    free(self);
}

int gateway_link_fd(const struct gateway_link *self)
{
    return self->fd;
}

size_t gateway_link_queued_bytes(const struct gateway_link *self)
{
    return self->queued_bytes;
}

enum status gateway_link_put(struct gateway_link *self, const struct gateway_frame *frame)
{
    size_t size_bytes = GATEWAY_HEADER_BYTES + frame->head_size_bytes + frame->body_size_bytes;
    if (size_bytes > self->queue_bytes_max - self->queued_bytes) {
        return STATUS_FULL;
    }
    struct letter *letter = malloc(sizeof *letter + size_bytes);
    if (letter == NULL) {
        return STATUS_NO_MEMORY;
    }
    letter->next = NULL;
    letter->size_bytes = size_bytes;
    gateway_frame_header(frame, letter->bytes);
    uint8_t *at = letter->bytes + GATEWAY_HEADER_BYTES;
    if (frame->head_size_bytes > 0) {
        memcpy(at, frame->head, frame->head_size_bytes);
    }
    if (frame->body_size_bytes > 0) {
        memcpy(at + frame->head_size_bytes, frame->body, frame->body_size_bytes);
    }
    if (self->first == NULL) {
        self->first = letter;
    } else {
        self->last->next = letter;
    }
    self->last = letter;
    self->queued_bytes += size_bytes;
    if (!self->blocked) {
        (void)gateway_link_flush(self);
    }
    return STATUS_OK;
}

static void note_sent(struct gateway_link *self, size_t sent_bytes)
{
    while (sent_bytes > 0) {
        size_t rest_bytes = self->first->size_bytes - self->sent_bytes;
        if (sent_bytes < rest_bytes) {
            self->sent_bytes += sent_bytes;
            self->queued_bytes -= sent_bytes;
            return;
        }
        sent_bytes -= rest_bytes;
        drop_first(self);
    }
}

bool gateway_link_flush(struct gateway_link *self)
{
    while (self->first != NULL) {
        struct iovec parts[PARTS_MAX];
        struct msghdr message = {.msg_iov = parts};
        size_t skipped_bytes = self->sent_bytes;
        for (struct letter *letter = self->first; letter != NULL && message.msg_iovlen < PARTS_MAX;
             letter = letter->next) {
            parts[message.msg_iovlen++] =
                (struct iovec){.iov_base = letter->bytes + skipped_bytes,
                               .iov_len = letter->size_bytes - skipped_bytes};
            skipped_bytes = 0;
        }
        ssize_t sent = sendmsg(self->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            self->blocked = true;
            return false;
        }
        note_sent(self, (size_t)sent);
    }
    self->blocked = false;
    return true;
}

enum status gateway_link_read(struct gateway_link *self, struct gateway_frame *out)
{
    for (;;) {
        enum status status = gateway_reader_next(self->reader, out);
        if (status != STATUS_AGAIN) {
            return status;
        }
        uint8_t *space = NULL;
        size_t space_bytes = gateway_reader_space(self->reader, &space);
        ssize_t came = recv(self->fd, space, space_bytes, MSG_DONTWAIT);
        if (came > 0) {
            gateway_reader_filled(self->reader, (size_t)came);
        } else if (came == 0 || (errno != EINTR && errno != EAGAIN)) {
            return STATUS_STALE;
        } else if (errno == EAGAIN) {
            return STATUS_AGAIN;
        }
    }
}

void gateway_link_wipe(struct gateway_link *self)
{
    gateway_reader_wipe(self->reader);
}

void gateway_link_end(struct gateway_link *self)
{
    (void)shutdown(self->fd, SHUT_WR);
}
