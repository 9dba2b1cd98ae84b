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

/* NULL: OpenBLAS knows CPUs of this class itself. */
static const char *kernel_for(const struct cpu_features *features)
{
    if (features->avx512_bf16) {
        return "Cooperlake";
    }
    if (features->avx512) {
        return "SkylakeX";
    }
    return features->avx2 && features->fma ? "Haswell" : NULL;
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

void blas_kernel_choose(char **argv)
{
    struct cpu_features features = cpu_features_here();
    const char *kernel = kernel_for(&features);
    if (kernel == NULL || is_set(CORETYPE) || strcmp(blas_kernel_name(), kernel) == 0) {
        return;
    }
    char path[PATH_MAX];
    if (setenv(CORETYPE, kernel, 1) == 0 && setenv(CHOSEN, "1", 1) == 0 && find_self(path)) {
        (void)execv(path, argv);
    }
    (void)unsetenv(CORETYPE); /* still here: what is set must not claim to be in use */
    (void)unsetenv(CHOSEN);
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
