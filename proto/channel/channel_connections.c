#include "proto/channel/channel_connections.h"

#include "common/check.h"

#include <stdlib.h>

struct channel_connections {
    size_t connections_max;
    struct channel_connection *items;  /* (connections_max) */
    struct channel_connection **heads; /* (connections_max), by number % connections_max */
    struct channel_connection *free;
};

enum status channel_connections_new(size_t connections_max, struct channel_connections **out)
{
    CHECK(connections_max > 0);
    struct channel_connections *self = calloc(1, sizeof *self);
    *out = NULL;
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->connections_max = connections_max;
    self->items = calloc(connections_max, sizeof *self->items);
    self->heads = calloc(connections_max, sizeof(struct channel_connection *));
    if (self->items == NULL || self->heads == NULL) {
        channel_connections_free(self);
        return STATUS_NO_MEMORY;
    }
    for (size_t i = connections_max; i-- > 0;) {
        self->items[i].next = self->free;
        self->free = &self->items[i];
    }
    *out = self;
    return STATUS_OK;
}

void channel_connections_free(struct channel_connections *self)
{
    if (self != NULL) {
        free(self->items);
        free(self->heads);
        free(self);
    }
}

/* Where the pointer to the connection is, or would be. */
static struct channel_connection **place_of(struct channel_connections *self, uint64_t number)
{
    struct channel_connection **at = &self->heads[number % self->connections_max];
    while (*at != NULL && (*at)->number != number) {
        at = &(*at)->next;
    }
    return at;
}

struct channel_connection *channel_connections_find(struct channel_connections *self,
                                                    uint64_t number)
{
    return *place_of(self, number);
}

struct channel_connection *channel_connections_add(struct channel_connections *self,
                                                   uint64_t number)
{
    struct channel_connection **place = place_of(self, number);
    struct channel_connection *connection = self->free;
    CHECK(number > 0 && *place == NULL);
    if (connection == NULL) {
        return NULL;
    }
    self->free = connection->next;
    *connection = (struct channel_connection){.number = number};
    *place = connection;
    return connection;
}

struct channel_connection *channel_connections_spare(struct channel_connections *self)
{
    struct channel_connection *spare = NULL;
    for (size_t i = 0; i < self->connections_max; i++) {
        struct channel_connection *at = &self->items[i];
        if (at->number > 0 && at->ended_ms > 0) {
            return at;
        }
        if (at->number > 0 && at->standing == CHANNEL_STRANGER &&
            (spare == NULL || at->number < spare->number)) {
            spare = at;
        }
    }
    return spare;
}

void channel_connections_remove(struct channel_connections *self,
                                struct channel_connection *connection)
{
    struct channel_connection **place = place_of(self, connection->number);
    CHECK(*place == connection);
    *place = connection->next;
    *connection = (struct channel_connection){.next = self->free};
    self->free = connection;
}

struct channel_connection *channel_connections_next(struct channel_connections *self,
                                                    size_t *cursor)
{
    while (*cursor < self->connections_max) {
        struct channel_connection *connection = &self->items[(*cursor)++];
        if (connection->number > 0) {
            return connection;
        }
    }
    return NULL;
}
