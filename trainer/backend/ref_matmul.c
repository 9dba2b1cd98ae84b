#include "trainer/backend/ref.h"

void ref_matmul(float *out, const float *a, bool a_transposed, const float *b, bool b_transposed,
                size_t m, size_t n, size_t k, bool accumulate)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (size_t l = 0; l < k; l++) {
                float left = a_transposed ? a[l * m + i] : a[i * k + l];
                float right = b_transposed ? b[j * k + l] : b[l * n + j];
                sum += (double)left * (double)right;
            }
            out[i * n + j] = (accumulate ? out[i * n + j] : 0.0F) + (float)sum;
        }
    }
}
