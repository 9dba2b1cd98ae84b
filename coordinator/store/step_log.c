#include "coordinator/store/step_log.h"

#include "common/disk.h"
#include "common/fault.h"
#include "common/files.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_LOG_BYTES_MAX = 1 << 30 };

struct step_log {
    int fd;
    char path[FILES_PATH_MAX];
};

enum status step_record_add(struct step_record *self, const char *peer,
                            const struct sample_range *ranges, size_t range_count)
{
    size_t count = self->contribution_count;
    struct step_contribution *items = realloc(self->contributions, (count + 1) * sizeof *items);
    if (items == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->contributions = items;
    struct sample_range *copy = malloc(range_count * sizeof *copy);
    if (copy == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(copy, ranges, range_count * sizeof *copy);
    items[count] = (struct step_contribution){.range_count = range_count, .ranges = copy};
    (void)snprintf(items[count].peer, sizeof items[count].peer, "%s", peer);
    self->contribution_count++;
    return STATUS_OK;
}

void step_record_clear(struct step_record *self)
{
    for (size_t i = 0; i < self->contribution_count; i++) {
        free(self->contributions[i].ranges);
    }
    free(self->contributions);
    self->contributions = NULL;
    self->contribution_count = 0;
}

/* Reads one line; false when it is not the record of a step. */
static bool read_line(const char *line, size_t length, uint64_t *out_step, double *out_loss,
                      uint64_t *out_tokens)
{
    json_t *record = json_loadb(line, length, 0, NULL);
    const json_t *step = json_object_get(record, "step");
    const json_t *loss = json_object_get(record, "loss");
    const json_t *tokens = json_object_get(record, "tokens");
    bool fine = json_is_integer(step) && json_integer_value(step) >= 0 && json_is_number(loss) &&
                json_is_integer(tokens) && json_integer_value(tokens) >= 0;
    if (fine) {
        *out_step = (uint64_t)json_integer_value(step);
        *out_loss = json_number_value(loss);
        *out_tokens = (uint64_t)json_integer_value(tokens);
    }
    json_decref(record);
    return fine;
}

/* Length of the lines of steps below `version`; a torn last line is left out. */
static enum status measure_kept(const char *path, const char *text, size_t size_bytes,
                                uint64_t version, size_t *out_kept, struct step_log_facts *facts)
{
    size_t line_number = 1;
    for (*out_kept = 0; *out_kept < size_bytes; line_number++) {
        const char *line = text + *out_kept;
        const char *end = memchr(line, '\n', size_bytes - *out_kept);
        uint64_t step = 0;
        double loss = 0.0;
        uint64_t tokens = 0;
        if (end == NULL) {
            break;
        }
        if (!read_line(line, (size_t)(end - line), &step, &loss, &tokens)) {
            bool last = end + 1 == text + size_bytes;
            return last ? STATUS_OK
                        : fault(STATUS_BAD_DATA,
                                "%s:%zu is damaged; put a copy of the file in its place, or move "
                                "it away to go on without the record of earlier steps",
                                path, line_number);
        }
        if (step >= version) {
            break;
        }
        facts->last_loss = loss;
        facts->first_loss = step == 0 ? loss : facts->first_loss;
        facts->tokens += tokens;
        *out_kept += (size_t)(end - line) + 1;
    }
    return STATUS_OK;
}

/* Opens the file at its end; one that is made has a durable name. */
static enum status open_at_end(struct step_log *self, const char *run_path)
{
    bool made = !files_exists(self->path);
    self->fd = disk_open(self->path, made ? DISK_CREATE : DISK_APPEND, 0644);
    if (self->fd < 0) {
        return fault(STATUS_CANNOT_CREATE, "cannot open %s: %s", self->path, strerror(errno));
    }
    enum status status = made ? files_sync_folder(run_path) : STATUS_OK;
    if (status != STATUS_OK) {
        (void)disk_close(self->fd);
    }
    return status;
}

enum status step_log_open(const char *run_path, uint64_t version, struct step_log_facts *out_facts,
                          struct step_log **out)
{
    *out = NULL;
    memset(out_facts, 0, sizeof *out_facts);
    struct step_log *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the step log");
    }
    enum status status = files_join(run_path, "steps.jsonl", self->path);
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    if (status == STATUS_OK && files_exists(self->path)) {
        status = files_read(self->path, STEP_LOG_BYTES_MAX, &text, &size_bytes);
    }
    if (status == STATUS_OK && text != NULL) {
        size_t kept = 0;
        status =
            measure_kept(self->path, (const char *)text, size_bytes, version, &kept, out_facts);
        if (status == STATUS_OK && kept < size_bytes) {
            status = files_write_atomic(self->path, text, kept, 0644);
        }
    }
    free(text);
    if (status == STATUS_OK) {
        status = open_at_end(self, run_path);
    }
    if (status != STATUS_OK) {
        free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void step_log_close(struct step_log *self)
{
    if (self != NULL) {
        (void)disk_close(self->fd);
        free(self);
    }
}

static void print_record(FILE *out, const struct step_record *record)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(&record->digest, hex);
    (void)fprintf(out,
                  "{\"step\":%" PRIu64 ",\"loss\":%.17g,\"tokens\":%" PRIu64
                  ",\"grad_l2\":%.9g,\"learning_rate\":%.9g,\"digest\":\"%s\",\"contributions\":[",
                  record->step, record->loss, record->tokens, record->grad_l2,
                  record->learning_rate, hex);
    for (size_t i = 0; i < record->contribution_count; i++) {
        const struct step_contribution *item = &record->contributions[i];
        (void)fprintf(out, "%s{\"peer\":\"%s\",\"ranges\":[", i > 0 ? "," : "", item->peer);
        for (size_t j = 0; j < item->range_count; j++) {
            (void)fprintf(out, "%s[%" PRIu64 ",%" PRIu64 "]", j > 0 ? "," : "",
                          item->ranges[j].first, item->ranges[j].count);
        }
        (void)fputs("]}", out);
    }
    (void)fputs("]}\n", out);
}

enum status step_log_append(struct step_log *self, const struct step_record *record)
{
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *out = open_memstream(&text, &size_bytes);
    if (out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the step log");
    }
    print_record(out, record);
    enum status status = STATUS_OK;
    if (fclose(out) != 0) {
        status = fault(STATUS_NO_MEMORY, "no memory for the step log");
    } else if (!disk_write(self->fd, text, size_bytes) || !disk_sync(self->fd)) {
        status = fault(STATUS_IO,
                       "writing %s failed: %s; free some space and start the coordinator again",
                       self->path, strerror(errno));
    }
    free(text);
    return status;
}
