#include "peer/shell/link_input.h"

#include "common/fault.h"
#include "common/files.h"
#include "common/process.h"
#include "common/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 4096 };

static const char blanks[] = " \t\r\n";

/* Some editors put it first. */
static const char byte_order_mark[] = "\xef\xbb\xbf";

static char *skip_blanks(char *text)
{
    if (strncmp(text, byte_order_mark, sizeof byte_order_mark - 1) == 0) {
        text += sizeof byte_order_mark - 1;
    }
    return text + strspn(text, blanks);
}

/* A line that is not empty, without stdio: its buffer would keep the link. More than that may have
 * come along. */
static enum status read_standard_input(char *out, size_t size_max)
{
    size_t length = 0;
    while (length + 1 < size_max && strpbrk(skip_blanks(out), "\n") == NULL) {
        ssize_t got = read(STDIN_FILENO, out + length, size_max - 1 - length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        length += (size_t)got;
        out[length] = '\0';
    }
    return length > 0 ? STATUS_OK : fault(STATUS_NO_INPUT, "standard input holds no link");
}

static enum status read_file(const char *path, char *out, size_t size_max)
{
    uint8_t *data = NULL;
    size_t size_bytes = 0;
    enum status status = files_read(path, size_max - 1, &data, &size_bytes);
    if (status == STATUS_BAD_DATA) {
        return fault(STATUS_BAD_DATA, "%s is too long: this is no link", path);
    }
    if (status == STATUS_OK) {
        memcpy(out, data, size_bytes);
        secret_wipe(data, size_bytes);
        free(data);
    }
    return status;
}

static enum status parse(char *text, const char *where, struct join_link *out)
{
    char *link = skip_blanks(text);
    size_t length = strcspn(link, blanks);
    if (length == 0) {
        return fault(STATUS_BAD_DATA, "%s holds no link", where);
    }
    if (link[length + strspn(link + length, blanks)] != '\0') {
        return fault(STATUS_BAD_DATA, "%s holds more than one link; leave the one that is meant",
                     where);
    }
    link[length] = '\0';
    return link_parse(link, out);
}

enum status link_input_read(char *argument, struct join_link *out)
{
    char text[TEXT_BYTES_MAX] = "";
    const char *where = "the argument";
    enum status status = STATUS_OK;
    if (strcmp(argument, "-") == 0) {
        where = "standard input";
        status = read_standard_input(text, sizeof text);
    } else if (argument[0] == '@') {
        where = argument + 1;
        status = read_file(where, text, sizeof text);
    } else {
        (void)snprintf(text, sizeof text, "%s", argument);
        process_hide_argument(argument);
    }
    if (status == STATUS_OK) {
        status = parse(text, where, out);
    }
    secret_wipe(text, sizeof text);
    return status;
}
