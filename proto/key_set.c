#include "proto/key_set.h"

#include "common/check.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    bool used;
    uint8_t key[IDENTITY_KEY_BYTES];
};

struct key_set {
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    size_t keys_max;
    size_t count;
    size_t mask; /* slots - 1; at least half of them are free */
    struct slot *slots;
};

enum status key_set_new(size_t keys_max, struct key_set **out)
{
    size_t slots = 2;
    CHECK(keys_max > 0 && keys_max <= SIZE_MAX / 4 / sizeof(struct slot));
    while (slots < 2 * keys_max) {
        slots *= 2;
    }
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return STATUS_NO_MEMORY;
    }
    (*out)->slots = calloc(slots, sizeof *(*out)->slots);
    if ((*out)->slots == NULL) {
        free(*out);
        *out = NULL;
        return STATUS_NO_MEMORY;
    }
    (*out)->keys_max = keys_max;
    (*out)->mask = slots - 1;
    crypto_shorthash_keygen((*out)->hash_key);
    return STATUS_OK;
}

void key_set_free(struct key_set *self)
{
    if (self != NULL) {
        free(self->slots);
        free(self);
    }
}

static size_t home_of(const struct key_set *self, const uint8_t *key)
{
    uint64_t hash = 0;
    uint8_t bytes[crypto_shorthash_BYTES];
    (void)crypto_shorthash(bytes, key, IDENTITY_KEY_BYTES, self->hash_key);
    _Static_assert(sizeof hash == sizeof bytes, "SipHash has 64 bits");
    memcpy(&hash, bytes, sizeof hash);
    return (size_t)hash & self->mask;
}

/* Where the key is, or would be. */
static size_t find(const struct key_set *self, const uint8_t *key)
{
    size_t at = home_of(self, key);
    while (self->slots[at].used && memcmp(self->slots[at].key, key, IDENTITY_KEY_BYTES) != 0) {
        at = (at + 1) & self->mask;
    }
    return at;
}

enum status key_set_add(struct key_set *self, const uint8_t key[IDENTITY_KEY_BYTES])
{
    struct slot *slot = &self->slots[find(self, key)];
    if (slot->used) {
        return STATUS_OK;
    }
    if (self->count == self->keys_max) {
        return STATUS_FULL;
    }
    slot->used = true;
    memcpy(slot->key, key, IDENTITY_KEY_BYTES);
    self->count++;
    return STATUS_OK;
}

/* Those behind it that are not at home move up, so that each is found from its home on. */
void key_set_remove(struct key_set *self, const uint8_t key[IDENTITY_KEY_BYTES])
{
    size_t hole = find(self, key);
    if (!self->slots[hole].used) {
        return;
    }
    self->count--;
    for (size_t at = (hole + 1) & self->mask; self->slots[at].used; at = (at + 1) & self->mask) {
        size_t home = home_of(self, self->slots[at].key);
        if (((at - home) & self->mask) >= ((at - hole) & self->mask)) {
            self->slots[hole] = self->slots[at];
            hole = at;
        }
    }
    self->slots[hole].used = false;
}

bool key_set_has(const struct key_set *self, const uint8_t key[IDENTITY_KEY_BYTES])
{
    return self->slots[find(self, key)].used;
}

size_t key_set_count(const struct key_set *self)
{
    return self->count;
}

const uint8_t *key_set_next(const struct key_set *self, size_t *cursor)
{
    while (*cursor <= self->mask) {
        const struct slot *slot = &self->slots[(*cursor)++];
        if (slot->used) {
            return slot->key;
        }
    }
    return NULL;
}
