#include "coordinator/gateway/gateway_lines.h"

#include "common/check.h"

#include <stdlib.h>

static struct gateway_connection **bucket_of(struct gateway_lines *self, uint64_t number)
{
    return &self->buckets[number % GATEWAY_LINE_BUCKETS];
}

void gateway_lines_clear(struct gateway_lines *self)
{
    for (size_t i = 0; i < GATEWAY_LINE_BUCKETS; i++) {
        for (struct gateway_connection *at = self->buckets[i]; at != NULL;) {
            struct gateway_connection *next = at->next;
            gateway_mail_clear(&at->mail);
            free(at);
            at = next;
        }
    }
    *self = (struct gateway_lines){.count = 0};
}

struct gateway_connection *gateway_lines_find(struct gateway_lines *self, uint64_t number)
{
    struct gateway_connection *at = *bucket_of(self, number);
    while (at != NULL && at->number != number) {
        at = at->next;
    }
    return at;
}

enum status gateway_lines_get(struct gateway_lines *self, uint64_t number,
                              struct gateway_connection **out)
{
    struct gateway_connection **bucket = bucket_of(self, number);
    *out = gateway_lines_find(self, number);
    if (*out != NULL) {
        return STATUS_OK;
    }
    if (self->count == GATEWAY_LINES_MAX || (*out = calloc(1, sizeof **out)) == NULL) {
        return STATUS_FULL;
    }
    (*out)->number = number;
    (*out)->next = *bucket;
    *bucket = *out;
    self->count++;
    return STATUS_OK;
}

void gateway_lines_busy(struct gateway_lines *self, struct gateway_connection *connection)
{
    if (!connection->busy) {
        connection->busy = true;
        connection->busy_next = self->busy;
        self->busy = connection;
    }
}

void gateway_lines_remove(struct gateway_lines *self, struct gateway_connection *connection)
{
    struct gateway_connection **at = bucket_of(self, connection->number);
    CHECK(!connection->busy);
    while (*at != connection) {
        at = &(*at)->next;
    }
    *at = connection->next;
    self->count--;
    gateway_mail_clear(&connection->mail);
    free(connection);
}
