#include "trainer/optimizer/segment.h"

enum { LANES = 8 };

struct segment segment_next(const struct layout *layout, size_t *tensor, size_t position,
                            size_t end)
{
    struct segment segment = {.first = position, .end = end, .padding = true};
    for (; *tensor < layout_tensor_count(layout); (*tensor)++) {
        const struct tensor_spec *spec = layout_tensor(layout, *tensor);
        if (position < spec->offset) { /* in front of this tensor */
            segment.end = spec->offset < end ? spec->offset : end;
            break;
        }
        size_t tensor_end = spec->offset + spec->count;
        if (position < tensor_end) {
            segment.end = tensor_end < end ? tensor_end : end;
            segment.tensor = *tensor;
            segment.padding = false;
            segment.decayed = spec->decayed;
            break;
        }
    }
    return segment;
}

double segment_squares(const float *values, size_t count)
{
    double lanes[LANES] = {0};
    size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++) {
            double value = (double)values[i + lane];
            lanes[lane] += value * value;
        }
    }
    for (size_t i = whole; i < count; i++) {
        double value = (double)values[i];
        lanes[i - whole] += value * value;
    }
    double sum = 0;
    for (size_t lane = 0; lane < LANES; lane++) {
        sum += lanes[lane];
    }
    return sum;
}
