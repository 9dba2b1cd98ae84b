/* Tickets: as they come, and signed by the coordinator, so that what stands behind the signature is
 * read as well. */
#include "proto/ticket.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char domain[] = "dugnad-ticket-2";

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {1};
    struct identity coordinator;
    struct fuzz_bytes in = {data, size_bytes};
    bool is_signed = fuzz_take_u8(&in) % 2 == 1;
    uint8_t bytes[TICKET_BYTES] = {0};
    struct ticket ticket;
    if (identity_of_seed(seed, &coordinator) != STATUS_OK) {
        return;
    }
    struct fuzz_bytes body = fuzz_take(&in, sizeof bytes);
    memcpy(bytes, body.data, body.size_bytes);
    if (is_signed) {
        uint8_t message[sizeof domain - 1 + TICKET_BYTES - IDENTITY_SIGNATURE_BYTES];
        memcpy(message, domain, sizeof domain - 1);
        memcpy(message + sizeof domain - 1, bytes, TICKET_BYTES - IDENTITY_SIGNATURE_BYTES);
        identity_sign(&coordinator, message, sizeof message,
                      bytes + TICKET_BYTES - IDENTITY_SIGNATURE_BYTES);
    }
    fuzz_memory_begin();
    enum status status = ticket_open(bytes, coordinator.public_key, &ticket);
    fuzz_memory_end(size_bytes, 0);
    if (status == STATUS_OK) {
        uint8_t again[TICKET_BYTES];
        CHECK(is_signed);
        ticket_sign(&coordinator, &ticket, again);
        CHECK(memcmp(again, bytes, sizeof again) == 0);
    }
    identity_wipe(&coordinator);
}
