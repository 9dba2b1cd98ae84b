/* sim_hostile - peers that are not honest: a real daemon whose letters are changed on their way
 * out. */
#include "tests/sim/sim_lines.h"

#include "proto/attest.h"
#include "proto/blob.h"
#include "proto/codec/sum_pack.h"
#include "tests/sim/sim_chunks.h"

#include <string.h>

/* After sim_chunks.h, which says what a chunk is. */
#include "proto/codec/chunks.h"

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
            attest_contribution_sign(peer->identity, &sim->coordinator.run.run_id, offer);
            encode(letter);
            (*letter)->forged = true;
            return;
        }
    }
}

bool sim_hostile_arrives(const struct sim_peer *peer, const struct sim_letter *letter)
{
    if (!letter->forged || wire_decode(letter->data, letter->head_bytes, &message) != STATUS_OK) {
        return true;
    }
    uint64_t lent = sim->lent[peer->identity - sim_identity(0)];
    uint64_t sample = message.as.contribution.ranges[0].first;
    return sample >= SIM_SAMPLES_MAX || (lent >> sample & 1U) == 0;
}

/* Whether the sum of a chunk is a wrong one: always the same for the same chunk and set. */
static bool is_swindled(const struct blob_chunk_header *header)
{
    return random_mix(sim->seed ^ random_mix(header->id << 32 | header->index)) % 2 == 0;
}

/* Another sum than that of the parts. */
static void swindle(struct sim_letter **letter)
{
    static int64_t sums[SIM_CHUNK_VALUES_MAX];
    static uint8_t body[2 * sizeof sums];
    struct blob_chunk_header header;
    uint8_t head[BLOB_HEADER_BYTES];
    if (blob_header_read((*letter)->data, (*letter)->head_bytes, &header) != STATUS_OK ||
        header.kind != BLOB_SUM || !is_swindled(&header)) {
        return;
    }
    size_t count = chunks_values(sim->pattern->value_count, header.index);
    memset(sums, 0, sizeof sums);
    if (sum_unpack_add((*letter)->data + (*letter)->head_bytes, (*letter)->body_bytes, count,
                       sums) != STATUS_OK) {
        sim_fail("an owner sends a sum that cannot be read");
        return;
    }
    sums[header.index % count] += 1;
    header.size_bytes = (uint32_t)sum_pack(sums, count, body);
    header.hash = digest_of(body, header.size_bytes);
    blob_header_write(&header, head);
    struct sim_letter *forged =
        sim_letter_new((*letter)->line, (*letter)->way, head, sizeof head, body, header.size_bytes);
    forged->connection = (*letter)->connection;
    sim_letter_free(*letter);
    *letter = forged;
    sim->figures.swindles++;
}

/* A chunk of a contribution that is as good as the promised one, and another; always to the same
 * of those who may compare, so that the one would see the other add up something else. */
static void frame(struct sim_letter **letter)
{
    struct blob_chunk_header header;
    static uint8_t head[BLOB_HEAD_MAX];
    static uint8_t body[SIM_CHUNK_VALUES_MAX * sizeof(float)];
    if (blob_header_read((*letter)->data, (*letter)->head_bytes, &header) != STATUS_OK ||
        header.kind != BLOB_CONTRIBUTION ||
        (random_mix(sim->seed ^ random_mix(header.id)) % 2 == 0) ==
            (sim_letter_receiver(*letter) == SIM_COORDINATOR)) {
        return;
    }
    memcpy(head, (*letter)->data, (*letter)->head_bytes); /* with its proof */
    memcpy(body, (*letter)->data + (*letter)->head_bytes, (*letter)->body_bytes);
    body[1] ^= 1;
    header.hash = digest_of(body, (*letter)->body_bytes);
    blob_header_write(&header, head);
    struct sim_letter *forged = sim_letter_new((*letter)->line, (*letter)->way, head,
                                               (*letter)->head_bytes, body, (*letter)->body_bytes);
    forged->connection = (*letter)->connection;
    sim_letter_free(*letter);
    *letter = forged;
    sim->figures.framed++;
}

bool sim_hostile_letter(const struct sim_peer *peer, struct sim_letter **letter)
{
    enum sim_character character = peer->plan->character;
    if (character == SIM_SWINDLER) {
        swindle(letter);
        return true;
    }
    if (character == SIM_FRAMER) {
        frame(letter);
        return true;
    }
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
