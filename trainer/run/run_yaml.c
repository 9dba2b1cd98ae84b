#include "trainer/run/run_yaml.h"

#include "common/fault.h"
#include "common/files.h"
#include "trainer/run/run_config.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { EXPECTED_TEXT_MAX = 128, SUGGESTION_MAX = 256 };

/* NULL unless the node is a scalar without a NUL inside. */
static const char *scalar_text(const yaml_node_t *node)
{
    if (node == NULL || node->type != YAML_SCALAR_NODE ||
        strlen((const char *)node->data.scalar.value) != node->data.scalar.length) {
        return NULL;
    }
    return (const char *)node->data.scalar.value;
}

static bool parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && value >= min &&
           value <= max;
}

static bool parse_real(const char *text, double min, double max, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    /* strtod knows hexadecimal, inf and nan; YAML's plain numbers do not look like that. */
    return text[0] != '\0' && text[strspn(text, "0123456789.eE+-")] == '\0' && *end == '\0' &&
           isfinite(*out) && *out >= min && *out <= max;
}

static bool parse_flag(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static void describe(const struct run_key_facts *facts, char out[EXPECTED_TEXT_MAX])
{
    switch (facts->kind) {
    case RUN_TEXT:
        (void)snprintf(out, EXPECTED_TEXT_MAX, "text");
        break;
    case RUN_COUNT:
        (void)snprintf(out, EXPECTED_TEXT_MAX, "a whole number from %llu to %llu",
                       (unsigned long long)facts->count_min, (unsigned long long)facts->count_max);
        break;
    case RUN_REAL:
        (void)snprintf(out, EXPECTED_TEXT_MAX, "a number from %g to %g", facts->real_min,
                       facts->real_max);
        break;
    case RUN_FLAG:
        (void)snprintf(out, EXPECTED_TEXT_MAX, "true or false");
        break;
    }
}

static bool parse_value(const struct run_key_facts *facts, const char *text, struct run_value *out)
{
    switch (facts->kind) {
    case RUN_TEXT:
        return text[0] != '\0';
    case RUN_COUNT:
        return parse_count(text, facts->count_min, facts->count_max, &out->count);
    case RUN_REAL:
        return parse_real(text, facts->real_min, facts->real_max, &out->real);
    case RUN_FLAG:
        return parse_flag(text, &out->flag);
    }
    return false;
}

static enum status take_value(struct run_yaml *self, enum run_key key, const yaml_node_t *node)
{
    struct run_value *value = &self->values[key];
    bool repeated = value->set;
    value->set = true;
    value->line = node->start_mark.line + 1;
    if (repeated) {
        return run_yaml_fault(self, key, "is there twice; remove one");
    }
    const char *text = scalar_text(node);
    if (text == NULL || !parse_value(&RUN_KEYS[key], text, value)) {
        char expected[EXPECTED_TEXT_MAX];
        describe(&RUN_KEYS[key], expected);
        return text == NULL ? run_yaml_fault(self, key, "must be %s", expected)
                            : run_yaml_fault(self, key, "must be %s, not '%.100s'", expected, text);
    }
    value->text = strdup(text);
    return value->text != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory to read the run");
}

static enum status refuse_key(const struct run_yaml *self, const char *section,
                              const yaml_node_t *key)
{
    char suggestion[SUGGESTION_MAX];
    const char *name = scalar_text(key);
    size_t line = key->start_mark.line + 1;
    if (name == NULL) {
        return fault(STATUS_BAD_CONFIG, "%s:%zu: a key must be plain text", self->path, line);
    }
    run_yaml_suggest(section, name, suggestion, sizeof(suggestion));
    return fault(STATUS_BAD_CONFIG, "%s:%zu: unknown key %s%s%.100s; %s", self->path, line, section,
                 section[0] == '\0' ? "" : ".", name, suggestion);
}

static enum status take_pair(struct run_yaml *self, const char *section, const yaml_node_t *key,
                             const yaml_node_t *value)
{
    const char *name = scalar_text(key);
    for (size_t i = 0; name != NULL && i < RUN_KEY_COUNT; i++) {
        if (strcmp(RUN_KEYS[i].section, section) == 0 && strcmp(RUN_KEYS[i].name, name) == 0) {
            return take_value(self, (enum run_key)i, value);
        }
    }
    return refuse_key(self, section, key);
}

static enum status take_section(struct run_yaml *self, yaml_document_t *document,
                                const char *section, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE) {
        return fault(STATUS_BAD_CONFIG, "%s:%zu: %s must hold keys, one on each line below it",
                     self->path, node->start_mark.line + 1, section);
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        enum status status = take_pair(self, section, yaml_document_get_node(document, pair->key),
                                       yaml_document_get_node(document, pair->value));
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status take_document(struct run_yaml *self, yaml_document_t *document)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return fault(STATUS_BAD_CONFIG,
                     "%s:1: a run is made of keys such as model: and data:", self->path);
    }
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(document, pair->value);
        const char *name = scalar_text(key);
        enum status status = name != NULL && run_yaml_is_section(name)
                                 ? take_section(self, document, name, value)
                                 : take_pair(self, "", key, value);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status parse_fault(const struct run_yaml *self, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        return fault(STATUS_NO_MEMORY, "no memory to read %s", self->path);
    }
    return fault(STATUS_BAD_CONFIG, "%s:%zu: not valid YAML: %s", self->path,
                 parser->problem_mark.line + 1,
                 parser->problem != NULL ? parser->problem : "unknown trouble");
}

/* A second document would be settings that silently do not count. */
static enum status expect_end(const struct run_yaml *self, yaml_parser_t *parser)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document)) {
        return parse_fault(self, parser);
    }
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    enum status status = STATUS_OK;
    if (root != NULL) {
        status = fault(STATUS_BAD_CONFIG, "%s:%zu: a second document begins here; a run is one",
                       self->path, root->start_mark.line + 1);
    }
    yaml_document_delete(&document);
    return status;
}

static enum status parse_text(struct run_yaml *self, const uint8_t *text, size_t size_bytes)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser)) {
        return fault(STATUS_NO_MEMORY, "no memory to read %s", self->path);
    }
    yaml_parser_set_input_string(&parser, text, size_bytes);
    enum status status = STATUS_OK;
    if (!yaml_parser_load(&parser, &document)) {
        status = parse_fault(self, &parser);
    } else {
        status = take_document(self, &document);
        bool more = yaml_document_get_root_node(&document) != NULL;
        yaml_document_delete(&document);
        if (status == STATUS_OK && more) {
            status = expect_end(self, &parser);
        }
    }
    yaml_parser_delete(&parser);
    return status;
}

enum status run_yaml_read(const char *path, struct run_yaml *out)
{
    *out = (struct run_yaml){.path = path};
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    enum status status = files_read(path, RUN_CONFIG_BYTES_MAX, &text, &size_bytes);
    if (status == STATUS_OK) {
        status = parse_text(out, text, size_bytes);
    }
    free(text);
    return status;
}

void run_yaml_deinit(struct run_yaml *self)
{
    for (size_t i = 0; i < RUN_KEY_COUNT; i++) {
        free(self->values[i].text);
    }
    *self = (struct run_yaml){0};
}

enum status run_yaml_fault(const struct run_yaml *self, enum run_key key, const char *format, ...)
{
    char reason[FAULT_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    const char *section = RUN_KEYS[key].section;
    const char *dot = section[0] == '\0' ? "" : ".";
    const struct run_value *value = &self->values[key];
    if (!value->set) {
        return fault(STATUS_BAD_CONFIG, "%s: %s%s%s %s", self->path, section, dot,
                     RUN_KEYS[key].name, reason);
    }
    return fault(STATUS_BAD_CONFIG, "%s:%zu: %s%s%s %s", self->path, value->line, section, dot,
                 RUN_KEYS[key].name, reason);
}

uint64_t run_yaml_count(const struct run_yaml *self, enum run_key key, uint64_t missing)
{
    return self->values[key].set ? self->values[key].count : missing;
}

double run_yaml_real(const struct run_yaml *self, enum run_key key, double missing)
{
    return self->values[key].set ? self->values[key].real : missing;
}

bool run_yaml_flag(const struct run_yaml *self, enum run_key key, bool missing)
{
    return self->values[key].set ? self->values[key].flag : missing;
}

const char *run_yaml_text(const struct run_yaml *self, enum run_key key, const char *missing)
{
    return self->values[key].set ? self->values[key].text : missing;
}
