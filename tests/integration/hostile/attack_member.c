/* Peers that enrol as they should and then turn.
 *
 *   silent      takes leases, says that it lives, and never does anything of them
 *   unused      offers a contribution, is granted its chunks, sends none of them
 *   liar        offers samples that are not its own
 *   forger      offers its own samples over the signature of another
 *   flood       sends chunks that nobody asked for, as fast as it can
 *   flood-there the same at the port for chunks
 *   words-there says there what belongs to the first port
 *   storm       says that it lives, as fast as it can
 *   reader      asks for the snapshot again and again, and never reads
 *   greedy      asks for the snapshot again and again, and reads
 *
 * Told are the milliseconds from its first wrong doing until it is cut, and what it got away with.
 */
#include "common/clock.h"
#include "proto/attest.h"
#include "proto/blob.h"
#include "tests/integration/hostile/raw_member.h"

#include <sodium.h>
#include <string.h>
#include <sys/socket.h>

enum {
    ALIVE_MS = 1000,
    LIE_MS = 50,
    READER_BUFFER = 4096,
    CHUNK_BYTES = 33792,
    FP32_CHUNK_BYTES = 4 * CODEC_CHUNK_VALUES
};

struct abuse {
    const struct attack *attack;
    struct raw_member member;
    struct wire_lease lease;
    struct blob_ref snapshot;
    struct digest run_id;
    struct identity other; /* that a forger signs as */
    uint32_t context;
    bool idle;         /* takes no work */
    uint64_t began_ms; /* the first wrong doing; 0: none yet */
    uint64_t said;
    uint64_t said_bytes;
    uint64_t accepted; /* contributions */
    uint64_t refused;
    uint64_t grants;
    uint64_t taken_bytes; /* of bodies that were sent to it */
};

static bool is(const struct abuse *self, const char *mode)
{
    return strcmp(self->attack->mode, mode) == 0;
}

static void begins(struct abuse *self)
{
    self->began_ms = self->began_ms == 0 ? clock_now_ms() : self->began_ms;
}

static enum raw_result say_ready(struct abuse *self)
{
    self->member.said->type = WIRE_READY;
    self->member.said->as.ready.version = self->snapshot.id;
    return raw_member_say(&self->member, NULL, 0);
}

static enum raw_result say_alive(struct abuse *self)
{
    self->member.said->type = WIRE_ALIVE;
    self->said++;
    return raw_member_say(&self->member, NULL, 0);
}

static bool offers(const struct abuse *self)
{
    return is(self, "unused") || is(self, "forger");
}

static enum raw_result say_done(struct abuse *self)
{
    self->member.said->type = WIRE_PROGRESS;
    self->member.said->as.progress =
        (struct wire_progress){.lease_id = self->lease.lease_id,
                               .samples_done = (uint32_t)self->lease.samples.count,
                               .loss_sum = 1};
    return raw_member_say(&self->member, NULL, 0);
}

/* A contribution of these samples; there are no bytes behind it. */
static enum raw_result offer(struct abuse *self, uint64_t step, struct sample_range samples)
{
    struct wire_contribution *out = &self->member.said->as.contribution;
    self->member.said->type = WIRE_CONTRIBUTION;
    memset(out, 0, sizeof *out);
    *out = (struct wire_contribution){.step = step,
                                      .range_count = 1,
                                      .ranges = {samples},
                                      .tokens = samples.count * self->context,
                                      .loss_sum = 1,
                                      .codec = CODEC_FP32};
    out->blob = self->snapshot; /* of as many values; the run's codec is fp32 as well */
    out->blob.chunk_bytes = FP32_CHUNK_BYTES;
    out->blob.kind = BLOB_CONTRIBUTION;
    out->blob.id = ++self->said;
    randombytes_buf(out->blob.root.bytes, sizeof out->blob.root.bytes);
    attest_contribution_sign(is(self, "forger") ? &self->other : &self->member.identity,
                             &self->run_id, out);
    return raw_member_say(&self->member, NULL, 0);
}

static enum raw_result take(struct abuse *self)
{
    const struct wire_message *heard = self->member.heard;
    self->taken_bytes += self->member.body_bytes;
    switch ((int)heard->type) {
    case WIRE_LEASE:
        self->lease = heard->as.lease;
        if (offers(self)) {
            return say_done(self);
        }
        begins(self);
        return RAW_OK;
    case WIRE_COLLECT:
        if (!offers(self) || self->lease.samples.count == 0) {
            return RAW_OK;
        }
        begins(self);
        return offer(self, self->lease.step, self->lease.samples);
    case WIRE_WELCOME:
        self->snapshot = heard->as.welcome.snapshot;
        return RAW_OK;
    case WIRE_REFUSED: /* what it asked for is of a step that is over */
        raw_member_make_hello(&self->member, self->attack);
        return raw_member_say(&self->member, NULL, 0);
    case WIRE_GRANT:
        self->grants++;
        return RAW_OK;
    case WIRE_VERDICT:
        self->accepted += heard->as.verdict.accepted ? 1 : 0;
        self->refused += heard->as.verdict.accepted ? 0 : 1;
        return RAW_OK;
    case WIRE_COMMITTED:
        self->snapshot.id = heard->as.committed.step + 1; /* as if it had applied the update */
        return self->idle ? RAW_OK : say_ready(self);
    default:
        return RAW_OK;
    }
}

static enum raw_result ask_for_snapshot(struct abuse *self)
{
    self->member.said->type = WIRE_GRANT;
    self->member.said->as.grant = (struct wire_grant){
        .kind = BLOB_SNAPSHOT,
        .id = self->snapshot.id,
        .chunk_count = blob_chunk_count(self->snapshot.size_bytes, self->snapshot.chunk_bytes)};
    self->said++;
    return raw_member_say(&self->member, NULL, 0);
}

static enum raw_result send_chunk(struct abuse *self)
{
    static const uint8_t bytes[CHUNK_BYTES];
    uint8_t head[BLOB_HEADER_BYTES];
    struct blob_chunk_header header = {.kind = BLOB_CONTRIBUTION,
                                       .id = 1,
                                       .index = (uint32_t)(self->said % BLOB_CHUNKS_MAX),
                                       .size_bytes = sizeof bytes};
    blob_header_write(&header, head);
    self->said++;
    self->said_bytes += sizeof bytes;
    return raw_member_say_raw(&self->member, head, sizeof head, bytes, sizeof bytes);
}

/* What it does of itself; *out_wait_ms: how long it then listens. */
static enum raw_result act(struct abuse *self, uint64_t *out_wait_ms)
{
    *out_wait_ms = 0;
    if (is(self, "words-there")) {
        begins(self);
        return say_ready(self);
    }
    if (is(self, "flood") || is(self, "flood-there")) {
        begins(self);
        return send_chunk(self);
    }
    if (is(self, "storm")) {
        begins(self);
        return say_alive(self);
    }
    if (is(self, "reader") || is(self, "greedy")) {
        begins(self);
        *out_wait_ms = is(self, "greedy") ? 1 : 0;
        return ask_for_snapshot(self);
    }
    if (is(self, "liar")) {
        begins(self);
        *out_wait_ms = LIE_MS;
        return offer(self, self->snapshot.id, (struct sample_range){self->said, 1});
    }
    *out_wait_ms = ALIVE_MS;
    return say_alive(self);
}

static enum raw_result listen_until(struct abuse *self, uint64_t deadline_ms)
{
    enum raw_result result = RAW_OK;
    while (result == RAW_OK) {
        result = raw_member_hear(&self->member, deadline_ms);
        if (result == RAW_OK) {
            result = take(self);
        }
    }
    return result == RAW_LATE ? RAW_OK : result;
}

static enum raw_result turn_hostile(struct abuse *self, uint64_t end_ms)
{
    int buffer_bytes = READER_BUFFER;
    struct raw_member *member = &self->member;
    const struct wire_welcome *welcome = &member->heard->as.welcome;
    self->snapshot = welcome->snapshot;
    self->context = welcome->context;
    self->run_id = welcome->run_id;
    if (is(self, "reader")) {
        (void)setsockopt(member->curve.socket.fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes,
                         sizeof buffer_bytes);
    }
    bool there = strstr(self->attack->mode, "-there") != NULL;
    enum raw_result result =
        there ? raw_member_open_other(member, self->attack, attack_source(self->attack, 0))
              : say_ready(self);
    if (there) {
        raw_member_swap(member);
    }
    while (result == RAW_OK && clock_now_ms() < end_ms) {
        uint64_t wait_ms = 0;
        result = act(self, &wait_ms);
        if (result == RAW_OK && !is(self, "reader")) {
            result = listen_until(self, clock_now_ms() + wait_ms);
        }
    }
    return result;
}

/* One that does not read learns that it is cut when it writes, or from the socket itself. */
static uint64_t cut_ms_of(struct abuse *self, enum raw_result result, uint64_t end_ms)
{
    if (result != RAW_CUT && self->began_ms != 0) {
        uint64_t now_ms = clock_now_ms();
        result = raw_await_cut(&self->member.curve.socket, end_ms > now_ms ? end_ms : now_ms);
    }
    return result == RAW_CUT && self->began_ms != 0 ? clock_now_ms() - self->began_ms
                                                    : ATTACK_NEVER_MS;
}

bool attack_member(struct attack *attack)
{
    struct abuse self = {.attack = attack};
    uint8_t seed[IDENTITY_SEED_BYTES] = {1};
    if (!raw_member_new(&self.member) || identity_of_seed(seed, &self.other) != STATUS_OK) {
        return false;
    }
    uint64_t end_ms = clock_now_ms() + attack->duration_ms;
    bool joined = raw_member_join(&self.member, attack, attack_source(attack, 0)) == RAW_OK;
    enum raw_result result = joined ? turn_hostile(&self, end_ms) : RAW_OK;
    uint64_t cut_ms = joined ? cut_ms_of(&self, result, end_ms) : ATTACK_NEVER_MS;
    report_begin(attack);
    report_number("joined", joined ? 1 : 0);
    report_number("turned", self.began_ms != 0 ? 1 : 0);
    report_number("said", self.said);
    report_number("said_bytes", self.said_bytes);
    report_number("grants", self.grants);
    report_number("taken_bytes", self.taken_bytes);
    report_number("accepted", self.accepted);
    report_number("refused", self.refused);
    report_number("uncut", cut_ms == ATTACK_NEVER_MS ? 1 : 0);
    report_number("cut_ms_max", cut_ms);
    report_number("other_stands", raw_member_other_stands(&self.member) ? 1 : 0);
    report_end();
    raw_member_free(&self.member);
    identity_wipe(&self.other);
    return joined && self.began_ms != 0;
}

/* A member that takes part quietly, at both ports, until it is cut, and then tries to come back:
 * for bans. First prints its key. */
bool attack_hold(struct attack *attack)
{
    enum { TRIES = 20, TRY_MS = 50 };
    struct abuse self = {.attack = attack, .idle = true};
    char hex[2 * RAW_KEY_BYTES + 1];
    if (!raw_member_new(&self.member) ||
        raw_member_join(&self.member, attack, attack_source(attack, 0)) != RAW_OK ||
        raw_member_open_other(&self.member, attack, attack_source(attack, 0)) != RAW_OK) {
        return false;
    }
    (void)sodium_bin2hex(hex, sizeof hex, self.member.identity.public_key, RAW_KEY_BYTES);
    report_begin(attack);
    report_text("key", hex);
    report_end();
    uint64_t end_ms = clock_now_ms() + attack->duration_ms;
    uint64_t wait_ms = 0;
    enum raw_result result = RAW_OK;
    while (result == RAW_OK && clock_now_ms() < end_ms) {
        result = act(&self, &wait_ms);
        if (result == RAW_OK) {
            result = listen_until(&self, clock_now_ms() + wait_ms);
        }
    }
    uint64_t cut_unix_ms = clock_unix_ms();
    bool other_stands = raw_member_other_stands(&self.member);
    uint64_t proved = 0;
    uint64_t welcomed = 0;
    for (int i = 0; i < TRIES && result == RAW_CUT; i++) {
        result = raw_member_connect(&self.member, attack, attack_source(attack, (uint64_t)i));
        proved += result == RAW_OK ? 1 : 0;
        if (result == RAW_OK) {
            raw_member_make_hello(&self.member, attack);
            (void)raw_member_say(&self.member, NULL, 0);
            result = raw_member_await(&self.member, WIRE_WELCOME, clock_now_ms() + TRY_MS);
            welcomed += result == RAW_OK ? 1 : 0;
        }
        result = RAW_CUT;
    }
    report_begin(attack);
    report_number("uncut", result == RAW_CUT ? 0 : 1);
    report_number("cut_unix_ms", cut_unix_ms);
    report_number("other_stands", other_stands ? 1 : 0);
    report_number("proved_again", proved);
    report_number("accepted", welcomed);
    report_end();
    raw_member_free(&self.member);
    return true;
}
