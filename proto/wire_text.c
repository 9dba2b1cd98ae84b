#include "proto/wire_parts.h"

bool wire_text_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text > 0x7e || *text == '"' || *text == '\\') {
            return false;
        }
    }
    return true;
}

bool wire_text_address(const char *text)
{
    return text[0] == ':' ? link_is_port(text + 1) : link_is_address(text);
}

const char *wire_type_name(enum wire_type type)
{
    static const char *const names[WIRE_TYPE_END] = {
        [WIRE_HELLO] = "hello",       [WIRE_WELCOME] = "welcome",
        [WIRE_REFUSED] = "refused",   [WIRE_READY] = "ready",
        [WIRE_LEASE] = "lease",       [WIRE_PROGRESS] = "progress",
        [WIRE_RECLAIM] = "reclaim",   [WIRE_YIELDED] = "yielded",
        [WIRE_COLLECT] = "collect",   [WIRE_CONTRIBUTION] = "contribution",
        [WIRE_VERDICT] = "verdict",   [WIRE_COMMITTED] = "committed",
        [WIRE_APPLIED] = "applied",   [WIRE_GRANT] = "grant",
        [WIRE_ALIVE] = "alive",       [WIRE_LEAVE] = "leave",
        [WIRE_FINISHED] = "finished", [WIRE_CLAIM] = "claim",
        [WIRE_CLAIMED] = "claimed",   [WIRE_ROUTE] = "route",
        [WIRE_DELIVER] = "deliver",   [WIRE_OPEN] = "open",
        [WIRE_SET] = "set",           [WIRE_HOLDS] = "holds",
        [WIRE_RATES] = "rates",       [WIRE_PROBE] = "probe",
    };
    const char *name = type < WIRE_TYPE_END ? names[type] : NULL;
    return name != NULL ? name : "unknown";
}

/* Bytes that follow a lead byte, and the smallest code point they may make; -1: no lead byte. */
static int utf8_following(uint8_t lead, uint32_t *out_least)
{
    if (lead < 0x80) {
        *out_least = 0;
        return 0;
    }
    if (lead >= 0xc0 && lead < 0xe0) {
        *out_least = 0x80;
        return 1;
    }
    if (lead >= 0xe0 && lead < 0xf0) {
        *out_least = 0x800;
        return 2;
    }
    if (lead >= 0xf0 && lead < 0xf8) {
        *out_least = 0x10000;
        return 3;
    }
    return -1;
}

bool wire_text_utf8(const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    while (*at != 0) {
        uint32_t least = 0;
        int following = utf8_following(*at, &least);
        if (following < 0) {
            return false;
        }
        uint32_t point = following == 0 ? *at : *at & (0x3fU >> (unsigned)following);
        at++;
        for (int i = 0; i < following; i++, at++) {
            /* The final NUL is no continuation byte, so this never runs past it. */
            if ((*at & 0xc0U) != 0x80U) {
                return false;
            }
            point = point << 6U | (*at & 0x3fU);
        }
        if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
            return false;
        }
    }
    return true;
}
