#include "trainer/data/text_source.h"

#include "common/fault.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static bool is_standard_input(const char *file)
{
    return strcmp(file, "-") == 0;
}

static enum status open_file(const char *file, FILE **out)
{
    struct stat facts;
    *out = is_standard_input(file) ? stdin : fopen(file, "rbe");
    if (*out == NULL) {
        return fault(STATUS_NO_INPUT, "cannot read %s: %s", file, strerror(errno));
    }
    if (fstat(fileno(*out), &facts) == 0 && S_ISDIR(facts.st_mode)) {
        (void)fclose(*out);
        *out = NULL;
        return fault(STATUS_NO_INPUT, "%s is a folder; name the text files in it", file);
    }
    return STATUS_OK;
}

static void close_file(FILE *stream)
{
    if (stream != NULL && stream != stdin) {
        (void)fclose(stream);
    }
}

enum status text_source_init(struct text_source *self, const char *const *files, size_t file_count)
{
    *self = (struct text_source){.files = files, .file_count = file_count};
    for (size_t i = 0; i < file_count; i++) {
        FILE *stream = NULL;
        enum status status = open_file(files[i], &stream);
        if (status != STATUS_OK) {
            return status;
        }
        close_file(stream);
    }
    return STATUS_OK;
}

void text_source_deinit(struct text_source *self)
{
    close_file(self->stream);
    *self = (struct text_source){0};
}

enum status text_source_read(struct text_source *self, uint8_t *out, size_t size_bytes,
                             size_t *out_bytes)
{
    *out_bytes = 0;
    while (*out_bytes < size_bytes) {
        if (self->stream == NULL) {
            if (self->next_index == self->file_count) {
                break;
            }
            enum status status = open_file(self->files[self->next_index++], &self->stream);
            if (status != STATUS_OK) {
                return status;
            }
        }
        size_t got = fread(out + *out_bytes, 1, size_bytes - *out_bytes, self->stream);
        *out_bytes += got;
        if (ferror(self->stream)) {
            return fault(STATUS_IO, "reading %s failed: %s", self->files[self->next_index - 1],
                         strerror(errno));
        }
        if (*out_bytes < size_bytes) {
            close_file(self->stream);
            self->stream = NULL;
        }
    }
    self->bytes_read += *out_bytes;
    return STATUS_OK;
}
