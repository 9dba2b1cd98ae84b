#include "common/fault.h"
#include "common/random.h"
#include "tests/unit/packed.h"
#include "tests/unit/suite.h"
#include "trainer/data/ingest/byte_source.h"
#include "trainer/data/ingest/text_source.h"

#include <pthread.h>
#include <unistd.h>

enum { TEXT_BYTES = 300000 };

static atomic_bool stop;

/* Text that packs, with lines of many lengths. */
static void make_text(uint8_t *out, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint64_t drawn = random_mix(i) % 29;
        out[i] = drawn == 28 ? '\n' : drawn > 25 ? ' ' : (uint8_t)('a' + drawn);
    }
}

/* Reads a whole file in reads of read_bytes; the caller frees *out. */
static enum status read_all(const char *name, size_t read_bytes, uint8_t **out, size_t *out_length)
{
    struct byte_source *source = NULL;
    size_t room = 4 << 20;
    size_t got = read_bytes;
    *out_length = 0;
    *out = malloc(room);
    CU_ASSERT_PTR_NOT_NULL_FATAL(*out);
    enum status status = byte_source_open(scratch_path(name), &stop, &source);
    while (status == STATUS_OK && got == read_bytes) {
        CU_ASSERT_FATAL(*out_length + read_bytes <= room);
        status = byte_source_read(source, *out + *out_length, read_bytes, &got);
        *out_length += got;
    }
    if (status == STATUS_OK) {
        size_t size_bytes = 0;
        free(scratch_read(name, &size_bytes));
        CU_ASSERT_EQUAL(byte_source_used(source), size_bytes);
    }
    byte_source_close(source);
    return status;
}

static void expect_text(const char *name, const uint8_t *text, size_t length)
{
    static const size_t READS[] = {1, 7, 4096, 1 << 20};
    for (size_t i = 0; i < sizeof READS / sizeof READS[0]; i++) {
        uint8_t *found = NULL;
        size_t found_length = 0;
        CU_ASSERT_EQUAL(read_all(name, READS[i], &found, &found_length), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(found_length, length);
        CU_ASSERT_EQUAL(memcmp(found, text, length), 0);
        free(found);
    }
}

static void expect_refused(const char *name, enum status expected, const char *words)
{
    uint8_t *found = NULL;
    size_t found_length = 0;
    CU_ASSERT_EQUAL(read_all(name, 1 << 16, &found, &found_length), expected);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), name));
    if (strstr(fault_text(), words) == NULL) {
        printf("%s: %s\n", name, fault_text());
        CU_FAIL("the sentence says something else");
    }
    free(found);
}

static void packed_files_are_read_to_their_end(void)
{
    struct packed *packed = calloc(1, sizeof *packed);
    uint8_t *text = malloc(TEXT_BYTES);
    CU_ASSERT_FATAL(packed != NULL && text != NULL);
    scratch_begin();
    make_text(text, TEXT_BYTES);
    scratch_write("plain.txt", text, TEXT_BYTES);
    expect_text("plain.txt", text, TEXT_BYTES);

    packed_add_gzip(packed, text, TEXT_BYTES / 2);
    packed_add_gzip(packed, text, 0);
    packed_add_gzip(packed, text + TEXT_BYTES / 2, TEXT_BYTES / 2);
    scratch_write("a.txt.gz", packed->data, packed->length);
    expect_text("a.txt.gz", text, TEXT_BYTES);
    memset(packed->data + packed->length, 0, 1000);
    scratch_write("padded.GZ", packed->data, packed->length + 1000);
    expect_text("padded.GZ", text, TEXT_BYTES);

    packed->length = 0;
    packed_add_zstd(packed, text, TEXT_BYTES / 3, 0);
    packed_add(packed, "\x50\x2a\x4d\x18\x03\0\0\0abc", 11); /* a frame to be skipped */
    packed_add_zstd(packed, text, 0, 0);
    packed_add_zstd(packed, text + TEXT_BYTES / 3, TEXT_BYTES - TEXT_BYTES / 3, 20);
    scratch_write("a.txt.zst", packed->data, packed->length);
    expect_text("a.txt.zst", text, TEXT_BYTES);
    scratch_end();
    free(text);
    free(packed);
}

/* Every cut of a packed file is found, wherever it is. */
static void cut_off_files_are_refused(void)
{
    struct packed *packed = calloc(1, sizeof *packed);
    uint8_t text[2000];
    CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
    scratch_begin();
    make_text(text, sizeof text);
    packed_add_gzip(packed, text, sizeof text);
    for (size_t length = 0; length < packed->length; length += length < 40 ? 1 : 97) {
        scratch_write("cut.gz", packed->data, length);
        expect_refused("cut.gz", STATUS_BAD_DATA, "in the middle of its gzip data");
    }
    scratch_write("cut.gz", packed->data, packed->length - 1);
    expect_refused("cut.gz", STATUS_BAD_DATA, "in the middle of its gzip data");
    packed->length = 0;
    packed_add_zstd(packed, text, sizeof text, 0);
    for (size_t length = 0; length < packed->length; length += length < 40 ? 1 : 97) {
        scratch_write("cut.zst", packed->data, length);
        expect_refused("cut.zst", STATUS_BAD_DATA, "in the middle of its zstd data");
    }
    scratch_write("cut.zst", packed->data, packed->length - 1);
    expect_refused("cut.zst", STATUS_BAD_DATA, "in the middle of its zstd data");
    scratch_end();
    free(packed);
}

static void damaged_files_are_refused(void)
{
    struct packed *packed = calloc(1, sizeof *packed);
    uint8_t text[2000];
    CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
    scratch_begin();
    make_text(text, sizeof text);
    scratch_write_text("text.gz", "this is no gzip file, whatever its name says");
    expect_refused("text.gz", STATUS_BAD_DATA, "is not gzip data or is damaged at byte");
    scratch_write_text("text.zst", "this is no zstd file, whatever its name says");
    expect_refused("text.zst", STATUS_BAD_DATA, "is not zstd data or is damaged at byte");
    packed_add_gzip(packed, text, sizeof text);
    packed_add(packed, "garbage", 7);
    scratch_write("tail.gz", packed->data, packed->length);
    expect_refused("tail.gz", STATUS_BAD_DATA, "is not gzip data or is damaged at byte");
    packed->data[packed->length - 7 - 6] ^= 1; /* its checksum */
    scratch_write("sum.gz", packed->data, packed->length - 7);
    expect_refused("sum.gz", STATUS_BAD_DATA, "incorrect data check");
    packed->length = 0;
    packed_add_zstd(packed, text, sizeof text, 0);
    packed_add(packed, "garbage", 7);
    scratch_write("tail.zst", packed->data, packed->length);
    expect_refused("tail.zst", STATUS_BAD_DATA, "is not zstd data or is damaged at byte");
    packed->data[packed->length - 7 - 2] ^= 1;
    scratch_write("sum.zst", packed->data, packed->length - 7);
    expect_refused("sum.zst", STATUS_BAD_DATA, "checksum");
    scratch_end();
    free(packed);
}

static void large_zstd_windows_are_refused(void)
{
    struct packed *packed = calloc(1, sizeof *packed);
    uint8_t text[2000];
    CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
    scratch_begin();
    make_text(text, sizeof text);
    packed_add_zstd(packed, text, sizeof text, BYTE_SOURCE_WINDOW_LOG2);
    scratch_write("good.zst", packed->data, packed->length);
    expect_text("good.zst", text, sizeof text);
    packed->length = 0;
    packed_add_zstd(packed, text, sizeof text, BYTE_SOURCE_WINDOW_LOG2 + 1);
    scratch_write("wide.zst", packed->data, packed->length);
    expect_refused("wide.zst", STATUS_BAD_DATA, "window of more than 128 MiB");
    scratch_end();
    free(packed);
}

struct walk {
    struct text_source *source;
    struct text_piece piece;
    char paths[4][FILES_PATH_MAX];
    const char *files[4];
};

static size_t all_of_it(const void *context, const uint8_t *text, size_t length)
{
    (void)context;
    (void)text;
    return length;
}

static void walk_begin(struct walk *self, const char *const *names, size_t count,
                       size_t piece_bytes)
{
    *self = (struct walk){0};
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(self->paths[i], sizeof self->paths[i], "%s", scratch_path(names[i]));
        self->files[i] = self->paths[i];
    }
    struct text_source_options options = {.files = self->files,
                                          .file_count = count,
                                          .piece_bytes = piece_bytes,
                                          .safe_length = all_of_it,
                                          .stop = &stop};
    CU_ASSERT_EQUAL_FATAL(text_source_new(&options, &self->source), STATUS_OK);
}

static void walk_end(struct walk *self)
{
    text_piece_deinit(&self->piece);
    text_source_free(self->source);
}

static void pieces_of_text_join_to_the_text(void)
{
    static const char *const NAMES[] = {"a.txt", "empty.txt", "b.txt"};
    uint8_t text[5000];
    scratch_begin();
    make_text(text, sizeof text);
    scratch_write("a.txt", text, 4096);
    scratch_write("empty.txt", text, 0);
    scratch_write("b.txt", text + 4096, sizeof text - 4096);
    for (size_t piece_bytes = 1; piece_bytes < 6000; piece_bytes = 2 * piece_bytes + 1) {
        struct walk walk;
        walk_begin(&walk, NAMES, 3, piece_bytes);
        size_t length = 0;
        size_t ends = 0;
        bool found = true;
        while (found) {
            CU_ASSERT_EQUAL_FATAL(text_source_next(walk.source, &walk.piece, &found), STATUS_OK);
            if (found) {
                CU_ASSERT_FATAL(walk.piece.length <= sizeof text - length);
                CU_ASSERT_EQUAL(memcmp(walk.piece.data, text + length, walk.piece.length), 0);
                CU_ASSERT_EQUAL(walk.piece.format, TEXT_FORMAT_PLAIN);
                length += walk.piece.length;
                ends += walk.piece.ends_file ? 1 : 0;
                CU_ASSERT_TRUE(!walk.piece.ends_file || length == 4096 || length == 5000);
            }
        }
        CU_ASSERT_EQUAL(length, sizeof text);
        CU_ASSERT_EQUAL(ends, 2);
        CU_ASSERT_EQUAL(walk.piece.input_bytes, sizeof text);
        walk_end(&walk);
    }
    scratch_end();
}

static void pieces_of_json_lines_end_with_a_line(void)
{
    static const char *const NAMES[] = {"a.jsonl"};
    uint8_t text[5000];
    scratch_begin();
    make_text(text, sizeof text);
    scratch_write("a.jsonl", text, sizeof text);
    for (size_t piece_bytes = 1; piece_bytes < 6000; piece_bytes = 2 * piece_bytes + 1) {
        struct walk walk;
        walk_begin(&walk, NAMES, 1, piece_bytes);
        size_t length = 0;
        uint64_t line = 1;
        bool found = true;
        while (found) {
            CU_ASSERT_EQUAL_FATAL(text_source_next(walk.source, &walk.piece, &found), STATUS_OK);
            if (found) {
                CU_ASSERT_EQUAL(walk.piece.format, TEXT_FORMAT_JSON_LINES);
                CU_ASSERT_EQUAL(walk.piece.first_line, line);
                CU_ASSERT_EQUAL_FATAL(memcmp(walk.piece.data, text + length, walk.piece.length), 0);
                length += walk.piece.length;
                CU_ASSERT_TRUE(text[length - 1] == '\n' || length == sizeof text);
                for (size_t i = 0; i < walk.piece.length; i++) {
                    line += walk.piece.data[i] == '\n';
                }
            }
        }
        CU_ASSERT_EQUAL(length, sizeof text);
        CU_ASSERT_TRUE(line > 100);
        walk_end(&walk);
    }
    scratch_end();
}

static void byte_order_marks_are_dropped(void)
{
    static const char *const NAMES[] = {"a.txt", "b.jsonl", "c.txt", "d.txt"};
    static const char *const EXPECTED[] = {"x\r\n\xef\xbb\xbf", "{}", "\xef\xbb"};
    struct walk walk;
    bool found = false;
    scratch_begin();
    scratch_write_text("a.txt", "\xef\xbb\xbfx\r\n\xef\xbb\xbf");
    scratch_write_text("b.jsonl", "\xef\xbb\xbf{}");
    scratch_write_text("c.txt", "\xef\xbb");
    scratch_write_text("d.txt", "\xef\xbb\xbf");
    walk_begin(&walk, NAMES, 4, 1000);
    for (size_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL_FATAL(text_source_next(walk.source, &walk.piece, &found), STATUS_OK);
        CU_ASSERT_TRUE_FATAL(found);
        CU_ASSERT_EQUAL_FATAL(walk.piece.length, strlen(EXPECTED[i]));
        CU_ASSERT_EQUAL(memcmp(walk.piece.data, EXPECTED[i], walk.piece.length), 0);
    }
    CU_ASSERT_EQUAL(text_source_next(walk.source, &walk.piece, &found), STATUS_OK);
    CU_ASSERT_FALSE(found);
    walk_end(&walk);
    scratch_end();
}

/* 64 MiB of one line pack into little: the unpacked line is what counts. */
static void endless_lines_are_refused(void)
{
    static const char *const NAMES[] = {"long.jsonl.zst"};
    struct packed *packed = calloc(1, sizeof *packed);
    size_t length = TEXT_SOURCE_PIECE_MAX;
    uint8_t *text = malloc(length + 1);
    CU_ASSERT_FATAL(packed != NULL && text != NULL);
    memset(text, 'x', length + 1);
    for (size_t extra = 0; extra < 2; extra++) {
        struct walk walk;
        bool found = false;
        scratch_begin();
        packed->length = 0;
        packed_add_zstd(packed, "{}\n{}\n", 6, 0);
        packed_add_zstd(packed, text, length + extra, 0);
        packed_add_zstd(packed, "\n", 1, 0);
        scratch_write(NAMES[0], packed->data, packed->length);
        walk_begin(&walk, NAMES, 1, 3);
        CU_ASSERT_EQUAL(text_source_next(walk.source, &walk.piece, &found), STATUS_OK);
        CU_ASSERT_EQUAL(text_source_next(walk.source, &walk.piece, &found), STATUS_OK);
        enum status status = text_source_next(walk.source, &walk.piece, &found);
        CU_ASSERT_EQUAL(status, extra == 0 ? STATUS_OK : STATUS_BAD_DATA);
        if (extra == 0) {
            CU_ASSERT_EQUAL(walk.piece.length, length + 1);
        } else {
            CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "long.jsonl.zst:3: "));
            CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "64 MiB"));
        }
        walk_end(&walk);
        scratch_end();
    }
    free(text);
    free(packed);
}

static size_t nothing(const void *context, const uint8_t *text, size_t length)
{
    (void)context;
    (void)text;
    (void)length;
    return 0;
}

static void text_without_a_place_to_cut_is_refused(void)
{
    struct packed *packed = calloc(1, sizeof *packed);
    struct text_piece piece = {0};
    size_t length = TEXT_SOURCE_PIECE_MAX;
    uint8_t *text = calloc(length + 1, 1);
    CU_ASSERT_FATAL(packed != NULL && text != NULL);
    for (size_t extra = 0; extra < 2; extra++) {
        struct text_source *source = NULL;
        bool found = false;
        scratch_begin();
        packed->length = 0;
        packed_add_zstd(packed, text, length + extra, 0);
        scratch_write("a.txt.zst", packed->data, packed->length);
        const char *file = scratch_path("a.txt.zst");
        struct text_source_options options = {.files = &file,
                                              .file_count = 1,
                                              .piece_bytes = 1000,
                                              .safe_length = nothing,
                                              .stop = &stop};
        CU_ASSERT_EQUAL_FATAL(text_source_new(&options, &source), STATUS_OK);
        enum status status = text_source_next(source, &piece, &found);
        CU_ASSERT_EQUAL(status, extra == 0 ? STATUS_OK : STATUS_BAD_DATA);
        CU_ASSERT_TRUE(extra == 1 || piece.length == length);
        CU_ASSERT_TRUE(extra == 0 || strstr(fault_text(), "a.txt.zst: there is no") != NULL);
        text_source_free(source);
        scratch_end();
    }
    text_piece_deinit(&piece);
    free(text);
    free(packed);
}

static void *set_stop(void *unused)
{
    (void)unused;
    (void)usleep(50000);
    atomic_store(&stop, true);
    return NULL;
}

static void waiting_for_a_silent_pipe_can_be_stopped(void)
{
    struct byte_source *source = NULL;
    pthread_t thread;
    uint8_t byte = 0;
    size_t got = 0;
    int ends[2];
    char path[32];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    CU_ASSERT_EQUAL_FATAL(write(ends[1], "x", 1), 1);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    CU_ASSERT_EQUAL_FATAL(byte_source_open(path, &stop, &source), STATUS_OK);
    CU_ASSERT_EQUAL(byte_source_read(source, &byte, 1, &got), STATUS_OK);
    CU_ASSERT_EQUAL(byte, 'x');
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, set_stop, NULL), 0);
    CU_ASSERT_EQUAL(byte_source_read(source, &byte, 1, &got), STATUS_AGAIN);
    CU_ASSERT_EQUAL(got, 0);
    CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
    atomic_store(&stop, false);
    byte_source_close(source);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void sizes_are_summed_when_all_are_known(void)
{
    uint64_t total = 0;
    scratch_begin();
    scratch_write_text("a.txt", "12345");
    const char *files[] = {scratch_path("a.txt"), scratch_path("a.txt"), "-"};
    CU_ASSERT_EQUAL(text_source_check(files, 2, &total), STATUS_OK);
    CU_ASSERT_EQUAL(total, 10);
    CU_ASSERT_EQUAL(text_source_check(files, 3, &total), STATUS_OK);
    CU_ASSERT_EQUAL(total, 0);
    files[1] = scratch_path("none.txt");
    CU_ASSERT_EQUAL(text_source_check(files, 3, &total), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "none.txt"));
    files[1] = scratch_folder;
    CU_ASSERT_EQUAL(text_source_check(files, 3, &total), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "is a folder"));
    scratch_end();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(packed_files_are_read_to_their_end),
        SUITE_TEST(cut_off_files_are_refused),
        SUITE_TEST(damaged_files_are_refused),
        SUITE_TEST(large_zstd_windows_are_refused),
        SUITE_TEST(pieces_of_text_join_to_the_text),
        SUITE_TEST(pieces_of_json_lines_end_with_a_line),
        SUITE_TEST(byte_order_marks_are_dropped),
        SUITE_TEST(endless_lines_are_refused),
        SUITE_TEST(text_without_a_place_to_cut_is_refused),
        SUITE_TEST(waiting_for_a_silent_pipe_can_be_stopped),
        SUITE_TEST(sizes_are_summed_when_all_are_known),
    };
    return suite_run("text_source", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
