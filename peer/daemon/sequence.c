#include "peer/daemon/sequence.h"

#include "common/fault.h"
#include "proto/wire_messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 24 }; /* 19 digits, a newline, a NUL, and room to see that there is more */

/* One spelling: digits without a leading zero, and a newline. */
static bool read_number(const char *text, size_t size_bytes, uint64_t *out)
{
    uint64_t value = 0;
    if (size_bytes < 2 || text[size_bytes - 1] != '\n' || text[0] == '0') {
        return false;
    }
    for (size_t i = 0; i + 1 < size_bytes; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (text[i] < '0' || text[i] > '9' || value > (WIRE_SEQUENCE_MAX - digit) / 10) {
            return false;
        }
        value = 10 * value + digit;
    }
    *out = value;
    return true;
}

static enum status damaged(const char *path)
{
    return fault(STATUS_BAD_DATA,
                 "%s is damaged: it must hold one number; remove it, and if the coordinator then "
                 "refuses this key, ask the run's owner for 'dugnad-coordinator allow' with the "
                 "key that 'dugnad-peer key' prints",
                 path);
}

enum status sequence_open(const char *folder, struct sequence *out)
{
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    out->last = 0;
    enum status status = files_join(folder, "sequence", out->path);
    if (status != STATUS_OK || !files_exists(out->path)) {
        return status;
    }
    status = files_read(out->path, TEXT_MAX, &text, &size_bytes);
    if (status == STATUS_BAD_DATA) {
        return damaged(out->path);
    }
    if (status == STATUS_OK && !read_number((const char *)text, size_bytes, &out->last)) {
        status = damaged(out->path);
    }
    free(text);
    return status;
}

enum status sequence_next(struct sequence *self, uint64_t *out)
{
    char text[TEXT_MAX];
    if (self->last >= WIRE_SEQUENCE_MAX) {
        return fault(STATUS_OUT_OF_RANGE,
                     "%s holds the highest number there is; begin with another --state folder",
                     self->path);
    }
    int length = snprintf(text, sizeof text, "%" PRIu64 "\n", self->last + 1);
    enum status status = files_write_atomic(self->path, text, (size_t)length, 0600);
    if (status == STATUS_OK) {
        *out = ++self->last;
    }
    return status;
}
