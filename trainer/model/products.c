#include "trainer/model/products.h"

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "trainer/model/model_parts.h"
#include "trainer/model/team.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NANOSECONDS = 1000000000 };

/* A weight that rows are multiplied with, `count` times in a pass. */
struct weight {
    const char *name;
    size_t out_width, in_width;
    size_t rows;
    size_t count;
    bool stored_in_out; /* (in, out) instead of (out, in) */
    bool to_floats;     /* the product is added to a float32 stream, or is logits */
};

static size_t weights_of(const struct model_config *config, const struct backend *backend,
                         size_t rows, struct weight *out)
{
    size_t width = config->width;
    size_t q_width = (size_t)config->head_count * config->head_size;
    size_t kv_width = (size_t)config->kv_head_count * config->head_size;
    size_t ffn = config->ffn_width;
    size_t layers = config->layer_count;
    size_t chunk = head_rows(config, backend, rows);
    size_t count = 0;
    if (config->kind == MODEL_GPT2) {
        out[count++] = (struct weight){"qkv", 3 * width, width, rows, layers, true, false};
        out[count++] = (struct weight){"attention", width, width, rows, layers, true, true};
        out[count++] = (struct weight){"ffn up", ffn, width, rows, layers, true, false};
        out[count++] = (struct weight){"ffn down", width, ffn, rows, layers, true, true};
    } else {
        out[count++] = (struct weight){"q", q_width, width, rows, layers, false, false};
        out[count++] = (struct weight){"k and v", kv_width, width, rows, 2 * layers, false, false};
        out[count++] = (struct weight){"attention", width, q_width, rows, layers, false, true};
        out[count++] = (struct weight){"gate and up", ffn, width, rows, 2 * layers, false, false};
        out[count++] = (struct weight){"ffn down", width, ffn, rows, layers, false, true};
    }
    out[count++] = (struct weight){
        "head", config->vocab_size, width, chunk, (rows + chunk - 1) / chunk, false, true};
    return count;
}

size_t products_of(const struct model_config *config, const struct backend *backend, size_t rows,
                   struct product *out)
{
    struct weight weights[PRODUCTS_MAX / 3];
    size_t weight_count = weights_of(config, backend, rows, weights);
    for (size_t i = 0; i < weight_count; i++) {
        const struct weight *w = &weights[i];
        struct product *product = out + 3 * i;
        product[0] = (struct product){.name = w->name,
                                      .m = w->rows,
                                      .n = w->out_width,
                                      .k = w->in_width,
                                      .b_transposed = !w->stored_in_out,
                                      .to_floats = w->to_floats,
                                      .count = w->count};
        /* What reaches a norm or the residual stream's branch: floats where the forward product
         * gave cells, and the other way round; the head's input is a norm's output. */
        product[1] = (struct product){.name = w->name,
                                      .m = w->rows,
                                      .n = w->in_width,
                                      .k = w->out_width,
                                      .b_transposed = w->stored_in_out,
                                      .to_floats = !w->to_floats || strcmp(w->name, "head") == 0,
                                      .count = w->count};
        product[2] = (struct product){.name = w->name,
                                      .m = w->stored_in_out ? w->in_width : w->out_width,
                                      .n = w->stored_in_out ? w->out_width : w->in_width,
                                      .k = w->rows,
                                      .a_transposed = true,
                                      .to_floats = true,
                                      .count = w->count};
    }
    return 3 * weight_count;
}

double products_flops_per_token(const struct model_config *config, size_t context)
{
    struct weight weights[PRODUCTS_MAX / 3];
    double multiplied = 0.0;
    size_t count = weights_of(config, &backend_ref, 1, weights);
    for (size_t i = 0; i < count; i++) {
        multiplied +=
            (double)weights[i].out_width * (double)weights[i].in_width * (double)weights[i].count;
    }
    double width = (double)config->head_count * (double)config->head_size;
    return 6.0 * multiplied + 12.0 * (double)config->layer_count * width * (double)context;
}

/* One thread's matrices and its best time. */
struct worker {
    const struct backend *backend;
    const struct product *product;
    size_t repeat_count;
    struct cells *a;
    struct cells *b;
    void *out;
    uint64_t best_ns;
    pthread_t thread;
};

static void worker_deinit(struct worker *self)
{
    void *const buffers[] = {self->a, self->b, self->out};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffers[i] != NULL) {
            self->backend->release(buffers[i]);
        }
    }
}

/* A matrix of numbers that are not zero: some CPUs multiply zeros faster. */
static struct cells *new_cells(const struct backend *backend, size_t count)
{
    struct cells *cells = backend->allocate(count * backend->cell_bytes);
    float *values = backend->allocate(count * sizeof(*values));
    if (values != NULL && cells != NULL) {
        for (size_t i = 0; i < count; i++) {
            values[i] = (float)(i % 61) * 0.01F - 0.3F;
        }
        const struct cells *converted = backend->as_cells(cells, values, count);
        memcpy(cells, converted, converted == cells ? 0 : count * backend->cell_bytes);
    }
    if (values != NULL) {
        backend->release(values);
    }
    return cells;
}

static enum status worker_init(struct worker *self)
{
    const struct product *product = self->product;
    self->a = new_cells(self->backend, product->m * product->k);
    self->b = new_cells(self->backend, product->k * product->n);
    self->out = self->backend->allocate(product->m * product->n * sizeof(float));
    bool complete = self->a != NULL && self->b != NULL && self->out != NULL;
    return complete ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory to measure products");
}

static void *worker_run(void *argument)
{
    struct worker *self = argument;
    const struct product *product = self->product;
    struct matmul matmul = {.a = self->a,
                            .a_transposed = product->a_transposed,
                            .b = self->b,
                            .b_transposed = product->b_transposed,
                            .m = product->m,
                            .n = product->n,
                            .k = product->k};
    self->best_ns = UINT64_MAX;
    for (size_t i = 0; i < self->repeat_count; i++) {
        uint64_t start_ns = clock_now_ns();
        if (product->to_floats) {
            self->backend->matmul_float(self->out, &matmul, product->a_transposed);
        } else {
            self->backend->matmul(self->out, &matmul);
        }
        uint64_t used_ns = clock_now_ns() - start_ns;
        self->best_ns = used_ns < self->best_ns ? used_ns : self->best_ns;
    }
    return NULL;
}

static enum status run_workers(struct worker *workers, size_t count)
{
    size_t started = 0;
    int error = 0;
    while (error == 0 && started < count) {
        error = pthread_create(&workers[started].thread, NULL, worker_run, &workers[started]);
        started += error == 0 ? 1 : 0;
    }
    for (size_t i = 0; i < started; i++) {
        (void)pthread_join(workers[i].thread, NULL);
    }
    return error == 0 ? STATUS_OK
                      : fault(STATUS_OS, "a thread could not be started (%s); use fewer --threads",
                              strerror(error));
}

enum status products_measure(const struct backend *backend, const struct product *product,
                             size_t thread_count, size_t repeat_count, double *out_seconds)
{
    enum status status = STATUS_OK;
    double sum_ns = 0.0;
    CHECK(thread_count > 0 && thread_count <= TEAM_THREADS_MAX && repeat_count > 0);
    struct worker *workers = calloc(thread_count, sizeof(*workers));
    if (workers == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to measure products");
    }
    for (size_t i = 0; i < thread_count; i++) {
        workers[i] =
            (struct worker){.backend = backend, .product = product, .repeat_count = repeat_count};
    }
    for (size_t i = 0; status == STATUS_OK && i < thread_count; i++) {
        status = worker_init(&workers[i]);
    }
    if (status == STATUS_OK) {
        status = run_workers(workers, thread_count);
    }
    for (size_t i = 0; i < thread_count; i++) {
        sum_ns += (double)workers[i].best_ns;
        worker_deinit(&workers[i]);
    }
    free(workers);
    *out_seconds = sum_ns / (double)thread_count / NANOSECONDS;
    return status;
}
