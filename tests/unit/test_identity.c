#include "common/disk.h"
#include "common/fault.h"
#include "common/files.h"
#include "proto/link.h"
#include "tests/unit/suite.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/dugnad-test-XXXXXX";
static char path[FILES_PATH_MAX];

/* A path in a fresh folder, where nothing is yet. */
static void begin(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/dugnad-test-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    CU_ASSERT_EQUAL_FATAL(files_join(folder, "identity", path), STATUS_OK);
}

static void end(void)
{
    CU_ASSERT_EQUAL(files_remove_folder(folder), STATUS_OK);
}

static bool is_zero(const void *data, size_t size_bytes)
{
    return sodium_is_zero(data, size_bytes) == 1;
}

static void open_makes_a_private_file_and_reads_it_again(void)
{
    struct identity made;
    struct identity read_again;
    struct stat facts;
    begin();
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &made), STATUS_OK);
    CU_ASSERT_EQUAL(stat(path, &facts), 0);
    CU_ASSERT_EQUAL(facts.st_mode & 07777, 0600);
    CU_ASSERT_FALSE(is_zero(made.secrets->ed25519, sizeof made.secrets->ed25519));
    CU_ASSERT_FALSE(is_zero(made.secrets->curve, sizeof made.secrets->curve));
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &read_again), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(made.public_key, read_again.public_key, sizeof made.public_key), 0);
    CU_ASSERT_EQUAL(memcmp(made.curve_public, read_again.curve_public, sizeof made.curve_public),
                    0);
    CU_ASSERT_EQUAL(memcmp(made.secrets, read_again.secrets, sizeof *made.secrets), 0);
    identity_wipe(&made);
    CU_ASSERT_TRUE(is_zero(&made, sizeof made));
    identity_wipe(&made); /* fine */
    identity_wipe(&read_again);
    end();
}

static void open_twice_makes_different_keys(void)
{
    struct identity first;
    struct identity second;
    begin();
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &first), STATUS_OK);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &second), STATUS_OK);
    CU_ASSERT_NOT_EQUAL(memcmp(first.public_key, second.public_key, IDENTITY_KEY_BYTES), 0);
    end();
}

/* RFC 8032, 7.1, test 1: seed and public key. */
static void open_of_a_known_seed_gives_the_known_key(void)
{
    static const char seed[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n";
    static const char public_hex[] =
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    struct identity identity;
    char hex[2 * IDENTITY_KEY_BYTES + 1];
    char name[IDENTITY_NAME_BYTES];
    begin();
    CU_ASSERT_EQUAL(files_write_new(path, seed, strlen(seed), 0600), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &identity), STATUS_OK);
    (void)sodium_bin2hex(hex, sizeof hex, identity.public_key, IDENTITY_KEY_BYTES);
    CU_ASSERT_STRING_EQUAL(hex, public_hex);
    identity_name(identity.public_key, name);
    CU_ASSERT_STRING_EQUAL(name, "d75a980182b1");
    end();
}

static void curve_keys_belong_to_the_identity(void)
{
    struct identity identity;
    uint8_t curve[IDENTITY_KEY_BYTES];
    begin();
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &identity), STATUS_OK);
    CU_ASSERT_EQUAL(identity_curve_of(identity.public_key, curve), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(curve, identity.curve_public, sizeof curve), 0);
    CU_ASSERT_EQUAL(crypto_scalarmult_base(curve, identity.secrets->curve), 0);
    CU_ASSERT_EQUAL(memcmp(curve, identity.curve_public, sizeof curve), 0);
    uint8_t bad[IDENTITY_KEY_BYTES] = {1}; /* the neutral element */
    CU_ASSERT_EQUAL(identity_curve_of(bad, curve), STATUS_BAD_DATA);
    memset(bad, 0xff, sizeof bad);
    CU_ASSERT_EQUAL(identity_curve_of(bad, curve), STATUS_BAD_DATA);
    end();
}

static void file_that_others_can_read_is_refused(void)
{
    static const mode_t modes[] = {0644, 0640, 0620, 0604, 0601};
    struct identity identity;
    begin();
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &identity), STATUS_OK);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        CU_ASSERT_EQUAL(chmod(path, modes[i]), 0);
        CU_ASSERT_EQUAL(identity_open(path, &identity), STATUS_REFUSED);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "chmod 600"));
        CU_ASSERT_TRUE(is_zero(&identity, sizeof identity));
    }
    end();
}

/* A link may be anybody's to change, also when it leads to a good file, or nowhere. */
static void link_in_place_of_the_file_is_refused(void)
{
    struct identity identity;
    char real[FILES_PATH_MAX];
    begin();
    CU_ASSERT_EQUAL(files_join(folder, "real", real), STATUS_OK);
    CU_ASSERT_EQUAL(symlink(real, path), 0);
    CU_ASSERT_EQUAL(identity_open(path, &identity), STATUS_REFUSED); /* nothing is made there */
    CU_ASSERT_FALSE(files_exists(real));
    CU_ASSERT_EQUAL_FATAL(identity_open(real, &identity), STATUS_OK);
    identity_wipe(&identity);
    CU_ASSERT_EQUAL(identity_open(path, &identity), STATUS_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "is a link"));
    CU_ASSERT_TRUE(is_zero(&identity, sizeof identity));
    end();
}

/* What lies at the temporary name does not lead the secret elsewhere. */
static void link_at_the_temporary_name_is_not_followed(void)
{
    struct identity identity;
    char elsewhere[FILES_PATH_MAX];
    char temporary[FILES_PATH_MAX];
    begin();
    CU_ASSERT_EQUAL(files_join(folder, "elsewhere", elsewhere), STATUS_OK);
    CU_ASSERT_EQUAL(files_write_new(elsewhere, "x", 1, 0644), STATUS_OK);
    CU_ASSERT_EQUAL(files_join(folder, "identity.tmp", temporary), STATUS_OK);
    CU_ASSERT_EQUAL(symlink(elsewhere, temporary), 0);
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &identity), STATUS_OK);
    identity_wipe(&identity);
    struct stat facts;
    CU_ASSERT_EQUAL(stat(elsewhere, &facts), 0);
    CU_ASSERT_EQUAL(facts.st_size, 1);
    CU_ASSERT_EQUAL(lstat(path, &facts), 0);
    CU_ASSERT_TRUE(S_ISREG(facts.st_mode));
    CU_ASSERT_EQUAL(facts.st_mode & 07777, 0600);
    end();
}

static void file_of_another_user_is_refused(void)
{
    struct identity identity;
    if (geteuid() != 0) {
        return; /* only root can give a file away */
    }
    begin();
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &identity), STATUS_OK);
    identity_wipe(&identity);
    CU_ASSERT_EQUAL(chown(path, 12345, 12345), 0);
    CU_ASSERT_EQUAL(identity_open(path, &identity), STATUS_REFUSED);
    end();
}

static void pipe_in_place_of_the_file_holds_nobody_up(void)
{
    struct identity identity;
    begin();
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    CU_ASSERT_EQUAL(identity_open(path, &identity), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "not a plain file"));
    end();
}

/* One writes over no other, also when both looked before either wrote. */
static void new_file_takes_no_others_place(void)
{
    char temporary[FILES_PATH_MAX];
    begin();
    CU_ASSERT_EQUAL(files_join(folder, "second", temporary), STATUS_OK);
    CU_ASSERT_EQUAL(files_write_new(path, "first", 5, 0600), STATUS_OK);
    CU_ASSERT_EQUAL(files_write_new(temporary, "second", 6, 0600), STATUS_OK);
    CU_ASSERT_FALSE(disk_rename_new(temporary, path));
    CU_ASSERT_EQUAL(errno, EEXIST);
    CU_ASSERT_TRUE(files_exists(temporary));
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_TRUE(disk_rename_new(temporary, path));
    CU_ASSERT_FALSE(files_exists(temporary));
    end();
}

static void identity_of_curve_keys_alone_connects(void)
{
    struct identity whole;
    struct identity half;
    begin();
    CU_ASSERT_EQUAL_FATAL(identity_open(path, &whole), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(identity_of_curve(whole.curve_public, whole.secrets->curve, &half),
                          STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(half.curve_public, whole.curve_public, IDENTITY_KEY_BYTES), 0);
    CU_ASSERT_EQUAL(memcmp(half.secrets->curve, whole.secrets->curve, IDENTITY_KEY_BYTES), 0);
    CU_ASSERT_TRUE(is_zero(half.secrets->ed25519, sizeof half.secrets->ed25519));
    CU_ASSERT_TRUE(is_zero(half.public_key, sizeof half.public_key));
    identity_wipe(&half);
    identity_wipe(&whole);
    end();
}

static void damaged_file_is_bad_data(void)
{
    static const char *const bad[] = {
        "",
        "\n",
        "9d61b19d\n",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f6\n",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f6x\n",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f600\n",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n\n",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60 and more text",
    };
    struct identity identity;
    begin();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_EQUAL(files_write_atomic(path, bad[i], strlen(bad[i]), 0600), STATUS_OK);
        CU_ASSERT_EQUAL(identity_open(path, &identity), STATUS_BAD_DATA);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), path));
        CU_ASSERT_TRUE(is_zero(&identity, sizeof identity));
    }
    end();
}

static void missing_or_wrong_place_has_a_sentence(void)
{
    struct identity identity;
    char deep[FILES_PATH_MAX];
    begin();
    CU_ASSERT_EQUAL(files_join(folder, "no/such/identity", deep), STATUS_OK);
    CU_ASSERT_EQUAL(identity_open(deep, &identity), STATUS_CANNOT_CREATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), deep));
    CU_ASSERT_EQUAL(identity_open(folder, &identity), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), folder));
    end();
}

static void make_link(struct join_link *out, const char *address)
{
    uint8_t secret[IDENTITY_SECRET_BYTES];
    memset(out, 0, sizeof *out);
    CU_ASSERT_EQUAL(crypto_sign_keypair(out->coordinator_key, secret), 0);
    randombytes_buf(out->token, sizeof out->token);
    (void)snprintf(out->address, sizeof out->address, "%s", address);
}

static void link_round_trip_keeps_every_part(void)
{
    char longest[LINK_ADDRESS_MAX];
    memset(longest, 'a', 253);
    (void)snprintf(longest + 253, sizeof longest - 253, ":65535");
    const char *const addresses[] = {"dugnad.example.org:7700", "203.0.113.9:1",
                                     "[2001:db8::1]:65535",     "[::ffff:203.0.113.9]:7700",
                                     "my_host-2:443",           longest};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct join_link link;
        struct join_link back;
        char text[LINK_TEXT_MAX];
        char pasted[LINK_TEXT_MAX + 8];
        make_link(&link, addresses[i]);
        CU_ASSERT_EQUAL_FATAL(link_format(&link, text), STATUS_OK);
        CU_ASSERT_EQUAL(strncmp(text, "dugnad://", 9), 0);
        CU_ASSERT_EQUAL(link_parse(text, &back), STATUS_OK);
        CU_ASSERT_STRING_EQUAL(back.address, addresses[i]);
        CU_ASSERT_EQUAL(memcmp(&link.coordinator_key, &back.coordinator_key, 32), 0);
        CU_ASSERT_EQUAL(memcmp(&link.token, &back.token, 32), 0);
        (void)snprintf(pasted, sizeof pasted, "  %s \r\n", text);
        CU_ASSERT_EQUAL(link_parse(pasted, &back), STATUS_OK);
    }
}

/* The sentence names the part, and nothing of the link is handed out. */
static void expect_bad_link(const char *text, const char *part)
{
    struct join_link link;
    memset(&link, 1, sizeof link);
    CU_ASSERT_EQUAL(link_parse(text, &link), STATUS_USAGE);
    if (strstr(fault_text(), part) == NULL) {
        (void)printf("[%s: %s] ", text, fault_text());
        CU_FAIL("the sentence names another part");
    }
    CU_ASSERT_TRUE(is_zero(&link, sizeof link));
}

static void malformed_link_has_a_sentence_for_its_part(void)
{
    struct join_link link;
    char good[LINK_TEXT_MAX];
    char text[LINK_TEXT_MAX + 300];
    make_link(&link, "host:7700");
    CU_ASSERT_EQUAL_FATAL(link_format(&link, good), STATUS_OK);
    const char *rest = strchr(good + 9, '/'); /* "/KEY/TOKEN" */

    expect_bad_link("", "starts with dugnad://");
    expect_bad_link("http://host:7700", "starts with dugnad://");
    expect_bad_link("dugnad://", "cut short");
    expect_bad_link("dugnad://host:7700", "cut short");
    (void)snprintf(text, sizeof text, "%.*s", (int)(strlen(good) - 44), good);
    expect_bad_link(text, "cut short");

    static const char *const hosts[] = {"host",           "",          ":7700",
                                        "ho st:7700",     "[::1:7700", "[]:7700",
                                        "[12345::]:7700", "a:b:7700",  "h\xc3\xb8st:7700"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        (void)snprintf(text, sizeof text, "dugnad://%s%s", hosts[i], rest);
        expect_bad_link(text, "not HOST:PORT");
    }
    static const char *const ports[] = {"host:",   "host:0",  "host:65536",
                                        "host:7x", "host:+1", "host:000001"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        (void)snprintf(text, sizeof text, "dugnad://%s%s", ports[i], rest);
        expect_bad_link(text, "the port in");
    }
    char host[290];
    memset(host, 'a', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    (void)snprintf(text, sizeof text, "dugnad://%s:1%s", host, rest);
    expect_bad_link(text, "too long");

    (void)snprintf(text, sizeof text, "dugnad://host:7700/x%s", rest + 2);
    text[19] = '!';
    expect_bad_link(text, "the key in");
    (void)snprintf(text, sizeof text, "dugnad://host:7700/%s", rest + 2);
    expect_bad_link(text, "the key in");
    (void)snprintf(text, sizeof text, "dugnad://host:7700/%.43s/%s", /* a key of zeros */
                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", rest + 45);
    expect_bad_link(text, "the key in");
    (void)snprintf(text, sizeof text, "%sx", good);
    expect_bad_link(text, "the token at");
    (void)snprintf(text, sizeof text, "%.*s", (int)strlen(good) - 1, good);
    expect_bad_link(text, "the token at");
    (void)snprintf(text, sizeof text, "%s/", good);
    expect_bad_link(text, "the token at");
}

static void format_of_a_bad_address_is_usage(void)
{
    static const char *const bad[] = {"", "host", "host:", "host:0", "host:99999", "a/b:7700"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct join_link link;
        char text[LINK_TEXT_MAX];
        make_link(&link, bad[i]);
        CU_ASSERT_EQUAL(link_format(&link, text), STATUS_USAGE);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(open_makes_a_private_file_and_reads_it_again),
        SUITE_TEST(open_twice_makes_different_keys),
        SUITE_TEST(open_of_a_known_seed_gives_the_known_key),
        SUITE_TEST(curve_keys_belong_to_the_identity),
        SUITE_TEST(file_that_others_can_read_is_refused),
        SUITE_TEST(link_in_place_of_the_file_is_refused),
        SUITE_TEST(link_at_the_temporary_name_is_not_followed),
        SUITE_TEST(file_of_another_user_is_refused),
        SUITE_TEST(pipe_in_place_of_the_file_holds_nobody_up),
        SUITE_TEST(new_file_takes_no_others_place),
        SUITE_TEST(identity_of_curve_keys_alone_connects),
        SUITE_TEST(damaged_file_is_bad_data),
        SUITE_TEST(missing_or_wrong_place_has_a_sentence),
        SUITE_TEST(link_round_trip_keeps_every_part),
        SUITE_TEST(malformed_link_has_a_sentence_for_its_part),
        SUITE_TEST(format_of_a_bad_address_is_usage),
    };
    return suite_run("identity", tests, sizeof tests / sizeof tests[0]);
}
