/* checkpoint_parts - the safetensors files of a checkpoint: which there are, and the vectors of a
 * master that they hold. Private to checkpoint*.c. */
#ifndef DUGNAD_COORDINATOR_STORE_CHECKPOINT_PARTS_H
#define DUGNAD_COORDINATOR_STORE_CHECKPOINT_PARTS_H

#include "coordinator/store/run_dir.h"
#include "trainer/optimizer/master.h"

enum { PART_NAME_MAX = 64, PARTS_MAX = 3 + OPTIMIZER_STATES_MAX };

struct part {
    char name[PART_NAME_MAX];
    float *values; /* (count), the master's */
    size_t count;
    bool per_block; /* one vector, not the model's tensors */
};

struct parts {
    struct part items[PARTS_MAX];
    size_t count;
};

/* The model comes first: hf_folder_write makes its file. The residual comes last: a checkpoint of
 * another mean codec lacks it. */
struct parts parts_of(const struct layout *layout, struct master *master);

/* Hash of folder/name. Errors: NO_INPUT, IO, USAGE. */
MUST_CHECK enum status part_hash(const char *folder, const char *name, struct digest *out);

/* Errors: CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status part_write(const char *folder, const struct part *part,
                                  const struct layout *layout);

/* Reads the file into the part's values. Errors: NO_INPUT, BAD_DATA, BAD_SHAPE, NO_MEMORY. */
MUST_CHECK enum status part_read(const char *folder, const struct part *part,
                                 const struct layout *layout);

/* Compares the file with the part's values. Errors: CORRUPT (they differ), and those of part_read.
 */
MUST_CHECK enum status part_compare(const char *folder, const struct part *part,
                                    const struct layout *layout);

#endif
