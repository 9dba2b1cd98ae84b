#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "tests/unit/ledger_fixture.h"
#include "tests/unit/suite.h"

#include <getopt.h>
#include <jansson.h>
#include <unistd.h>

/* Runs `credit --dir FOLDER [extra]` with its output in the scratch folder's file "out". */
static enum status credit(const char *folder, const char *extra)
{
    char name[] = "credit";
    char dir[] = "--dir";
    char path[FILES_PATH_MAX];
    char last[32];
    (void)snprintf(path, sizeof path, "%s", folder);
    (void)snprintf(last, sizeof last, "%s", extra != NULL ? extra : "");
    char *argv[] = {name, dir, path, extra != NULL ? last : NULL, NULL};
    (void)fflush(stdout);
    int terminal = dup(STDOUT_FILENO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(freopen(scratch_path("out"), "we", stdout));
    optind = 0; /* glibc: begin anew */
    enum status status = cmd_credit(extra != NULL ? 4 : 3, argv);
    (void)fflush(stdout);
    CU_ASSERT_TRUE(dup2(terminal, STDOUT_FILENO) >= 0);
    CU_ASSERT_EQUAL(close(terminal), 0);
    return status;
}

static bool printed(const char *expected)
{
    size_t size_bytes = 0;
    uint8_t *text = scratch_read("out", &size_bytes);
    bool same = strcmp((const char *)text, expected) == 0;
    if (!same) {
        (void)fprintf(stderr, "printed:\n%s", (const char *)text);
    }
    free(text);
    return same;
}

static void credit_lists_peers_by_tokens_while_served(void)
{
    scratch_begin();
    struct ledger *ledger = fixture_open(0);
    CU_ASSERT_EQUAL(fixture_add(ledger, 0, FIXTURE_RECORDS), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_name_peer(ledger, fixture_bjorn, "bjorn's attic"), STATUS_OK);
    CU_ASSERT_EQUAL(credit(scratch_folder, NULL), STATUS_OK);
    CU_ASSERT_TRUE(printed(
        "peer          name               samples           tokens   share  last work (UTC)\n"
        "a10100000000                          48              532  76.22%  1970-01-01 00:00:01\n"
        "b20200000000  bjorn's attic           16              166  23.78%  1970-01-01 00:00:01\n"
        "all                                   64              698\n"));
    ledger_close(ledger);
    scratch_end();
}

static void credit_as_json_has_whole_keys_and_shares(void)
{
    scratch_begin();
    fixture_make();
    CU_ASSERT_EQUAL(credit(scratch_folder, "--json"), STATUS_OK);
    json_t *json = json_load_file(scratch_path("out"), 0, NULL);
    const json_t *peers = json_object_get(json, "peers");
    const json_t *anna = json_array_get(peers, 0);
    CU_ASSERT_EQUAL(json_array_size(peers), 2);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "tokens")), 698);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "samples")), 64);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(anna, "key")),
                           "a101000000000000000000000000000000000000000000000000000000000000");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(anna, "tokens")), 532);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(anna, "samples")), 48);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(anna, "contributions")), 8);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(anna, "first_ms")), 1000);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(anna, "last_ms")), 1003);
    CU_ASSERT_DOUBLE_EQUAL(json_real_value(json_object_get(anna, "share")), 532.0 / 698, 1e-8);
    json_decref(json);
    scratch_end();
}

static void credit_of_a_run_without_steps_is_an_empty_list(void)
{
    scratch_begin();
    ledger_close(fixture_open(0));
    CU_ASSERT_EQUAL(credit(scratch_folder, "--json"), STATUS_OK);
    CU_ASSERT_TRUE(printed("{\"samples\":0,\"tokens\":0,\"peers\":[]}\n"));
    CU_ASSERT_EQUAL(credit(scratch_folder, NULL), STATUS_OK);
    scratch_end();
}

static void credit_shows_no_control_bytes_of_a_name(void)
{
    scratch_begin();
    fixture_make();
    fixture_sql(scratch_path("ledger.db"),
                "UPDATE peers SET name = 'a' || char(27) || '[2J' || char(233) WHERE id = 1");
    CU_ASSERT_EQUAL(credit(scratch_folder, NULL), STATUS_OK);
    size_t size_bytes = 0;
    uint8_t *text = scratch_read("out", &size_bytes);
    CU_ASSERT_PTR_NOT_NULL(strstr((const char *)text, "  a?[2J??  "));
    CU_ASSERT_PTR_NULL(memchr(text, 27, size_bytes));
    free(text);
    CU_ASSERT_EQUAL(credit(scratch_folder, "--json"), STATUS_OK);
    scratch_end();
}

static void credit_without_a_ledger_says_what_to_do(void)
{
    scratch_begin();
    CU_ASSERT_EQUAL(credit(scratch_path("none"), NULL), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "rebuild-ledger"));
    scratch_write_text("ledger.db", "no data base, although it is longer than a hundred bytes; "
                                    "SQLite reads that many before it says so, and then it does");
    CU_ASSERT_EQUAL(credit(scratch_folder, NULL), STATUS_CORRUPT);
    CU_ASSERT_EQUAL(credit(scratch_folder, "extra"), STATUS_USAGE);
    CU_ASSERT_TRUE(printed(""));
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(credit_lists_peers_by_tokens_while_served),
        SUITE_TEST(credit_as_json_has_whole_keys_and_shares),
        SUITE_TEST(credit_of_a_run_without_steps_is_an_empty_list),
        SUITE_TEST(credit_shows_no_control_bytes_of_a_name),
        SUITE_TEST(credit_without_a_ledger_says_what_to_do),
    };
    return suite_run("cmd_credit", tests, sizeof tests / sizeof tests[0]);
}
