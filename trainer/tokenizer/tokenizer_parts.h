/* tokenizer_parts - what a tokenizer is made of. Private to trainer/tokenizer. */
#ifndef DUGNAD_TRAINER_TOKENIZER_TOKENIZER_PARTS_H
#define DUGNAD_TRAINER_TOKENIZER_TOKENIZER_PARTS_H

#include "trainer/tokenizer/added_set.h"
#include "trainer/tokenizer/bpe.h"
#include "trainer/tokenizer/pattern.h"
#include "trainer/tokenizer/piece_table.h"
#include "trainer/tokenizer/recipe.h"
#include "trainer/tokenizer/tokenizer.h"

struct tokenizer {
    bool is_bytes; /* the byte tokenizer: of the rest only the recipe's tokens are used */
    char name[TOKENIZER_NAME_MAX];
    struct recipe recipe;
    struct bpe bpe;
    struct piece_table pieces; /* tokens that are the ids of themselves as a piece */
    struct pattern *pattern;
    struct added_set raw, normalized;
};

/* Takes the recipe, also on error, and leaves it empty. Errors: BAD_DATA, NO_MEMORY. */
MUST_CHECK enum status tokenizer_take_recipe(struct recipe *recipe, struct tokenizer **out);

/* The recipe's fault, told again with the name of the file that it came from. */
enum status tokenizer_name_fault(const char *path, enum status status);

#endif
