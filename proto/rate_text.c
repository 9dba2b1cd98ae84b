#include "proto/rate.h"

#include "common/fault.h"

#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t bytes;
};

/* Bits are written out and bytes have a large B, so that nobody's 20mb is taken for the other. */
static const struct unit units[] = {
    {"kbit", 125}, {"mbit", 125000}, {"gbit", 125000000},
    {"kB", 1000},  {"MB", 1000000},  {"GB", 1000000000},
};

enum { DIGITS_MAX = 6 };
static const uint64_t rate_max = UINT64_C(1000000000000);

/* Thousandths of what stands at *cursor, which moves behind it; false: no such number. */
static bool read_thousandths(const char **cursor, uint64_t *out)
{
    const char *at = *cursor;
    size_t whole = strspn(at, "0123456789");
    if (whole == 0 || whole > DIGITS_MAX) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < whole; i++) {
        *out = *out * 10 + (uint64_t)(at[i] - '0');
    }
    *out *= 1000;
    at += whole;
    if (*at == '.') {
        size_t decimals = strspn(++at, "0123456789");
        if (decimals == 0 || decimals > 3) {
            return false;
        }
        uint64_t worth = 100;
        for (size_t i = 0; i < decimals; i++, worth /= 10) {
            *out += (uint64_t)(at[i] - '0') * worth;
        }
        at += decimals;
    }
    *cursor = at;
    return true;
}

static bool same_unit(const char *name, const char *text, size_t length)
{
    bool bits = strlen(name) == 4;
    return strlen(name) == length && (bits ? strncasecmp(name, text, length) == 0
                                           : text[1] == 'B' && strncasecmp(name, text, 1) == 0);
}

static bool read_rate(const char *text, uint64_t *out)
{
    uint64_t thousandths = 0;
    if (!read_thousandths(&text, &thousandths)) {
        return false;
    }
    size_t length = strlen(text);
    if (length > 2 && strcmp(text + length - 2, "/s") == 0) {
        length -= 2;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (same_unit(units[i].name, text, length)) {
            *out = thousandths * units[i].bytes / 1000; /* below 10^9 * 10^9 */
            return true;
        }
    }
    return false;
}

enum status rate_from_text(const char *option, const char *text, uint64_t *out_bytes_per_s)
{
    uint64_t rate = 0;
    if (!read_rate(text, &rate)) {
        return fault(
            STATUS_USAGE,
            "%s takes a rate such as 20mbit (bits a second) or 2.5MB (bytes a second), not "
            "'%.40s'",
            option, text);
    }
    if (rate < 1000 || rate > rate_max) {
        return fault(STATUS_USAGE,
                     "%s takes a rate from 1kB to 1000GB a second, not '%.40s'; without the option "
                     "there is no limit",
                     option, text);
    }
    *out_bytes_per_s = rate;
    return STATUS_OK;
}
