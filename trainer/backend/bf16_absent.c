/* What a build without oneDNN says. */
#include "trainer/backend/backend.h"

const struct backend *backend_bf16(const char **reason)
{
    *reason = "this build has no oneDNN";
    return NULL;
}
