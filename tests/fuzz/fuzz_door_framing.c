/* What the door reads of a connection before libzmq does: in pieces of any size it must see what it
 * sees in one. */
#include "proto/channel/door_framing.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char *const names[] = {"READY", "HELLO", "INITIATE", "ERROR"};

/* Whether a body begins as message `number` does, as far as it is here. */
static bool is_message(struct fuzz_bytes body, uint64_t number)
{
    static const uint8_t name[] = {7, 'M', 'E', 'S', 'S', 'A', 'G', 'E'};
    if (body.size_bytes < DOOR_MESSAGE_BEGIN_BYTES) {
        return true;
    }
    struct fuzz_bytes begin = fuzz_take(&body, sizeof name);
    uint64_t said = 0;
    for (size_t i = 0; i < sizeof said; i++) {
        said = said << 8 | fuzz_take_u8(&body);
    }
    return memcmp(begin.data, name, sizeof name) == 0 && said == number;
}

/* Frames as the RFC has them, in one go; false: they are refused. */
static bool count_frames(struct fuzz_bytes in, uint64_t body_max, bool counts, uint64_t *out_begun)
{
    *out_begun = 0;
    while (in.size_bytes > 0) {
        uint8_t flags = fuzz_take_u8(&in);
        size_t size_bytes = (flags & 2U) != 0 ? sizeof(uint64_t) : 1;
        uint64_t body_bytes = 0;
        if (flags > 7) {
            return false;
        }
        if (in.size_bytes < size_bytes) {
            return true;
        }
        for (size_t i = 0; i < size_bytes; i++) {
            body_bytes = body_bytes << 8 | fuzz_take_u8(&in);
        }
        if (body_bytes > body_max || body_bytes < DOOR_FRAME_MIN) {
            return false;
        }
        uint64_t number = DOOR_NUMBER_FIRST + (*out_begun)++;
        struct fuzz_bytes body = fuzz_take(&in, body_bytes);
        if (counts && !is_message(body, number)) {
            return false;
        }
    }
    return true;
}

static void read_frames(struct fuzz_bytes in, uint64_t body_max, uint8_t piece, bool counts)
{
    struct door_framing framing = {.counts = counts};
    uint64_t want = 0;
    uint64_t begun = 0;
    uint64_t cost_bytes = 0;
    bool good = true;
    bool want_good = count_frames(in, body_max, counts, &want);
    size_t all_bytes = in.size_bytes;
    while (good && in.size_bytes > 0) {
        struct fuzz_bytes part = fuzz_take(&in, 1U + piece);
        struct door_frames frames;
        good =
            door_framing_read(&framing, part.data, part.size_bytes, body_max, &frames) == STATUS_OK;
        begun += frames.begun;
        cost_bytes += frames.cost_bytes;
        CHECK(framing.body_left <= body_max);
    }
    CHECK(good == want_good && begun == want && framing.frame_count == want);
    CHECK(!good || cost_bytes == all_bytes + begun * DOOR_FRAME_COST);
}

static void read_command(struct fuzz_bytes in, uint64_t body_max, uint8_t piece)
{
    struct door_command command = {.have = 0};
    enum status status = STATUS_OK;
    while (status == STATUS_OK && in.size_bytes > 0 && !door_command_whole(&command)) {
        struct fuzz_bytes part = fuzz_take(&in, 1U + piece);
        size_t used = 0;
        status = door_command_read(&command, part.data, part.size_bytes, body_max, &used);
        CHECK(used <= part.size_bytes);
        CHECK(status != STATUS_OK || used == part.size_bytes || door_command_whole(&command));
        CHECK(command.total_bytes <= body_max + DOOR_FRAME_HEADER_MAX);
    }
    unsigned count = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        count += door_command_is(&command, names[i]);
    }
    CHECK(count <= 1 && (count == 0 || door_command_whole(&command)));
}

/* What is refused stays refused, whatever follows. */
static void read_opening(struct fuzz_bytes in)
{
    bool refused = false;
    for (size_t have = 0; have <= in.size_bytes && have <= DOOR_OPENING_BYTES; have++) {
        bool good = door_opening_check(in.data, have) == STATUS_OK;
        CHECK(!refused || !good);
        refused = !good;
    }
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    uint8_t what = fuzz_take_u8(&in) % 4;
    uint8_t piece = fuzz_take_u8(&in);
    uint64_t body_max = DOOR_FRAME_MIN + fuzz_take_u32(&in);
    fuzz_memory_begin();
    if (what == 0 || what == 3) {
        read_frames(in, body_max, piece, what == 3);
    } else if (what == 1) {
        read_command(in, body_max, piece);
    } else {
        read_opening(in);
    }
    fuzz_memory_end(size_bytes, 0);
    CHECK(door_frame_bytes(size_bytes) > size_bytes);
}
