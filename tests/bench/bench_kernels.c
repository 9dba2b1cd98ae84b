/* bench_kernels - what each operation of a backend costs on the shapes of two models, in one
 * thread.
 *
 *   bench_kernels [cpu|bf16|ref]
 *
 * Prints JSON: for one layer's matrix products the GFLOP/s, for every other operation GB/s of what
 * it must read and write and its time as a percentage of the layer's products (forward and
 * backward), with the number of calls a layer makes counted in. Each time is the best of several
 * rounds. On a CPU that OpenBLAS does not know, set OPENBLAS_CORETYPE. */
#include "common/fault.h"
#include "trainer/backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 15, SHORT_ROUNDS = 3 };

struct model_shape {
    const char *name;
    bool is_gpt2;
    size_t rows; /* of one sequence */
    size_t sequences;
    size_t width;
    size_t heads;
    size_t ffn;
    size_t vocab;
    size_t head_rows; /* rows whose logits are made at a time */
};

static const struct model_shape SHAPES[] = {
    {"gpt2-124m", true, 256, 4, 768, 12, 3072, 50257, 256},
    {"llama-10m", false, 256, 4, 384, 6, 1024, 256, 1024},
};

struct bench {
    const struct backend *backend;
    const struct model_shape *shape;
    struct attention_shape attention;
    size_t rows; /* of all sequences */
    struct matmul product;
    bool product_is_float;
    struct cells *cells[6]; /* each as large as the largest matrix */
    float *floats[4];
    float *row_statistics[2];
    double *losses;
    uint16_t *ids;
    void *scratch;
    double layer_seconds; /* of a layer's matrix products, forward and backward */
};

/* The first `count` values of each buffer anew, in [-1, 1): operations that work in place would
 * otherwise drift to numbers so small that they are slow. */
static void fill(struct bench *self, size_t count)
{
    const struct backend *b = self->backend;
    uint32_t state = 1;
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < count; j++) {
            state = state * 1664525U + 1013904223U;
            self->floats[i][j] = (float)(int32_t)state * 0x1p-31F;
        }
    }
    for (size_t i = 0; i < 6; i++) {
        if (b->as_cells(self->cells[i], self->floats[i % 4], count) != self->cells[i]) {
            memcpy(self->cells[i], self->floats[i % 4], count * b->cell_bytes);
        }
    }
}

/* Time that this thread computed: what else runs on the machine shows less than in the wall's. */
static double thread_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double best_seconds(struct bench *self, void (*run)(struct bench *), int rounds)
{
    double best = 1e9;
    for (int round = 0; round < rounds; round++) {
        double start = thread_seconds();
        run(self);
        double seconds = thread_seconds() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static void run_product(struct bench *self)
{
    if (self->product_is_float) {
        self->backend->matmul_float(self->floats[0], &self->product, true);
    } else {
        self->backend->matmul(self->cells[2], &self->product);
    }
}

static double time_product(struct bench *self, struct matmul product, bool is_float)
{
    product.a = self->cells[0];
    product.b = self->cells[1];
    self->product = product;
    self->product_is_float = is_float;
    return best_seconds(self, run_product, product.m > 8 ? SHORT_ROUNDS : ROUNDS);
}

/* A linear layer in -> out over all rows: forward, and both halves of the backward pass. Returns
 * the seconds of all three. */
static double bench_linear(struct bench *self, const char *name, size_t in, size_t out, size_t rows)
{
    const double gigaflop = 2e-9 * (double)rows * (double)in * (double)out;
    double forward = time_product(
        self, (struct matmul){.b_transposed = true, .m = rows, .n = out, .k = in}, false);
    double d_in = time_product(self, (struct matmul){.m = rows, .n = in, .k = out}, false);
    double d_weight = time_product(
        self, (struct matmul){.a_transposed = true, .m = out, .n = in, .k = rows}, true);
    printf(",\n  \"%s_%zu_%zu\": {\"forward_gflops\": %.0f, \"d_in_gflops\": %.0f, "
           "\"d_weight_gflops\": %.0f}",
           name, in, out, gigaflop / forward, gigaflop / d_in, gigaflop / d_weight);
    return forward + d_in + d_weight;
}

static void bench_products(struct bench *self)
{
    const struct model_shape *shape = self->shape;
    size_t w = shape->width;
    double seconds = 0.0;
    if (shape->is_gpt2) {
        seconds += bench_linear(self, "qkv", w, 3 * w, self->rows);
        seconds += bench_linear(self, "attention_out", w, w, self->rows);
        seconds += bench_linear(self, "up", w, shape->ffn, self->rows);
    } else {
        seconds += 4.0 * bench_linear(self, "square", w, w, self->rows);
        seconds += 2.0 * bench_linear(self, "up", w, shape->ffn, self->rows);
    }
    seconds += bench_linear(self, "down", shape->ffn, w, self->rows);
    self->layer_seconds = seconds;
    printf(",\n  \"layer_products_ms\": %.2f", seconds * 1e3);
    (void)bench_linear(self, "head", w, shape->vocab, shape->head_rows);
}

static void run_start_residual(struct bench *self)
{
    self->backend->start_residual(self->floats[0], self->floats[1], self->floats[2], self->rows,
                                  self->shape->width);
}

static void run_as_cells(struct bench *self)
{
    (void)self->backend->as_cells(self->cells[0], self->floats[0], self->rows * self->shape->width);
}

static void run_add_bias(struct bench *self)
{
    self->backend->add_bias(self->cells[0], self->floats[0], self->rows, 3 * self->shape->width);
}

static void run_bias_backward(struct bench *self)
{
    self->backend->bias_backward(self->floats[0], self->cells[0], self->rows, self->shape->ffn);
}

static void run_residual_bias_backward(struct bench *self)
{
    self->backend->residual_bias_backward(self->floats[0], self->floats[1], self->rows,
                                          self->shape->width);
}

static void run_embed(struct bench *self)
{
    self->backend->embed(self->floats[0], self->floats[1], NULL, self->ids, self->rows,
                         self->shape->width);
}

static void run_embed_backward(struct bench *self)
{
    self->backend->embed_backward(self->floats[0], NULL, self->floats[1], self->ids, self->rows,
                                  self->shape->width);
}

static void run_rmsnorm(struct bench *self)
{
    self->backend->rmsnorm(self->cells[0], self->row_statistics[0], self->floats[0],
                           self->floats[1], self->rows, self->shape->width, 1e-5F);
}

static void run_rmsnorm_backward(struct bench *self)
{
    self->backend->rmsnorm_backward(self->floats[0], self->floats[3], self->floats[1],
                                    self->floats[2], self->floats[3] + self->shape->width,
                                    self->row_statistics[0], self->rows, self->shape->width);
}

static void run_layernorm(struct bench *self)
{
    self->backend->layernorm(self->cells[0], self->row_statistics[0], self->row_statistics[1],
                             self->floats[0], self->floats[1], self->floats[2], self->rows,
                             self->shape->width, 1e-5F);
}

static void run_layernorm_backward(struct bench *self)
{
    size_t width = self->shape->width;
    self->backend->layernorm_backward(self->floats[0], self->floats[3], self->floats[3] + width,
                                      self->floats[1], self->floats[2], self->floats[3] + 2 * width,
                                      self->row_statistics[0], self->row_statistics[1], self->rows,
                                      width);
}

static void run_rope(struct bench *self)
{
    const struct model_shape *shape = self->shape;
    for (size_t i = 0; i < shape->sequences; i++) {
        self->backend->rope(cells_at(self->backend, self->cells[0], i * shape->rows * shape->width),
                            shape->rows, shape->heads, shape->width / shape->heads, shape->width,
                            10000.0F, 0, 1);
    }
}

static void run_attention(struct bench *self)
{
    const struct backend *b = self->backend;
    const struct attention_shape *shape = &self->attention;
    for (size_t i = 0; i < self->shape->sequences; i++) {
        const struct cells *q = cells_at(b, self->cells[0], i * shape->rows * shape->q_stride);
        b->attention(cells_at(b, self->cells[1], i * shape->rows * self->shape->width),
                     self->floats[0] + i * shape->rows * shape->head_count, q,
                     cells_at_const(b, q, self->shape->width),
                     cells_at_const(b, q, 2 * self->shape->width), shape, self->scratch);
    }
}

static void run_attention_backward(struct bench *self)
{
    const struct backend *b = self->backend;
    const struct attention_shape *shape = &self->attention;
    size_t width = self->shape->width;
    for (size_t i = 0; i < self->shape->sequences; i++) {
        const struct cells *q = cells_at(b, self->cells[0], i * shape->rows * shape->q_stride);
        struct cells *d_q = cells_at(b, self->cells[2], i * shape->rows * shape->q_stride);
        b->attention_backward(d_q, cells_at(b, d_q, width), cells_at(b, d_q, 2 * width),
                              cells_at(b, self->cells[3], i * shape->rows * width),
                              cells_at(b, self->cells[1], i * shape->rows * width),
                              self->floats[0] + i * shape->rows * shape->head_count, q,
                              cells_at_const(b, q, width), cells_at_const(b, q, 2 * width), shape,
                              self->scratch);
    }
}

static void run_swiglu(struct bench *self)
{
    self->backend->swiglu(self->cells[0], self->cells[1], self->cells[2],
                          self->rows * self->shape->ffn);
}

static void run_swiglu_backward(struct bench *self)
{
    self->backend->swiglu_backward(self->cells[0], self->cells[4], self->cells[5], self->cells[3],
                                   self->rows * self->shape->ffn);
}

static void run_bias_gelu(struct bench *self)
{
    self->backend->bias_gelu(self->cells[0], self->cells[4], self->floats[2], self->rows,
                             self->shape->ffn);
}

static void run_gelu_backward(struct bench *self)
{
    self->backend->gelu_backward(self->cells[0], self->cells[4], self->cells[3],
                                 self->rows * self->shape->ffn);
}

static void run_cross_entropy(struct bench *self)
{
    self->backend->cross_entropy(self->losses, (struct cells *)(void *)self->floats[0],
                                 self->floats[0], self->ids, self->shape->head_rows,
                                 self->shape->vocab);
}

/* Passes over (rows, columns) values that an operation must make, of cells and of floats; calls a
 * layer makes of it in gpt2 and in llama, 0 for what only the two ends of a model do. */
struct operation {
    const char *name;
    void (*run)(struct bench *);
    enum { WIDTH, QKV, FFN, LOGITS } columns;
    double cell_passes;
    double float_passes;
    unsigned calls[2];
};

static const struct operation OPERATIONS[] = {
    {"layernorm", run_layernorm, WIDTH, 1, 1, {2, 0}},
    {"layernorm_backward", run_layernorm_backward, WIDTH, 0, 4, {2, 0}},
    {"rmsnorm", run_rmsnorm, WIDTH, 1, 1, {0, 2}},
    {"rmsnorm_backward", run_rmsnorm_backward, WIDTH, 0, 4, {0, 2}},
    {"rope", run_rope, WIDTH, 2, 0, {0, 4}},
    {"attention", run_attention, WIDTH, 4, 0, {1, 1}},
    {"attention_backward", run_attention_backward, WIDTH, 8, 0, {1, 1}},
    {"start_residual", run_start_residual, WIDTH, 0, 2, {2, 2}},
    {"as_cells", run_as_cells, WIDTH, 1, 1, {2, 2}},
    {"add_bias", run_add_bias, QKV, 2, 0, {1, 0}},
    {"bias_backward", run_bias_backward, FFN, 1, 0, {2, 0}},
    {"residual_bias_backward", run_residual_bias_backward, WIDTH, 0, 1, {2, 0}},
    {"bias_gelu", run_bias_gelu, FFN, 3, 0, {1, 0}},
    {"gelu_backward", run_gelu_backward, FFN, 4, 0, {1, 0}},
    {"swiglu", run_swiglu, FFN, 3, 0, {0, 1}},
    {"swiglu_backward", run_swiglu_backward, FFN, 6, 0, {0, 1}},
    {"embed", run_embed, WIDTH, 0, 2, {0, 0}},
    {"embed_backward", run_embed_backward, WIDTH, 0, 3, {0, 0}},
    {"cross_entropy", run_cross_entropy, LOGITS, 1, 1, {0, 0}},
};

static void bench_operations(struct bench *self)
{
    const struct model_shape *shape = self->shape;
    const size_t columns[] = {shape->width, 3 * shape->width, shape->ffn, shape->vocab};
    double total = 0.0;
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof OPERATIONS[0]; i++) {
        const struct operation *op = &OPERATIONS[i];
        unsigned calls = op->calls[shape->is_gpt2 ? 0 : 1];
        if (calls == 0 && op->calls[shape->is_gpt2 ? 1 : 0] > 0) {
            continue;
        }
        size_t rows = op->columns == LOGITS ? shape->head_rows : self->rows;
        double values = (double)rows * (double)columns[op->columns];
        double bytes = values * (op->cell_passes * (double)self->backend->cell_bytes +
                                 op->float_passes * sizeof(float));
        fill(self, (size_t)values);
        double seconds = best_seconds(self, op->run, ROUNDS);
        double percent = 100.0 * calls * seconds / self->layer_seconds;
        total += percent;
        printf(",\n  \"%s\": {\"ms\": %.3f, \"gb_per_s\": %.1f, \"percent_of_products\": %.2f}",
               op->name, seconds * 1e3, bytes * 1e-9 / seconds, percent);
    }
    printf(",\n  \"all_operations_percent_of_products\": %.2f", total);
}

static float sum_of_reads(const float *x, size_t count)
{
    float sums[64] = {0};
    for (size_t i = 0; i + 64 <= count; i += 64) {
        for (size_t j = 0; j < 64; j++) {
            sums[j] += x[i + j];
        }
    }
    float total = 0.0F;
    for (size_t j = 0; j < 64; j++) {
        total += sums[j];
    }
    return total;
}

static volatile float keep; /* so that the reads are not left out */

static void run_read(struct bench *self)
{
    const float *x = (const float *)(const void *)self->cells[1];
    keep = sum_of_reads(x, self->product.n * self->product.k * self->backend->cell_bytes /
                               sizeof(float));
}

/* What decoding does: few rows against a large matrix, which has to be read once. */
static void bench_few_rows(struct bench *self, size_t in, size_t out)
{
    double bytes = (double)in * (double)out * (double)self->backend->cell_bytes;
    fill(self, in * out);
    self->product = (struct matmul){.n = out, .k = in};
    double read = best_seconds(self, run_read, ROUNDS);
    printf(",\n  \"few_rows_%zu_%zu\": {\"read_gb_per_s\": %.1f", in, out, bytes * 1e-9 / read);
    for (size_t rows = 1; rows <= 8; rows *= 2) {
        struct matmul product = {.b_transposed = true, .m = rows, .n = out, .k = in};
        double transposed = time_product(self, product, false);
        product.b_transposed = false;
        double plain = time_product(self, product, false);
        printf(", \"rows_%zu_transposed\": %.1f, \"rows_%zu\": %.1f", rows,
               bytes * 1e-9 / transposed, rows, bytes * 1e-9 / plain);
    }
    printf("}");
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int bench_init(struct bench *self, const struct model_shape *shape)
{
    self->shape = shape;
    self->rows = shape->rows * shape->sequences;
    self->attention = (struct attention_shape){.rows = shape->rows,
                                               .head_count = shape->heads,
                                               .kv_head_count = shape->heads,
                                               .head_size = shape->width / shape->heads,
                                               .q_stride = 3 * shape->width,
                                               .kv_stride = 3 * shape->width};
    size_t count = larger(shape->vocab * shape->width, self->rows * shape->ffn);
    count = larger(count, shape->vocab * shape->head_rows);
    count = larger(count, self->rows * 3 * shape->width);
    const struct backend *b = self->backend;
    self->losses = calloc(self->rows, sizeof *self->losses);
    self->ids = calloc(self->rows, sizeof *self->ids);
    self->scratch = b->allocate(b->attention_scratch(&self->attention));
    self->row_statistics[0] = b->allocate(self->rows * sizeof(float));
    self->row_statistics[1] = b->allocate(self->rows * sizeof(float));
    bool complete = self->losses != NULL && self->ids != NULL && self->scratch != NULL &&
                    self->row_statistics[0] != NULL && self->row_statistics[1] != NULL;
    for (size_t i = 0; i < 4; i++) {
        self->floats[i] = b->allocate(count * sizeof(float));
        complete = complete && self->floats[i] != NULL;
    }
    for (size_t i = 0; i < 6; i++) {
        self->cells[i] = b->allocate(count * b->cell_bytes);
        complete = complete && self->cells[i] != NULL;
    }
    if (complete) {
        fill(self, count);
    }
    for (size_t t = 0; complete && t < self->rows; t++) {
        self->ids[t] = (uint16_t)(t * 977 % shape->vocab);
    }
    return complete;
}

static void bench_deinit(struct bench *self)
{
    for (size_t i = 0; i < 6; i++) {
        self->backend->release(self->cells[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        self->backend->release(self->floats[i]);
    }
    self->backend->release(self->row_statistics[0]);
    self->backend->release(self->row_statistics[1]);
    self->backend->release(self->scratch);
    free(self->losses);
    free(self->ids);
}

int main(int argc, char **argv)
{
    struct bench bench = {.backend = NULL};
    if (backend_find(argc > 1 ? argv[1] : "cpu", &bench.backend) != STATUS_OK) {
        (void)fprintf(stderr, "bench_kernels: %s\n", fault_text());
        return 64;
    }
    printf("{\"backend\": \"%s\"", bench.backend->name);
    for (size_t i = 0; i < sizeof SHAPES / sizeof SHAPES[0]; i++) {
        if (!bench_init(&bench, &SHAPES[i])) {
            (void)fprintf(stderr, "bench_kernels: no memory\n");
            return 1;
        }
        printf(",\n \"%s\": {\"rows\": %zu", SHAPES[i].name, bench.rows);
        bench_products(&bench);
        bench_operations(&bench);
        bench_few_rows(&bench, bench.shape->width, bench.shape->ffn);
        bench_few_rows(&bench, bench.shape->width, bench.shape->vocab);
        printf("}");
        bench_deinit(&bench);
    }
    printf("}\n");
    return 0;
}
