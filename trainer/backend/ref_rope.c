/* Rotary position embedding (Su et al., arXiv 2104.09864), half-split pairs as Hugging Face. */
#include "trainer/backend/ref.h"

#include <math.h>

void ref_rope(struct cells *x, size_t rows, size_t heads, size_t head_size, size_t stride,
              float theta, size_t first, int direction)
{
    size_t half = head_size / 2;
    for (size_t i = 0; i < half; i++) {
        double frequency = pow((double)theta, -2.0 * (double)i / (double)head_size);
        for (size_t t = 0; t < rows; t++) {
            double angle = (double)(first + t) * frequency * direction;
            float cosine = (float)cos(angle);
            float sine = (float)sin(angle);
            for (size_t h = 0; h < heads; h++) {
                float *low = floats(x) + t * stride + h * head_size + i;
                float *high = low + half;
                float low_value = *low;
                *low = low_value * cosine - *high * sine;
                *high = *high * cosine + low_value * sine;
            }
        }
    }
}
