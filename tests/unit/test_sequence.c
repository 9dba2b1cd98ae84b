#include "common/fault.h"
#include "peer/daemon/sequence.h"
#include "proto/wire_messages.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

#include <sys/stat.h>
#include <unistd.h>

static enum status open_text(const char *text, struct sequence *out)
{
    scratch_write_text("sequence", text);
    return sequence_open(scratch_folder, out);
}

static void expect_file(const char *text)
{
    size_t size_bytes = 0;
    uint8_t *data = scratch_read("sequence", &size_bytes);
    CU_ASSERT_STRING_EQUAL(data, text);
    free(data);
}

/* Each number is on the disk when it is given out. */
static void numbers_rise_over_all_starts(void)
{
    struct sequence sequence;
    uint64_t number = 0;
    struct stat facts;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(sequence_open(scratch_folder, &sequence), STATUS_OK);
    CU_ASSERT_EQUAL(sequence.last, 0);
    CU_ASSERT_EQUAL(sequence_next(&sequence, &number), STATUS_OK);
    CU_ASSERT_EQUAL(number, 1);
    expect_file("1\n");
    CU_ASSERT_EQUAL(stat(scratch_path("sequence"), &facts), 0);
    CU_ASSERT_EQUAL(facts.st_mode & 07777U, 0600);
    CU_ASSERT_EQUAL(sequence_next(&sequence, &number), STATUS_OK);
    CU_ASSERT_EQUAL(number, 2);
    CU_ASSERT_EQUAL_FATAL(sequence_open(scratch_folder, &sequence), STATUS_OK);
    CU_ASSERT_EQUAL(sequence.last, 2);
    CU_ASSERT_EQUAL(sequence_next(&sequence, &number), STATUS_OK);
    CU_ASSERT_EQUAL(number, 3);
    expect_file("3\n");
    scratch_end();
}

static void damaged_file_is_told(void)
{
    static const char *const damaged[] = {"",
                                          "\n",
                                          "7",
                                          "07\n",
                                          "0\n",
                                          "-1\n",
                                          "+1\n",
                                          " 1\n",
                                          "1 \n",
                                          "1\n\n",
                                          "1\n2\n",
                                          "1a\n",
                                          "1.5\n",
                                          "0x1\n",
                                          "9223372036854775808\n",
                                          "18446744073709551617\n",
                                          "99999999999999999999999\n",
                                          "9999999999999999999999999999999999999999\n"};
    struct sequence sequence;
    scratch_begin();
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        CU_ASSERT_EQUAL(open_text(damaged[i], &sequence), STATUS_BAD_DATA);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "sequence is damaged"));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "dugnad-peer key"));
    }
    scratch_write("sequence", "1\0\n", 3);
    CU_ASSERT_EQUAL(sequence_open(scratch_folder, &sequence), STATUS_BAD_DATA);
    scratch_end();
}

static void highest_number_is_the_last(void)
{
    struct sequence sequence;
    uint64_t number = 0;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(open_text("9223372036854775806\n", &sequence), STATUS_OK);
    CU_ASSERT_EQUAL(sequence_next(&sequence, &number), STATUS_OK);
    CU_ASSERT_EQUAL(number, WIRE_SEQUENCE_MAX);
    CU_ASSERT_EQUAL(sequence_next(&sequence, &number), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "--state"));
    CU_ASSERT_EQUAL_FATAL(sequence_open(scratch_folder, &sequence), STATUS_OK);
    CU_ASSERT_EQUAL(sequence.last, WIRE_SEQUENCE_MAX);
    scratch_end();
}

static void number_that_cannot_be_kept_is_not_given_out(void)
{
    struct sequence sequence;
    uint64_t number = 0;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(sequence_open(scratch_folder, &sequence), STATUS_OK);
    CU_ASSERT_EQUAL(sequence_next(&sequence, &number), STATUS_OK);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_folder), STATUS_OK);
    CU_ASSERT_EQUAL(sequence_next(&sequence, &number), STATUS_CANNOT_CREATE);
    CU_ASSERT_EQUAL(number, 1);
    CU_ASSERT_EQUAL(mkdir(scratch_folder, 0700), 0);
    CU_ASSERT_EQUAL(sequence_next(&sequence, &number), STATUS_OK);
    CU_ASSERT_EQUAL(number, 2);
    expect_file("2\n");
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(numbers_rise_over_all_starts),
        SUITE_TEST(damaged_file_is_told),
        SUITE_TEST(highest_number_is_the_last),
        SUITE_TEST(number_that_cannot_be_kept_is_not_given_out),
    };
    return suite_run("sequence", tests, sizeof tests / sizeof tests[0]);
}
