#include "peer/daemon/shelf.h"
#include "tests/unit/suite.h"

#include <string.h>

enum { CHUNK = 100, CHUNKS = 5, BYTES = CHUNKS * CHUNK - 30 };

static uint8_t data[BYTES];

/* Blob `id` begins to come, and chunks 0 to `count` - 1 of it are there. */
static void come(struct shelf *self, enum blob_kind kind, uint64_t id, uint32_t count)
{
    const struct fetch_range all = {0, 0};
    const struct fetch_plan from_coordinator = {.owner_count = 0};
    struct digest hashes[CHUNKS];
    struct blob_chunk_header header;
    struct wire_grant grant;
    uint32_t source = 1;
    memset(data, (int)id, sizeof data);
    const struct blob_ref ref = blob_describe(kind, id, data, BYTES, CHUNK, hashes);
    shelf_drop(self);
    CU_ASSERT_EQUAL_FATAL(fetch_new(&ref, &all, &from_coordinator, &self->coming), STATUS_OK);
    while (fetch_grant(self->coming, 0, UINT64_MAX, &source, &grant)) {
        CU_ASSERT_EQUAL(source, FETCH_COORDINATOR);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *chunk = NULL;
        CU_ASSERT_EQUAL_FATAL(blob_chunk(&ref, data, hashes, i, &header, &chunk), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(
            fetch_take(self->coming, FETCH_COORDINATOR, &header, chunk, header.size_bytes, 0),
            STATUS_OK);
    }
    if (fetch_complete(self->coming)) {
        CU_ASSERT_EQUAL(fetch_verify(self->coming), STATUS_OK);
    }
}

static bool has(const struct shelf *self, uint64_t id)
{
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    bool there = shelf_chunk(self, id, CHUNKS - 1, &header, &chunk);
    CU_ASSERT_TRUE(!there || (header.id == id && chunk[0] == (uint8_t)id));
    CU_ASSERT_FALSE(there && shelf_is_gone(self, id));
    return there;
}

static void used_update_stays_where_there_is_room(void)
{
    struct shelf shelf = {.bytes_max = (uint64_t)(SHELF_KEPT_MAX + 1) * BYTES};
    CU_ASSERT_FALSE(shelf_is_gone(&shelf, 7));
    for (uint64_t id = 7; id <= 9; id++) {
        come(&shelf, BLOB_UPDATE, id, CHUNKS);
        shelf_finish(&shelf, true);
        CU_ASSERT_PTR_NULL(shelf.coming);
        CU_ASSERT_TRUE(has(&shelf, id));
    }
    CU_ASSERT_TRUE(has(&shelf, 8));
    CU_ASSERT_TRUE(shelf_is_gone(&shelf, 7));
    CU_ASSERT_FALSE(shelf_is_gone(&shelf, 10)); /* it will come */
    shelf_clear(&shelf);
}

/* Whoever waits for it would wait until something newer comes; after the last step, for ever. */
static void used_update_without_room_is_gone_at_once(void)
{
    struct shelf shelf = {.bytes_max = (uint64_t)(SHELF_KEPT_MAX + 1) * BYTES - 1};
    come(&shelf, BLOB_UPDATE, 7, CHUNKS);
    CU_ASSERT_TRUE(has(&shelf, 7));
    uint64_t arrivals = shelf.arrivals;
    shelf_finish(&shelf, true);
    CU_ASSERT_PTR_NULL(shelf.coming);
    CU_ASSERT_FALSE(has(&shelf, 7));
    CU_ASSERT_TRUE(shelf_is_gone(&shelf, 7));
    CU_ASSERT_TRUE(shelf.arrivals > arrivals); /* so that those who wait are looked at */
    CU_ASSERT_FALSE(shelf_is_gone(&shelf, 8));
    shelf_clear(&shelf);
}

static void used_update_that_is_for_nobody_is_gone(void)
{
    struct shelf shelf = {.bytes_max = 0};
    come(&shelf, BLOB_UPDATE, 7, CHUNKS);
    shelf_finish(&shelf, false);
    CU_ASSERT_TRUE(shelf_is_gone(&shelf, 7));
    shelf_clear(&shelf);
}

static void used_snapshot_takes_the_place_of_the_updates_before(void)
{
    struct shelf shelf = {.bytes_max = 0};
    come(&shelf, BLOB_UPDATE, 6, CHUNKS);
    shelf_finish(&shelf, true);
    come(&shelf, BLOB_SNAPSHOT, 8, CHUNKS);
    CU_ASSERT_FALSE(shelf_is_gone(&shelf, 8));
    shelf_finish(&shelf, true);
    CU_ASSERT_PTR_NULL(shelf.coming);
    CU_ASSERT_TRUE(has(&shelf, 6)); /* what is here is here */
    CU_ASSERT_TRUE(shelf_is_gone(&shelf, 7));
    CU_ASSERT_TRUE(shelf_is_gone(&shelf, 8));
    CU_ASSERT_FALSE(shelf_is_gone(&shelf, 9));
    shelf_clear(&shelf);
}

static void passed_updates_are_gone_unless_they_come_all_the_same(void)
{
    struct shelf shelf = {.bytes_max = 0};
    uint64_t arrivals = shelf.arrivals;
    shelf_pass(&shelf, 9);
    CU_ASSERT_TRUE(shelf.arrivals > arrivals);
    shelf_pass(&shelf, 5);
    CU_ASSERT_TRUE(shelf_is_gone(&shelf, 9));
    CU_ASSERT_FALSE(shelf_is_gone(&shelf, 10));
    come(&shelf, BLOB_UPDATE, 8, 0);
    CU_ASSERT_FALSE(shelf_is_gone(&shelf, 8));
    CU_ASSERT_TRUE(shelf_is_gone(&shelf, 9));
    shelf_clear(&shelf);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(used_update_stays_where_there_is_room),
        SUITE_TEST(used_update_without_room_is_gone_at_once),
        SUITE_TEST(used_update_that_is_for_nobody_is_gone),
        SUITE_TEST(used_snapshot_takes_the_place_of_the_updates_before),
        SUITE_TEST(passed_updates_are_gone_unless_they_come_all_the_same),
    };
    return suite_run("shelf", tests, sizeof tests / sizeof tests[0]);
}
