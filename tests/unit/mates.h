/* mates - a coordinator's server and peers that sum for each other, on fake time and in memory. */
#ifndef DUGNAD_TESTS_UNIT_MATES_H
#define DUGNAD_TESTS_UNIT_MATES_H

#include "coordinator/server/server_rest.h"
#include "tests/unit/mate.h"

static struct kept *kept_of(struct mate *mate, uint64_t blob_id)
{
    for (int k = 0; k < KEPT_MAX; k++) {
        if (blob_id != 0 && mate->kept[k].blob_id == blob_id) {
            return &mate->kept[k];
        }
    }
    return NULL;
}

static void take_grant(struct scene *s, int i)
{
    const struct wire_grant grant = s->message.as.grant;
    struct mate *mate = &s->mates[i];
    const struct kept *kept = kept_of(mate, grant.id);
    if (grant.kind == BLOB_SUM && mate->fractions != NULL && !mate->stuck) {
        (void)!fractions_grant_sums(mate->fractions, grant.id, grant.first_chunk,
                                    grant.chunk_count);
        return;
    }
    for (uint32_t j = 0; grant.kind == BLOB_CONTRIBUTION && kept != NULL && j < grant.chunk_count;
         j++) {
        send_part(s, i, kept, grant.first_chunk + j);
    }
}

/* A deliver that names another plan than the newest route is ignored. */
static void take_deliver(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    struct kept *kept = kept_of(mate, s->message.as.deliver.blob_id);
    struct ticket ticket;
    mate->delivers++;
    CU_ASSERT_EQUAL(ticket_open(s->message.as.deliver.ticket, s->run.identity.public_key, &ticket),
                    STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(ticket.peer_key, fake.identities[i].public_key, IDENTITY_KEY_BYTES), 0);
    CU_ASSERT_TRUE(ticket.kind == TICKET_CONTRIBUTION && ticket.expires_unix_ms > clock_unix_ms() &&
                   digest_equal(&ticket.run_id, &s->run.run_id));
    if (kept != NULL && mate->routed && mate->route.plan_id == s->message.as.deliver.plan_id) {
        CU_ASSERT_TRUE(ticket.tokens == kept->offer.tokens && ticket.step == kept->offer.step &&
                       ticket.codec == kept->offer.codec &&
                       digest_equal(&ticket.root, &kept->offer.blob.root));
        kept->serial = ticket.serial;
        kept->route = mate->route;
    }
}

static int mate_of_key(const uint8_t *public_key)
{
    int i = 0;
    while (memcmp(fake.identities[i].public_key, public_key, IDENTITY_KEY_BYTES) != 0) {
        i++;
    }
    return i;
}

static bool begin_fraction(struct scene *s, struct mate *mate, uint64_t step, uint64_t plan_id,
                           uint32_t first_chunk, uint32_t chunk_count)
{
    const struct fraction_task task = {.step = step,
                                       .plan_id = plan_id,
                                       .step_tokens = run_config_step_tokens(&s->run.config),
                                       .value_count = s->value_count,
                                       .first_chunk = first_chunk,
                                       .chunk_count = chunk_count};
    return mate->fractions != NULL && fractions_begin(mate->fractions, &task) == STATUS_OK;
}

static void take_set(struct scene *s, int i, const uint8_t *body, size_t body_bytes)
{
    static uint64_t serials[WIRE_SET_MAX];
    const struct wire_set *set = &s->message.as.set;
    struct mate *mate = &s->mates[i];
    CU_ASSERT_EQUAL_FATAL(wire_serials_read(set, body, body_bytes, serials), STATUS_OK);
    CU_ASSERT_EQUAL(set->step_tokens, run_config_step_tokens(&s->run.config));
    if (begin_fraction(s, mate, set->step, set->plan_id, set->first_chunk, set->chunk_count)) {
        mate->epoch = set->epoch;
        CU_ASSERT_EQUAL(fractions_set(mate->fractions, set->first_chunk, set->epoch, serials,
                                      set->serial_count),
                        STATUS_OK);
    }
}

static void take_lease(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    if (s->message.as.lease.step != mate->version || mate->lease_count == LEASES_MAX) {
        return;
    }
    mate->sample_ms = mate->lease_count == 0 ? s->now_ms : mate->sample_ms;
    mate->done[mate->lease_count] = 0;
    mate->leases[mate->lease_count++] = s->message.as.lease;
}

static void take_reclaim(struct scene *s, int i)
{
    const struct wire_reclaim reclaim = s->message.as.reclaim;
    struct mate *mate = &s->mates[i];
    for (uint32_t k = 0; k < mate->lease_count; k++) {
        struct wire_lease *lease = &mate->leases[k];
        if (lease->lease_id != reclaim.lease_id) {
            continue;
        }
        uint32_t keep = reclaim.keep > mate->done[k] ? reclaim.keep : mate->done[k];
        lease->samples.count = keep < lease->samples.count ? keep : lease->samples.count;
        s->message.type = WIRE_YIELDED;
        s->message.as.yielded = (struct wire_yielded){.lease_id = lease->lease_id,
                                                      .kept = (uint32_t)lease->samples.count};
        tell(s, i);
        return;
    }
}

/* Says hello again on a new connection with all that it holds, and claims what it handed in. */
static inline void break_mate(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    letters_clear(&fake.to_peer[i]);
    mate->lease_count = 0;
    memset(mate->held, 0, sizeof mate->held);
    mate->collect = false;
    mate->breaks++;
    say_hello(s, i);
}

static void say_claim(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    const struct kept *kept = kept_of(mate, mate->blobs);
    struct wire_claim *claim = &s->message.as.claim;
    memset(claim, 0, sizeof *claim);
    s->message.type = WIRE_CLAIM;
    claim->step = mate->version;
    if (kept != NULL && mate->offered) {
        claim->kept_count = kept->offer.range_count;
        memcpy(claim->kept, kept->offer.ranges, sizeof claim->kept);
    }
    tell(s, i);
}

static void offer_again(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    struct kept *kept = kept_of(mate, mate->blobs);
    if (kept != NULL && mate->offered) {
        kept->serial = 0;
        kept->offer.again = true;
        s->message.type = WIRE_CONTRIBUTION;
        s->message.as.contribution = kept->offer;
        tell(s, i);
    }
    say_ready(s, i);
}

static void take_welcome(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    if (s->message.as.welcome.has_snapshot) {
        uint64_t version = s->message.as.welcome.snapshot.id;
        follow_to(s, i, version, &s->server->digests[version % DIGESTS_KEPT]);
        say_ready(s, i);
    } else if (mate->breaks > 0) {
        say_claim(s, i);
    } else {
        say_ready(s, i);
    }
}

static void take_committed(struct scene *s, int i)
{
    const struct wire_committed committed = s->message.as.committed;
    if (s->mates[i].version != committed.step) {
        return;
    }
    follow_to(s, i, committed.step + 1, &committed.digest);
    s->message.type = WIRE_APPLIED;
    s->message.as.applied =
        (struct wire_applied){.version = committed.step + 1, .digest = committed.digest};
    if (s->mates[i].computes) {
        tell(s, i);
        say_ready(s, i);
    }
}

static void hear(struct scene *s, int i, const struct letter *letter)
{
    struct mate *mate = &s->mates[i];
    if (wire_is_chunk(letter->data, letter->head_bytes)) {
        return;
    }
    CU_ASSERT_EQUAL_FATAL(wire_decode(letter->data, letter->head_bytes, &s->message), STATUS_OK);
    switch ((int)s->message.type) {
    case WIRE_WELCOME:
        take_welcome(s, i);
        break;
    case WIRE_CLAIMED:
        offer_again(s, i);
        break;
    case WIRE_ROUTE:
        CU_ASSERT_TRUE(!mate->routed || s->message.as.route.plan_id >= mate->route.plan_id);
        mate->route = s->message.as.route;
        mate->routed = true;
        break;
    case WIRE_REFUSED:
        say_hello(s, i);
        break;
    case WIRE_LEASE:
        CU_ASSERT_TRUE(!mate->routed || mate->route.computes);
        take_lease(s, i);
        break;
    case WIRE_RECLAIM:
        take_reclaim(s, i);
        break;
    case WIRE_COLLECT:
        mate->collect = s->message.as.collect.step == mate->version;
        break;
    case WIRE_VERDICT:
        mate->offered = false;
        break;
    case WIRE_COMMITTED:
        take_committed(s, i);
        break;
    case WIRE_GRANT:
        take_grant(s, i);
        break;
    case WIRE_DELIVER:
        take_deliver(s, i);
        break;
    case WIRE_SET:
        take_set(s, i, letter->data + letter->head_bytes, letter->body_bytes);
        break;
    case WIRE_PROBE:
        mate->probe_nonce = s->message.as.probe.nonce;
        CU_ASSERT_EQUAL(letter->body_bytes, REST_PROBE_BYTES);
        break;
    case WIRE_FINISHED:
        mate->here = false;
        break;
    default:
        break;
    }
}

/* A sample each SAMPLE_MS, reported at once. */
static void compute(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    if (mate->lease_count == 0 || s->now_ms - mate->sample_ms < SAMPLE_MS) {
        return;
    }
    const struct wire_lease *lease = &mate->leases[0];
    mate->sample_ms = s->now_ms;
    if (mate->done[0] < lease->samples.count) {
        uint64_t sample = lease->samples.first + mate->done[0]++;
        mate->held[sample - first_sample(s, mate->version)] = true;
        s->message.type = WIRE_PROGRESS;
        s->message.as.progress = (struct wire_progress){
            .lease_id = lease->lease_id, .samples_done = mate->done[0], .loss_sum = 1.0};
        tell(s, i);
    }
    if (mate->done[0] >= lease->samples.count) {
        mate->lease_count--;
        memmove(mate->leases, mate->leases + 1, mate->lease_count * sizeof *mate->leases);
        memmove(mate->done, mate->done + 1, mate->lease_count * sizeof *mate->done);
        say_ready(s, i);
    }
}

/* Gives each owner the next chunk of what is on its way. */
static void deliver(struct scene *s, int i)
{
    for (int k = 0; k < KEPT_MAX; k++) {
        struct kept *kept = &s->mates[i].kept[k];
        for (uint32_t j = 0; kept->serial != 0 && !s->mates[i].apart && j < kept->route.owner_count;
             j++) {
            const struct wire_owner *entry = &kept->route.owners[j];
            int number = mate_of_key(entry->public_key);
            struct mate *owner = &s->mates[number];
            const struct fraction_part part = {
                .serial = kept->serial, .codec = kept->offer.codec, .tokens = kept->offer.tokens};
            uint32_t chunk = 0;
            if (!owner->here || owner->stuck ||
                !begin_fraction(s, owner, kept->offer.step, kept->route.plan_id, entry->first_chunk,
                                entry->chunk_count) ||
                fractions_open(owner->fractions, &part) != STATUS_OK ||
                !fractions_missing(owner->fractions, kept->serial, &chunk)) {
                continue;
            }
            CU_ASSERT_EQUAL(fractions_add(owner->fractions, kept->serial, chunk,
                                          chunk_of(s, kept, chunk), chunk_bytes_of(s, chunk)),
                            STATUS_OK);
        }
    }
}

static void return_sums(struct scene *s, int i)
{
    static uint8_t packed[CODEC_CHUNK_VALUES * 16];
    struct mate *mate = &s->mates[i];
    uint32_t chunk = 0;
    if (mate->fractions == NULL || fractions_task(mate->fractions) == NULL || mate->stuck) {
        return;
    }
    if (fractions_next_sum(mate->fractions, &chunk)) { /* one a turn */
        size_t size_bytes = fractions_pack(mate->fractions, chunk, packed);
        if (mate->lies && chunk == fractions_task(mate->fractions)->first_chunk) {
            int64_t sums[CODEC_BLOCK_VALUES] = {0};
            static int64_t wrong[CODEC_CHUNK_VALUES];
            size_t count = chunks_values(s->value_count, chunk);
            memset(wrong, 0, sizeof wrong);
            CU_ASSERT_EQUAL_FATAL(sum_unpack_add(packed, size_bytes, count, wrong), STATUS_OK);
            wrong[5] += 1 + sums[0];
            size_bytes = sum_pack(wrong, count, packed);
        }
        const struct blob_chunk_header header = {.kind = BLOB_SUM,
                                                 .id = mate->epoch,
                                                 .index = chunk,
                                                 .size_bytes = (uint32_t)size_bytes,
                                                 .hash = digest_of(packed, size_bytes)};
        send_sum(s, i, &header, packed);
        s->sums++;
        fractions_sum_sent(mate->fractions, chunk);
    }
    if (s->now_ms - mate->holds_ms >= HOLDS_MS) {
        struct fraction_holds holds;
        fractions_holds(mate->fractions, &holds);
        mate->holds_ms = s->now_ms;
        s->message.type = WIRE_HOLDS;
        s->message.as.holds = (struct wire_holds){.step = fractions_task(mate->fractions)->step,
                                                  .epoch = holds.epoch,
                                                  .parts_held = holds.parts_held,
                                                  .parts_missing = holds.parts_missing,
                                                  .sums_ready = holds.sums_ready,
                                                  .bad_serial = holds.bad_serial,
                                                  .bad_chunk = holds.bad_chunk,
                                                  .lacking_count = holds.lacking_count,
                                                  .lacking_serial = holds.lacking_serial};
        tell(s, i);
    }
}

static void live(struct scene *s, int i)
{
    struct mate *mate = &s->mates[i];
    if (!mate->here) {
        if (mate->back_ms > 0 && s->now_ms >= mate->back_ms) {
            start_mate(s, i);
        }
        return;
    }
    for (struct letter *letter; (letter = letters_take(&fake.to_peer[i])) != NULL;) {
        hear(s, i, letter);
        free(letter);
    }
    compute(s, i);
    if (mate->collect && !mate->offered) {
        hand_in(s, i);
    }
    deliver(s, i);
    return_sums(s, i);
    if (s->now_ms - mate->alive_ms >= ALIVE_MS) {
        s->message.type = WIRE_ALIVE;
        tell(s, i);
    }
}

static void turn(struct scene *s)
{
    s->now_ms += TURN_MS;
    for (int i = 0; i < MATES; i++) {
        live(s, i);
    }
    CU_ASSERT_EQUAL_FATAL(server_turn(s->server, s->now_ms, &s->over), STATUS_OK);
}

/* Settings of the run as text: a codec, and lines of the section `aggregation`. */
static void begin_scene(struct scene *s, const char *codec, const char *aggregation)
{
    const struct server_options options = {.listen = "tcp://127.0.0.1:0", .thread_count = 2};
    const char *from = "model: {type: llama, hidden_size: 40, layers: 1, heads: 2}";
    char to[512];
    memset(s, 0, sizeof *s);
    memset(&fake, 0, sizeof fake);
    s->now_ms = 50000;
    (void)snprintf(to, sizeof to,
                   "model: {type: llama, hidden_size: 128, layers: 1, heads: 4}\n"
                   "aggregation: {%s}",
                   aggregation);
    run_fixture_open(&s->run, codec, from, to);
    s->value_count = layout_value_count(s->run.layout);
    s->chunk_count = chunks_count(s->value_count);
    s->codec = s->run.config.codec;
    members_fixture_invite(s->run.path, 7, 0, s->token);
    for (int i = 0; i < MATES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "key%d", i);
        CU_ASSERT_EQUAL_FATAL(identity_open(scratch_path(name), &fake.identities[i]), STATUS_OK);
        s->mates[i].computes = true;
        s->mates[i].aggregates = i < 3;
        s->mates[i].version = WIRE_VERSION_NONE;
    }
    CU_ASSERT_EQUAL_FATAL(server_new(&s->run, &options, &s->server), STATUS_OK);
}

static void end_scene(struct scene *s)
{
    server_free(s->server);
    for (int i = 0; i < MATES; i++) {
        kill_mate(s, i, 0);
    }
    letters_clear(&fake.to_server);
    run_fixture_close(&s->run);
}

static uint64_t step_of(const struct scene *s)
{
    return core_current_step(s->server->core);
}

static void run_to(struct scene *s, uint64_t step)
{
    uint64_t end_ms = s->now_ms + PATIENCE_MS;
    while (step_of(s) < step && s->now_ms < end_ms) {
        turn(s);
    }
    CU_ASSERT_TRUE_FATAL(step_of(s) >= step);
}

#endif
