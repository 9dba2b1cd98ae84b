/* What the tokenizer will offer; the byte tokenizer's answers until it does. */
#include "trainer/tokenizer/tokenizer.h"

__attribute__((weak)) size_t tokenizer_safe_length(const struct tokenizer *self,
                                                   const uint8_t *text, size_t length)
{
    (void)self;
    (void)text;
    return length;
}

__attribute__((weak)) int32_t tokenizer_end_id(const struct tokenizer *self)
{
    (void)self;
    return -1;
}
