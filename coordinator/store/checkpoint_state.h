/* checkpoint_state - state.json of a checkpoint. Private to checkpoint*.c.
 *
 * {"version":..,"optimizer":"..","mean_codec":"..","digest":"..","blake2b":{FILE:HASH,..},"journal":{..},"self":".."};
 * "self" is the hash of all the rest, printed without spaces and with sorted keys. Checkpoints of
 * earlier releases have neither "mean_codec" nor "journal" nor "self". */
#ifndef DUGNAD_COORDINATOR_STORE_CHECKPOINT_STATE_H
#define DUGNAD_COORDINATOR_STORE_CHECKPOINT_STATE_H

#include "coordinator/store/checkpoint.h"
#include "coordinator/store/checkpoint_parts.h"

struct checkpoint_state {
    uint64_t version;
    enum optimizer_kind optimizer;
    enum codec mean_codec; /* with mx8 there is a residual */
    struct digest digest;  /* of P */
    bool has_mark;
    struct checkpoint_mark mark;
    size_t file_count;
    struct {
        char name[PART_NAME_MAX];
        struct digest hash;
    } files[PARTS_MAX];
};

/* Writes folder/state.json. Errors: CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status checkpoint_state_write(const char *folder,
                                              const struct checkpoint_state *self);

/* Reads folder/state.json, which must be that of `version`. Errors: NO_INPUT, BAD_DATA, IO,
 * NO_MEMORY. */
MUST_CHECK enum status checkpoint_state_read(const char *folder, uint64_t version,
                                             struct checkpoint_state *out);

#endif
