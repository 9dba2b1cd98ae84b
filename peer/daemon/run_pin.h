/* run_pin - the shape of a run, as its coordinator described it at first, kept in the state folder.
 *
 * A run's model never changes. Who says otherwise later has made a mistake or was replaced by
 * somebody else, and gets neither this machine's memory for it nor its work. Settings that may
 * change while a run goes on (codec, target batch, learning rate, staleness) are no part of it. */
#ifndef DUGNAD_PEER_DAEMON_RUN_PIN_H
#define DUGNAD_PEER_DAEMON_RUN_PIN_H

#include "common/digest.h"
#include "proto/wire.h"

enum { RUN_PINS_MAX = 256, RUN_PIN_FILE_BYTES_MAX = 128 * 1024 };

struct run_shape {
    struct digest run_id;
    struct digest model; /* of all sizes and constants, however they were written down */
    uint32_t context;
    uint32_t vocab_size;
    uint64_t parameters;
};

/* What a welcome describes; allocates next to nothing. Errors: those of model_config_from_json and
 * layout_new, with a sentence. */
MUST_CHECK enum status run_shape_read(const struct wire_welcome *welcome, struct run_shape *out);

/* Errors: REFUSED with a sentence that says what is another now, and how `where` (a path, or NULL:
 * starting again) helps; OK when `now` is of another run. */
MUST_CHECK enum status run_shape_compare(const struct run_shape *before,
                                         const struct run_shape *now, const char *where);

/* Compares with what STATE/runs/<coordinator key>.json says of this run, or adds it there when the
 * run is new. `bytes_max` is for all of the state folder. Errors: REFUSED; BAD_DATA (the file is
 * damaged); FULL (runs); CANNOT_CREATE, IO; each with a sentence, and the file is as it was. */
MUST_CHECK enum status run_pin_check(const char *state, uint64_t bytes_max,
                                     const uint8_t coordinator_key[IDENTITY_KEY_BYTES],
                                     const struct run_shape *shape);

#endif
