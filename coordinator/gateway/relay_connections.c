#include "coordinator/gateway/relay_connections.h"

#include <string.h>

static struct relay_connection *set_of(struct relay_connections *self, uint64_t number)
{
    return self->sets[number % RELAY_SETS];
}

struct relay_connection *relay_connections_find(struct relay_connections *self, uint64_t number)
{
    struct relay_connection *set = set_of(self, number);
    for (size_t i = 0; i < RELAY_WAYS && number != 0; i++) {
        if (set[i].number == number) {
            return &set[i];
        }
    }
    return NULL;
}

static bool goes_before(const struct relay_connection *a, const struct relay_connection *b)
{
    bool a_stays = a->number != 0 && a->admitted && !a->cut && !a->gone;
    bool b_stays = b->number != 0 && b->admitted && !b->cut && !b->gone;
    return a_stays != b_stays ? b_stays : a->spoke < b->spoke;
}

struct relay_connection *relay_connections_touch(struct relay_connections *self, uint64_t number,
                                                 const uint8_t curve_key[IDENTITY_KEY_BYTES],
                                                 struct relay_window *out_pushed)
{
    struct relay_connection *found = relay_connections_find(self, number);
    *out_pushed = (struct relay_window){.bytes = 0};
    if (found == NULL) {
        struct relay_connection *set = set_of(self, number);
        found = &set[0];
        for (size_t i = 1; i < RELAY_WAYS; i++) {
            found = goes_before(&set[i], found) ? &set[i] : found;
        }
        *out_pushed = found->window;
        *found = (struct relay_connection){.number = number};
        memcpy(found->curve_key, curve_key, IDENTITY_KEY_BYTES);
    }
    found->spoke = ++self->now;
    return found;
}

void relay_connections_cut(struct relay_connections *self,
                           const uint8_t curve_key[IDENTITY_KEY_BYTES], uint64_t but)
{
    for (size_t i = 0; i < (size_t)RELAY_CONNECTIONS_MAX; i++) {
        struct relay_connection *connection = &self->sets[i / RELAY_WAYS][i % RELAY_WAYS];
        bool meant = but == 0 || (connection->number != but &&
                                  connection->number % GATEWAY_PORTS == but % GATEWAY_PORTS);
        if (meant && connection->number != 0 &&
            memcmp(connection->curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
            connection->cut = true;
        }
    }
}
