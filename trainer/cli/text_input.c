#include "trainer/cli/text_input.h"

#include "common/fault.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 1 << 16 };

/* Reads to the end, into a buffer that doubles and has room for one byte more than size_max. */
static enum status read_all(FILE *stream, const char *name, size_t size_max, uint8_t **data,
                            size_t *size_bytes)
{
    size_t room = 0;
    while (feof(stream) == 0) {
        if (*size_bytes == room) {
            room = room == 0 ? FIRST_BYTES : 2 * room;
            room = room > size_max ? size_max + 1 : room;
            uint8_t *larger = realloc(*data, room);
            if (larger == NULL) {
                return fault(STATUS_NO_MEMORY, "no memory to read %s", name);
            }
            *data = larger;
        }
        *size_bytes += fread(*data + *size_bytes, 1, room - *size_bytes, stream);
        if (ferror(stream) != 0) {
            return fault(STATUS_IO, "reading %s failed: %s", name, strerror(errno));
        }
        if (*size_bytes > size_max) {
            return fault(STATUS_FULL, "%s has more than %zu bytes; give a shorter text", name,
                         size_max);
        }
    }
    return STATUS_OK;
}

enum status text_input_read(const char *path, size_t size_max, uint8_t **out, size_t *out_bytes)
{
    *out = NULL;
    *out_bytes = 0;
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    FILE *stream = standard ? stdin : fopen(path, "rbe");
    if (stream == NULL) {
        return fault(STATUS_NO_INPUT, "cannot read %s: %s", path, strerror(errno));
    }
    enum status status = read_all(stream, name, size_max, out, out_bytes);
    if (!standard) {
        (void)fclose(stream);
    }
    if (status != STATUS_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}
