/* Products through oneDNN 2.x. A product of given sizes is a compiled kernel behind several
 * objects, too slow to make for each call, so every thread keeps those it used last. They are kept
 * by thread because a call points their memory objects at its matrices, and because their working
 * memory (up to about 200 KiB for gpt2-124m's shapes) is oneDNN's own, one piece a thread. The
 * kernels themselves are shared between threads by oneDNN. */
#include "trainer/backend/bf16.h"

#include "common/half.h"

#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
void omp_set_num_threads(int count); /* <omp.h>, which not every compiler of ours has */
#endif

enum { CACHE_SETS = 64, CACHE_WAYS = 4, CACHE_SLOTS = CACHE_SETS * CACHE_WAYS };

struct key {
    size_t m, n, k, a_stride;
    unsigned kind; /* form, and which of a and b are transposed */
};

/* A product that oneDNN has compiled; primitive NULL: an empty slot. */
struct compiled {
    struct key key;
    uint64_t used_at;
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, out;
};

struct cache {
    dnnl_stream_t stream;
    uint64_t clock; /* counts uses */
    struct compiled slots[CACHE_SETS][CACHE_WAYS];
};

static dnnl_engine_t engine;
static pthread_key_t cache_key; /* its destructor ends a thread's cache */
static _Thread_local struct cache *thread_cache;

static void compiled_deinit(struct compiled *self)
{
    (void)dnnl_memory_destroy(self->a);
    (void)dnnl_memory_destroy(self->b);
    (void)dnnl_memory_destroy(self->out);
    (void)dnnl_primitive_destroy(self->primitive);
    *self = (struct compiled){0};
}

static void cache_free(void *memory)
{
    struct cache *self = memory;
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        compiled_deinit(&self->slots[i / CACHE_WAYS][i % CACHE_WAYS]);
    }
    (void)dnnl_stream_destroy(self->stream);
    free(self);
}

/* NULL when there is no memory. */
static struct cache *cache_of_thread(void)
{
    if (thread_cache != NULL) {
        return thread_cache;
    }
    struct cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return NULL;
    }
    if (dnnl_stream_create(&cache->stream, engine, dnnl_stream_default_flags) != dnnl_success ||
        pthread_setspecific(cache_key, cache) != 0) {
        cache_free(cache);
        return NULL;
    }
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
    omp_set_num_threads(1); /* of this thread's products: parallelism is over sequences */
#endif
    thread_cache = cache;
    return cache;
}

/* A row-major matrix (rows, columns) for oneDNN, or the transpose of one that is stored as
 * (columns, rows); stored rows are `stride` apart. */
static bool describe(dnnl_memory_desc_t *out, size_t rows, size_t columns, size_t stride,
                     bool transposed, dnnl_data_type_t type)
{
    dnnl_dims_t sizes = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    dnnl_dims_t strides = {(dnnl_dim_t)(transposed ? 1 : stride),
                           (dnnl_dim_t)(transposed ? stride : 1)};
    return dnnl_memory_desc_init_by_strides(out, 2, sizes, type, strides) == dnnl_success;
}

struct shapes {
    dnnl_memory_desc_t a, b, out;
};

static bool describe_all(struct shapes *out, const struct matmul *p, enum bf16_form form)
{
    size_t b_stride = p->b_transposed ? p->k : p->n;
    return describe(&out->a, p->m, p->k, matmul_a_stride(p), p->a_transposed, dnnl_bf16) &&
           describe(&out->b, p->k, p->n, b_stride, p->b_transposed, dnnl_bf16) &&
           describe(&out->out, p->m, p->n, p->n, false, form == BF16_CELLS ? dnnl_bf16 : dnnl_f32);
}

static bool accumulate_into_out(dnnl_primitive_attr_t attributes)
{
    dnnl_post_ops_t operations = NULL;
    if (dnnl_post_ops_create(&operations) != dnnl_success) {
        return false;
    }
    bool done = dnnl_post_ops_append_sum(operations, 1.0F) == dnnl_success &&
                dnnl_primitive_attr_set_post_ops(attributes, operations) == dnnl_success;
    (void)dnnl_post_ops_destroy(operations);
    return done;
}

/* What oneDNN would run for these shapes; the caller destroys *out. */
static bool choose_kernel(dnnl_primitive_desc_t *out, const struct shapes *shapes,
                          enum bf16_form form)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_matmul_desc_t matmul;
    if (dnnl_primitive_attr_create(&attributes) != dnnl_success) {
        return false;
    }
    bool done = (form != BF16_FLOAT_ADD || accumulate_into_out(attributes)) &&
                dnnl_matmul_desc_init(&matmul, &shapes->a, &shapes->b, NULL, &shapes->out) ==
                    dnnl_success &&
                dnnl_primitive_desc_create(out, &matmul, attributes, engine, NULL) == dnnl_success;
    (void)dnnl_primitive_attr_destroy(attributes);
    return done;
}

static bool compile(struct compiled *out, const struct matmul *p, enum bf16_form form)
{
    struct shapes shapes;
    dnnl_primitive_desc_t kernel = NULL;
    *out = (struct compiled){0};
    if (!describe_all(&shapes, p, form) || !choose_kernel(&kernel, &shapes, form)) {
        return false;
    }
    bool done =
        dnnl_primitive_create(&out->primitive, kernel) == dnnl_success &&
        dnnl_memory_create(&out->a, &shapes.a, engine, DNNL_MEMORY_NONE) == dnnl_success &&
        dnnl_memory_create(&out->b, &shapes.b, engine, DNNL_MEMORY_NONE) == dnnl_success &&
        dnnl_memory_create(&out->out, &shapes.out, engine, DNNL_MEMORY_NONE) == dnnl_success;
    (void)dnnl_primitive_desc_destroy(kernel);
    if (!done) {
        compiled_deinit(out);
    }
    return done;
}

static bool same_key(const struct key *a, const struct key *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->a_stride == b->a_stride &&
           a->kind == b->kind;
}

static size_t set_of(const struct key *key)
{
    uint64_t hash = key->m;
    hash = (hash ^ key->n << 20) * 0x9e3779b97f4a7c15U;
    hash = (hash ^ hash >> 32 ^ key->k) * 0x9e3779b97f4a7c15U;
    hash = (hash ^ hash >> 32 ^ key->a_stride) * 0x9e3779b97f4a7c15U;
    return (size_t)(hash >> 32) % CACHE_SETS;
}

/* The thread's compiled product, made on first use in the slot unused for longest; NULL when
 * oneDNN cannot make it. */
static struct compiled *find_or_compile(struct cache *cache, const struct matmul *p,
                                        enum bf16_form form)
{
    struct key key = {p->m, p->n, p->k, matmul_a_stride(p),
                      (unsigned)form << 2 | (unsigned)p->a_transposed << 1 |
                          (unsigned)p->b_transposed};
    struct compiled *slots = cache->slots[set_of(&key)];
    struct compiled *oldest = slots;
    cache->clock++;
    for (size_t i = 0; i < CACHE_WAYS; i++) {
        if (slots[i].primitive != NULL && same_key(&slots[i].key, &key)) {
            slots[i].used_at = cache->clock;
            return &slots[i];
        }
        oldest = slots[i].used_at < oldest->used_at ? &slots[i] : oldest;
    }
    compiled_deinit(oldest);
    if (!compile(oldest, p, form)) {
        return NULL;
    }
    oldest->key = key;
    oldest->used_at = cache->clock;
    return oldest;
}

/* oneDNN only reads its sources, though what it takes is not const. */
static bool point_at(dnnl_memory_t memory, const struct cells *cells)
{
    void *handle = NULL;
    memcpy(&handle, &cells, sizeof(handle));
    return dnnl_memory_set_data_handle(memory, handle) == dnnl_success;
}

static bool execute(struct cache *cache, struct compiled *compiled, void *out,
                    const struct matmul *p)
{
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, compiled->a},
                                         {DNNL_ARG_WEIGHTS, compiled->b},
                                         {DNNL_ARG_DST, compiled->out}};
    return point_at(compiled->a, p->a) && point_at(compiled->b, p->b) &&
           dnnl_memory_set_data_handle(compiled->out, out) == dnnl_success &&
           dnnl_primitive_execute(compiled->primitive, cache->stream, 3, arguments) == dnnl_success;
}

bool bf16_multiply_compiled(struct bf16_out out, const struct matmul *p)
{
    struct cache *cache = cache_of_thread();
    struct compiled *compiled = cache != NULL ? find_or_compile(cache, p, out.form) : NULL;
    return compiled != NULL && execute(cache, compiled, out.to, p);
}

void bf16_multiply_plain(struct bf16_out out, const struct matmul *p)
{
    size_t a_stride = matmul_a_stride(p);
    size_t a_row = p->a_transposed ? 1 : a_stride;
    size_t a_step = p->a_transposed ? a_stride : 1;
    size_t b_column = p->b_transposed ? p->k : 1;
    size_t b_step = p->b_transposed ? 1 : p->n;
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->n; j++) {
            const uint16_t *a = halves_const(p->a) + i * a_row;
            const uint16_t *b = halves_const(p->b) + j * b_column;
            float sum = 0.0F;
            for (size_t l = 0; l < p->k; l++) {
                sum += half_from_bf16(a[l * a_step]) * half_from_bf16(b[l * b_step]);
            }
            bf16_emit(out, i * p->n + j, &sum, 1);
        }
    }
}

static void multiply(struct bf16_out out, const struct matmul *p)
{
    if (p->m == 1 && p->a_stride == 0) {
        const struct bf16_row_product row = {.x = halves_const(p->a),
                                             .b = halves_const(p->b),
                                             .stride = p->b_transposed ? p->k : p->n,
                                             .b_transposed = p->b_transposed,
                                             .n = p->n,
                                             .k = p->k};
        bf16_multiply_row(out, &row);
    } else if (p->m * p->n * p->k == 0 || !bf16_multiply_compiled(out, p)) {
        bf16_multiply_plain(out, p);
    }
}

void bf16_matmul(struct cells *out, const struct matmul *product)
{
    multiply((struct bf16_out){out, BF16_CELLS}, product);
}

void bf16_matmul_float(float *out, const struct matmul *product, bool accumulate)
{
    multiply((struct bf16_out){out, accumulate ? BF16_FLOAT_ADD : BF16_FLOAT}, product);
}

/* Whether oneDNN compiles for the CPU's bfloat16 instructions; its own loops are far too slow. */
static bool kernels_are_compiled(void)
{
    const struct matmul p = {.m = 64, .n = 64, .k = 64};
    struct shapes shapes;
    dnnl_primitive_desc_t kernel = NULL;
    const char *name = "";
    if (!describe_all(&shapes, &p, BF16_FLOAT) || !choose_kernel(&kernel, &shapes, BF16_FLOAT)) {
        return false;
    }
    bool named = dnnl_primitive_desc_query(kernel, dnnl_query_impl_info_str, 0, (void *)&name) ==
                 dnnl_success;
    bool compiled = named && strncmp(name, "ref", 3) != 0;
    (void)dnnl_primitive_desc_destroy(kernel);
    return compiled;
}

/* 3 x 5 = 15: the whole way through, once, so that what cannot work here shows at the start. */
static bool multiplies(void)
{
    enum { SIZE = 2 };
    const uint16_t a[SIZE] = {half_to_bf16(3.0F), half_to_bf16(0.0F)};
    const uint16_t b[SIZE] = {half_to_bf16(5.0F), half_to_bf16(0.0F)};
    float out[SIZE * SIZE] = {0};
    const struct matmul p = {.a = as_cells(a), .b = as_cells(b), .m = SIZE, .n = SIZE, .k = 1};
    struct cache *cache = cache_of_thread();
    return cache != NULL && bf16_multiply_compiled((struct bf16_out){out, BF16_FLOAT}, &p) &&
           out[0] == 15.0F && out[1] == 0.0F && out[2] == 0.0F && out[3] == 0.0F;
}

static pthread_once_t start_once = PTHREAD_ONCE_INIT;
static const char *start_failure; /* NULL: products work */

static void start(void)
{
    /* Its own cache, shared by all threads, would keep 1024 kernels of about 90 KiB. */
    if (dnnl_set_primitive_cache_capacity(CACHE_SLOTS) != dnnl_success ||
        pthread_key_create(&cache_key, cache_free) != 0 ||
        dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) {
        start_failure = "oneDNN did not start";
    } else if (((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)dnnl_cpu_isa_avx512_core_bf16) !=
               (unsigned)dnnl_cpu_isa_avx512_core_bf16) {
        start_failure = "oneDNN does not use this CPU's bfloat16 instructions; is "
                        "ONEDNN_MAX_CPU_ISA set?";
    } else if (!kernels_are_compiled() || !multiplies()) {
        start_failure = "oneDNN cannot compile bfloat16 products here";
    }
}

bool bf16_products_start(const char **reason)
{
    (void)pthread_once(&start_once, start);
    *reason = start_failure;
    return start_failure == NULL;
}
