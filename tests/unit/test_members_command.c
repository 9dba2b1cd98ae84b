#include "common/fault.h"
#include "coordinator/server/control.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

#include <jansson.h>
#include <sodium.h>

enum { UNIX_MS = 1700000 };

static char reply[CONTROL_REPLY_BYTES_MAX];

static struct members *begin(void)
{
    struct members *members = NULL;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(members_open(scratch_folder, &members), STATUS_OK);
    return members;
}

static void end(struct members *members)
{
    members_close(members);
    scratch_end();
}

static enum status ask(struct members *members, enum members_wish wish, const char *who,
                       const char *from)
{
    struct members_request request = {.wish = wish};
    struct members_outcome outcome;
    (void)snprintf(request.who, sizeof request.who, "%s", who);
    (void)snprintf(request.from, sizeof request.from, "%s", from);
    return members_command(members, &request, NULL, UNIX_MS, &outcome, reply);
}

static void key_text(uint32_t number, char out[2 * IDENTITY_KEY_BYTES + 1])
{
    uint8_t public_key[IDENTITY_KEY_BYTES];
    uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
    uint8_t seed[crypto_sign_SEEDBYTES] = {0};
    memcpy(seed, &number, sizeof number);
    CU_ASSERT_EQUAL(crypto_sign_seed_keypair(public_key, secret_key, seed), 0);
    (void)sodium_bin2hex(out, 2 * IDENTITY_KEY_BYTES + 1, public_key, IDENTITY_KEY_BYTES);
}

/* All rows of a list, page by page; the caller owns them. */
static json_t *all_rows(struct members *members, enum members_wish wish, size_t *out_pages)
{
    json_t *rows = json_array();
    char from[MEMBERS_WHO_MAX] = "";
    *out_pages = 0;
    for (bool more = true; more;) {
        CU_ASSERT_EQUAL_FATAL(ask(members, wish, "", from), STATUS_OK);
        json_t *page = json_loads(reply, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(page);
        CU_ASSERT_EQUAL(json_array_extend(rows, json_object_get(page, "rows")), 0);
        const char *next = json_string_value(json_object_get(page, "next"));
        more = next != NULL;
        (void)snprintf(from, sizeof from, "%s", more ? next : "");
        json_decref(page);
        (*out_pages)++;
        CU_ASSERT_TRUE_FATAL(*out_pages < 100);
    }
    return rows;
}

static void lists_have_each_row_once_however_many(void)
{
    static const char longest[] = "reasons that are as long as they may be ";
    struct members *members = begin();
    size_t pages = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct members_request request = {.wish = MEMBERS_BAN};
        struct members_outcome outcome;
        key_text(i, request.who);
        for (size_t j = 0; j + 1 < sizeof request.reason; j++) {
            request.reason[j] = longest[j % (sizeof longest - 1)];
        }
        CU_ASSERT_EQUAL_FATAL(members_command(members, &request, NULL, UNIX_MS, &outcome, reply),
                              STATUS_OK);
        CU_ASSERT_TRUE(outcome.has_key);
        struct incident incident = {.first_ms = UNIX_MS + i * 1000, .count = 1, .kind = "kind"};
        (void)snprintf(incident.host, sizeof incident.host, "host-%u", i);
        CU_ASSERT_TRUE(members_note(members, &incident));
    }
    json_t *rows = all_rows(members, MEMBERS_PEERS, &pages);
    CU_ASSERT_EQUAL(json_array_size(rows), 200);
    CU_ASSERT_TRUE(pages > 1);
    const char *before = "";
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *key = json_string_value(json_object_get(row, "key"));
        CU_ASSERT_TRUE(strcmp(before, key) < 0);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(row, "state")), "banned");
        CU_ASSERT_TRUE(json_is_null(json_object_get(row, "here"))); /* nobody serves the run */
        before = key;
    }
    json_decref(rows);
    rows = all_rows(members, MEMBERS_INCIDENTS, &pages);
    CU_ASSERT_EQUAL(json_array_size(rows), 200);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json_array_get(rows, 0), "host")),
                           "host-199");
    json_decref(rows);
    end(members);
}

static void invites_are_made_listed_and_revoked(void)
{
    struct members *members = begin();
    struct members_request request = {
        .wish = MEMBERS_INVITE, .label = "friends", .uses = 3, .expires_ms = 99};
    struct members_outcome outcome;
    size_t pages = 0;
    for (uint8_t i = 1; i <= 170; i++) {
        request.hash = digest_of(&i, 1);
        CU_ASSERT_EQUAL(members_command(members, &request, NULL, UNIX_MS, &outcome, reply),
                        STATUS_OK);
        CU_ASSERT_EQUAL(strtoul(reply, NULL, 10), i);
    }
    CU_ASSERT_EQUAL(ask(members, MEMBERS_REVOKE, "170", ""), STATUS_OK);
    CU_ASSERT_EQUAL(ask(members, MEMBERS_REVOKE, "171", ""), STATUS_NO_INPUT);
    json_t *rows = all_rows(members, MEMBERS_INVITES, &pages);
    CU_ASSERT_EQUAL(json_array_size(rows), 170);
    CU_ASSERT_EQUAL(pages, 3);
    const json_t *last = json_array_get(rows, 169);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(last, "invite")), 170);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(last, "label")), "friends");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(last, "uses")), 3);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(last, "expires_ms")), 99);
    CU_ASSERT_TRUE(json_is_true(json_object_get(last, "revoked")));
    CU_ASSERT_TRUE(json_is_false(json_object_get(json_array_get(rows, 168), "revoked")));
    json_decref(rows);
    end(members);
}

static void wrong_words_are_refused_with_a_sentence(void)
{
    struct members *members = begin();
    char key[2 * IDENTITY_KEY_BYTES + 1];
    key_text(1, key);
    CU_ASSERT_EQUAL(ask(members, MEMBERS_BAN, "me", ""), STATUS_USAGE);
    CU_ASSERT_EQUAL(ask(members, MEMBERS_BAN, "7", ""), STATUS_USAGE); /* no invite */
    CU_ASSERT_EQUAL(ask(members, MEMBERS_UNBAN, key, ""), STATUS_NO_INPUT);
    CU_ASSERT_EQUAL(ask(members, MEMBERS_REVOKE, key, ""), STATUS_NO_INPUT);
    CU_ASSERT_EQUAL(ask(members, MEMBERS_REVOKE, "0", ""), STATUS_USAGE);
    CU_ASSERT_EQUAL(ask(members, MEMBERS_PEERS, "", "xyz"), STATUS_BAD_DATA);
    end(members);
}

static enum status read_request(const char *text, struct control_request *out)
{
    return control_decode(text, strlen(text), out);
}

static void requests_travel_as_they_are(void)
{
    for (int wish = 0; wish < MEMBERS_WISH_COUNT; wish++) {
        struct control_request request = {
            .command = CONTROL_MEMBERS,
            .members = {.wish = (enum members_wish)wish, .who = "who", .from = "from"}};
        struct control_request read;
        char *text = NULL;
        if (wish == MEMBERS_INVITE) {
            request.members.hash = digest_of("token", 5);
            (void)snprintf(request.members.label, MEMBERS_LABEL_MAX, "a \"label\"");
            request.members.uses = 5;
            request.members.expires_ms = UINT64_C(1) << 50;
        }
        if (wish == MEMBERS_BAN) {
            memset(request.members.reason, 'r', MEMBERS_TEXT_MAX - 1);
        }
        CU_ASSERT_EQUAL_FATAL(control_encode(&request, &text), STATUS_OK);
        CU_ASSERT_TRUE(strlen(text) < CONTROL_REQUEST_BYTES_MAX);
        CU_ASSERT_EQUAL_FATAL(read_request(text, &read), STATUS_OK);
        CU_ASSERT_EQUAL(read.command, CONTROL_MEMBERS);
        CU_ASSERT_EQUAL(read.members.wish, request.members.wish);
        CU_ASSERT_STRING_EQUAL(read.members.who, "who");
        CU_ASSERT_STRING_EQUAL(read.members.from, "from");
        CU_ASSERT_STRING_EQUAL(read.members.reason, request.members.reason);
        CU_ASSERT_STRING_EQUAL(read.members.label, request.members.label);
        CU_ASSERT_EQUAL(read.members.uses, request.members.uses);
        CU_ASSERT_EQUAL(read.members.expires_ms, request.members.expires_ms);
        CU_ASSERT_TRUE(wish != MEMBERS_INVITE ||
                       digest_equal(&read.members.hash, &request.members.hash));
        free(text);
    }
}

static void requests_that_cannot_be_are_refused(void)
{
    static const char *const texts[] = {
        "{\"command\":\"invite\"}",
        "{\"command\":\"invite\",\"hash\":\"12\"}",
        "{\"command\":\"invite\",\"hash\":7}",
        "{\"command\":\"ban\",\"who\":7}",
        "{\"command\":\"ban\",\"who\":\"0123456789012345678901234567890123456789012345678901234567"
        "8901234\"}",
        "{\"command\":\"peers\",\"from\":[]}",
        "{\"command\":\"ban\",\"who\":\"x\",\"reason\":{}}",
        "{\"command\":\"invite\",\"hash\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\",\"uses\":-1}",
        "{\"command\":\"invite\",\"hash\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\",\"uses\":1.5}"};
    struct control_request request;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CU_ASSERT_EQUAL(read_request(texts[i], &request), STATUS_BAD_DATA);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "same release"));
    }
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    static const struct suite_test tests[] = {
        SUITE_TEST(lists_have_each_row_once_however_many),
        SUITE_TEST(invites_are_made_listed_and_revoked),
        SUITE_TEST(wrong_words_are_refused_with_a_sentence),
        SUITE_TEST(requests_travel_as_they_are),
        SUITE_TEST(requests_that_cannot_be_are_refused),
    };
    return suite_run("members_command", tests, sizeof tests / sizeof tests[0]);
}
