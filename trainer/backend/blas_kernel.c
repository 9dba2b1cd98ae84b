#include "trainer/backend/blas_kernel.h"

#include "trainer/backend/cpu_features.h"

#include <cblas.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* What OpenBLAS reads, and the mark that the value there is ours. */
static const char CORETYPE[] = "OPENBLAS_CORETYPE";
static const char CHOSEN[] = "DUGNAD_BLAS_KERNEL_BY_CPUID";
static const char THREADS[] = "OPENBLAS_NUM_THREADS";

/* A class of CPUs: its kernel, and what a newer OpenBLAS may choose by itself that is as good. */
struct kernel_class {
    const char *name;
    const char *alike;
};

/* The name is NULL where OpenBLAS knows the CPUs itself. */
static struct kernel_class class_of(const struct cpu_features *features)
{
    if (features->avx512_bf16) {
        return (struct kernel_class){"Cooperlake", "SapphireRapids"};
    }
    if (features->avx512) {
        return (struct kernel_class){"SkylakeX", "Cooperlake"};
    }
    if (features->avx2 && features->fma) {
        return (struct kernel_class){"Haswell", "Zen"};
    }
    return (struct kernel_class){NULL, NULL};
}

static bool runs_already(const struct kernel_class *wanted)
{
    const char *name = blas_kernel_name();
    return strcmp(name, wanted->name) == 0 || strcmp(name, wanted->alike) == 0;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0';
}

/* The program's own file: through the link itself the process would be called "exe". */
static bool find_self(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static bool has_its_threads(void)
{
    const char *value = getenv(THREADS);
    return value == NULL || strcmp(value, "1") != 0;
}

void blas_kernel_choose(char **argv)
{
    struct cpu_features features = cpu_features_here();
    struct kernel_class wanted = class_of(&features);
    bool another = wanted.name != NULL && !is_set(CORETYPE) && !runs_already(&wanted);
    if (!another && !has_its_threads()) {
        return;
    }
    char path[PATH_MAX];
    bool ready = setenv(THREADS, "1", 1) == 0;
    if (another) {
        ready = ready && setenv(CORETYPE, wanted.name, 1) == 0 && setenv(CHOSEN, "1", 1) == 0;
    }
    if (ready && find_self(path)) {
        (void)execv(path, argv);
    }
    if (another) { /* still here: what is set must not claim to be in use */
        (void)unsetenv(CORETYPE);
        (void)unsetenv(CHOSEN);
    }
}

const char *blas_kernel_name(void)
{
    return openblas_get_corename();
}

const char *blas_kernel_chosen_by(void)
{
    if (is_set(CHOSEN)) {
        return "cpuid";
    }
    return is_set(CORETYPE) ? CORETYPE : "openblas";
}
