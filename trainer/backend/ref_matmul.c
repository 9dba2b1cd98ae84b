#include "trainer/backend/ref.h"

void ref_matmul_float(float *out, const struct matmul *product, bool accumulate)
{
    const float *a = floats_const(product->a);
    const float *b = floats_const(product->b);
    size_t m = product->m;
    size_t n = product->n;
    size_t k = product->k;
    size_t a_stride = matmul_a_stride(product);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (size_t l = 0; l < k; l++) {
                float left = product->a_transposed ? a[l * a_stride + i] : a[i * a_stride + l];
                float right = product->b_transposed ? b[j * k + l] : b[l * n + j];
                sum += (double)left * (double)right;
            }
            out[i * n + j] = (accumulate ? out[i * n + j] : 0.0F) + (float)sum;
        }
    }
}

void ref_matmul(struct cells *out, const struct matmul *product)
{
    ref_matmul_float(floats(out), product, false);
}
