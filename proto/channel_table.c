#include "proto/channel_table.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct channel_table {
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    uint64_t now;
    struct channel_connection sets[CHANNEL_TABLE_SETS][CHANNEL_TABLE_WAYS];
};

enum status channel_table_new(struct channel_table **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return STATUS_NO_MEMORY;
    }
    crypto_shorthash_keygen((*out)->hash_key);
    return STATUS_OK;
}

void channel_table_free(struct channel_table *self)
{
    free(self);
}

static struct channel_connection *set_of(struct channel_table *self,
                                         const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    uint64_t hash = 0;
    uint8_t hash_bytes[crypto_shorthash_BYTES];
    (void)crypto_shorthash(hash_bytes, curve_key, IDENTITY_KEY_BYTES, self->hash_key);
    _Static_assert(sizeof hash == sizeof hash_bytes, "SipHash has 64 bits");
    memcpy(&hash, hash_bytes, sizeof hash);
    return self->sets[hash % CHANNEL_TABLE_SETS];
}

struct channel_connection *channel_table_find(struct channel_table *self,
                                              const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    struct channel_connection *set = set_of(self, curve_key);
    for (size_t i = 0; i < CHANNEL_TABLE_WAYS; i++) {
        if (set[i].used && memcmp(set[i].curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
            return &set[i];
        }
    }
    return NULL;
}

struct channel_connection *channel_table_touch(struct channel_table *self,
                                               const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    struct channel_connection *found = channel_table_find(self, curve_key);
    if (found == NULL) {
        struct channel_connection *set = set_of(self, curve_key);
        found = &set[0];
        for (size_t i = 0; i < CHANNEL_TABLE_WAYS && found->used; i++) {
            if (!set[i].used || set[i].spoke < found->spoke) {
                found = &set[i];
            }
        }
        memset(found, 0, sizeof *found);
        memcpy(found->curve_key, curve_key, IDENTITY_KEY_BYTES);
        found->used = true;
        found->fd = -1;
    }
    found->spoke = ++self->now;
    return found;
}
