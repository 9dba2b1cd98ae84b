/* sim_hostile - peers that are not honest: a real daemon whose letters are changed on their way
 * out. */
#include "tests/sim/sim_lines.h"

#include "proto/wire.h"

static struct wire_message message;

static void encode(struct sim_letter **letter)
{
    static uint8_t head[WIRE_HEAD_MAX];
    size_t head_bytes = 0;
    if (wire_encode(&message, head, sizeof head, &head_bytes) != STATUS_OK) {
        sim_fail("a forged message cannot be encoded");
        return;
    }
    struct sim_letter *forged = sim_letter_new((*letter)->peer, SIM_UP, head, head_bytes, NULL, 0);
    forged->connection = (*letter)->connection;
    sim_letter_free(*letter);
    *letter = forged;
}

/* More than any lease holds is ignored by the coordinator; a little more may be believed. */
static void boast(struct sim_letter **letter)
{
    message.as.progress.samples_done += (uint32_t)sim_chance(4);
    encode(letter);
}

/* All ranges moved by one: the last of them is then not this peer's, or of a lease that has not
 * ended. */
static void forge(struct sim_letter **letter)
{
    for (uint32_t i = 0; i < message.as.contribution.range_count; i++) {
        message.as.contribution.ranges[i].first++;
    }
    encode(letter);
}

bool sim_hostile_letter(const struct sim_peer *peer, struct sim_letter **letter)
{
    enum sim_character character = peer->plan->character;
    if (character == SIM_HONEST || character == SIM_CLONE || character == SIM_SPOILER ||
        wire_decode((*letter)->data, (*letter)->head_bytes, &message) != STATUS_OK) {
        return true;
    }
    if (character == SIM_LIAR && message.type == WIRE_PROGRESS) {
        boast(letter);
    } else if (character == SIM_FORGER && message.type == WIRE_CONTRIBUTION) {
        forge(letter);
    } else if (character == SIM_WITHHELD && message.type == WIRE_CONTRIBUTION) {
        return false;
    }
    return true;
}
