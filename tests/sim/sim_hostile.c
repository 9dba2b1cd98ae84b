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
    struct sim_letter *forged =
        sim_letter_new((*letter)->line, (*letter)->way, head, head_bytes, NULL, 0);
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

/* Claims a sample of this step that was never lent to its key, where there is one. (Whether a
 * gradient is that of the samples it was lent for, nobody could say.) */
static void forge(const struct sim_peer *peer, struct sim_letter **letter)
{
    struct wire_contribution *offer = &message.as.contribution;
    const struct run_config *config = &sim->pattern->config;
    uint64_t lent = sim->lent[peer->identity - sim_identity(0)];
    uint64_t first = offer->step * config->target_batch;
    for (uint64_t sample = first; sample < first + config->target_batch; sample++) {
        if ((lent >> sample & 1U) == 0) {
            offer->range_count = 1;
            offer->ranges[0] = (struct sample_range){.first = sample, .count = 1};
            offer->tokens = config->context;
            encode(letter);
            return;
        }
    }
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
        forge(peer, letter);
    } else if (character == SIM_WITHHELD && message.type == WIRE_CONTRIBUTION) {
        return false;
    }
    return true;
}
