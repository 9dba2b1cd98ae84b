#include "common/fault.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/formats/safetensors.h"

#include <math.h>

/* A file of this header text and data_bytes bytes 0, 1, 2... */
static void write_file(const char *header, uint64_t header_bytes, size_t data_bytes)
{
    size_t length = strlen(header);
    uint8_t *file = calloc(1, 8 + length + data_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    memcpy(file, &header_bytes, 8);
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++) {
        file[8 + length + i] = (uint8_t)i;
    }
    scratch_write("t", file, 8 + length + data_bytes);
    free(file);
}

static enum status open_file(const char *header, size_t data_bytes)
{
    struct safetensors *file = NULL;
    write_file(header, strlen(header), data_bytes);
    enum status status = safetensors_open(scratch_path("t"), &file);
    if (status != STATUS_OK) {
        CU_ASSERT_PTR_NULL(file);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), scratch_path("t")));
    }
    safetensors_close(file);
    return status;
}

static void open_valid_files_accepts(void)
{
    scratch_begin();
    CU_ASSERT_EQUAL(open_file("{}", 0), STATUS_OK);
    CU_ASSERT_EQUAL(open_file("{\"__metadata__\":{\"format\":\"pt\"}}", 0), STATUS_OK);
    /* any order, spaces behind, a scalar, an empty tensor in the middle */
    CU_ASSERT_EQUAL(
        open_file("{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]},"
                  "\"e\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[4,4]},"
                  "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}      ",
                  12),
        STATUS_OK);
    CU_ASSERT_EQUAL(
        open_file("{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8),
        STATUS_OK);
    scratch_end();
}

static void open_broken_headers_refuses(void)
{
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *reason;
    } CASES[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, "overlap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "after the last"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "shape needs"},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "shape needs"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "needs a shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "at most 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
         "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "too large"},
        {"{\"a\":{\"dtype\":\"Q3\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no known dtype"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no known dtype"},
        {"{\"a\":7}", 4, "no known dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, "not valid JSON: duplicate"},
        {"{\"__metadata__\":{\"n\":1}}", 0, "not a string"},
        {"{\"__metadata__\":[]}", 0, "not an object"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "name is empty"},
        {"{\"\\u001b[m\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "name is"},
        {"{\"a\":", 0, "not valid JSON"},
        {"{} x", 0, "not valid JSON"},
        {" {}", 0, "not a safetensors file"},
        {"[]", 0, "not a safetensors file"},
    };
    scratch_begin();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        CU_ASSERT_EQUAL(open_file(CASES[i].header, CASES[i].data_bytes), STATUS_BAD_DATA);
        if (strstr(fault_text(), CASES[i].reason) == NULL) {
            printf("case %zu: %s\n", i, fault_text());
            CU_FAIL("another reason was given");
        }
    }
    scratch_end();
}

static void open_wrong_lengths_refuses(void)
{
    static const uint64_t LENGTHS[] = {
        0, 1, 3, SAFETENSORS_HEADER_MAX + 1, UINT64_MAX, UINT64_MAX - 7};
    struct safetensors *file = NULL;
    scratch_begin();
    for (size_t i = 0; i < sizeof LENGTHS / sizeof LENGTHS[0]; i++) {
        write_file("{}", LENGTHS[i], 0);
        CU_ASSERT_EQUAL(safetensors_open(scratch_path("t"), &file), STATUS_BAD_DATA);
    }
    scratch_write("t", "1234567", 7);
    CU_ASSERT_EQUAL(safetensors_open(scratch_path("t"), &file), STATUS_BAD_DATA);
    scratch_write("t", "", 0);
    CU_ASSERT_EQUAL(safetensors_open(scratch_path("t"), &file), STATUS_BAD_DATA);
    CU_ASSERT_EQUAL(safetensors_open(scratch_path("none"), &file), STATUS_NO_INPUT);
    scratch_end();
}

/* A header of `count` empty arrays, or of one text that looks as if it held them. */
static char *make_crowd(size_t count, bool quoted)
{
    size_t size_bytes = 3 * count + 64;
    char *header = calloc(1, size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(header);
    (void)snprintf(header, size_bytes, "%s",
                   quoted ? "{\"__metadata__\":{\"a\":\"\\\"" : "{\"a\":[");
    size_t length = strlen(header);
    for (size_t i = 0; i < count; i++) {
        memcpy(header + length + 3 * i, "[],", 3);
    }
    length += 3 * count;
    (void)snprintf(header + length, size_bytes - length, "%s", quoted ? "\"}}" : "1]}");
    return header;
}

/* Its values would take 40 times as much memory as the file. */
static void open_crowded_header_refuses_before_it_is_read(void)
{
    enum { MANY = 600000 };
    scratch_begin();
    char *header = make_crowd(MANY, false);
    CU_ASSERT_EQUAL(open_file(header, 0), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "values"));
    free(header);
    header = make_crowd(MANY, true);
    CU_ASSERT_EQUAL(open_file(header, 0), STATUS_OK);
    free(header);
    scratch_end();
}

static void open_long_name_refuses(void)
{
    char header[512];
    char name[SAFETENSORS_NAME_MAX + 1];
    scratch_begin();
    memset(name, 'n', sizeof name);
    for (int extra = 0; extra < 2; extra++) {
        (void)snprintf(header, sizeof header,
                       "{\"%.*s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                       SAFETENSORS_NAME_MAX - 1 + extra, name);
        CU_ASSERT_EQUAL(open_file(header, 4), extra == 0 ? STATUS_OK : STATUS_BAD_DATA);
    }
    scratch_end();
}

static void every_cut_file_is_refused(void)
{
    const float values[6] = {1, 2, 3, 4, 5, 6};
    const struct safetensors_output tensors[] = {{"m", 2, DTYPE_F32, {2, 3}, values, 6}};
    struct safetensors *file = NULL;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path("whole"), tensors, 1), STATUS_OK);
    size_t size_bytes = 0;
    uint8_t *data = scratch_read("whole", &size_bytes);
    for (size_t i = 0; i < size_bytes; i++) {
        FILE *cut = fopen(scratch_path("cut"), "wb");
        CU_ASSERT_PTR_NOT_NULL_FATAL(cut);
        CU_ASSERT_EQUAL(fwrite(data, 1, i, cut), i);
        CU_ASSERT_EQUAL(fclose(cut), 0);
        CU_ASSERT_EQUAL(safetensors_open(scratch_path("cut"), &file), STATUS_BAD_DATA);
    }
    free(data);
    scratch_end();
}

static void write_then_read_gives_the_same_values(void)
{
    const float matrix[6] = {1, -2, 3.5F, 0, 1e-45F, 3e38F};
    const float scalar = -0.0F;
    const struct safetensors_output tensors[] = {
        {"z.weight", 2, DTYPE_F32, {3, 2}, matrix, 6},
        {"a \"quoted\" name", 0, DTYPE_F32, {0}, &scalar, 1},
        {"empty", 1, DTYPE_F32, {0}, NULL, 0},
    };
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path("f"), tensors, 3), STATUS_OK);
    struct safetensors *file = NULL;
    CU_ASSERT_EQUAL_FATAL(safetensors_open(scratch_path("f"), &file), STATUS_OK);
    CU_ASSERT_EQUAL(safetensors_count(file), 3);
    CU_ASSERT_PTR_NULL(safetensors_find(file, "y"));
    const struct safetensors_entry *entry = safetensors_find(file, "z.weight");
    CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
    CU_ASSERT_EQUAL(entry->rank, 2);
    CU_ASSERT_EQUAL(entry->shape[0], 3);
    CU_ASSERT_EQUAL(entry->shape[1], 2);
    float back[6];
    CU_ASSERT_EQUAL(safetensors_read_f32(file, entry, back, 6), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(back, matrix, sizeof back), 0);
    CU_ASSERT_EQUAL(safetensors_read_f32(file, entry, back, 5), STATUS_BAD_SHAPE);
    entry = safetensors_find(file, "a \"quoted\" name");
    CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
    CU_ASSERT_EQUAL(safetensors_read_f32(file, entry, back, 1), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(back, &scalar, sizeof scalar), 0);
    entry = safetensors_find(file, "empty");
    CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
    CU_ASSERT_EQUAL(entry->size_bytes, 0);
    safetensors_close(file);
    scratch_end();
}

/* The exact bytes, so that the format cannot drift. */
static void write_makes_exactly_this_file(void)
{
    const float values[2] = {1.0F, 2.0F};
    const struct safetensors_output tensors[] = {{"w", 1, DTYPE_F32, {2}, values, 2}};
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path("f"), tensors, 1), STATUS_OK);
    size_t size_bytes = 0;
    uint8_t *data = scratch_read("f", &size_bytes);
    size_t length = sizeof header - 1;
    size_t padded = (length + 7) / 8 * 8;
    CU_ASSERT_EQUAL_FATAL(size_bytes, 8 + padded + 8);
    CU_ASSERT_EQUAL(data[0], padded);
    CU_ASSERT_EQUAL(data[1], 0);
    CU_ASSERT_EQUAL(memcmp(data + 8, header, length), 0);
    for (size_t i = length; i < padded; i++) {
        CU_ASSERT_EQUAL(data[8 + i], ' ');
    }
    CU_ASSERT_EQUAL(memcmp(data + 8 + padded, "\0\0\x80\x3f\0\0\0\x40", 8), 0);
    free(data);
    CU_ASSERT_EQUAL(safetensors_write(scratch_path("no/such/folder"), tensors, 1),
                    STATUS_CANNOT_CREATE);
    CU_ASSERT_FALSE(files_exists(scratch_path("f.tmp")));
    scratch_end();
}

static void half_and_bfloat_widen_exactly(void)
{
    static const uint16_t HALVES[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001,
                                      0x03ff, 0x0400, 0x7c00, 0xfc00, 0x7e00, 0x3555};
    static const float WIDE[] = {0.0F,       -0.0F,    1.0F,     -2.0F,     65504.0F, 0x1p-24F,
                                 0x3ffp-24F, 0x1p-14F, INFINITY, -INFINITY, NAN,      0x1.554p-2F};
    enum { COUNT = sizeof HALVES / sizeof HALVES[0] };
    char header[256];
    uint8_t bytes[512] = {0};
    /* an odd header length, so that the data is not aligned */
    int length = snprintf(header, sizeof header,
                          "{\"h\":{\"dtype\":\"F16\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
                          "\"bb\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[%d,%d]},"
                          "\"i\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}}",
                          (int)COUNT, 2 * (int)COUNT, 2 * (int)COUNT, 2 * (int)COUNT + 4,
                          2 * (int)COUNT + 4, 2 * (int)COUNT + 5);
    uint64_t header_bytes = (uint64_t)length + (length % 2 == 0);
    memcpy(bytes, &header_bytes, 8);
    memset(bytes + 8, ' ', header_bytes);
    memcpy(bytes + 8, header, (size_t)length);
    memcpy(bytes + 8 + header_bytes, HALVES, sizeof HALVES);
    memcpy(bytes + 8 + header_bytes + sizeof HALVES, "\x80\x3f\x49\xc0", 4);
    scratch_begin();
    scratch_write("h", bytes, 8 + header_bytes + sizeof HALVES + 5);
    struct safetensors *file = NULL;
    CU_ASSERT_EQUAL_FATAL(safetensors_open(scratch_path("h"), &file), STATUS_OK);
    float out[COUNT];
    CU_ASSERT_EQUAL(safetensors_read_f32(file, safetensors_find(file, "h"), out, COUNT), STATUS_OK);
    for (size_t i = 0; i < COUNT; i++) {
        if (isnan(WIDE[i])) {
            CU_ASSERT_TRUE(isnan(out[i]));
        } else {
            CU_ASSERT_EQUAL(memcmp(&out[i], &WIDE[i], sizeof out[i]), 0);
        }
    }
    CU_ASSERT_EQUAL(safetensors_read_f32(file, safetensors_find(file, "bb"), out, 2), STATUS_OK);
    CU_ASSERT_EQUAL(out[0], 1.0F);
    CU_ASSERT_EQUAL(out[1], -3.140625F);
    CU_ASSERT_EQUAL(safetensors_read_f32(file, safetensors_find(file, "i"), out, 1),
                    STATUS_BAD_DATA);
    safetensors_close(file);
    scratch_end();
}

/* What is written in 16 bits is the nearest value of the type; what does not fit is refused. */
static void write_halves_rounds_to_nearest(void)
{
    enum { COUNT = 10000 }; /* more than are converted at a time */
    static float values[COUNT];
    static float back[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = ldexpf((float)i - 4321.5F, (int)(i % 13) - 11) / 3;
    }
    scratch_begin();
    for (int dtype = DTYPE_F16; dtype <= DTYPE_BF16; dtype++) {
        const struct safetensors_output tensors[] = {
            {"x", 1, (enum tensor_dtype)dtype, {COUNT}, values, COUNT},
            {"y", 1, DTYPE_F32, {1}, values, 1}};
        struct safetensors *file = NULL;
        CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path("h"), tensors, 2), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(safetensors_open(scratch_path("h"), &file), STATUS_OK);
        const struct safetensors_entry *entry = safetensors_find(file, "x");
        CU_ASSERT_EQUAL(entry->dtype, dtype);
        CU_ASSERT_EQUAL(entry->size_bytes, 2 * COUNT);
        CU_ASSERT_EQUAL(safetensors_read_f32(file, entry, back, COUNT), STATUS_OK);
        float half_ulp = dtype == DTYPE_F16 ? 0x1p-11F : 0x1p-8F;
        size_t changed = 0;
        for (size_t i = 0; i < COUNT; i++) {
            CU_ASSERT_TRUE(fabsf(back[i] - values[i]) <= half_ulp * fabsf(values[i]));
            changed += back[i] != values[i];
        }
        CU_ASSERT_TRUE(changed > COUNT / 2);
        safetensors_close(file);
    }
    values[COUNT - 1] = 70000.0F;
    const struct safetensors_output large[] = {{"x", 1, DTYPE_F16, {COUNT}, values, COUNT}};
    CU_ASSERT_EQUAL(safetensors_write(scratch_path("large"), large, 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "float16"));
    CU_ASSERT_FALSE(files_exists(scratch_path("large")));
    CU_ASSERT_FALSE(files_exists(scratch_path("large.tmp")));
    scratch_end();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(open_valid_files_accepts),
        SUITE_TEST(open_broken_headers_refuses),
        SUITE_TEST(open_wrong_lengths_refuses),
        SUITE_TEST(open_crowded_header_refuses_before_it_is_read),
        SUITE_TEST(open_long_name_refuses),
        SUITE_TEST(every_cut_file_is_refused),
        SUITE_TEST(write_then_read_gives_the_same_values),
        SUITE_TEST(write_makes_exactly_this_file),
        SUITE_TEST(half_and_bfloat_widen_exactly),
        SUITE_TEST(write_halves_rounds_to_nearest),
    };
    return suite_run("safetensors", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
