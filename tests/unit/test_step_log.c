#include "common/fault.h"
#include "coordinator/store/step_log.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

static void append_steps(uint64_t first, uint64_t end)
{
    static const struct sample_range ranges[] = {{.first = 8, .count = 3},
                                                 {.first = 12, .count = 4}};
    struct step_log *log = NULL;
    struct step_log_facts facts;
    CU_ASSERT_EQUAL_FATAL(step_log_open(scratch_folder, first, &facts, &log), STATUS_OK);
    for (uint64_t step = first; step < end; step++) {
        struct step_record record = {.step = step,
                                     .loss = 4.0 - 0.25 * (double)step,
                                     .tokens = 100 + step,
                                     .grad_l2 = 1.5,
                                     .learning_rate = 1e-3};
        record.digest = digest_of(&step, sizeof step);
        CU_ASSERT_EQUAL(step_record_add(&record, "0123456789ab", ranges, 2), STATUS_OK);
        CU_ASSERT_EQUAL(step_record_add(&record, "ba9876543210", ranges, 1), STATUS_OK);
        CU_ASSERT_EQUAL(step_log_append(log, &record), STATUS_OK);
        step_record_clear(&record);
        CU_ASSERT_EQUAL(record.contribution_count, 0);
    }
    step_log_close(log);
}

static size_t line_count(void)
{
    size_t size_bytes = 0;
    size_t count = 0;
    uint8_t *text = scratch_read("steps.jsonl", &size_bytes);
    for (size_t i = 0; i < size_bytes; i++) {
        count += text[i] == '\n';
    }
    CU_ASSERT_TRUE(size_bytes == 0 || text[size_bytes - 1] == '\n');
    free(text);
    return count;
}

static void assert_reopens(uint64_t version, size_t lines, uint64_t tokens, double last_loss)
{
    struct step_log *log = NULL;
    struct step_log_facts facts;
    CU_ASSERT_EQUAL_FATAL(step_log_open(scratch_folder, version, &facts, &log), STATUS_OK);
    step_log_close(log);
    CU_ASSERT_EQUAL(line_count(), lines);
    CU_ASSERT_EQUAL(facts.tokens, tokens);
    CU_ASSERT(facts.last_loss == last_loss);
    CU_ASSERT(facts.first_loss == (lines > 0 ? 4.0 : 0.0));
}

static void append_to_file(const char *text, size_t size_bytes)
{
    FILE *file = fopen(scratch_path("steps.jsonl"), "ae");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(text, 1, size_bytes, file), size_bytes);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void steps_are_logged_and_dropped_from_the_version_on(void)
{
    scratch_begin();
    assert_reopens(0, 0, 0, 0.0);
    append_steps(0, 4);
    size_t size_bytes = 0;
    uint8_t *text = scratch_read("steps.jsonl", &size_bytes);
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)text, "\"step\":3,\"loss\":3.25,\"tokens\":103,"));
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)text,
                                  "{\"peer\":\"0123456789ab\",\"ranges\":[[8,3],[12,4]]},"
                                  "{\"peer\":\"ba9876543210\",\"ranges\":[[8,3]]}]}\n"));
    free(text);
    assert_reopens(4, 4, 406, 3.25);
    append_to_file("{\"step\":4,\"loss\":3,\"tok", 23); /* torn by a crash */
    assert_reopens(4, 4, 406, 3.25);
    append_to_file("\0\0\0\0\0\0\0\0\n", 9); /* as some file systems leave it */
    assert_reopens(4, 4, 406, 3.25);
    assert_reopens(9, 4, 406, 3.25);
    assert_reopens(2, 2, 201, 3.75);
    append_steps(2, 5);
    assert_reopens(5, 5, 510, 3.0);
    assert_reopens(0, 0, 0, 0.0);
    scratch_end();
}

static void damaged_line_in_the_middle_stops_and_keeps_the_file(void)
{
    static const char *const bad[] = {"garbage\n",
                                      "{}\n",
                                      "\n",
                                      "{\"step\":-1,\"loss\":1,\"tokens\":1}\n",
                                      "{\"step\":1.0,\"loss\":1,\"tokens\":1}\n",
                                      "{\"step\":1,\"loss\":inf,\"tokens\":1}\n",
                                      "{\"step\":1,\"loss\":1,\"tokens\":-1}\n"};
    struct step_log *log = NULL;
    struct step_log_facts facts;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        scratch_begin();
        append_steps(0, 2);
        append_to_file(bad[i], strlen(bad[i]));
        append_to_file("{\"step\":3,\"loss\":1,\"tokens\":1}\n", 31);
        CU_ASSERT_EQUAL(step_log_open(scratch_folder, 9, &facts, &log), STATUS_BAD_DATA);
        CU_ASSERT_PTR_NULL(log);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "steps.jsonl:3 is damaged"));
        CU_ASSERT_EQUAL(line_count(), 4);
        scratch_end();
    }
}

static void huge_last_line_is_dropped(void)
{
    enum { HUGE_BYTES = 16 << 20 };
    char *line = malloc(HUGE_BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    scratch_begin();
    for (int i = 0; i < 2; i++) { /* nested without end; then one long string */
        append_steps(0, 3);
        memset(line, i == 0 ? '[' : 'x', HUGE_BYTES);
        line[0] = i == 0 ? '[' : '"';
        line[HUGE_BYTES - 1] = '\n';
        append_to_file(line, HUGE_BYTES);
        assert_reopens(9, 3, 303, 3.5);
        assert_reopens(0, 0, 0, 0.0);
    }
    free(line);
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(steps_are_logged_and_dropped_from_the_version_on),
        SUITE_TEST(damaged_line_in_the_middle_stops_and_keeps_the_file),
        SUITE_TEST(huge_last_line_is_dropped),
    };
    return suite_run("step_log", tests, sizeof tests / sizeof tests[0]);
}
