#include "trainer/tokenizer/piece_table.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/tokenizer/bytes_hash.h"

#include <stdlib.h>
#include <string.h>

enum status piece_table_init(struct piece_table *self, const struct recipe *recipe, size_t count)
{
    size_t slots = 1024;
    while (slots < 2 * count) {
        slots *= 2;
    }
    *self = (struct piece_table){.recipe = recipe, .mask = (uint32_t)(slots - 1)};
    self->slots = calloc(slots, sizeof(*self->slots));
    if (self->slots == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the tokenizer");
    }
    return STATUS_OK;
}

void piece_table_deinit(struct piece_table *self)
{
    free(self->slots);
    *self = (struct piece_table){0};
}

void piece_table_add(struct piece_table *self, uint32_t id)
{
    size_t length = 0;
    const uint8_t *bytes = recipe_bytes(self->recipe, id, &length);
    CHECK(length > 0);
    uint32_t hash = (uint32_t)bytes_hash(bytes, length);
    uint32_t place = hash & self->mask;
    while (self->slots[place].length > 0) {
        place = (place + 1) & self->mask;
    }
    self->slots[place] =
        (struct piece_slot){.hash = hash, .id = (uint16_t)id, .length = (uint16_t)length};
}

int32_t piece_table_find(const struct piece_table *self, uint64_t hash, const uint8_t *bytes,
                         size_t length)
{
    uint32_t short_hash = (uint32_t)hash;
    uint32_t place = short_hash & self->mask;
    for (; self->slots[place].length > 0; place = (place + 1) & self->mask) {
        const struct piece_slot *slot = &self->slots[place];
        if (slot->hash == short_hash && slot->length == length) {
            const struct recipe_token *token = &self->recipe->tokens[slot->id];
            if (memcmp(self->recipe->bytes + token->offset, bytes, length) == 0) {
                return slot->id;
            }
        }
    }
    return -1;
}
