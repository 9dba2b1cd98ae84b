/* blocks - the parameters cut into the blocks that share one second moment in Adam-mini.
 *
 * The partition for Transformers of Zhang et al., arXiv 2406.16793, algorithm 3: embeddings,
 * positions and the output head by token (a row each), query and key weights by head, all other
 * matrices by output neuron, vectors whole. gpt2's c_attn is cut as the query, key and value
 * weights that it is made of, and its Conv1D weights are [in, out], so an output neuron there is a
 * column. Pure; immutable after blocks_new. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_BLOCKS_H
#define DUGNAD_TRAINER_OPTIMIZER_BLOCKS_H

#include "trainer/layout/layout.h"

/* How one tensor is cut. Either each block is `run` consecutive values; or, when run is 0, blocks
 * are columns of its rows of `row_length` values: `head_width` of the first `head_columns` columns
 * to a block, then each column by itself. */
struct tensor_blocks {
    size_t first; /* index of its first block among all */
    size_t count;
    size_t run;
    size_t row_length;
    size_t head_columns;
    size_t head_width;
};

struct blocks;

/* `layout` is that of `model`. The caller owns *out. Errors: NO_MEMORY. */
MUST_CHECK enum status blocks_new(const struct layout *layout, const struct model_config *model,
                                  struct blocks **out);
void blocks_free(struct blocks *self); /* NULL is allowed. */

/* Blocks of all tensors. */
size_t blocks_count(const struct blocks *self);
const struct tensor_blocks *blocks_of(const struct blocks *self, size_t tensor);

/* blocks_count without the blocks. */
size_t blocks_count_in(const struct layout *layout, const struct model_config *model);

#endif
