#include "common/fault.h"
#include "coordinator/store/trusted.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

static void make_key(const char *name, uint8_t *out)
{
    struct identity identity;
    CU_ASSERT_EQUAL_FATAL(identity_open(scratch_path(name), &identity), STATUS_OK);
    memcpy(out, identity.public_key, IDENTITY_KEY_BYTES);
    identity_wipe(&identity);
}

static void set(const uint8_t *key, bool trusted, bool expect_changed)
{
    bool changed = !expect_changed;
    CU_ASSERT_EQUAL(trusted_set(scratch_folder, key, trusted, &changed), STATUS_OK);
    CU_ASSERT_EQUAL(changed, expect_changed);
}

static void key_is_trusted_from_trust_to_untrust(void)
{
    uint8_t a[IDENTITY_KEY_BYTES];
    uint8_t b[IDENTITY_KEY_BYTES];
    scratch_begin();
    make_key("a", a);
    make_key("b", b);
    CU_ASSERT_FALSE(trusted_has(scratch_folder, a));
    set(a, false, false);
    set(a, true, true);
    set(a, true, false);
    set(b, true, true);
    CU_ASSERT_TRUE(trusted_has(scratch_folder, a));
    CU_ASSERT_TRUE(trusted_has(scratch_folder, b));
    set(a, false, true);
    CU_ASSERT_FALSE(trusted_has(scratch_folder, a));
    CU_ASSERT_TRUE(trusted_has(scratch_folder, b));
    set(b, false, true);
    CU_ASSERT_FALSE(trusted_has(scratch_folder, b));
    scratch_end();
}

static void text_is_the_key_and_nothing_else(void)
{
    uint8_t key[IDENTITY_KEY_BYTES];
    uint8_t read[IDENTITY_KEY_BYTES];
    char text[TRUSTED_HEX_BYTES + 1];
    scratch_begin();
    make_key("a", key);
    trusted_format(key, text);
    CU_ASSERT_EQUAL(strlen(text), 64);
    CU_ASSERT_EQUAL(trusted_parse(text, read), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(read, key, sizeof key), 0);
    text[64] = '0';
    text[65] = '\0';
    CU_ASSERT_EQUAL(trusted_parse(text, read), STATUS_USAGE);
    text[63] = '\0';
    CU_ASSERT_EQUAL(trusted_parse(text, read), STATUS_USAGE);
    trusted_format(key, text);
    text[10] = 'g';
    CU_ASSERT_EQUAL(trusted_parse(text, read), STATUS_USAGE);
    CU_ASSERT_EQUAL(trusted_parse("", read), STATUS_USAGE);
    memset(text, '0', 64); /* digits, but no point of the curve that is a key */
    CU_ASSERT_EQUAL(trusted_parse(text, read), STATUS_USAGE);
    scratch_end();
}

static void damaged_file_trusts_nobody_and_says_so(void)
{
    uint8_t key[IDENTITY_KEY_BYTES];
    char text[TRUSTED_HEX_BYTES + 2];
    bool changed = false;
    scratch_begin();
    make_key("a", key);
    trusted_format(key, text);
    text[64] = '\n';
    text[65] = '\0';
    scratch_write_text("trusted", text);
    CU_ASSERT_TRUE(trusted_has(scratch_folder, key));
    text[64] = ' ';
    scratch_write_text("trusted", text);
    CU_ASSERT_FALSE(trusted_has(scratch_folder, key));
    CU_ASSERT_EQUAL(trusted_set(scratch_folder, key, true, &changed), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "trusted"));
    text[20] = '\0';
    scratch_write_text("trusted", text);
    CU_ASSERT_FALSE(trusted_has(scratch_folder, key));
    CU_ASSERT_EQUAL(trusted_set(scratch_folder, key, false, &changed), STATUS_BAD_DATA);
    scratch_end();
}

static const struct suite_test tests[] = {
    SUITE_TEST(key_is_trusted_from_trust_to_untrust),
    SUITE_TEST(text_is_the_key_and_nothing_else),
    SUITE_TEST(damaged_file_trusts_nobody_and_says_so),
};

int main(void)
{
    return suite_run("trusted", tests, sizeof tests / sizeof tests[0]);
}
