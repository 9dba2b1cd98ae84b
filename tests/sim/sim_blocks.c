#include "tests/sim/sim_blocks.h"

#include "tests/sim/sim_memory.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming):
 * the linker chooses these names. */
void *__real_malloc(size_t size_bytes);
void *__real_calloc(size_t count, size_t size_bytes);
void *__real_realloc(void *pointer, size_t size_bytes);
void *__real_aligned_alloc(size_t align, size_t size_bytes);
int __real_posix_memalign(void **out, size_t align, size_t size_bytes);
void __real_free(void *pointer);
void *__wrap_malloc(size_t size_bytes);
void *__wrap_calloc(size_t count, size_t size_bytes);
void *__wrap_realloc(void *pointer, size_t size_bytes);
void *__wrap_aligned_alloc(size_t align, size_t size_bytes);
int __wrap_posix_memalign(void **out, size_t align, size_t size_bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t length_max);
void __wrap_free(void *pointer);

static struct sim_blocks *current;

struct sim_blocks *sim_blocks_use(struct sim_blocks *memory)
{
    struct sim_blocks *before = current;
    current = memory;
    return before;
}

static size_t slot_of(const struct sim_blocks *self, const void *pointer)
{
    uint64_t hash = ((uint64_t)(uintptr_t)pointer >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(hash >> 32) & (self->capacity - 1);
    while (self->slots[at] != NULL && self->slots[at] != pointer) {
        at = (at + 1) & (self->capacity - 1);
    }
    return at;
}

static void grow(struct sim_blocks *self)
{
    struct sim_blocks old = *self;
    self->capacity = old.capacity == 0 ? 1024 : 2 * old.capacity;
    self->slots = sim_outer_alloc(self->capacity * sizeof *self->slots);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i] != NULL) {
            self->slots[slot_of(self, old.slots[i])] = old.slots[i];
        }
    }
    __real_free(old.slots);
}

static void *note(void *pointer)
{
    if (pointer == NULL || current == NULL) {
        return pointer;
    }
    if (2 * (current->count + 1) > current->capacity) {
        grow(current);
    }
    current->slots[slot_of(current, pointer)] = pointer;
    current->count++;
    return pointer;
}

/* False: it is not of this process. Moves what stood behind it, so that no gap breaks a chain. */
static bool forget(void *pointer)
{
    if (current == NULL || current->capacity == 0) {
        return false;
    }
    size_t mask = current->capacity - 1;
    size_t at = slot_of(current, pointer);
    if (current->slots[at] == NULL) {
        return false;
    }
    current->slots[at] = NULL;
    current->count--;
    for (size_t next = (at + 1) & mask; current->slots[next] != NULL; next = (next + 1) & mask) {
        void *moved = current->slots[next];
        current->slots[next] = NULL;
        current->slots[slot_of(current, moved)] = moved;
    }
    return true;
}

static bool fails(void)
{
    if (current == NULL || ++current->allocations != current->fail_at) {
        return false;
    }
    current->fail_at = 0;
    current->failed_count++;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size_bytes)
{
    return fails() ? NULL : note(__real_malloc(size_bytes));
}

void *__wrap_calloc(size_t count, size_t size_bytes)
{
    return fails() ? NULL : note(__real_calloc(count, size_bytes));
}

void *__wrap_realloc(void *pointer, size_t size_bytes)
{
    if (fails()) {
        return NULL;
    }
    bool ours = pointer == NULL || forget(pointer);
    void *grown = __real_realloc(pointer, size_bytes);
    if (ours) {
        (void)note(grown != NULL ? grown : pointer);
    }
    return grown;
}

void *__wrap_aligned_alloc(size_t align, size_t size_bytes)
{
    return fails() ? NULL : note(__real_aligned_alloc(align, size_bytes));
}

int __wrap_posix_memalign(void **out, size_t align, size_t size_bytes)
{
    if (fails()) {
        return ENOMEM;
    }
    int result = __real_posix_memalign(out, align, size_bytes);
    if (result == 0) {
        (void)note(*out);
    }
    return result;
}

char *__wrap_strndup(const char *text, size_t length_max)
{
    size_t length = strnlen(text, length_max);
    char *copy = __wrap_malloc(length + 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}

void __wrap_free(void *pointer)
{
    if (pointer != NULL) {
        (void)forget(pointer);
        __real_free(pointer);
    }
}

void sim_blocks_wipe(struct sim_blocks *self)
{
    for (size_t i = 0; i < self->capacity; i++) {
        __real_free(self->slots[i]);
        self->slots[i] = NULL;
    }
    self->count = 0;
}

void sim_blocks_deinit(struct sim_blocks *self)
{
    sim_blocks_wipe(self);
    __real_free(self->slots);
    *self = (struct sim_blocks){0};
}

static void *must(void *pointer)
{
    if (pointer == NULL) {
        (void)fputs("dugnad-sim: the machine has no memory left\n", stderr);
        abort();
    }
    return pointer;
}

void *sim_outer_alloc(size_t size_bytes)
{
    return must(__real_calloc(1, size_bytes > 0 ? size_bytes : 1));
}

void *sim_outer_realloc(void *pointer, size_t size_bytes)
{
    return must(__real_realloc(pointer, size_bytes));
}

void sim_outer_free(void *pointer)
{
    __real_free(pointer);
}

void *sim_memory_new(size_t count, size_t item_bytes)
{
    return must(__real_calloc(count > 0 ? count : 1, item_bytes));
}

void *sim_memory_resize(void *old, size_t count, size_t item_bytes)
{
    return must(__real_realloc(old, (count > 0 ? count : 1) * item_bytes));
}

void sim_memory_free(void *memory)
{
    __real_free(memory);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */
