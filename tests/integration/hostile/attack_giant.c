/* Frames whose header promises more than may be, at every stage, with as many bytes behind it as
 * the server takes. */
#include "common/clock.h"
#include "tests/integration/hostile/raw_member.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1024 * 1024, PATIENCE_MS = 4000 };

static const uint64_t sizes[] = {UINT64_C(1) << 30U, UINT64_C(1) << 31U, INT64_MAX, UINT64_MAX,
                                 (uint64_t)WIRE_BODY_MAX + 4096};
static const uint64_t streamed_max = UINT64_C(256) << 20U;

struct giants {
    uint64_t tried;
    uint64_t uncut;
    uint64_t taken_bytes_max;
    uint64_t cut_ms_max;
};

enum stage { STAGE_GREETING, STAGE_HELLO, STAGE_INITIATE, STAGE_MESSAGE, STAGE_MEMBER, STAGE_END };

static enum raw_result reach(struct raw_member *member, const struct attack *attack,
                             enum stage stage, unsigned source)
{
    struct raw_curve *curve = &member->curve;
    uint8_t hello[RAW_HEADER_MAX + RAW_HELLO_BYTES];
    switch (stage) {
    case STAGE_GREETING:
        return raw_open(&attack->address, source, &curve->socket) ? RAW_OK : RAW_CUT;
    case STAGE_HELLO:
        return raw_curve_begin(curve, &attack->address, source);
    case STAGE_INITIATE: {
        enum raw_result result = raw_curve_begin(curve, &attack->address, source);
        uint64_t deadline_ms = clock_now_ms() + RAW_HANDSHAKE_MS;
        size_t size_bytes = raw_curve_hello(curve, attack->server_key, hello);
        if (result == RAW_OK) {
            result = raw_send(&curve->socket, hello, size_bytes, deadline_ms, NULL);
        }
        return result == RAW_OK ? raw_curve_welcome(curve, attack->server_key, deadline_ms)
                                : result;
    }
    case STAGE_MESSAGE:
        return raw_member_connect(member, attack, source);
    case STAGE_MEMBER:
    case STAGE_END:
    default:
        return raw_member_join(member, attack, source);
    }
}

static void stream(struct giants *giants, struct raw_socket *socket, uint8_t flags, uint64_t size)
{
    static const uint8_t zeros[PIECE_BYTES];
    uint8_t header[RAW_HEADER_MAX];
    uint64_t began_ms = clock_now_ms();
    uint64_t deadline_ms = began_ms + PATIENCE_MS;
    uint64_t taken = 0;
    size_t header_bytes = raw_header(flags, size, header);
    enum raw_result result = raw_send(socket, header, header_bytes, deadline_ms, NULL);
    while (result == RAW_OK && taken < size && taken < streamed_max) {
        size_t piece = 0;
        result = raw_send(socket, zeros, sizeof zeros, deadline_ms, &piece);
        taken += piece;
    }
    if (result != RAW_CUT) {
        result = raw_await_cut(socket, deadline_ms);
    }
    uint64_t cut_ms = clock_now_ms() - began_ms;
    giants->tried++;
    giants->uncut += result == RAW_CUT ? 0 : 1;
    giants->taken_bytes_max = taken > giants->taken_bytes_max ? taken : giants->taken_bytes_max;
    giants->cut_ms_max = result != RAW_CUT             ? ATTACK_NEVER_MS
                         : cut_ms > giants->cut_ms_max ? cut_ms
                                                       : giants->cut_ms_max;
}

bool attack_giant(struct attack *attack)
{
    static const char *const names[STAGE_END] = {"greeting", "hello", "initiate", "message",
                                                 "member"};
    struct giants giants = {0};
    uint64_t refused = 0;
    for (uint64_t i = 0; i < attack->count; i++) {
        for (size_t j = 0; j < (size_t)STAGE_END * (sizeof sizes / sizeof sizes[0]); j++) {
            enum stage stage = (enum stage)(j % STAGE_END);
            struct raw_member member;
            if ((attack->mode[0] != '\0' && strcmp(attack->mode, names[stage]) != 0) ||
                !raw_member_new(&member)) {
                continue;
            }
            if (reach(&member, attack, stage, attack_source(attack, i * 31 + j)) == RAW_OK) {
                uint8_t flags = stage == STAGE_HELLO || stage == STAGE_INITIATE ? RAW_COMMAND : 0;
                stream(&giants, &member.curve.socket, flags, sizes[j / STAGE_END]);
            } else {
                refused++;
            }
            raw_member_free(&member);
        }
    }
    report_begin(attack);
    report_number("tried", giants.tried);
    report_number("not_let_in", refused);
    report_number("uncut", giants.uncut);
    report_number("taken_bytes_max", giants.taken_bytes_max);
    report_number("cut_ms_max", giants.cut_ms_max);
    report_end();
    return giants.tried > 0;
}
