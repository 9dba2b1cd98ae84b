/* Names that are not the client's to choose: routing ids of its own, those the ROUTER gives out
 * itself (a zero byte and four more), and the key of somebody else as metadata.
 *
 * Each connection then says hello. Who brought a routing id may be answered or cut; a hello with
 * the victim's key must never be welcomed, whatever the metadata say. */
#include "common/clock.h"
#include "tests/integration/hostile/raw_member.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_MS = 500, ID_MAX = 255, KINDS = 6, STANDING = 64 };

static size_t make_metadata(unsigned kind, const struct raw_member *victim, uint8_t *out)
{
    uint8_t id[ID_MAX] = {0};
    char hex[2 * RAW_KEY_BYTES + 1];
    size_t size_bytes = raw_property("Socket-Type", "DEALER", 6, out);
    randombytes_buf(id + 1, sizeof id - 1);
    (void)sodium_bin2hex(hex, sizeof hex, victim->keys.public_key, RAW_KEY_BYTES);
    switch (kind) {
    case 0: /* as the ROUTER's next one may be */
        return size_bytes + raw_property("Identity", id, 5, out + size_bytes);
    case 1:
        return size_bytes + raw_property("Identity", id, 1, out + size_bytes);
    case 2:
        return size_bytes + raw_property("Identity", id, ID_MAX, out + size_bytes);
    case 3:
        size_bytes += raw_property("Routing-Id", id, 5, out + size_bytes);
        return size_bytes + raw_property("Identity", id + 1, 5, out + size_bytes);
    case 4: /* the victim's key, in the place of what the key check says */
        size_bytes += raw_property("User-Id", hex, strlen(hex), out + size_bytes);
        return size_bytes + raw_property("Peer-Address", "192.0.2.1", 9, out + size_bytes);
    default: /* the same id again and again */
        return size_bytes + raw_property("Identity", "\0same", 5, out + size_bytes);
    }
}

/* A hello of the victim's over a connection of another key. */
static bool is_welcomed(struct raw_member *squatter, struct raw_member *victim,
                        const struct attack *attack, bool *out_cut)
{
    raw_member_make_hello(victim, attack);
    *squatter->said = *victim->said;
    enum raw_result result = raw_member_say(squatter, NULL, 0);
    if (result == RAW_OK) {
        result = raw_member_hear(squatter, clock_now_ms() + PATIENCE_MS);
    }
    *out_cut = result == RAW_CUT;
    return result == RAW_OK && squatter->heard->type != WIRE_REFUSED;
}

bool attack_squat(struct attack *attack)
{
    struct raw_member squatters[STANDING];
    struct raw_member victim;
    uint64_t connected = 0;
    uint64_t welcomed = 0;
    uint64_t cut = 0;
    if (!raw_member_new(&victim)) {
        return false;
    }
    memset(squatters, 0, sizeof squatters);
    for (uint64_t i = 0; i < attack->count; i++) {
        struct raw_member *squatter = &squatters[i % STANDING];
        uint8_t metadata[RAW_METADATA_MAX];
        bool was_cut = false;
        size_t metadata_bytes = make_metadata((unsigned)(i % KINDS), &victim, metadata);
        if (squatter->said != NULL) {
            raw_member_free(squatter);
        }
        if (!raw_member_new(squatter)) {
            break;
        }
        if (raw_curve_connect(&squatter->curve, &attack->address, attack_source(attack, i),
                              attack->server_key, &squatter->keys, metadata,
                              metadata_bytes) != RAW_OK) {
            continue;
        }
        connected++;
        welcomed += is_welcomed(squatter, &victim, attack, &was_cut) ? 1 : 0;
        cut += was_cut ? 1 : 0;
    }
    for (size_t i = 0; i < STANDING; i++) {
        if (squatters[i].said != NULL) {
            raw_member_free(&squatters[i]);
        }
    }
    raw_member_free(&victim);
    report_begin(attack);
    report_number("tried", attack->count);
    report_number("connected", connected);
    report_number("accepted", welcomed);
    report_number("cut", cut);
    report_end();
    return connected > 0;
}
