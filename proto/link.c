#include "proto/link.h"

#include "common/fault.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define LINK_SCHEME "dugnad://"

enum { KEY_TEXT_BYTES = 43, HOST_MAX = 253, PORT_MAX = 65535, PORT_DIGITS_MAX = 5 };

_Static_assert(sizeof LINK_SCHEME + LINK_ADDRESS_MAX + KEY_TEXT_BYTES + 1U + KEY_TEXT_BYTES + 1U <=
                   LINK_TEXT_MAX,
               "the longest link fits");

bool link_is_port(const char *text)
{
    size_t length = strlen(text);
    unsigned long port = 0;
    if (length == 0 || length > PORT_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i])) {
            return false;
        }
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    return port > 0 && port <= PORT_MAX;
}

/* A bracketed IPv6 address, or a name or IPv4 address of letters, digits, '.', '-' and '_'. */
static bool host_is_good(const char *host, size_t length)
{
    if (length == 0 || length > HOST_MAX) {
        return false;
    }
    if (host[0] == '[') {
        char inside[INET6_ADDRSTRLEN];
        struct in6_addr address;
        if (length < 4 || host[length - 1] != ']' || length - 2 >= sizeof inside) {
            return false;
        }
        memcpy(inside, host + 1, length - 2);
        inside[length - 2] = '\0';
        return inet_pton(AF_INET6, inside, &address) == 1;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)host[i];
        if (c >= 0x80 || (!isalnum(c) && c != '.' && c != '-' && c != '_')) {
            return false;
        }
    }
    return true;
}

bool link_is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    return colon != NULL && host_is_good(text, (size_t)(colon - text)) && link_is_port(colon + 1);
}

static enum status check_address(const char *address)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || !host_is_good(address, (size_t)(colon - address))) {
        return fault(STATUS_USAGE,
                     "the address '%.100s' is not HOST:PORT (a name, an IPv4 address or a "
                     "bracketed IPv6 address, and a port)",
                     address);
    }
    if (!link_is_port(colon + 1)) {
        return fault(STATUS_USAGE, "the port in '%.100s' is not a number from 1 to 65535", address);
    }
    return STATUS_OK;
}

static bool decode_32(const char *text, size_t length, uint8_t out[32])
{
    size_t size_bytes = 0;
    return length == KEY_TEXT_BYTES &&
           sodium_base642bin(out, 32, text, length, NULL, &size_bytes, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
           size_bytes == 32;
}

static enum status parse_address(const char *text, size_t length, struct join_link *out)
{
    if (length >= sizeof out->address) {
        return fault(STATUS_USAGE, "the address in the join link is too long; copy the whole line "
                                   "that 'dugnad-coordinator invite' printed");
    }
    memcpy(out->address, text, length);
    out->address[length] = '\0';
    return check_address(out->address);
}

/* `length` counts the link without white space around it. */
static enum status parse_parts(const char *text, size_t length, struct join_link *out)
{
    static const size_t scheme_length = sizeof LINK_SCHEME - 1;
    if (length < scheme_length || strncmp(text, LINK_SCHEME, scheme_length) != 0) {
        return fault(STATUS_USAGE, "a join link starts with " LINK_SCHEME
                                   "; ask the run's owner for one ('dugnad-coordinator invite')");
    }
    const char *end = text + length;
    const char *address = text + scheme_length;
    const char *key = memchr(address, '/', (size_t)(end - address));
    const char *token = key == NULL ? NULL : memchr(key + 1, '/', (size_t)(end - key - 1));
    if (token == NULL) {
        return fault(STATUS_USAGE, "the join link is cut short; copy the whole line " LINK_SCHEME
                                   "HOST:PORT/KEY/TOKEN that 'dugnad-coordinator invite' printed");
    }
    enum status status = parse_address(address, (size_t)(key - address), out);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t curve[IDENTITY_KEY_BYTES];
    if (!decode_32(key + 1, (size_t)(token - key - 1), out->coordinator_key) ||
        identity_curve_of(out->coordinator_key, curve) != STATUS_OK) {
        return fault(STATUS_USAGE, "the key in the join link is damaged; copy the whole line that "
                                   "'dugnad-coordinator invite' printed");
    }
    if (!decode_32(token + 1, (size_t)(end - token - 1), out->token)) {
        return fault(STATUS_USAGE, "the token at the end of the join link is damaged; copy the "
                                   "whole line that 'dugnad-coordinator invite' printed");
    }
    return STATUS_OK;
}

enum status link_parse(const char *text, struct join_link *out)
{
    memset(out, 0, sizeof *out);
    /* What people paste often brings blanks or a line end along. */
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        length--;
    }
    enum status status = parse_parts(text, length, out);
    if (status != STATUS_OK) {
        sodium_memzero(out, sizeof *out);
    }
    return status;
}

enum status link_format(const struct join_link *self, char out[LINK_TEXT_MAX])
{
    out[0] = '\0';
    enum status status = check_address(self->address);
    if (status != STATUS_OK) {
        return status;
    }
    char key[KEY_TEXT_BYTES + 1];
    char token[KEY_TEXT_BYTES + 1];
    (void)sodium_bin2base64(key, sizeof key, self->coordinator_key, sizeof self->coordinator_key,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)sodium_bin2base64(token, sizeof token, self->token, sizeof self->token,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)snprintf(out, LINK_TEXT_MAX, LINK_SCHEME "%s/%s/%s", self->address, key, token);
    sodium_memzero(token, sizeof token);
    return STATUS_OK;
}
