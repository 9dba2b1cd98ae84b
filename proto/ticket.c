#include "proto/ticket.h"

#include "common/check.h"
#include "proto/codec/exact_sum.h"
#include "proto/little_endian.h"

#include <string.h>

enum {
    AT_RUN = 0,
    AT_KIND = AT_RUN + DIGEST_BYTES,
    AT_CODEC = AT_KIND + 1,
    AT_PLAN = AT_CODEC + 1,
    AT_STEP = AT_PLAN + 8,
    AT_SERIAL = AT_STEP + 8,
    AT_TOKENS = AT_SERIAL + 8,
    AT_ROOT = AT_TOKENS + 8,
    AT_PEER = AT_ROOT + DIGEST_BYTES,
    AT_EXPIRES = AT_PEER + IDENTITY_KEY_BYTES,
    AT_SIGNATURE = AT_EXPIRES + 8,
    DOMAIN_BYTES = 15
};
_Static_assert((int)AT_SIGNATURE + (int)IDENTITY_SIGNATURE_BYTES == (int)TICKET_BYTES,
               "the signature ends the ticket");

static const char domain[DOMAIN_BYTES + 1] = "dugnad-ticket-2";

/* What is signed: the domain's words, then the ticket up to its signature. */
static void signed_part(const uint8_t *bytes, uint8_t out[DOMAIN_BYTES + AT_SIGNATURE])
{
    memcpy(out, domain, DOMAIN_BYTES);
    memcpy(out + DOMAIN_BYTES, bytes, AT_SIGNATURE);
}

static bool is_good(const struct ticket *ticket)
{
    bool counts = ticket->serial > 0 && ticket->tokens > 0 &&
                  ticket->tokens <= UINT64_C(1) << EXACT_SUM_TOKENS_LOG2_MAX;
    return ticket->kind == TICKET_PASS || (ticket->kind == TICKET_CONTRIBUTION && counts);
}

void ticket_sign(const struct identity *coordinator, const struct ticket *ticket,
                 uint8_t out[TICKET_BYTES])
{
    uint8_t message[DOMAIN_BYTES + AT_SIGNATURE];
    CHECK(codec_is_known((uint64_t)ticket->codec) && is_good(ticket));
    memcpy(out + AT_RUN, ticket->run_id.bytes, DIGEST_BYTES);
    out[AT_KIND] = (uint8_t)ticket->kind;
    out[AT_CODEC] = (uint8_t)ticket->codec;
    little_endian_put(out + AT_PLAN, ticket->plan_id, 8);
    little_endian_put(out + AT_STEP, ticket->step, 8);
    little_endian_put(out + AT_SERIAL, ticket->serial, 8);
    little_endian_put(out + AT_TOKENS, ticket->tokens, 8);
    memcpy(out + AT_ROOT, ticket->root.bytes, DIGEST_BYTES);
    memcpy(out + AT_PEER, ticket->peer_key, IDENTITY_KEY_BYTES);
    little_endian_put(out + AT_EXPIRES, ticket->expires_unix_ms, 8);
    signed_part(out, message);
    identity_sign(coordinator, message, sizeof message, out + AT_SIGNATURE);
}

enum status ticket_open(const uint8_t bytes[TICKET_BYTES],
                        const uint8_t coordinator_key[IDENTITY_KEY_BYTES], struct ticket *out)
{
    uint8_t message[DOMAIN_BYTES + AT_SIGNATURE];
    signed_part(bytes, message);
    if (!identity_verify(coordinator_key, message, sizeof message, bytes + AT_SIGNATURE)) {
        return STATUS_REFUSED;
    }
    if (bytes[AT_KIND] < TICKET_PASS || bytes[AT_KIND] > TICKET_CONTRIBUTION ||
        !codec_is_known(bytes[AT_CODEC])) {
        return STATUS_PROTOCOL;
    }
    memcpy(out->run_id.bytes, bytes + AT_RUN, DIGEST_BYTES);
    out->kind = (enum ticket_kind)bytes[AT_KIND];
    out->codec = (enum codec)bytes[AT_CODEC];
    out->plan_id = little_endian_get(bytes + AT_PLAN, 8);
    out->step = little_endian_get(bytes + AT_STEP, 8);
    out->serial = little_endian_get(bytes + AT_SERIAL, 8);
    out->tokens = little_endian_get(bytes + AT_TOKENS, 8);
    memcpy(out->root.bytes, bytes + AT_ROOT, DIGEST_BYTES);
    memcpy(out->peer_key, bytes + AT_PEER, IDENTITY_KEY_BYTES);
    out->expires_unix_ms = little_endian_get(bytes + AT_EXPIRES, 8);
    return is_good(out) ? STATUS_OK : STATUS_PROTOCOL;
}
