#include "trainer/cli/tokenizer.h"

#include "common/fault.h"
#include "trainer/cli/options.h"
#include "trainer/tokenizer/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text is encoded in parts of about this size; a part without a safe place to cut may grow to
 * TEXT_BYTES_MAX. */
enum { READ_BYTES = 1 << 20, TEXT_BYTES_MAX = 256 << 20, DIGITS_MAX = 10 };

struct options {
    const char *spec;
    bool json;
};

struct reader {
    uint8_t *text;
    size_t used, capacity;
    bool ended;
};

static enum status parse(const char *verb, int argc, char **argv, struct options *out)
{
    const struct cli_option table[] = {
        {.name = "tokenizer", .kind = CLI_TEXT, .target = &out->spec, .required = true},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse(verb, table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    return status == STATUS_OK ? cli_options_expect_end(verb, rest, argc, argv) : status;
}

/* Reads more of stdin behind what is there: the more, the longer it could not be cut. */
static enum status read_more(struct reader *self)
{
    if (self->capacity - self->used < READ_BYTES) {
        size_t wanted = 2 * self->capacity + READ_BYTES;
        uint8_t *larger = wanted > TEXT_BYTES_MAX ? NULL : realloc(self->text, wanted);
        if (larger == NULL) {
            return fault(STATUS_FULL, "the text has %zu bytes without a place to cut it",
                         self->used);
        }
        self->text = larger;
        self->capacity = wanted;
    }
    size_t wanted = self->capacity - self->used;
    size_t got = fread(self->text + self->used, 1, wanted, stdin);
    self->used += got;
    self->ended = got < wanted;
    if (ferror(stdin)) {
        return fault(STATUS_IO, "reading standard input failed: %s", strerror(errno));
    }
    return STATUS_OK;
}

static void print_ids(const uint16_t *ids, size_t count, bool json, bool *first)
{
    for (size_t i = 0; i < count; i++) {
        const char *before = json ? (*first ? "" : ",") : (*first ? "" : " ");
        (void)printf("%s%u", before, ids[i]);
        *first = false;
    }
}

static enum status encode_stream(const struct tokenizer *tokenizer, struct reader *reader,
                                 bool json)
{
    bool first = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !reader->ended) {
        uint16_t *ids = NULL;
        size_t count = 0;
        status = read_more(reader);
        if (status != STATUS_OK) {
            break;
        }
        size_t length = reader->ended
                            ? reader->used
                            : tokenizer_safe_length(tokenizer, reader->text, reader->used);
        status = tokenizer_encode(tokenizer, reader->text, length, &ids, &count);
        if (status == STATUS_OK) {
            print_ids(ids, count, json, &first);
            reader->used -= length;
            if (reader->text != NULL) {
                memmove(reader->text, reader->text + length, reader->used);
            }
        }
        free(ids);
    }
    return status;
}

static enum status encode(int argc, char **argv)
{
    struct options options = {0};
    struct tokenizer *tokenizer = NULL;
    struct reader reader = {0};
    enum status status = parse("tokenizer encode", argc, argv, &options);
    if (status == STATUS_OK) {
        status = tokenizer_new(options.spec, &tokenizer);
    }
    if (status == STATUS_OK) {
        (void)printf("%s", options.json ? "[" : "");
        status = encode_stream(tokenizer, &reader, options.json);
        (void)printf("%s\n", options.json ? "]" : "");
    }
    free(reader.text);
    tokenizer_free(tokenizer);
    return status;
}

/* The next run of digits of stdin; false at the end. Spaces, commas and brackets may stand
 * between numbers. Errors: BAD_DATA. */
static enum status read_id(uint32_t *out, bool *out_found)
{
    int c = getchar();
    while (c != EOF && strchr(" \t\r\n,[]", c) != NULL) {
        c = getchar();
    }
    *out = 0;
    *out_found = c != EOF;
    for (int digits = 0; c >= '0' && c <= '9'; digits++) {
        if (digits == DIGITS_MAX - 1) {
            return fault(STATUS_BAD_DATA, "a token id has too many digits");
        }
        *out = 10 * *out + (uint32_t)(c - '0');
        c = getchar();
    }
    if (c != EOF && strchr(" \t\r\n,[]", c) == NULL) {
        return fault(STATUS_BAD_DATA, "standard input is not a list of token ids: it has '%c'",
                     c >= ' ' && c <= '~' ? c : '?');
    }
    return STATUS_OK;
}

static enum status decode_stream(const struct tokenizer *tokenizer)
{
    uint32_t id = 0;
    bool found = false;
    enum status status = read_id(&id, &found);
    while (status == STATUS_OK && found) {
        size_t length = 0;
        const uint8_t *bytes = tokenizer_bytes_of(tokenizer, id, &length);
        if (id >= tokenizer_vocab_size(tokenizer)) {
            return fault(STATUS_BAD_DATA, "the tokenizer has no token %u; its ids end at %u", id,
                         tokenizer_vocab_size(tokenizer) - 1);
        }
        (void)fwrite(bytes, 1, length, stdout);
        status = read_id(&id, &found);
    }
    return status;
}

static enum status decode(int argc, char **argv)
{
    struct options options = {0};
    struct tokenizer *tokenizer = NULL;
    enum status status = parse("tokenizer decode", argc, argv, &options);
    if (status == STATUS_OK) {
        status = tokenizer_new(options.spec, &tokenizer);
    }
    if (status == STATUS_OK) {
        status = decode_stream(tokenizer);
    }
    tokenizer_free(tokenizer);
    return status;
}

enum status cli_tokenizer(int argc, char **argv)
{
    static const struct {
        const char *verb;
        enum status (*run)(int argc, char **argv);
    } verbs[] = {{"train", cli_tokenizer_train}, {"encode", encode}, {"decode", decode}};
    for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(argv[1], verbs[i].verb) == 0) {
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    return fault(STATUS_USAGE, "tokenizer knows the verbs train, encode and decode; "
                               "'dugnad tokenizer --help' says more");
}
