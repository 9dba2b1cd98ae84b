#include "tests/integration/hostile/capture.h"

#include "tests/integration/hostile/raw_zmtp.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 256 * 1024 * 1024 };

bool capture_write(FILE *file, const uint8_t *data, size_t size_bytes)
{
    uint32_t length = (uint32_t)size_bytes;
    return fwrite(&length, sizeof length, 1, file) == 1 &&
           fwrite(data, 1, size_bytes, file) == size_bytes && fflush(file) == 0;
}

static bool load(const char *path, uint8_t **out, size_t *out_size_bytes)
{
    FILE *file = fopen(path, "rb");
    long size = 0;
    if (file == NULL) {
        return false;
    }
    bool good = fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0 && size < FILE_MAX &&
                fseek(file, 0, SEEK_SET) == 0;
    *out = good ? malloc((size_t)size) : NULL;
    *out_size_bytes = (size_t)size;
    good = *out != NULL && fread(*out, 1, (size_t)size, file) == (size_t)size;
    return fclose(file) == 0 && good;
}

/* Fills in frames when they are not NULL; a last one that is not whole is left out. */
static size_t cut_up(const uint8_t *bytes, size_t size_bytes, struct captured *frames)
{
    size_t count = 0;
    size_t at = 0;
    uint32_t length = 0;
    while (size_bytes - at >= sizeof length) {
        memcpy(&length, bytes + at, sizeof length);
        at += sizeof length;
        if (length > size_bytes - at) {
            break;
        }
        if (frames != NULL) {
            frames[count] = (struct captured){bytes + at, length};
        }
        count++;
        at += length;
    }
    return count;
}

bool capture_read(const char *path, struct capture *out)
{
    size_t size_bytes = 0;
    *out = (struct capture){0};
    if (load(path, &out->bytes, &size_bytes)) {
        out->frame_count = cut_up(out->bytes, size_bytes, NULL);
        out->frames = calloc(out->frame_count + 1, sizeof *out->frames);
    }
    if (out->frames == NULL) {
        capture_free(out);
        return false;
    }
    (void)cut_up(out->bytes, size_bytes, out->frames);
    return out->frame_count > 0;
}

void capture_free(struct capture *self)
{
    free(self->bytes);
    free(self->frames);
    *self = (struct capture){0};
}

bool capture_is(const struct captured *frame, const char *name)
{
    size_t header_bytes = frame->size_bytes > 0 && (frame->data[0] & RAW_LARGE) != 0 ? 9 : 2;
    size_t name_bytes = strlen(name);
    return frame->size_bytes >= header_bytes + name_bytes &&
           memcmp(frame->data + header_bytes, name, name_bytes) == 0;
}

const struct captured *capture_find(const struct capture *self, const char *name)
{
    for (size_t i = 0; i < self->frame_count; i++) {
        if (capture_is(&self->frames[i], name)) {
            return &self->frames[i];
        }
    }
    return NULL;
}
