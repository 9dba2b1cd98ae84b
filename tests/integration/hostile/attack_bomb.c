/* Heads that cost a careless reader memory or time, from a stranger (mode stranger) and from a
 * member (mode member): protobuf as protobuf-c would take it, types that do not exist or that only
 * a coordinator sends, sizes at every limit, bodies where none belong. */
#include "common/clock.h"
#include "proto/blob.h"
#include "tests/integration/hostile/raw_member.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 3000, KINDS = 18 };

struct bomb {
    uint8_t head[WIRE_HEAD_MAX + 1024];
    size_t head_bytes;
    size_t body_bytes;
};

/* Repeats some bytes of protobuf behind a type until the head is full. */
static void repeat(struct bomb *out, enum wire_type type, const char *bytes, size_t count)
{
    out->head[0] = (uint8_t)type;
    out->head_bytes = 1;
    while (out->head_bytes + count <= WIRE_HEAD_MAX) {
        memcpy(out->head + out->head_bytes, bytes, count);
        out->head_bytes += count;
    }
}

static void fill(struct bomb *out, uint8_t type, size_t head_bytes)
{
    memset(out->head, 0xFF, head_bytes);
    out->head[0] = type;
    out->head_bytes = head_bytes;
}

/* Messages within messages, each a length-delimited field 6 that holds the next. */
static void nest(struct bomb *out)
{
    size_t at = WIRE_HEAD_MAX;
    size_t inside = 0;
    while (at > 8) {
        uint8_t length[4];
        size_t count = 0;
        for (size_t rest = inside; count == 0 || rest > 0; rest >>= 7U) {
            length[count++] = (uint8_t)((rest & 0x7FU) | (rest > 0x7FU ? 0x80U : 0U));
        }
        at -= count;
        memcpy(out->head + at, length, count);
        out->head[--at] = 6U << 3U | 2U;
        inside = WIRE_HEAD_MAX - at;
    }
    out->head[--at] = WIRE_CONTRIBUTION;
    memmove(out->head, out->head + at, WIRE_HEAD_MAX - at);
    out->head_bytes = WIRE_HEAD_MAX - at;
}

/* A chunk's header with a body, for what nobody offered. */
static void chunk(struct bomb *out)
{
    struct blob_chunk_header header = {
        .kind = BLOB_CONTRIBUTION, .id = 1, .index = BLOB_CHUNKS_MAX - 1, .size_bytes = 33792};
    randombytes_buf(header.hash.bytes, sizeof header.hash.bytes);
    blob_header_write(&header, out->head);
    out->head_bytes = BLOB_HEADER_BYTES;
    out->body_bytes = header.size_bytes;
}

static void plant(unsigned kind, struct bomb *out)
{
    static const enum wire_type unexpected[] = {WIRE_WELCOME, WIRE_LEASE, WIRE_ROUTE, WIRE_SET};
    *out = (struct bomb){0};
    switch (kind) {
    case 0: /* unknown fields */
        repeat(out, WIRE_HELLO, "\xa0\x06\x01", 3);
        break;
    case 1: /* empty submessages */
        repeat(out, WIRE_CONTRIBUTION, "\x32\x00", 2);
        break;
    case 2:
        nest(out);
        break;
    case 3: /* groups that are opened and never closed */
        repeat(out, WIRE_HELLO, "\x0b", 1);
        break;
    case 4: /* one element a time of what should be packed */
        repeat(out, WIRE_CONTRIBUTION, "\x10\x01", 2);
        break;
    case 5: /* empty packed arrays */
        repeat(out, WIRE_CLAIM, "\x12\x00", 2);
        break;
    case 6: /* the same field again */
        repeat(out, WIRE_HELLO, "\x08\x04", 2);
        break;
    case 7: /* a length that goes far beyond the end */
        fill(out, WIRE_HELLO, 64);
        memcpy(out->head + 1, "\x12\xff\xff\xff\xff\x0f", 6);
        break;
    case 8:
        fill(out, 0, 8);
        break;
    case 9:
        fill(out, WIRE_TYPE_END, 8);
        break;
    case 10:
        fill(out, 0xFF, 8);
        break;
    case 11:
        fill(out, WIRE_HELLO, WIRE_HEAD_MAX);
        break;
    case 12:
        fill(out, WIRE_HELLO, WIRE_HEAD_MAX + 1);
        break;
    case 13: /* a body behind what has none */
        out->head[0] = WIRE_ALIVE;
        out->head_bytes = 1;
        out->body_bytes = WIRE_BODY_MAX;
        break;
    case 14:
        chunk(out);
        out->head[1] = 0xEE; /* no kind of blob */
        break;
    case 15:
        fill(out, 0x42, 7); /* a chunk's header cut short */
        break;
    case 16: /* an empty head */
        break;
    default:
        fill(out, (uint8_t)unexpected[kind % 4], 1);
    }
}

struct bombs {
    uint64_t thrown;
    uint64_t answered; /* with anything but a refusal */
    uint64_t uncut;
    uint64_t uncut_kinds; /* a bit each */
    uint64_t cut_ms_max;
};

/* What a member is sent anyway says nothing about the bomb. */
static bool is_answer(const struct raw_member *member, bool enrolled)
{
    enum wire_type type = member->heard->type;
    return !enrolled && type != WIRE_REFUSED;
}

static void throw_bomb(struct bombs *bombs, struct raw_member *member, unsigned kind, bool enrolled)
{
    static const uint8_t body[WIRE_BODY_MAX];
    struct bomb *bomb = malloc(sizeof *bomb);
    if (bomb == NULL) {
        return;
    }
    plant(kind, bomb);
    uint64_t began_ms = clock_now_ms();
    uint64_t end_ms = began_ms + PATIENCE_MS;
    enum raw_result result =
        raw_member_say_raw(member, bomb->head, bomb->head_bytes, body, bomb->body_bytes);
    while (result == RAW_OK) {
        result = raw_member_hear(member, end_ms);
        bombs->answered += result == RAW_OK && is_answer(member, enrolled) ? 1 : 0;
    }
    uint64_t cut_ms = clock_now_ms() - began_ms;
    bombs->thrown++;
    if (result != RAW_CUT) {
        bombs->uncut++;
        bombs->uncut_kinds |= UINT64_C(1) << kind;
    }
    bombs->cut_ms_max = cut_ms > bombs->cut_ms_max ? cut_ms : bombs->cut_ms_max;
    free(bomb);
}

bool attack_bomb(struct attack *attack)
{
    bool enrolled = strcmp(attack->mode, "member") == 0;
    struct bombs bombs = {0};
    struct raw_member member;
    if (!raw_member_new(&member)) {
        return false;
    }
    for (uint64_t i = 0; i < attack->count * KINDS; i++) {
        unsigned source = attack_source(attack, i);
        enum raw_result result = enrolled ? raw_member_join(&member, attack, source)
                                          : raw_member_connect(&member, attack, source);
        if (result == RAW_OK) {
            throw_bomb(&bombs, &member, (unsigned)(i % KINDS), enrolled);
        }
    }
    raw_member_free(&member);
    report_begin(attack);
    report_number("thrown", bombs.thrown);
    report_number("answered", bombs.answered);
    report_number("uncut", bombs.uncut);
    report_number("uncut_kinds", bombs.uncut_kinds);
    report_number("cut_ms_max", bombs.uncut > 0 ? ATTACK_NEVER_MS : bombs.cut_ms_max);
    report_end();
    return bombs.thrown > 0;
}
