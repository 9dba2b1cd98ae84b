/* Who may stay at a server: members, strangers, keys that are barred, and nobody when no handler
 * looks at keys. */
#include "proto/channel/channel_connections.h"
#include "proto/channel/channel_set.h"
#include "proto/channel_incidents.h"
#include "tests/unit/channel_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ACTS_MS_MAX = 1000, TABLE = 1024, FLOOD = 3 * TABLE };

/* Both sides take turns until the client is as said; how long that took is bounded. */
static bool becomes(struct fixture *self, struct channel_client *client,
                    enum channel_trouble trouble, int patience_ms)
{
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)patience_ms;
    do {
        if (channel_client_trouble(client) == trouble) {
            return true;
        }
        channel_set_wait(self->client_set, -1, 1);
        channel_set_wait(self->server_set, -1, 1);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

/* The connection that stands is cut, and the client notices: it may be back already. */
static bool is_cut(struct fixture *self, struct channel_client *client, uint64_t connections,
                   int patience_ms)
{
    struct channel_message message;
    uint64_t deadline_ms = clock_now_ms() + (uint64_t)patience_ms;
    do {
        /* A program that reads: what has come is what its clients said. */
        if (channel_server_receive(self->server, &message) == STATUS_OK) {
            channel_message_close(&message);
        }
        if (channel_client_connections(client) > connections ||
            channel_client_trouble(client) != CHANNEL_FINE) {
            return true;
        }
        channel_set_wait(self->client_set, -1, 1);
        channel_set_wait(self->server_set, -1, 1);
    } while (clock_now_ms() < deadline_ms);
    return false;
}

static void cut_ends_one_connection_and_nothing_more_comes_from_it(void)
{
    struct fixture fixture;
    struct channel_message message;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    struct channel_client *bert = connect_as(&fixture, &fixture.bert);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, bert, &fixture.bert));
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "a"));
    uint64_t of_anna = fixture.connection;
    CU_ASSERT_EQUAL(say(anna, "on its way"), STATUS_OK);
    CU_ASSERT_TRUE(becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_TRUE(becomes(&fixture, bert, CHANNEL_FINE, PATIENCE_MS));
    for (int i = 0; i < 10; i++) { /* it arrives, and is not read yet */
        channel_set_wait(fixture.client_set, -1, 5);
    }
    channel_server_cut(fixture.server, of_anna);
    channel_server_cut(fixture.server, of_anna);
    CU_ASSERT_EQUAL(tell(&fixture, of_anna, "x"), STATUS_STALE);
    CU_ASSERT_FALSE(server_gets(&fixture, &message, TICK_MS));
    CU_ASSERT_TRUE(is_cut(&fixture, anna, 1, ACTS_MS_MAX));
    CU_ASSERT_TRUE(becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS)); /* it may come back */
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "again"));
    CU_ASSERT_NOT_EQUAL(fixture.connection, of_anna);
    CU_ASSERT_EQUAL(channel_client_connections(bert), 1);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, bert, &fixture.bert, "b"));
    channel_client_free(anna);
    channel_client_free(bert);
    end(&fixture);
}

/* A second connection of a key does nothing to the first, until it is the one that is admitted. */
static void admitted_connection_ends_the_others_of_its_key(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *first = connect_as(&fixture, &fixture.anna);
    struct channel_client *bert = connect_as(&fixture, &fixture.bert);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, bert, &fixture.bert));
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, first, &fixture.anna));
    uint64_t of_first = fixture.connection;
    struct channel_client *second = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, second, &fixture.anna, "me too"));
    uint64_t of_second = fixture.connection;
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, first, &fixture.anna, "here"));
    CU_ASSERT_EQUAL(fixture.connection, of_first);
    CU_ASSERT_TRUE(becomes(&fixture, first, CHANNEL_FINE, PATIENCE_MS));
    channel_server_admit(fixture.server, of_second);
    CU_ASSERT_EQUAL(tell(&fixture, of_first, "x"), STATUS_STALE);
    CU_ASSERT_TRUE(is_cut(&fixture, first, 1, ACTS_MS_MAX));
    channel_client_drop(first);
    CU_ASSERT_EQUAL(tell(&fixture, of_second, "x"), STATUS_OK);
    for (int i = 0; i < 2 * CHANNEL_STRANGER_MESSAGES_MAX; i++) {
        CU_ASSERT_TRUE(says_and_is_heard(&fixture, second, &fixture.anna, "on"));
    }
    CU_ASSERT_EQUAL(channel_client_connections(bert), 1);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, bert, &fixture.bert, "b"));
    channel_client_free(second);
    channel_client_free(bert);
    end(&fixture);
}

static void barred_key_is_cut_and_does_not_get_in_again(void)
{
    struct fixture fixture;
    struct channel_message message;
    struct channel_incident incident;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    struct channel_client *bert = connect_as(&fixture, &fixture.bert);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, bert, &fixture.bert));
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    CU_ASSERT_TRUE(becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS));
    for (int i = 0; i < 5; i++) { /* unread when the key is barred */
        CU_ASSERT_EQUAL(say(anna, "on its way"), STATUS_OK);
        channel_set_wait(fixture.client_set, -1, 5);
    }
    CU_ASSERT_EQUAL(channel_server_bar(fixture.server, fixture.anna.curve_public, true), STATUS_OK);
    CU_ASSERT_TRUE(is_cut(&fixture, anna, 1, ACTS_MS_MAX));
    CU_ASSERT_EQUAL(tell(&fixture, fixture.connection, "x"), STATUS_STALE);
    CU_ASSERT_TRUE(is_told(&fixture, CHANNEL_BARRED, &incident));
    CU_ASSERT_TRUE(incident.has_key);
    CU_ASSERT_EQUAL(memcmp(incident.curve_key, fixture.anna.curve_public, 32), 0);
    (void)say(anna, "let me in");
    CU_ASSERT_FALSE(server_gets(&fixture, &message, ACTS_MS_MAX));
    CU_ASSERT_EQUAL(channel_client_connections(anna), 1); /* no handshake succeeded since */
    CU_ASSERT_EQUAL(channel_client_connections(bert), 1);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, bert, &fixture.bert, "b"));
    CU_ASSERT_EQUAL(channel_server_bar(fixture.server, fixture.anna.curve_public, false),
                    STATUS_OK);
    /* A client that was told no does not try again by itself. */
    channel_client_drop(anna);
    anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    channel_client_free(anna);
    channel_client_free(bert);
    end(&fixture);
}

/* However often it comes, it is told once a second. */
static void barred_key_that_comes_is_told_with_its_key(void)
{
    enum { TIMES = 5 };
    struct fixture fixture;
    struct channel_incident incident = {.count = 0};
    uint64_t told = 0;
    uint64_t counted = 0;
    begin(&fixture);
    CU_ASSERT_EQUAL(channel_server_bar(fixture.server, fixture.anna.curve_public, true), STATUS_OK);
    uint64_t began_ms = clock_now_ms();
    for (int i = 0; i < TIMES; i++) {
        struct channel_client *anna = connect_as(&fixture, &fixture.anna);
        while (channel_client_trouble(anna) == CHANNEL_CONNECTING &&
               clock_now_ms() - began_ms < PATIENCE_MS) {
            channel_set_wait(fixture.client_set, -1, 1);
        }
        CU_ASSERT_NOT_EQUAL(channel_client_trouble(anna), CHANNEL_FINE);
        channel_client_drop(anna);
    }
    while (counted < TIMES && is_told(&fixture, CHANNEL_BARRED_CAME, &incident)) {
        CU_ASSERT_TRUE(incident.has_key);
        CU_ASSERT_EQUAL(memcmp(incident.curve_key, fixture.anna.curve_public, 32), 0);
        told++;
        counted += incident.count;
    }
    CU_ASSERT_TRUE(counted >= TIMES);
    CU_ASSERT_TRUE(told <= 1 + (clock_now_ms() - began_ms) / CHANNEL_INCIDENT_MS);
    end(&fixture);
}

/* It proved its key and said nothing, so no message names its connection. */
static void barred_key_is_cut_though_it_is_silent(void)
{
    struct fixture fixture;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_EQUAL(channel_server_bar(fixture.server, fixture.anna.curve_public, true), STATUS_OK);
    CU_ASSERT_TRUE(is_cut(&fixture, anna, 1, ACTS_MS_MAX));
    CU_ASSERT_FALSE(becomes(&fixture, anna, CHANNEL_FINE, ACTS_MS_MAX));
    channel_client_free(anna);
    end(&fixture);
}

/* Its first message was not read yet when it was barred. */
static void first_message_of_a_barred_key_is_not_read(void)
{
    struct fixture fixture;
    struct channel_message message;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_EQUAL(say(anna, "hello"), STATUS_OK);
    CU_ASSERT_TRUE(becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS));
    clock_sleep_ms(100); /* it lies in the server's queue */
    CU_ASSERT_EQUAL(channel_server_bar(fixture.server, fixture.anna.curve_public, true), STATUS_OK);
    CU_ASSERT_FALSE(server_gets(&fixture, &message, 10 * TICK_MS));
    CU_ASSERT_TRUE(is_cut(&fixture, anna, 1, ACTS_MS_MAX));
    channel_client_free(anna);
    end(&fixture);
}

static void bar_that_is_full_says_so_and_cuts_all_the_same(void)
{
    struct fixture fixture;
    uint8_t key[IDENTITY_KEY_BYTES] = {1};
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, anna, &fixture.anna));
    for (uint32_t i = 0; i < CHANNEL_BARRED_MAX; i++) {
        memcpy(key + 1, &i, sizeof i);
        CU_ASSERT_EQUAL(zap_bar(channel_set_zap(fixture.server_set), key, true), STATUS_OK);
    }
    CU_ASSERT_TRUE(becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_EQUAL(channel_server_bar(fixture.server, fixture.anna.curve_public, true),
                    STATUS_FULL);
    CU_ASSERT_EQUAL(tell(&fixture, fixture.connection, "x"), STATUS_STALE);
    CU_ASSERT_TRUE(is_cut(&fixture, anna, 1, ACTS_MS_MAX));
    channel_client_free(anna);
    end(&fixture);
}

static void stranger_that_says_too_much_is_cut(void)
{
    struct fixture fixture;
    struct channel_message message;
    struct channel_incident incident;
    begin(&fixture);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    for (int i = 0; i < CHANNEL_STRANGER_MESSAGES_MAX; i++) {
        CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "and another thing"));
    }
    CU_ASSERT_TRUE(becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_EQUAL(say(anna, "one too many"), STATUS_OK);
    CU_ASSERT_FALSE(server_gets(&fixture, &message, 10 * TICK_MS));
    CU_ASSERT_TRUE(is_cut(&fixture, anna, 1, ACTS_MS_MAX));
    CU_ASSERT_TRUE(is_told(&fixture, CHANNEL_NOT_ADMITTED, &incident));
    CU_ASSERT_EQUAL(incident.connection, fixture.connection);
    CU_ASSERT_EQUAL(memcmp(incident.curve_key, fixture.anna.curve_public, 32), 0);
    CU_ASSERT_STRING_EQUAL(incident.host, "127.0.0.1");
    channel_client_free(anna);
    end(&fixture);
}

static void large_message_of_a_stranger_is_not_received(void)
{
    static const struct {
        size_t head_bytes, body_bytes;
        bool good;
    } cases[] = {{CHANNEL_STRANGER_HEAD_MAX, 0, true},
                 {CHANNEL_STRANGER_HEAD_MAX + 1, 0, false},
                 {1, 1, false}};
    static const uint8_t bytes[CHANNEL_STRANGER_HEAD_MAX + 1];
    struct fixture fixture;
    struct channel_message message;
    struct channel_incident incident;
    begin(&fixture);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct identity identity;
        make_identity(&identity);
        struct channel_client *client = connect_as(&fixture, &identity);
        CU_ASSERT_EQUAL(
            channel_client_send(client, bytes, cases[i].head_bytes, bytes, cases[i].body_bytes),
            STATUS_OK);
        bool came = server_gets(&fixture, &message, cases[i].good ? PATIENCE_MS : 10 * TICK_MS);
        CU_ASSERT_EQUAL(came, cases[i].good);
        if (came) {
            channel_message_close(&message);
        }
        CU_ASSERT_TRUE(cases[i].good || is_told(&fixture, CHANNEL_OVERSIZE, &incident));
        channel_client_drop(client);
    }
    end(&fixture);
}

/* One says hello and is not admitted, one proves its key and says nothing; a third is a member.
 * Nothing is late that came while its server's program was busy with something else. */
static void stranger_that_is_not_admitted_in_time_is_cut(void)
{
    struct fixture fixture;
    struct fixture busy;
    begin(&fixture);
    begin(&busy);
    struct channel_client *member = connect_as(&fixture, &fixture.server_identity);
    struct channel_client *anna = connect_as(&fixture, &fixture.anna);
    struct channel_client *silent = connect_as(&fixture, &fixture.bert);
    struct channel_client *patient = connect_as(&busy, &busy.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, member, &fixture.server_identity));
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, anna, &fixture.anna, "hello"));
    CU_ASSERT_TRUE(becomes(&fixture, anna, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_TRUE(becomes(&fixture, silent, CHANNEL_FINE, PATIENCE_MS));
    CU_ASSERT_TRUE(becomes(&busy, patient, CHANNEL_FINE, PATIENCE_MS));
    channel_set_wait(busy.server_set, -1, 1); /* it sees who came, and then does something else */
    CU_ASSERT_FALSE(is_cut(&fixture, anna, 1, CHANNEL_STRANGER_MS_MAX - 2000));
    CU_ASSERT_EQUAL(channel_client_connections(silent), 1);
    CU_ASSERT_TRUE(is_cut(&fixture, anna, 1, 4000));
    CU_ASSERT_TRUE(is_cut(&fixture, silent, 1, 4000));
    CU_ASSERT_EQUAL(channel_client_connections(member), 1);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, member, &fixture.server_identity, "still"));
    CU_ASSERT_EQUAL(say(patient, "hello"), STATUS_OK);
    clock_sleep_ms(500); /* it is there; the last one that came is late now */
    channel_set_wait(busy.server_set, -1, 1);
    channel_set_wait(busy.server_set, -1, 1);
    struct channel_message message;
    CU_ASSERT_TRUE_FATAL(server_gets(&busy, &message, PATIENCE_MS));
    CU_ASSERT_TRUE(head_is(&message, "hello"));
    channel_message_close(&message);
    CU_ASSERT_EQUAL(channel_client_connections(patient), 1);
    channel_client_free(anna);
    channel_client_free(silent);
    channel_client_free(member);
    channel_client_free(patient);
    end(&fixture);
    end(&busy);
}

/* libzmq by itself lets everybody in when no handler runs. */
static void nobody_gets_in_when_the_handler_is_gone(void)
{
    struct fixture fixture;
    struct channel_message message;
    begin(&fixture);
    struct channel_client *before = connect_as(&fixture, &fixture.anna);
    CU_ASSERT_TRUE(says_and_is_admitted(&fixture, before, &fixture.anna));
    CU_ASSERT_EQUAL_FATAL(zap_stop(channel_set_zap(fixture.server_set)), STATUS_OK);
    struct channel_client *after = connect_as(&fixture, &fixture.bert);
    CU_ASSERT_EQUAL(say(after, "hello"), STATUS_OK);
    CU_ASSERT_FALSE(server_gets(&fixture, &message, 2 * ACTS_MS_MAX));
    CU_ASSERT_NOT_EQUAL(channel_client_trouble(after), CHANNEL_FINE);
    CU_ASSERT_TRUE(says_and_is_heard(&fixture, before, &fixture.anna, "still here"));
    channel_client_drop(after);
    channel_client_free(before);
    end(&fixture);
}

static void table_of_connections_is_bounded_and_keeps_members(void)
{
    struct channel_connections *table = NULL;
    CU_ASSERT_EQUAL_FATAL(channel_connections_new(TABLE, &table), STATUS_OK);
    CU_ASSERT_PTR_NULL(channel_connections_find(table, 1));
    struct channel_connection *member = channel_connections_add(table, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(member);
    CU_ASSERT_EQUAL(member->standing, CHANNEL_STRANGER);
    member->standing = CHANNEL_MEMBER;
    for (uint64_t number = 2; number <= FLOOD; number++) {
        struct channel_connection *added = channel_connections_add(table, number);
        if (added == NULL) {
            struct channel_connection *spare = channel_connections_spare(table);
            CU_ASSERT_PTR_NOT_NULL_FATAL(spare);
            CU_ASSERT_EQUAL(spare->number, number - TABLE + 1);
            channel_connections_remove(table, spare);
            added = channel_connections_add(table, number);
        }
        CU_ASSERT_PTR_NOT_NULL_FATAL(added);
        CU_ASSERT_PTR_EQUAL(channel_connections_find(table, number), added);
        CU_ASSERT_PTR_EQUAL(channel_connections_find(table, 1), member);
    }
    struct channel_connection *ended = channel_connections_find(table, FLOOD - 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ended);
    ended->ended_ms = 1;
    CU_ASSERT_PTR_EQUAL(channel_connections_spare(table), ended);
    size_t count = 0;
    struct channel_connection *at = NULL;
    for (size_t i = 0; (at = channel_connections_next(table, &i)) != NULL; count++) {
        at->standing = CHANNEL_MEMBER;
    }
    CU_ASSERT_EQUAL(count, TABLE);
    ended->ended_ms = 0;
    CU_ASSERT_PTR_NULL(channel_connections_spare(table));
    channel_connections_free(table);
}

enum { THREADS = 4, NUMBERS = 5000 };

static void *take_numbers(void *out)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        ((uint64_t *)out)[i] = atomic_fetch_add(zap_counter(), 1) + 1;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void numbers_are_never_given_twice(void)
{
    static uint64_t numbers[THREADS * NUMBERS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL_FATAL(
            pthread_create(&threads[i], NULL, take_numbers, &numbers[i * NUMBERS]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], NULL), 0);
    }
    qsort(numbers, THREADS * NUMBERS, sizeof numbers[0], compare);
    CU_ASSERT_TRUE(numbers[0] > 0);
    for (size_t i = 1; i < THREADS * NUMBERS; i++) {
        CU_ASSERT_TRUE(numbers[i - 1] < numbers[i]);
    }
}

static void user_id_of_another_form_is_refused(void)
{
    static const char *const bad[] = {"", ":1", "00", "zz"};
    static const char *const tails[] = {"",    ":",   ":0", ":-1", ":+1",
                                        ": 1", ":1x", "1",  ":x",  ":18446744073709551616"};
    char text[128];
    uint8_t key[IDENTITY_KEY_BYTES];
    uint64_t number = 0;
    char hex[2 * IDENTITY_KEY_BYTES + 1];
    memset(hex, 'a', sizeof hex - 1);
    hex[sizeof hex - 1] = '\0';
    CU_ASSERT_FALSE(zap_read_user_id(NULL, key, &number));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_FALSE(zap_read_user_id(bad[i], key, &number));
    }
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s", hex, tails[i]);
        CU_ASSERT_FALSE(zap_read_user_id(text, key, &number));
    }
    (void)snprintf(text, sizeof text, "%s:18446744073709551615", hex);
    CU_ASSERT_TRUE(zap_read_user_id(text, key, &number));
    CU_ASSERT_EQUAL(number, UINT64_MAX);
    CU_ASSERT_EQUAL(key[31], 0xaa);
    text[10] = 'x';
    CU_ASSERT_FALSE(zap_read_user_id(text, key, &number));
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(cut_ends_one_connection_and_nothing_more_comes_from_it),
        SUITE_TEST(admitted_connection_ends_the_others_of_its_key),
        SUITE_TEST(barred_key_is_cut_and_does_not_get_in_again),
        SUITE_TEST(barred_key_that_comes_is_told_with_its_key),
        SUITE_TEST(barred_key_is_cut_though_it_is_silent),
        SUITE_TEST(first_message_of_a_barred_key_is_not_read),
        SUITE_TEST(bar_that_is_full_says_so_and_cuts_all_the_same),
        SUITE_TEST(stranger_that_says_too_much_is_cut),
        SUITE_TEST(large_message_of_a_stranger_is_not_received),
        SUITE_TEST(stranger_that_is_not_admitted_in_time_is_cut),
        SUITE_TEST(nobody_gets_in_when_the_handler_is_gone),
        SUITE_TEST(table_of_connections_is_bounded_and_keeps_members),
        SUITE_TEST(numbers_are_never_given_twice),
        SUITE_TEST(user_id_of_another_form_is_refused),
    };
    return suite_run("channel_members", tests, sizeof tests / sizeof tests[0]);
}
