#include "trainer/cli/sample_output.h"

#include "common/fault.h"
#include "common/log.h"
#include "trainer/sampling/terminal_text.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sample_output {
    bool json;
    bool later; /* not the first sample */
    struct terminal_text text;
    FILE *memory; /* JSON: where the text is kept */
    char *kept;
    size_t kept_bytes;
};

enum status sample_output_new(bool json, struct sample_output **out)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the output");
    }
    (*out)->json = json;
    return STATUS_OK;
}

static void drop_memory(struct sample_output *self)
{
    if (self->memory != NULL) {
        (void)fclose(self->memory);
    }
    free(self->kept);
    self->memory = NULL;
    self->kept = NULL;
}

void sample_output_free(struct sample_output *self)
{
    if (self != NULL) {
        drop_memory(self);
        free(self);
    }
}

static enum status check_stream(FILE *stream)
{
    if (ferror(stream) != 0) {
        return fault(STATUS_IO, "writing the output failed: %s", strerror(errno));
    }
    return STATUS_OK;
}

enum status sample_output_begin(struct sample_output *self, const uint8_t *prompt,
                                size_t prompt_bytes)
{
    if (self->json) {
        self->memory = open_memstream(&self->kept, &self->kept_bytes);
        if (self->memory == NULL) {
            return fault(STATUS_NO_MEMORY, "no memory for the output");
        }
        terminal_text_init_controls(&self->text, self->memory);
        return STATUS_OK;
    }
    if (self->later) {
        (void)fputs("---\n", stdout);
    }
    self->later = true;
    terminal_text_init(&self->text, stdout);
    return sample_output_put(self, prompt, prompt_bytes);
}

enum status sample_output_put(struct sample_output *self, const uint8_t *bytes, size_t count)
{
    terminal_text_put(&self->text, bytes, count);
    return check_stream(self->text.stream);
}

static enum status end_plain(struct sample_output *self, const struct sample_facts *facts)
{
    terminal_text_end(&self->text);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
    log_info("sample", "finished", "seed=%" PRIu64 " tokens=%zu tokens_per_s=%.1f stop_reason=%s",
             facts->seed, facts->token_count, facts->tokens_per_s, facts->stop_reason);
    return check_stream(stdout);
}

/* A prompt may hold any bytes. */
static json_t *json_of_bytes(const uint8_t *bytes, size_t count)
{
    char *kept = NULL;
    size_t kept_bytes = 0;
    FILE *memory = open_memstream(&kept, &kept_bytes);
    if (memory == NULL) {
        return NULL;
    }
    struct terminal_text text;
    terminal_text_init_controls(&text, memory);
    terminal_text_put(&text, bytes, count);
    terminal_text_end(&text);
    json_t *value = fclose(memory) == 0 ? json_stringn(kept, kept_bytes) : NULL;
    free(kept);
    return value;
}

static json_t *json_of_tokens(const uint16_t *tokens, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(array, json_integer(tokens[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static enum status end_json(struct sample_output *self, const struct sample_facts *facts)
{
    terminal_text_end(&self->text);
    int failed = fclose(self->memory);
    self->memory = NULL;
    json_t *root = json_object();
    failed |=
        json_object_set_new(root, "prompt", json_of_bytes(facts->prompt, facts->prompt_bytes));
    failed |= json_object_set_new(root, "text", json_stringn(self->kept, self->kept_bytes));
    failed |=
        json_object_set_new(root, "tokens", json_of_tokens(facts->tokens, facts->token_count));
    failed |=
        json_object_set_new(root, "prompt_tokens", json_integer((json_int_t)facts->prompt_tokens));
    failed |= json_object_set_new(root, "seed", json_integer((json_int_t)facts->seed));
    failed |= json_object_set_new(root, "stop_reason", json_string(facts->stop_reason));
    failed |= json_object_set_new(
        root, "stop",
        facts->stop != NULL ? json_of_bytes((const uint8_t *)facts->stop, strlen(facts->stop))
                            : json_null());
    failed |= json_object_set_new(root, "tokens_per_s",
                                  facts->tokens_per_s > 0.0 ? json_real(facts->tokens_per_s)
                                                            : json_null());
    enum status status = STATUS_OK;
    if (failed != 0) {
        status = fault(STATUS_NO_MEMORY, "no memory for the output");
    } else if (json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) != 0 ||
               fputc('\n', stdout) == EOF || fflush(stdout) != 0) {
        status = fault(STATUS_IO, "writing the output failed: %s", strerror(errno));
    }
    json_decref(root);
    drop_memory(self);
    return status;
}

enum status sample_output_end(struct sample_output *self, const struct sample_facts *facts)
{
    return self->json ? end_json(self, facts) : end_plain(self, facts);
}
