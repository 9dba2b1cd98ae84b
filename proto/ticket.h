/* ticket - what a coordinator lets a peer do at an owner's bulk port, signed.
 *
 * A PASS opens the port: whoever has one may fetch what is published. A CONTRIBUTION says besides
 * that one contribution of one step may be delivered, and as which serial; its root names the bytes
 * (blob_tree.h), so that all who are sent chunks of it are sent the same. A ticket is bound to the
 * peer's key: the owner compares it with the key that the CURVE handshake proved.
 *
 * On the wire, little-endian: run_id 32, kind 1, codec 1, plan_id 8, step 8, serial 8, tokens 8,
 * root 32, peer key 32, expires_unix_ms 8, signature 64. What is signed begins with
 * "dugnad-ticket-2", so that no other signature of the same key can stand for one. Thread-safe. */
#ifndef DUGNAD_PROTO_TICKET_H
#define DUGNAD_PROTO_TICKET_H

#include "common/digest.h"
#include "proto/codec/codec.h"
#include "proto/identity.h"

enum { TICKET_BYTES = 202 };

enum ticket_kind { TICKET_PASS = 1, TICKET_CONTRIBUTION = 2 };

struct ticket {
    struct digest run_id;
    enum ticket_kind kind;
    enum codec codec; /* of the contribution's bytes; in a pass, the run's */
    uint64_t plan_id;
    uint64_t step;                        /* this and the next three mean nothing in a pass */
    uint64_t serial;                      /* not 0 */
    uint64_t tokens;                      /* > 0, <= 2^40 */
    struct digest root;                   /* of the contribution's blob */
    uint8_t peer_key[IDENTITY_KEY_BYTES]; /* Ed25519 */
    uint64_t expires_unix_ms;
};

/* Writes and signs. The ticket is the caller's own and correct (CHECKed). */
void ticket_sign(const struct identity *coordinator, const struct ticket *ticket,
                 uint8_t out[TICKET_BYTES]);

/* Reads a ticket from outside. Run, peer and time are the caller's to compare. On any error *out is
 * not to be used. Errors: REFUSED (this coordinator did not sign it), PROTOCOL (it did, but a value
 * is out of range). */
MUST_CHECK enum status ticket_open(const uint8_t bytes[TICKET_BYTES],
                                   const uint8_t coordinator_key[IDENTITY_KEY_BYTES],
                                   struct ticket *out);

#endif
