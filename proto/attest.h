/* attest - what a peer signs with its Ed25519 key, so that others can see that it said so.
 *
 * A hello: to which coordinator, by whom, the how-manieth, with which token. A contribution: which
 * samples of which run and step, as which bytes. What is signed begins with words of its own
 * ("dugnad-hello-1", "dugnad-contribution-1"), and all its parts have fixed lengths: no signature
 * can stand for another thing, and none for two.
 *
 * Pure; thread-safe. */
#ifndef DUGNAD_PROTO_ATTEST_H
#define DUGNAD_PROTO_ATTEST_H

#include "proto/wire_messages.h"

/* Sets hello->signature; public_key, sequence and token are set and the peer's own. */
void attest_hello_sign(const struct identity *peer,
                       const uint8_t coordinator_key[IDENTITY_KEY_BYTES], struct wire_hello *hello);

/* Whether the owner of hello->public_key said this hello to this coordinator. */
bool attest_hello_is_good(const struct wire_hello *hello,
                          const uint8_t coordinator_key[IDENTITY_KEY_BYTES]);

/* Sets contribution->signature. `again` and `leaving`, which change from offer to offer, are not
 * signed, nor is the loss, which is for people. */
void attest_contribution_sign(const struct identity *peer, const struct digest *run_id,
                              struct wire_contribution *contribution);

/* Whether the peer offered this to that run. */
bool attest_contribution_is_good(const struct wire_contribution *contribution,
                                 const struct digest *run_id,
                                 const uint8_t peer_key[IDENTITY_KEY_BYTES]);

#endif
