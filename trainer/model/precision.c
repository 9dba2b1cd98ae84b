#include "trainer/model/precision.h"

#include "common/fault.h"
#include "trainer/model/products.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 256, REPEATS = 2 };

/* Converting and rounding cost something too: what is hardly faster is not worth its precision. */
static const double SPEEDUP_WANTED = 1.25;

enum status precision_find(const char *name, enum precision *out)
{
    static const char *const NAMES[] = {"auto", "fp32", "bf16"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strcmp(NAMES[i], name) == 0) {
            *out = (enum precision)i;
            return STATUS_OK;
        }
    }
    return fault(STATUS_USAGE, "the precision is '%.100s', but it must be auto, fp32 or bf16",
                 name);
}

/* Seconds for the products of all layers; the head's take long and tell nothing new. */
static enum status time_layers(const struct backend *backend, const struct model_config *config,
                               double *out_seconds)
{
    struct product products[PRODUCTS_MAX];
    size_t count = products_of(config, backend, ROWS, products);
    *out_seconds = 0.0;
    for (size_t i = 0; i < count; i++) {
        double seconds = 0.0;
        if (strcmp(products[i].name, "head") == 0) {
            continue;
        }
        enum status status = products_measure(backend, &products[i], 1, REPEATS, &seconds);
        if (status != STATUS_OK) {
            return status;
        }
        *out_seconds += seconds * (double)products[i].count;
    }
    return STATUS_OK;
}

static enum status measure(const struct model_config *config, const struct backend *bf16,
                           struct precision_choice *out)
{
    double fp32_seconds = 0.0;
    double bf16_seconds = 0.0;
    enum status status = time_layers(&backend_cpu, config, &fp32_seconds);
    if (status == STATUS_OK) {
        status = time_layers(bf16, config, &bf16_seconds);
    }
    if (status != STATUS_OK) {
        return status;
    }
    double speedup = fp32_seconds / bf16_seconds;
    bool faster = speedup >= SPEEDUP_WANTED;
    out->backend = faster ? bf16 : &backend_cpu;
    out->name = faster ? "bf16" : "fp32";
    (void)snprintf(out->reason, sizeof(out->reason), "bf16 is %.2g times as fast here", speedup);
    return STATUS_OK;
}

enum status precision_choose(enum precision wanted, const struct model_config *config,
                             struct precision_choice *out)
{
    const char *missing = NULL;
    *out =
        (struct precision_choice){.backend = &backend_cpu, .name = "fp32", .reason = "asked for"};
    if (wanted == PRECISION_FP32) {
        return STATUS_OK; /* oneDNN is not even asked: it makes code while it looks around */
    }
    const struct backend *bf16 = backend_bf16(&missing);
    if (wanted == PRECISION_BF16) {
        out->backend = bf16;
        out->name = "bf16";
        return bf16 != NULL
                   ? STATUS_OK
                   : fault(STATUS_USAGE, "bf16 is not possible: %s; use fp32 or auto", missing);
    }
    if (bf16 == NULL) {
        (void)snprintf(out->reason, sizeof(out->reason), "%s", missing);
        return STATUS_OK;
    }
    return measure(config, bf16, out);
}
