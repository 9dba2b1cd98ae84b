#include "common/secret.h"

#include "common/check.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

/* libsodium's signatures need less than half of it. */
enum { STACK_BYTES = 16384 };

static atomic_bool some_not_locked;

void *secret_new(size_t size_bytes)
{
    if (sodium_init() < 0) {
        return NULL; /* without random numbers there are no guards */
    }
    void *secret = sodium_malloc(size_bytes);
    if (secret == NULL) {
        return NULL;
    }
    /* It is locked already; only asking again tells whether that worked. */
    if (sodium_mlock(secret, size_bytes) != 0) {
        atomic_store(&some_not_locked, true);
    }
    memset(secret, 0, size_bytes);
    return secret;
}

void secret_seal(void *secret)
{
    CHECK(sodium_mprotect_readonly(secret) == 0);
}

void secret_free(void *secret)
{
    sodium_free(secret);
}

bool secret_all_locked(void)
{
    return !atomic_load(&some_not_locked);
}

void secret_wipe(void *data, size_t size_bytes)
{
    sodium_memzero(data, size_bytes);
}

void secret_wipe_stack(void)
{
    sodium_stackzero(STACK_BYTES);
}
