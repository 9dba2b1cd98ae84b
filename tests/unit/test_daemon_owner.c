#include "peer/daemon/owner_state.h"
#include "proto/codec/sum_pack.h"
#include "tests/unit/owner_fixture.h"

#include <math.h>

static struct fixture fixture;
static int64_t sums[ALL * CODEC_CHUNK_VALUES];

/* Takes the packed sums of this epoch, which must be those of `count` times the contribution. */
static void expect_sums(struct fixture *self, uint64_t epoch, uint32_t count)
{
    const struct wire_grant grant = {
        .kind = BLOB_SUM, .id = epoch, .first_chunk = FIRST, .chunk_count = CHUNKS};
    struct daemon_owner_sum sum;
    uint32_t seen = 0;
    CU_ASSERT_FALSE(daemon_owner_next_sum(self->owner, &sum)); /* nobody asked */
    daemon_owner_grant_sums(self->owner, &grant);
    for (; daemon_owner_next_sum(self->owner, &sum); seen++) {
        size_t values = chunks_values(VALUES, sum.header.index);
        size_t size_bytes = 0;
        const uint8_t *part =
            contribution_chunk(&self->contribution, VALUES, sum.header.index, &size_bytes);
        CU_ASSERT_EQUAL(sum.header.id, epoch);
        memset(sums, 0, values * sizeof *sums);
        CU_ASSERT_EQUAL_FATAL(sum_unpack_add(sum.data, sum.header.size_bytes, values, sums),
                              STATUS_OK);
        for (uint32_t i = 0; i < count; i++) {
            exact_sum_subtract(&self->grid, CODEC_MX8, part, values, sums);
        }
        bool all_zero = true;
        for (size_t i = 0; i < values; i++) {
            all_zero = all_zero && sums[i] == 0;
        }
        CU_ASSERT_TRUE(all_zero);
        daemon_owner_sum_sent(self->owner, &sum);
    }
    CU_ASSERT_EQUAL(seen, CHUNKS);
}

static void contributions_are_granted_summed_and_returned(void)
{
    struct fixture *self = &fixture;
    struct wire_holds holds;
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    struct channel_client *bert = dial(self, &self->bert);
    struct ticket of_anna = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    struct ticket of_bert = ticket_for(self, &self->bert, TICKET_CONTRIBUTION, 12);
    show_pass(self, anna, &self->anna);
    show(self, anna, &of_anna, 1);
    show(self, bert, &of_bert, 1);
    deliver(self, anna, 1);
    turns_for(self, QUIET_MS);
    tell_set(self, 1, (const uint64_t[]){11, 12}, 2);
    CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    CU_ASSERT_EQUAL(holds.epoch, 1);
    CU_ASSERT_EQUAL(holds.parts_missing, CHUNKS);
    CU_ASSERT_EQUAL(holds.lacking_serial, 12);
    deliver(self, bert, 1);
    while (holds.parts_missing > 0) {
        CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    }
    CU_ASSERT_EQUAL(holds.sums_ready, CHUNKS);
    CU_ASSERT_EQUAL(holds.bad_serial, 0);
    expect_sums(self, 1, 2);
    tell_set(self, 2, (const uint64_t[]){12}, 1); /* Anna was lost */
    expect_sums(self, 2, 1);
    daemon_owner_committed(self->owner, STEP);
    turns_for(self, QUIET_MS);
    CU_ASSERT_FALSE(daemon_owner_holds(self->owner, clock_now_ms() + 10000, &holds));
    channel_client_free(anna);
    channel_client_free(bert);
    end(self);
}

enum wrong { WRONG_SIGNER, WRONG_RUN, WRONG_PEER, WRONG_TIME, WRONG_BYTES, WRONGS };

static void ticket_that_is_not_good_costs_the_connection(void)
{
    struct fixture *self = &fixture;
    begin(self);
    for (enum wrong wrong = WRONG_SIGNER; wrong < WRONGS; wrong++) {
        struct channel_client *anna = dial(self, &self->anna);
        struct ticket ticket = ticket_for(self, wrong == WRONG_PEER ? &self->bert : &self->anna,
                                          TICKET_CONTRIBUTION, 11);
        ticket.run_id.bytes[0] ^= wrong == WRONG_RUN ? 1 : 0;
        ticket.expires_unix_ms -= wrong == WRONG_TIME ? 60001 : 0;
        self->message.type = WIRE_OPEN;
        self->message.as.open.blob_id = 1;
        ticket_sign(wrong == WRONG_SIGNER ? &self->bert : &self->coordinator, &ticket,
                    self->message.as.open.ticket);
        self->message.as.open.ticket[90] ^= wrong == WRONG_BYTES ? 1 : 0;
        say(self, anna);
        CU_ASSERT_TRUE(is_cut(self, anna));
        channel_client_drop(anna);
    }
    struct channel_client *anna = dial(self, &self->anna);
    show_pass(self, anna, &self->anna);
    CU_ASSERT_TRUE(is_kept(self, anna));
    channel_client_free(anna);
    end(self);
}

static void who_shows_no_ticket_is_cut_whatever_it_says(void)
{
    struct fixture *self = &fixture;
    static const uint8_t garbage[200] = {200, 1, 2, 3};
    begin(self);
    for (int i = 0; i < 5; i++) {
        struct channel_client *anna = dial(self, &self->anna);
        if (i == 0) {
            CU_ASSERT_EQUAL(channel_client_send(anna, garbage, sizeof garbage, garbage, 100),
                            STATUS_OK);
        } else if (i == 1) {
            ask(self, anna, BLOB_UPDATE, 1, (struct fetch_range){0, 1});
        } else if (i == 2) {
            send_part(self, anna, 1, FIRST);
        } else {
            self->message.type = i == 3 ? WIRE_ALIVE : WIRE_PROBE;
            self->message.as.probe = (struct wire_probe){.nonce = 1};
            say(self, anna);
        }
        CU_ASSERT_TRUE(is_cut(self, anna));
        channel_client_drop(anna);
    }
    end(self);
}

static void coordinator_is_answered_its_probe(void)
{
    struct fixture *self = &fixture;
    static uint8_t filler[256 * 1024];
    struct channel_message incoming;
    size_t size_bytes = 0;
    begin(self);
    struct channel_client *coordinator = dial(self, &self->coordinator);
    memset(filler, 0x3c, sizeof filler);
    self->message.type = WIRE_PROBE;
    self->message.as.probe = (struct wire_probe){.nonce = 77};
    CU_ASSERT_EQUAL_FATAL(wire_encode(&self->message, self->head, WIRE_HEAD_MAX, &size_bytes),
                          STATUS_OK);
    CU_ASSERT_EQUAL(channel_client_send(coordinator, self->head, size_bytes, filler, sizeof filler),
                    STATUS_OK);
    CU_ASSERT_TRUE_FATAL(hears(self, coordinator, &incoming, PATIENCE_MS));
    CU_ASSERT_EQUAL_FATAL(wire_decode(incoming.head, incoming.head_size_bytes, &self->message),
                          STATUS_OK);
    CU_ASSERT_EQUAL(self->message.type, WIRE_PROBE);
    CU_ASSERT_TRUE(self->message.as.probe.answer);
    CU_ASSERT_EQUAL(self->message.as.probe.nonce, 77);
    CU_ASSERT_EQUAL_FATAL(incoming.body_size_bytes, sizeof filler);
    CU_ASSERT_EQUAL(memcmp(incoming.body, filler, sizeof filler), 0);
    channel_message_close(&incoming);
    channel_client_free(coordinator);
    end(self);
}

/* What is wrong in itself costs the connection; what is merely bad is reported, for the coordinator
 * to judge. */
static void bad_parts_are_reported_and_foreign_ones_cost_the_connection(void)
{
    struct fixture *self = &fixture;
    struct wire_holds holds = {.epoch = 0};
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    contribution_spoil(&self->contribution, FIRST + 1);
    name_contribution(self);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    show(self, anna, &ticket, 1);
    deliver(self, anna, 1);
    while (holds.bad_serial == 0) {
        CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    }
    CU_ASSERT_EQUAL(holds.bad_serial, 11);
    CU_ASSERT_EQUAL(holds.bad_chunk, FIRST + 1);
    CU_ASSERT_EQUAL(holds.parts_held, CHUNKS - 1);
    CU_ASSERT_TRUE(is_kept(self, anna));
    send_part(self, anna, 9, FIRST); /* of a contribution without a ticket */
    CU_ASSERT_TRUE(is_kept(self, anna));
    send_part(self, anna, 1, FIRST - 1);
    CU_ASSERT_TRUE(is_cut(self, anna));
    channel_client_free(anna);
    end(self);
}

/* Every value is as good as the promised one: only the root tells. */
static void other_bytes_than_were_promised_are_not_summed(void)
{
    struct fixture *self = &fixture;
    struct wire_holds holds = {.epoch = 0};
    size_t size_bytes = 0;
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    struct channel_client *bert = dial(self, &self->bert);
    struct ticket of_anna = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    struct ticket of_bert = ticket_for(self, &self->bert, TICKET_CONTRIBUTION, 12);
    size_t at = (size_t)(contribution_chunk(&self->contribution, VALUES, FIRST + 1, &size_bytes) -
                         self->contribution.data) +
                1;
    show(self, bert, &of_bert, 1);
    deliver(self, bert, 1);
    show(self, anna, &of_anna, 1);
    self->contribution.data[at] ^= 1;
    deliver(self, anna, 1);
    while (holds.torn_serial == 0) {
        CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    }
    CU_ASSERT_EQUAL(holds.torn_serial, 11);
    CU_ASSERT_EQUAL(holds.bad_serial, 0);
    turns_for(self, QUIET_MS);
    while (reports(self, &holds) && holds.parts_held < 2 * CHUNKS - 1) {
    }
    CU_ASSERT_EQUAL(holds.parts_held, 2 * CHUNKS - 1);
    self->contribution.data[at] ^= 1;
    tell_set(self, 1, (const uint64_t[]){12}, 1);
    do {
        CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    } while (holds.epoch == 0);
    CU_ASSERT_EQUAL(holds.torn_serial, 0); /* nobody in the set */
    CU_ASSERT_EQUAL(holds.parts_missing, 0);
    expect_sums(self, 1, 1);
    channel_client_free(anna);
    channel_client_free(bert);
    end(self);
}

static void chunks_of_wrong_bytes_bar_their_sender(void)
{
    struct fixture *self = &fixture;
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    struct channel_client *bert = dial(self, &self->bert);
    struct ticket of_anna = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    show(self, anna, &of_anna, 1);
    CU_ASSERT_TRUE(hears_type(self, anna, WIRE_GRANT));
    show_pass(self, bert, &self->bert);
    self->contribution.data[0] ^= 1; /* of the first chunk, as its proof tells */
    for (int i = 0; i < GUEST_WRONG_MAX; i++) {
        send_part(self, anna, 1, 0);
        turn(self);
    }
    CU_ASSERT_TRUE(is_kept(self, anna));
    send_part(self, anna, 1, 0);
    CU_ASSERT_TRUE(is_barred(self, anna, &self->anna));
    CU_ASSERT_TRUE(is_kept(self, bert));
    owner_pardon(self->owner, clock_now_ms() + OWNER_BAR_MS);
    channel_client_drop(anna);
    struct channel_client *again = dial(self, &self->anna);
    show_pass(self, again, &self->anna);
    for (int i = 0; i < 1000 && channel_client_connections(again) == 0; i++) {
        turn(self);
    }
    CU_ASSERT_TRUE(is_kept(self, again));
    channel_client_free(again);
    channel_client_free(bert);
    end(self);
}

static void chunks_that_nobody_asked_for_bar_their_sender(void)
{
    static uint8_t body[256 * 1024];
    struct fixture *self = &fixture;
    const struct blob_chunk_header header = {.kind = BLOB_CONTRIBUTION,
                                             .id = 99,
                                             .size_bytes = sizeof body,
                                             .hash = digest_of(body, sizeof body)};
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    show_pass(self, anna, &self->anna);
    for (size_t i = 0; i < GUEST_UNASKED_BYTES_MAX / sizeof body; i++) {
        send_anyhow(self, anna, &header, body);
    }
    CU_ASSERT_TRUE(is_kept(self, anna));
    send_anyhow(self, anna, &header, body);
    CU_ASSERT_TRUE(is_barred(self, anna, &self->anna));
    channel_client_free(anna);
    end(self);
}

static void more_chunks_asked_for_than_any_window_has_are_cut(void)
{
    struct fixture *self = &fixture;
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    show_pass(self, anna, &self->anna);
    turns_for(self, QUIET_MS);
    const struct wire_grant others = {
        .kind = BLOB_UPDATE, .id = 50, .chunk_count = GUEST_PENDING_CHUNKS_MAX - 1};
    struct blob_senders *sends = &self->owner->guests.items[0].sends;
    CU_ASSERT_EQUAL(blob_senders_grant(sends, &others, GUEST_PENDING_CHUNKS_MAX), STATUS_OK);
    ask(self, anna, BLOB_UPDATE, 51, (struct fetch_range){FIRST, 1});
    CU_ASSERT_TRUE(is_kept(self, anna));
    ask(self, anna, BLOB_UPDATE, 51, (struct fetch_range){FIRST, 2});
    CU_ASSERT_TRUE(is_cut(self, anna));
    channel_client_free(anna);
    end(self);
}

static void contribution_waits_for_its_plan(void)
{
    struct fixture *self = &fixture;
    struct channel_message incoming;
    begin_with(self, UINT64_C(1) << 30);
    struct channel_client *anna = dial(self, &self->anna);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    show(self, anna, &ticket, 1);
    CU_ASSERT_FALSE(hears(self, anna, &incoming, QUIET_MS));
    plan(self, PLAN - 1);
    CU_ASSERT_FALSE(hears(self, anna, &incoming, QUIET_MS));
    plan(self, PLAN);
    deliver(self, anna, 1);
    channel_client_free(anna);
    end(self);
}

/* Sums and one contribution fit; a second one does not, and is not asked for. */
static void memory_limit_holds_whatever_is_opened(void)
{
    struct fixture *self = &fixture;
    struct channel_message incoming;
    struct wire_holds holds;
    size_t values = VALUES - FIRST * CODEC_CHUNK_VALUES;
    begin_with(self, values * sizeof(int64_t) + codec_encoded_bytes(CODEC_MX8, values) * 3 / 2);
    plan(self, PLAN);
    struct channel_client *anna = dial(self, &self->anna);
    struct channel_client *bert = dial(self, &self->bert);
    for (uint64_t i = 0; i < 9; i++) { /* more than anybody has */
        struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11 + i);
        show(self, anna, &ticket, 1 + i);
    }
    CU_ASSERT_TRUE(hears_type(self, anna, WIRE_GRANT));
    struct ticket ticket = ticket_for(self, &self->bert, TICKET_CONTRIBUTION, 20);
    show(self, bert, &ticket, 1);
    CU_ASSERT_FALSE(hears(self, bert, &incoming, QUIET_MS));
    tell_set(self, 1, (const uint64_t[]){20}, 1); /* the others are given up for it */
    deliver(self, bert, 1);
    do {
        CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    } while (holds.parts_missing > 0);
    expect_sums(self, 1, 1);
    channel_client_free(anna);
    channel_client_free(bert);
    end(self);
}

static void contributor_that_comes_back_is_granted_anew(void)
{
    struct fixture *self = &fixture;
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    show(self, anna, &ticket, 1);
    CU_ASSERT_TRUE(hears_type(self, anna, WIRE_GRANT));
    CU_ASSERT_EQUAL(self->message.as.grant.chunk_count, CHUNKS);
    channel_client_drop(anna);
    anna = dial(self, &self->anna);
    show(self, anna, &ticket, 1);
    deliver(self, anna, 1);
    channel_client_free(anna);
    end(self);
}

static void own_contribution_is_summed_without_a_connection(void)
{
    struct fixture *self = &fixture;
    struct wire_holds holds;
    uint8_t bytes[TICKET_BYTES];
    begin(self);
    uint8_t *data = malloc(self->contribution.size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    memcpy(data, self->contribution.data, self->contribution.size_bytes);
    (void)offers_add(&self->offers, 4, CODEC_MX8, data, self->contribution.size_bytes);
    struct ticket ticket = ticket_for(self, &self->owner_identity, TICKET_CONTRIBUTION, 30);
    ticket_sign(&self->coordinator, &ticket, bytes);
    daemon_owner_deliver(self->owner, 4, bytes);
    tell_set(self, 1, (const uint64_t[]){30}, 1);
    do {
        CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    } while (holds.parts_missing > 0);
    expect_sums(self, 1, 1);
    end(self);
}

/* A coordinator that started again counts epochs from the beginning, and steps from an earlier one.
 */
static void set_of_a_coordinator_that_started_again_is_followed(void)
{
    struct fixture *self = &fixture;
    struct wire_holds holds;
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    tell_set(self, 5, (const uint64_t[]){10}, 1);
    CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    CU_ASSERT_EQUAL(holds.epoch, 5);
    show(self, anna, &ticket, 1);
    deliver(self, anna, 1);
    turns_for(self, QUIET_MS);
    tell_set(self, 1, (const uint64_t[]){11}, 1);
    deliver(self, anna, 1); /* what was here is gone */
    do {
        CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    } while (holds.parts_missing > 0);
    CU_ASSERT_EQUAL(holds.epoch, 1);
    expect_sums(self, 1, 1);
    channel_client_free(anna);
    end(self);
}

/* An update of the vector's size, its list, and a fetch of the owner's part. */
struct update {
    struct blob_ref ref;
    struct digest hashes[ALL];
    uint8_t *data;
};

static struct update make_update(uint64_t id)
{
    struct update update;
    size_t size_bytes = codec_encoded_bytes(CODEC_MX8, VALUES);
    update.data = malloc(size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(update.data);
    memset(update.data, (int)id, size_bytes);
    update.ref =
        blob_describe(BLOB_UPDATE, id, update.data, size_bytes,
                      (uint32_t)codec_encoded_bytes(CODEC_MX8, CODEC_CHUNK_VALUES), update.hashes);
    return update;
}

static void fetch_begins(struct fixture *self, const struct update *update)
{
    const struct fetch_range own = {FIRST, CHUNKS};
    struct fetch_plan routes = {.own = own};
    struct blob_ref list = blob_hashes_ref(&update->ref);
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    struct wire_grant grant;
    uint32_t source = 1;
    CU_ASSERT_EQUAL_FATAL(fetch_new(&update->ref, &own, &routes, &self->shelf.coming), STATUS_OK);
    while (fetch_grant(self->shelf.coming, 0, UINT64_MAX, &source, &grant)) {
        CU_ASSERT_EQUAL(source, FETCH_COORDINATOR);
    }
    CU_ASSERT_EQUAL_FATAL(blob_chunk(&list, update->hashes[0].bytes, NULL, 0, &header, &chunk),
                          STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(
        fetch_take(self->shelf.coming, FETCH_COORDINATOR, &header, chunk, header.size_bytes, 0),
        STATUS_OK);
}

static void fetch_gets(struct fixture *self, const struct update *update, uint32_t index)
{
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    CU_ASSERT_EQUAL_FATAL(
        blob_chunk(&update->ref, update->data, update->hashes, index, &header, &chunk), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(
        fetch_take(self->shelf.coming, FETCH_COORDINATOR, &header, chunk, header.size_bytes, 0),
        STATUS_OK);
    self->shelf.arrivals++;
}

static bool hears_chunk(struct fixture *self, struct channel_client *client,
                        const struct update *update, uint32_t index)
{
    struct channel_message incoming;
    struct blob_chunk_header header;
    while (hears(self, client, &incoming, PATIENCE_MS)) {
        if (wire_is_chunk(incoming.head, incoming.head_size_bytes)) {
            bool right =
                blob_header_read(incoming.head, incoming.head_size_bytes, &header) == STATUS_OK &&
                header.kind == BLOB_UPDATE && header.id == update->ref.id &&
                header.index == index && digest_equal(&header.hash, &update->hashes[index]) &&
                incoming.body_size_bytes == blob_chunk_size(&update->ref, index) &&
                incoming.body[0] == (uint8_t)update->ref.id;
            channel_message_close(&incoming);
            return right;
        }
        channel_message_close(&incoming);
    }
    return false;
}

static void update_is_passed_on_chunk_by_chunk_as_it_comes(void)
{
    struct fixture *self = &fixture;
    begin(self);
    struct update update = make_update(8);
    struct channel_client *anna = dial(self, &self->anna);
    show_pass(self, anna, &self->anna);
    ask(self, anna, BLOB_UPDATE, 8, (struct fetch_range){FIRST, CHUNKS});
    CU_ASSERT_TRUE(hears_type(self, anna, WIRE_ALIVE)); /* it is not here yet, but will be */
    CU_ASSERT_TRUE(daemon_owner_is_wanted(self->owner));
    fetch_begins(self, &update);
    fetch_gets(self, &update, FIRST + 1);
    CU_ASSERT_TRUE(hears_chunk(self, anna, &update, FIRST + 1));
    fetch_gets(self, &update, FIRST + 2);
    CU_ASSERT_TRUE(hears_chunk(self, anna, &update, FIRST + 2));
    fetch_gets(self, &update, FIRST);
    shelf_keep(&self->shelf);
    CU_ASSERT_TRUE(hears_chunk(self, anna, &update, FIRST));
    CU_ASSERT_FALSE(daemon_owner_is_wanted(self->owner));
    ask(self, anna, BLOB_UPDATE, 8, (struct fetch_range){FIRST, 1}); /* and again, later */
    CU_ASSERT_TRUE(hears_chunk(self, anna, &update, FIRST));
    ask(self, anna, BLOB_UPDATE, 9, (struct fetch_range){0, ALL + 1});
    CU_ASSERT_TRUE(is_cut(self, anna));
    channel_client_free(anna);
    free(update.data);
    end(self);
}

static void two_updates_are_kept_and_older_ones_are_gone(void)
{
    struct fixture *self = &fixture;
    struct update updates[3];
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    show_pass(self, anna, &self->anna);
    for (uint64_t i = 0; i < 3; i++) {
        updates[i] = make_update(8 + i);
        fetch_begins(self, &updates[i]);
        for (uint32_t j = 0; j < CHUNKS; j++) {
            fetch_gets(self, &updates[i], FIRST + j);
        }
        shelf_keep(&self->shelf);
    }
    ask(self, anna, BLOB_UPDATE, 9, (struct fetch_range){FIRST, 1});
    CU_ASSERT_TRUE(hears_chunk(self, anna, &updates[1], FIRST));
    ask(self, anna, BLOB_UPDATE, 8, (struct fetch_range){FIRST, 1});
    CU_ASSERT_TRUE(hears_type(self, anna, WIRE_REFUSED));
    CU_ASSERT_EQUAL(self->message.as.refused.code, WIRE_REFUSED_GONE);
    ask(self, anna, BLOB_SNAPSHOT, 10, (struct fetch_range){FIRST, 1});
    CU_ASSERT_TRUE(hears_type(self, anna, WIRE_REFUSED));
    channel_client_free(anna);
    for (uint64_t i = 0; i < 3; i++) {
        free(updates[i].data);
    }
    end(self);
}

/* Strangers who come again and again, beside one who has a ticket. */
static void flood_of_strangers_stops_nobody(void)
{
    struct fixture *self = &fixture;
    struct channel_client *strangers[8];
    struct identity keys[8];
    static const uint8_t garbage[64] = {WIRE_GRANT, 9, 9, 9};
    begin(self);
    struct channel_client *anna = dial(self, &self->anna);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    for (size_t i = 0; i < 8; i++) {
        make_identity(&keys[i]);
        strangers[i] = dial(self, &keys[i]);
    }
    show(self, anna, &ticket, 1);
    for (size_t i = 0; i < 4000; i++) {
        enum status status = channel_client_send(strangers[i % 8], garbage, sizeof garbage,
                                                 self->contribution.data, 30000);
        CU_ASSERT_TRUE(status == STATUS_OK || status == STATUS_AGAIN);
        if (i % 100 == 0) {
            turn(self);
        }
    }
    deliver(self, anna, 1);
    tell_set(self, 1, (const uint64_t[]){11}, 1);
    struct wire_holds holds;
    do {
        CU_ASSERT_TRUE_FATAL(reports(self, &holds));
    } while (holds.parts_missing > 0);
    expect_sums(self, 1, 1);
    CU_ASSERT_EQUAL(channel_client_connections(anna), 1);
    for (size_t i = 0; i < 8; i++) {
        channel_client_drop(strangers[i]);
    }
    channel_client_free(anna);
    end(self);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(contributions_are_granted_summed_and_returned),
        SUITE_TEST(ticket_that_is_not_good_costs_the_connection),
        SUITE_TEST(who_shows_no_ticket_is_cut_whatever_it_says),
        SUITE_TEST(coordinator_is_answered_its_probe),
        SUITE_TEST(bad_parts_are_reported_and_foreign_ones_cost_the_connection),
        SUITE_TEST(other_bytes_than_were_promised_are_not_summed),
        SUITE_TEST(chunks_of_wrong_bytes_bar_their_sender),
        SUITE_TEST(chunks_that_nobody_asked_for_bar_their_sender),
        SUITE_TEST(more_chunks_asked_for_than_any_window_has_are_cut),
        SUITE_TEST(contribution_waits_for_its_plan),
        SUITE_TEST(memory_limit_holds_whatever_is_opened),
        SUITE_TEST(contributor_that_comes_back_is_granted_anew),
        SUITE_TEST(own_contribution_is_summed_without_a_connection),
        SUITE_TEST(set_of_a_coordinator_that_started_again_is_followed),
        SUITE_TEST(update_is_passed_on_chunk_by_chunk_as_it_comes),
        SUITE_TEST(two_updates_are_kept_and_older_ones_are_gone),
        SUITE_TEST(flood_of_strangers_stops_nobody),
    };
    return suite_run("daemon_owner", tests, sizeof tests / sizeof tests[0]);
}
