#include "tests/fuzz/fuzz_memory.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* A sanitizer has an allocator of its own, which cannot be asked. Without one, what libraries
 * allocate is seen as well. */
#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer)
#define SEES_LIBRARIES 0
#else
#define SEES_LIBRARIES 1
#endif

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming):
 * the linker chooses these names. */
void *__real_malloc(size_t size_bytes);
void *__real_calloc(size_t count, size_t size_bytes);
void *__real_realloc(void *pointer, size_t size_bytes);
void __real_free(void *pointer);
void *__real_secret_new(size_t size_bytes);
json_t *__real_json_loadb(const char *text, size_t size_bytes, size_t flags, json_error_t *error);
json_t *__wrap_json_loads(const char *text, size_t flags, json_error_t *error);
void *__wrap_malloc(size_t size_bytes);
void *__wrap_calloc(size_t count, size_t size_bytes);
void *__wrap_realloc(void *pointer, size_t size_bytes);
char *__wrap_strdup(const char *text);
void __wrap_free(void *pointer);
void *__wrap_secret_new(size_t size_bytes);
json_t *__wrap_json_loadb(const char *text, size_t size_bytes, size_t flags, json_error_t *error);

static struct {
    bool armed;
    uint64_t count;
    uint64_t fail_at;
    bool measured;
    size_t held_bytes;
    size_t peak_bytes;
} state;

void fuzz_memory_arm(uint64_t fail_at)
{
    state.armed = true;
    state.count = 0;
    state.fail_at = fail_at;
}

uint64_t fuzz_memory_disarm(void)
{
    state.armed = false;
    return state.count;
}

void fuzz_memory_begin(void)
{
    state.measured = true;
    state.held_bytes = 0;
    state.peak_bytes = 0;
}

void fuzz_memory_end(size_t size_bytes, size_t base_bytes)
{
    CHECK(state.measured);
    state.measured = false;
    CHECK(state.peak_bytes <= FUZZ_MEMORY_FACTOR * size_bytes + base_bytes);
}

static bool fails(void)
{
    if (!state.armed || ++state.count != state.fail_at) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

static void *count(void *pointer)
{
    if (state.measured && pointer != NULL) {
        state.held_bytes += malloc_usable_size(pointer);
        if (state.held_bytes > state.peak_bytes) {
            state.peak_bytes = state.held_bytes;
        }
    }
    return pointer;
}

static void discount(size_t size_bytes)
{
    if (state.measured) {
        /* What was there before, or is a library's own, was not counted. */
        state.held_bytes -= size_bytes < state.held_bytes ? size_bytes : state.held_bytes;
    }
}

#if SEES_LIBRARIES

void *__libc_malloc(size_t size_bytes);
void *__libc_calloc(size_t count, size_t size_bytes);
void *__libc_realloc(void *pointer, size_t size_bytes);
void __libc_free(void *pointer);

/* The C library leaves these four to the program, and so do all others. */
void *malloc(size_t size_bytes)
{
    return count(__libc_malloc(size_bytes));
}

void *calloc(size_t item_count, size_t size_bytes)
{
    return count(__libc_calloc(item_count, size_bytes));
}

void *realloc(void *pointer, size_t size_bytes)
{
    size_t before = malloc_usable_size(pointer);
    void *out = __libc_realloc(pointer, size_bytes);
    if (out != NULL) {
        discount(before);
    }
    return count(out);
}

void free(void *pointer)
{
    discount(malloc_usable_size(pointer));
    __libc_free(pointer);
}

/* They are counted above. */
static void *came(void *pointer)
{
    return pointer;
}

static void went(size_t size_bytes)
{
    (void)size_bytes;
}

/* The test's own, past those above. */
static void *own_alloc(size_t size_bytes)
{
    return __libc_malloc(size_bytes);
}

static void own_free(void *pointer)
{
    __libc_free(pointer);
}

#else

static void *came(void *pointer)
{
    return count(pointer);
}

static void went(size_t size_bytes)
{
    discount(size_bytes);
}

static void *own_alloc(size_t size_bytes)
{
    return __real_malloc(size_bytes);
}

static void own_free(void *pointer)
{
    __real_free(pointer);
}

#endif

void *fuzz_own_alloc(size_t size_bytes)
{
    void *out = own_alloc(size_bytes > 0 ? size_bytes : 1);
    CHECK(out != NULL);
    return out;
}

void fuzz_own_free(void *pointer)
{
    own_free(pointer);
}

/* jansson 2.14 aborts when it runs out of memory while it reads a text: strbuffer_append is not
 * checked, and an assert finds the byte missing. So nothing fails in there. */
json_t *__wrap_json_loadb(const char *text, size_t size_bytes, size_t flags, json_error_t *error)
{
    bool armed = state.armed;
    state.armed = false;
    json_t *out = __real_json_loadb(text, size_bytes, flags, error);
    state.armed = armed;
    return out;
}

json_t *__wrap_json_loads(const char *text, size_t flags, json_error_t *error)
{
    return __wrap_json_loadb(text, strlen(text), flags, error);
}

void *__wrap_malloc(size_t size_bytes)
{
    return fails() ? NULL : came(__real_malloc(size_bytes));
}

void *__wrap_calloc(size_t count, size_t size_bytes)
{
    return fails() ? NULL : came(__real_calloc(count, size_bytes));
}

void *__wrap_realloc(void *pointer, size_t size_bytes)
{
    if (fails()) {
        return NULL;
    }
    size_t before = malloc_usable_size(pointer);
    void *out = __real_realloc(pointer, size_bytes);
    if (out != NULL) {
        went(before);
    }
    return came(out);
}

void *__wrap_secret_new(size_t size_bytes)
{
    return fails() ? NULL : __real_secret_new(size_bytes);
}

char *__wrap_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *out = __wrap_malloc(bytes);
    return out != NULL ? memcpy(out, text, bytes) : NULL;
}

void __wrap_free(void *pointer)
{
    if (pointer != NULL) {
        went(malloc_usable_size(pointer));
        __real_free(pointer);
    }
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */
