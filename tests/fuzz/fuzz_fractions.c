/* An owner in the hands of contributors and a coordinator who say what they like, in any order. A
 * sum that is given out is the exact sum of the set that it is of. */
#include "peer/aggregator/fractions.h"
#include "proto/codec/sum_pack.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* Beside what it may take: its tables, one for each of at most FRACTIONS_MAX (5) ranges. */
enum { BASE_BYTES = 96 * 1024 };

enum {
    CHUNKS = 6,
    SERIALS = 6,
    STEPS = 3,
    GRANTS_MAX = 8,
    SETS_MAX = 64,
    BYTES_MAX = SMALL_CHUNK_VALUES * 4
};

/* A set that the owner took, or had already. */
struct set {
    uint32_t first_chunk;
    uint32_t serial_count;
    uint64_t serials[SERIALS];
};

struct case_of {
    struct fuzz_bytes in;
    struct fractions *owner;
    struct fraction_task task;
    struct fraction_part facts[SERIALS + 1]; /* by serial, as they were opened last */
    struct set sets[SETS_MAX];               /* of this step, each once; one of them is in force */
    uint32_t set_count;
    uint64_t now_ms;
};

/* Chunk `chunk` of contribution `serial`, the same whenever it is sent; returns its bytes. */
static size_t make_part(const struct case_of *self, uint64_t serial, uint32_t chunk, uint8_t *out)
{
    float values[SMALL_CHUNK_VALUES];
    struct exact_grid grid = exact_grid_for(self->task.step_tokens);
    enum codec codec = self->facts[serial].codec;
    for (uint32_t i = 0; i < SMALL_CHUNK_VALUES; i++) {
        values[i] = (float)((int)(serial * 8 + chunk + i % 7) - 20) * 0.5F;
    }
    CHECK(codec_encode(codec, -grid.shift, values, SMALL_CHUNK_VALUES, out) == STATUS_OK);
    return codec_encoded_bytes(codec, SMALL_CHUNK_VALUES);
}

static void begin(struct case_of *self)
{
    struct fraction_task task = {.step_tokens = 1000,
                                 .value_count = (size_t)CHUNKS * SMALL_CHUNK_VALUES};
    task.step = fuzz_take_u8(&self->in) % STEPS;
    task.plan_id = fuzz_take_u8(&self->in) % 2;
    task.first_chunk = fuzz_take_u8(&self->in) % (CHUNKS + 1);
    task.chunk_count = fuzz_take_u8(&self->in) % (CHUNKS + 1);
    uint8_t odd = fuzz_take_u8(&self->in);
    task.value_count -= odd == 1 ? 1 : 0;
    task.first_chunk = odd == 2 ? UINT32_MAX : task.first_chunk;
    const struct fraction_task *now = fractions_task(self->owner);
    bool more = now != NULL && fractions_belongs(self->owner, &task);
    bool is_late = now != NULL && !more && task.step < now->step;
    enum status status = fractions_begin(self->owner, &task);
    if (!more && !is_late) {
        self->set_count = 0;
        memset(self->facts, 0, sizeof self->facts);
    }
    if (status == STATUS_OK) {
        self->task = task;
    }
}

static void open_part(struct case_of *self)
{
    struct fraction_part part = {.serial = 1 + fuzz_take_u8(&self->in) % SERIALS};
    part.codec = (enum codec)(1 + fuzz_take_u8(&self->in) % 4);
    part.tokens = fuzz_take_u8(&self->in);
    if (fractions_open(self->owner, &part) == STATUS_OK) {
        self->facts[part.serial] = part;
    }
}

static void add(struct case_of *self)
{
    uint8_t good[BYTES_MAX];
    uint64_t serial = 1 + fuzz_take_u8(&self->in) % SERIALS;
    uint32_t chunk = fuzz_take_u8(&self->in) % (CHUNKS + 1);
    struct fuzz_bytes bad = fuzz_take(&self->in, fuzz_take_u8(&self->in));
    const struct fraction_part *facts = &self->facts[serial];
    if (facts->serial == 0 || self->task.step_tokens == 0) {
        fuzz_ignore(fractions_add(self->owner, serial, chunk, bad.data, bad.size_bytes));
        return;
    }
    struct exact_grid grid = exact_grid_for(self->task.step_tokens);
    if (bad.size_bytes > 0 && exact_sum_check(&grid, facts->codec, bad.data, bad.size_bytes,
                                              SMALL_CHUNK_VALUES, facts->tokens) != STATUS_OK) {
        fuzz_ignore(fractions_add(self->owner, serial, chunk, bad.data, bad.size_bytes));
        return;
    }
    size_t good_bytes = make_part(self, serial, chunk, good);
    fuzz_ignore(fractions_add(self->owner, serial, chunk, good, good_bytes));
}

static void set(struct case_of *self)
{
    struct set told = {.serial_count = fuzz_take_u8(&self->in) % (SERIALS + 1)};
    told.first_chunk = fuzz_take_u8(&self->in) % CHUNKS;
    uint64_t epoch = fuzz_take_u8(&self->in);
    for (uint32_t i = 0; i < told.serial_count; i++) {
        told.serials[i] = fuzz_take_u8(&self->in) % (SERIALS + 1);
    }
    if (self->set_count == SETS_MAX ||
        fractions_set(self->owner, told.first_chunk, epoch, told.serials, told.serial_count) !=
            STATUS_OK) {
        return;
    }
    for (uint32_t i = 0; i < self->set_count; i++) {
        if (memcmp(&self->sets[i], &told, sizeof told) == 0) {
            return;
        }
    }
    self->sets[self->set_count++] = told;
}

static bool is_sum_of(const struct case_of *self, const struct set *set, uint32_t chunk,
                      const int64_t *sums)
{
    int64_t want[SMALL_CHUNK_VALUES] = {0};
    struct exact_grid grid = exact_grid_for(self->task.step_tokens);
    for (uint32_t i = 0; i < set->serial_count; i++) {
        uint8_t part[BYTES_MAX];
        const struct fraction_part *facts = &self->facts[set->serials[i]];
        if (facts->serial == 0) {
            return false;
        }
        (void)make_part(self, facts->serial, chunk, part);
        exact_sum_add(&grid, facts->codec, part, SMALL_CHUNK_VALUES, want);
    }
    return set->first_chunk <= chunk && memcmp(want, sums, sizeof want) == 0;
}

static void take_sum(struct case_of *self)
{
    uint8_t packed[SMALL_CHUNK_VALUES * (sizeof(int64_t) + 2)];
    int64_t sums[SMALL_CHUNK_VALUES] = {0};
    uint32_t chunk = 0;
    bool known = false;
    if (!fractions_next_sum(self->owner, &chunk)) {
        return;
    }
    size_t packed_bytes = fractions_pack(self->owner, chunk, packed);
    CHECK(sum_unpack_add(packed, packed_bytes, SMALL_CHUNK_VALUES, sums) == STATUS_OK);
    for (uint32_t i = 0; i < self->set_count; i++) {
        known = known || is_sum_of(self, &self->sets[i], chunk, sums);
    }
    CHECK(known);
    fractions_sum_sent(self->owner, chunk);
}

static void grant(struct case_of *self)
{
    uint64_t serial = 1 + fuzz_take_u8(&self->in) % SERIALS;
    uint32_t window = fuzz_take_u8(&self->in);
    struct fraction_run run;
    uint32_t chunk = 0;
    for (int i = 0;
         i < GRANTS_MAX && fractions_grant(self->owner, serial, window, self->now_ms, 50, &run);
         i++) {
        CHECK(run.chunk_count > 0 && run.first_chunk < CHUNKS &&
              run.chunk_count <= CHUNKS - run.first_chunk);
    }
    CHECK(!fractions_missing(self->owner, serial, &chunk) || chunk < CHUNKS);
}

static void grant_sums(struct case_of *self)
{
    uint64_t epoch = fuzz_take_u8(&self->in);
    uint32_t first = fuzz_take_u8(&self->in) % CHUNKS;
    uint32_t count = fuzz_take_u8(&self->in) % (CHUNKS + 2);
    fuzz_ignore(fractions_grant_sums(self->owner, epoch, first, count));
}

static void step(struct case_of *self)
{
    struct fraction_holds holds;
    self->now_ms += 20;
    switch (fuzz_take_u8(&self->in) % 10) {
    case 0:
        begin(self);
        break;
    case 1:
        open_part(self);
        break;
    case 2:
    case 3:
        add(self);
        break;
    case 4:
        set(self);
        break;
    case 5:
        grant_sums(self);
        break;
    case 6:
        take_sum(self);
        break;
    case 7:
        grant(self);
        break;
    case 8:
        (void)fractions_tear(self->owner, 1 + fuzz_take_u8(&self->in) % SERIALS);
        break;
    default:
        fractions_reset_grants(self->owner, 1 + fuzz_take_u8(&self->in) % SERIALS);
        break;
    }
    fractions_holds(self->owner, &holds);
    CHECK(holds.sums_ready <= fractions_chunk_count(self->owner));
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    static struct case_of self;
    self = (struct case_of){.in = {data, size_bytes}};
    uint64_t bytes_max = (uint64_t)fuzz_take_u8(&self.in) * 256;
    fuzz_memory_begin();
    if (fractions_new(bytes_max, &self.owner) == STATUS_OK) {
        while (self.in.size_bytes > 0) {
            step(&self);
        }
    }
    fuzz_memory_end(0, bytes_max + BASE_BYTES);
    fractions_free(self.owner);
}
