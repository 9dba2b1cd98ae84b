#include "common/fault.h"
#include "common/process.h"
#include "common/secret.h"
#include "proto/identity.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* What /proc/self/smaps says of the pages that hold `address`. */
struct pages {
    char access[5];
    char flags[256];
};

static bool find_pages(const void *address, struct pages *out)
{
    char line[512];
    bool here = false;
    memset(out, 0, sizeof *out);
    FILE *file = fopen("/proc/self/smaps", "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof line, file) != NULL) {
        uintptr_t from = 0;
        uintptr_t to = 0;
        char access[5];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, access) == 3) {
            here = from <= (uintptr_t)address && (uintptr_t)address < to;
            if (here) {
                memcpy(out->access, access, sizeof access);
            }
        } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            (void)snprintf(out->flags, sizeof out->flags, "%.255s", line + 8);
        }
    }
    (void)fclose(file);
    return out->access[0] != '\0';
}

static void secret_keys_lie_in_locked_pages_that_no_dump_holds(void)
{
    struct identity identity;
    struct pages pages;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(identity_open(scratch_path("key"), &identity), STATUS_OK);
    CU_ASSERT_TRUE_FATAL(find_pages(identity.secrets, &pages));
    CU_ASSERT_STRING_EQUAL(pages.access, "r--p");
    CU_ASSERT_TRUE(SANITIZED || strstr(pages.flags, " lo") != NULL); /* there mlock does nothing */
    CU_ASSERT_PTR_NOT_NULL(strstr(pages.flags, " dd"));
    CU_ASSERT_TRUE(secret_all_locked());
    const void *before = identity.secrets;
    identity_wipe(&identity);
    CU_ASSERT_TRUE(!find_pages(before, &pages) || strstr(pages.flags, " lo") == NULL);
    scratch_end();
}

static void key_that_cannot_be_locked_is_told(void)
{
    if (SANITIZED) {
        return; /* mlock does nothing, and never fails */
    }
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
        uint8_t seed[IDENTITY_SEED_BYTES] = {1};
        struct identity identity;
        /* Root may lock all the same, and so must become somebody else. */
        bool ready = setrlimit(RLIMIT_MEMLOCK, &none) == 0 &&
                     (geteuid() != 0 || setresuid(12345, 12345, 12345) == 0);
        bool works = ready && identity_of_seed(seed, &identity) == STATUS_OK;
        _exit(works && !secret_all_locked() ? 0 : 1);
    }
    int result = -1;
    CU_ASSERT_EQUAL(waitpid(child, &result, 0), child);
    CU_ASSERT_EQUAL(result, 0);
}

enum { MASK = 0x5a, NEEDLE_MAX = 64, REGION_BYTES_MAX = 256 << 20, BLOCK_BYTES = 1 << 16 };

/* What is looked for, masked, so that looking does not find itself. */
struct needle {
    uint8_t masked[NEEDLE_MAX];
    size_t size_bytes;
};

static struct needle mask(const void *data, size_t size_bytes)
{
    struct needle needle = {.size_bytes = size_bytes};
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size_bytes; i++) {
        needle.masked[i] = bytes[i] ^ MASK;
    }
    return needle;
}

static size_t count_in(const uint8_t *bytes, size_t size_bytes, const struct needle *needle)
{
    size_t count = 0;
    for (size_t at = 0; at + needle->size_bytes <= size_bytes; at++) {
        size_t same = 0;
        while (same < needle->size_bytes && (bytes[at + same] ^ MASK) == needle->masked[same]) {
            same++;
        }
        count += same == needle->size_bytes;
    }
    return count;
}

static uint8_t block[BLOCK_BYTES];

/* Through the kernel, so that pages which may not be read end the region, and nothing else. */
static size_t count_in_region(uintptr_t from, uintptr_t to, const struct needle *needle)
{
    size_t count = 0;
    size_t step = sizeof block - NEEDLE_MAX;
    for (uintptr_t at = from; at < to; at += step) {
        size_t wanted = to - at < sizeof block ? to - at : sizeof block;
        if (at < (uintptr_t)block + sizeof block && (uintptr_t)block < at + wanted) {
            continue; /* what was read before lies there */
        }
        const struct iovec into = {.iov_base = block, .iov_len = wanted};
        const struct iovec of = {.iov_base = (void *)at, .iov_len = wanted}; // NOLINT
        ssize_t got = process_vm_readv(getpid(), &into, 1, &of, 1, 0);
        if (got > 0) {
            size_t fresh = wanted == sizeof block ? step + needle->size_bytes - 1 : (size_t)got;
            count += count_in(block, fresh < (size_t)got ? fresh : (size_t)got, needle);
        }
    }
    sodium_memzero(block, sizeof block);
    return count;
}

/* How often it stands in what this process may write, or wrote and sealed. */
static size_t count_in_memory(const struct needle *needle)
{
    char line[512];
    size_t count = 0;
    FILE *file = fopen("/proc/self/maps", "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof line, file) != NULL) {
        uintptr_t from = 0;
        uintptr_t to = 0;
        char access[5];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, access) == 3 &&
            (access[1] == 'w' || strchr(line, '/') == NULL) && access[0] == 'r' &&
            to - from <= REGION_BYTES_MAX) {
            count += count_in_region(from, to, needle);
        }
    }
    (void)fclose(file);
    return count;
}

/* The seed from the file, in hexadecimal and in binary, both masked. */
static void read_needles(const char *path, struct needle *out_text, struct needle *out_seed)
{
    char text[2 * IDENTITY_SEED_BYTES];
    uint8_t seed[IDENTITY_SEED_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CU_ASSERT_EQUAL(read(fd, text, sizeof text), sizeof text);
    (void)close(fd);
    CU_ASSERT_EQUAL(sodium_hex2bin(seed, sizeof seed, text, sizeof text, NULL, NULL, NULL), 0);
    *out_text = mask(text, sizeof text);
    *out_seed = mask(seed, sizeof seed);
    sodium_memzero(text, sizeof text);
    sodium_memzero(seed, sizeof seed);
}

static void expect_one_copy(const char *path, const struct identity *identity)
{
    struct needle text;
    struct needle seed;
    struct needle curve = mask(identity->secrets->curve, sizeof identity->secrets->curve);
    read_needles(path, &text, &seed);
    CU_ASSERT_EQUAL(count_in_memory(&text), 0);
    CU_ASSERT_EQUAL(count_in_memory(&seed), 1); /* the secret key begins with it */
    CU_ASSERT_EQUAL(count_in_memory(&curve), 1);
}

enum { STACK_BYTES = 1 << 18 };

static struct identity opened;
static const char *opened_path;

static void *open_there(void *context)
{
    enum status *out = context;
    *out = identity_open(opened_path, &opened);
    return NULL;
}

static void *sign_there(void *context)
{
    uint8_t signature[IDENTITY_SIGNATURE_BYTES];
    enum status *out = context;
    identity_sign(&opened, (const uint8_t *)"words", 5, signature);
    *out = STATUS_OK;
    return NULL;
}

static void *open_and_sign(void *context)
{
    (void)open_there(context);
    return sign_there(context);
}

/* On a stack that nobody else uses, so that what a function leaves there stays to be found. Returns
 * the stack: munmap it. */
static void *run_on_own_stack(void *(*run)(void *), void *context)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_TRUE_FATAL(stack != MAP_FAILED);
    CU_ASSERT_EQUAL_FATAL(pthread_attr_init(&attributes), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_attr_setstack(&attributes, stack, STACK_BYTES), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, &attributes, run, context), 0);
    CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
    (void)pthread_attr_destroy(&attributes);
    return stack;
}

static void expect_one_copy_after(void *(*run)(void *))
{
    enum status status = STATUS_COUNT;
    void *stack = run_on_own_stack(run, &status);
    CU_ASSERT_EQUAL_FATAL(status, STATUS_OK);
    expect_one_copy(opened_path, &opened);
    CU_ASSERT_EQUAL(munmap(stack, STACK_BYTES), 0);
}

static void key_leaves_no_copy_in_memory(void)
{
    struct needle text;
    struct needle seed;
    if (SANITIZED) {
        return; /* freed memory and stacks are kept there on purpose */
    }
    scratch_begin();
    opened_path = scratch_path("key");
    expect_one_copy_after(open_and_sign); /* makes it */
    identity_wipe(&opened);
    expect_one_copy_after(open_there);
    expect_one_copy_after(sign_there);
    identity_wipe(&opened);
    read_needles(opened_path, &text, &seed);
    CU_ASSERT_EQUAL(count_in_memory(&seed), 0);
    scratch_end();
}

/* The exit code of a process that protects itself and looks at what it is then. */
static int look_protected(const char *debugged)
{
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit some = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
        bool ready = setrlimit(RLIMIT_CORE, &some) == 0 &&
                     (debugged != NULL ? setenv(PROCESS_DEBUG_VARIABLE, debugged, 1)
                                       : unsetenv(PROCESS_DEBUG_VARIABLE)) == 0 &&
                     process_protect() == STATUS_OK;
        struct rlimit now;
        int answer = ready ? 4 : 8;
        answer |= getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_max == 0 ? 1 : 0;
        answer |= prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 2 : 0;
        _exit(answer);
    }
    int result = -1;
    CU_ASSERT_EQUAL(waitpid(child, &result, 0), child);
    return WEXITSTATUS(result);
}

static void protected_process_dumps_no_core_and_lets_nobody_attach(void)
{
    CU_ASSERT_EQUAL(look_protected(NULL), 4 | 2 | 1);
    CU_ASSERT_EQUAL(look_protected("0"), 4 | 2 | 1);
    CU_ASSERT_EQUAL(look_protected("1"), 4);
}

static void hidden_argument_is_zero_to_its_end(void)
{
    char argument[] = "dugnad://host:7700/KEY/TOKEN";
    process_hide_argument(argument);
    CU_ASSERT_TRUE(sodium_is_zero((const uint8_t *)argument, sizeof argument) == 1);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(secret_keys_lie_in_locked_pages_that_no_dump_holds),
        SUITE_TEST(key_that_cannot_be_locked_is_told),
        SUITE_TEST(key_leaves_no_copy_in_memory),
        SUITE_TEST(protected_process_dumps_no_core_and_lets_nobody_attach),
        SUITE_TEST(hidden_argument_is_zero_to_its_end),
    };
    return suite_run("secrets", tests, sizeof tests / sizeof tests[0]);
}
