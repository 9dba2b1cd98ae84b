#include "common/half.h"
#include "trainer/backend/bf16.h"
#include "trainer/backend/rope_angles.h"

VECTOR_CLONES static void rotate_rows(uint16_t *x, size_t rows, size_t heads, size_t head_size,
                                      size_t stride, struct rope_angles *angles)
{
    for (size_t t = 0; t < rows; t++) {
        float cosine[PAIR_BLOCK];
        float sine[PAIR_BLOCK];
        rope_angles_next(angles, cosine, sine);
        for (size_t h = 0; h < heads; h++) {
            uint16_t *restrict low = x + t * stride + h * head_size;
            uint16_t *restrict high = low + head_size / 2;
            for (size_t i = 0; i < angles->count; i++) {
                float a = half_from_bf16(low[i]);
                float b = half_from_bf16(high[i]);
                low[i] = half_to_bf16(a * cosine[i] - b * sine[i]);
                high[i] = half_to_bf16(b * cosine[i] + a * sine[i]);
            }
        }
    }
}

void bf16_rope(struct cells *x, size_t rows, size_t heads, size_t head_size, size_t stride,
               float theta, size_t first, int direction)
{
    for (size_t pair = 0; pair < head_size / 2; pair += PAIR_BLOCK) {
        struct rope_angles angles;
        rope_angles_init(&angles, pair, head_size, theta, first, direction);
        rotate_rows(halves(x) + pair, rows, heads, head_size, stride, &angles);
    }
}
