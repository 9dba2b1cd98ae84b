#include "tests/fuzz/seeds.h"

#include "common/check.h"

#include "tests/unit/wire_samples.h"

static uint8_t head[HEAD_MAX];

static void write_message(const char *name, const struct wire_message *message)
{
    size_t size_bytes = 0;
    CHECK(wire_encode(message, head, sizeof head, &size_bytes) == STATUS_OK);
    seed_write("wire_decode", name, head, size_bytes);
}

/* Every bit that is signed is spoilt by some. */
static void write_attested(const char *name, const struct wire_message *message)
{
    for (uint32_t bit = 0; bit < 8; bit++) {
        struct seed seed = {.size_bytes = 0};
        size_t size_bytes = 0;
        char numbered[64];
        CHECK(wire_encode(message, head, sizeof head, &size_bytes) == STATUS_OK);
        seed_u32(&seed, 64 + bit);
        seed_bytes(&seed, head, size_bytes);
        (void)snprintf(numbered, sizeof numbered, "%s-%u", name, bit);
        seed_write("attest", numbered, seed.bytes, seed.size_bytes);
    }
}

void seeds_wire(void)
{
    struct wire_message hello = make_valid(WIRE_HELLO);
    struct wire_message contribution = make_valid(WIRE_CONTRIBUTION);
    write_attested("hello", &hello);
    write_attested("contribution", &contribution);
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        struct wire_message message = make_valid((enum wire_type)type);
        write_message(wire_type_name((enum wire_type)type), &message);
    }
    struct wire_message empty = make(WIRE_ROUTE);
    empty.as.route.codec = CODEC_BF16;
    write_message("route-empty", &empty);
    const uint64_t serials[] = {1, 2, UINT64_MAX};
    uint8_t body[sizeof serials];
    wire_serials_write(serials, 3, body);
    seed_write("wire_decode", "serials", body, sizeof body);
}
