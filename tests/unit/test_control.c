#include "common/fault.h"
#include "coordinator/server/control.h"
#include "coordinator/server/disk_guard.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

static enum status decode(const char *text, struct control_request *out)
{
    return control_decode(text, strlen(text), out);
}

static void encode_then_decode_keeps_every_setting(void)
{
    const struct control_request request = {.command = CONTROL_SET,
                                            .has_learning_rate = true,
                                            .has_target_batch = true,
                                            .has_codec = true,
                                            .has_mean_codec = true,
                                            .settings = {.learning_rate = 0.1 / 3.0,
                                                         .target_batch = 77,
                                                         .codec = CODEC_FP32,
                                                         .mean_codec = CODEC_MX8}};
    struct control_request read;
    char *text = NULL;
    CU_ASSERT_EQUAL_FATAL(control_encode(&request, &text), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(decode(text, &read), STATUS_OK);
    CU_ASSERT_EQUAL(read.command, CONTROL_SET);
    CU_ASSERT_TRUE(read.has_learning_rate && read.has_target_batch && read.has_codec);
    CU_ASSERT_TRUE(read.has_mean_codec);
    CU_ASSERT_EQUAL(read.settings.learning_rate, request.settings.learning_rate);
    CU_ASSERT_EQUAL(read.settings.target_batch, 77);
    CU_ASSERT_EQUAL(read.settings.codec, CODEC_FP32);
    CU_ASSERT_EQUAL(read.settings.mean_codec, CODEC_MX8);
    free(text);
}

static void encode_of_commands_names_them(void)
{
    static const char *const expected[] = {"{\"command\":\"pause\"}", "{\"command\":\"resume\"}",
                                           "{\"command\":\"stop\",\"wait_ms\":2500}"};
    for (size_t i = 0; i < 3; i++) {
        const struct control_request request = {.command = (enum control_command)i,
                                                .wait_ms = 2500};
        struct control_request read;
        char *text = NULL;
        CU_ASSERT_EQUAL_FATAL(control_encode(&request, &text), STATUS_OK);
        CU_ASSERT_STRING_EQUAL(text, expected[i]);
        CU_ASSERT_EQUAL(decode(text, &read), STATUS_OK);
        CU_ASSERT_EQUAL(read.command, request.command);
        CU_ASSERT_EQUAL(read.wait_ms, request.command == CONTROL_STOP ? 2500 : 0);
        free(text);
    }
}

static void decode_of_what_cannot_be_is_refused_with_a_sentence(void)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"command\":\"halt\"}",
        "{\"command\":5}",
        "{\"command\":\"set\"}",
        "{\"command\":\"set\",\"learning_rate\":0}",
        "{\"command\":\"set\",\"learning_rate\":\"1\"}",
        "{\"command\":\"set\",\"learning_rate\":11}",
        "{\"command\":\"set\",\"target_batch\":0}",
        "{\"command\":\"set\",\"target_batch\":1.5}",
        "{\"command\":\"set\",\"target_batch\":1048577}",
        "{\"command\":\"set\",\"codec\":\"zip\"}",
        "{\"command\":\"set\",\"codec\":1}",
        "{\"command\":\"set\",\"journal\":\"mx4\"}",
        "{\"command\":\"set\",\"context\":1}",
        "{\"command\":\"set\",\"learning_rate\":0.1,\"learning_rate\":0.2}",
        "{\"command\":\"stop\",\"wait_ms\":-1}",
        "{\"command\":\"stop\",\"wait_ms\":86400001}",
        "{\"command\":\"stop\",\"wait_ms\":\"now\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct control_request read;
        (void)fault(STATUS_OS, "an earlier sentence");
        CU_ASSERT_NOT_EQUAL(decode(texts[i], &read), STATUS_OK);
        CU_ASSERT_STRING_NOT_EQUAL(fault_text(), "an earlier sentence");
    }
    char *large = malloc(CONTROL_REQUEST_BYTES_MAX + 2);
    struct control_request read;
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    memset(large, ' ', CONTROL_REQUEST_BYTES_MAX + 1);
    memcpy(large, "{\"command\":\"pause\"}", strlen("{\"command\":\"pause\"}"));
    CU_ASSERT_EQUAL(control_decode(large, CONTROL_REQUEST_BYTES_MAX, &read), STATUS_OK);
    CU_ASSERT_EQUAL(control_decode(large, CONTROL_REQUEST_BYTES_MAX + 1, &read), STATUS_BAD_DATA);
    free(large);
}

static void guard_pauses_before_a_step_would_not_fit(void)
{
    uint64_t reserve = disk_guard_reserve_bytes(1000, 100000);
    CU_ASSERT_TRUE(reserve > 2 * 100000 + 4 * 1000);
    CU_ASSERT_EQUAL(disk_guard_level(DISK_LEVEL_AMPLE, reserve - 1, reserve), DISK_LEVEL_FULL);
    CU_ASSERT_EQUAL(disk_guard_level(DISK_LEVEL_AMPLE, reserve, reserve), DISK_LEVEL_LOW);
    CU_ASSERT_EQUAL(disk_guard_level(DISK_LEVEL_AMPLE, 3 * reserve - 1, reserve), DISK_LEVEL_LOW);
    CU_ASSERT_EQUAL(disk_guard_level(DISK_LEVEL_LOW, 3 * reserve, reserve), DISK_LEVEL_AMPLE);
    CU_ASSERT_EQUAL(disk_guard_level(DISK_LEVEL_FULL, UINT64_MAX, reserve), DISK_LEVEL_AMPLE);
}

static void guard_goes_on_only_with_room_to_spare(void)
{
    uint64_t reserve = disk_guard_reserve_bytes(0, 0);
    CU_ASSERT_EQUAL(disk_guard_level(DISK_LEVEL_FULL, reserve, reserve), DISK_LEVEL_FULL);
    CU_ASSERT_EQUAL(disk_guard_level(DISK_LEVEL_FULL, reserve + reserve / 2 - 1, reserve),
                    DISK_LEVEL_FULL);
    CU_ASSERT_EQUAL(disk_guard_level(DISK_LEVEL_FULL, reserve + reserve / 2, reserve),
                    DISK_LEVEL_LOW);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(encode_then_decode_keeps_every_setting),
        SUITE_TEST(encode_of_commands_names_them),
        SUITE_TEST(decode_of_what_cannot_be_is_refused_with_a_sentence),
        SUITE_TEST(guard_pauses_before_a_step_would_not_fit),
        SUITE_TEST(guard_goes_on_only_with_room_to_spare),
    };
    return suite_run("control", tests, sizeof tests / sizeof tests[0]);
}
