/* shapes - what the operations of a backend work on.
 *
 * Part of backend.h, which says what the letters mean. */
#ifndef DUGNAD_TRAINER_BACKEND_SHAPES_H
#define DUGNAD_TRAINER_BACKEND_SHAPES_H

#include <stdbool.h>
#include <stddef.h>

/* Values in the backend's own precision. Only cells_at() moves a pointer to them. */
struct cells;

/* op(a)(m,k) op(b)(k,n); op transposes when the flag is set. Strides are the natural ones of the
 * stored shapes, but for a's. */
struct matmul {
    const struct cells *a;
    bool a_transposed;
    const struct cells *b;
    bool b_transposed;
    size_t m, n, k;
    size_t a_stride; /* cells from one stored row of a to the next, for a part of a's columns; 0:
                        the natural one */
};

static inline size_t matmul_a_stride(const struct matmul *product)
{
    size_t natural = product->a_transposed ? product->m : product->k;
    return product->a_stride > 0 ? product->a_stride : natural;
}

/* Rows of q stand at positions [first, first + rows) of their sequence; keys and values are those
 * of positions [0, first + rows), and row i sees the keys up to first + i. */
struct attention_shape {
    size_t rows;          /* T */
    size_t first;         /* 0 in training; attention_backward takes 0 only */
    size_t head_count;    /* H */
    size_t kv_head_count; /* K */
    size_t head_size;     /* D */
    size_t q_stride;      /* cells from one row of q (and d q) to the next */
    size_t kv_stride;     /* the same for k, v (and d k, d v) */
};

#endif
