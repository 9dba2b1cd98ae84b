/* A member whose own messages are said again above the transport, over connections that prove its
 * key: as by a copy of its key, or by one who restored an old folder.
 *
 *   same       the very hello that was accepted
 *   older      a hello of before, with its lower sequence number
 *   equal      another hello with the number of the last, signed anew
 *   unsigned   a higher number over the signature of the last
 *
 * Its real connection stands all the while and must stay. */
#include "common/clock.h"
#include "tests/integration/hostile/raw_member.h"

#include <string.h>

enum { RETRY_MS = 20, ALIVE_EVERY = 50 };

struct copies {
    uint64_t sent;
    uint64_t accepted;
    uint64_t refused;
    uint64_t not_let_in;
};

static void say_again(struct copies *copies, struct raw_member *copy, const struct attack *attack,
                      const struct wire_message *hello, uint64_t n)
{
    if (raw_member_connect(copy, attack, attack_source(attack, n)) != RAW_OK) {
        copies->not_let_in++;
        clock_sleep_ms(RETRY_MS);
        return;
    }
    *copy->said = *hello;
    copies->sent++;
    if (raw_member_say(copy, NULL, 0) == RAW_OK &&
        raw_member_hear(copy, clock_now_ms() + RAW_MEMBER_PATIENCE_MS) == RAW_OK) {
        bool refused = copy->heard->type == WIRE_REFUSED;
        copies->refused += refused ? 1 : 0;
        copies->accepted += refused ? 0 : 1;
    }
}

/* Whether the real connection still answers. */
static bool stands(struct raw_member *member)
{
    member->said->type = WIRE_ALIVE;
    return raw_member_say(member, NULL, 0) == RAW_OK &&
           raw_member_await(member, WIRE_ALIVE, clock_now_ms() + RAW_MEMBER_PATIENCE_MS) == RAW_OK;
}

bool attack_stale(struct attack *attack)
{
    struct raw_member member;
    struct raw_member copy;
    struct copies copies = {0};
    uint64_t lost = 0;
    if (!raw_member_new(&member) || !raw_member_copy(&member, &copy)) {
        return false;
    }
    bool joined = raw_member_join(&member, attack, 0) == RAW_OK;
    struct wire_message hello = *member.said;
    if (joined && strcmp(attack->mode, "older") == 0) {
        joined = raw_member_join(&member, attack, 0) == RAW_OK; /* the first is of the past now */
    }
    if (strcmp(attack->mode, "equal") == 0) {
        *copy.said = hello;
        copy.said->as.hello.thread_count++;
        raw_member_sign_hello(&copy, attack);
        hello = *copy.said;
    } else if (strcmp(attack->mode, "unsigned") == 0) {
        hello.as.hello.sequence += 1000;
    }
    uint64_t end_ms = clock_now_ms() + attack->duration_ms;
    for (uint64_t i = 0; joined && copies.sent < attack->count && clock_now_ms() < end_ms; i++) {
        say_again(&copies, &copy, attack, &hello, i);
        if (i % ALIVE_EVERY == 0 && !stands(&member)) {
            lost++;
            joined = raw_member_join(&member, attack, 0) == RAW_OK;
        }
    }
    raw_member_free(&member);
    raw_member_free(&copy);
    report_begin(attack);
    report_number("sent", copies.sent);
    report_number("refused", copies.refused);
    report_number("accepted", copies.accepted);
    report_number("not_let_in", copies.not_let_in);
    report_number("lost", lost);
    report_end();
    return copies.sent >= attack->count;
}
