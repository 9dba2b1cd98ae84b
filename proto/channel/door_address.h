/* door_address - who comes from where: connections and newcomers of each address.
 *
 * An address is an IPv4 address or the first half of an IPv6 address, because whoever has one of
 * the latter has all. Strangers choose theirs within what they own, so the table has a fixed size
 * and a secret hash. An address with connections keeps its place; when a set of the table is full
 * of such, newcomers whose address falls into it are turned away.
 *
 * Pure: the caller hands in the time. One owner. */
#ifndef DUGNAD_PROTO_DOOR_ADDRESS_H
#define DUGNAD_PROTO_DOOR_ADDRESS_H

#include "proto/channel.h"
#include "proto/channel/door_bucket.h"
#include "proto/channel/door_limits.h"

#include <stdint.h>
#include <sys/socket.h>

enum { DOOR_ADDRESS_SETS = 4096, DOOR_ADDRESS_WAYS = 8, DOOR_ADDRESS_BYTES = 9 };

struct door_address {
    uint8_t bytes[DOOR_ADDRESS_BYTES]; /* a family, then 4 or 8 bytes */
    bool used;
    bool loopback;
    uint32_t connections;
    uint32_t unproven; /* of them */
    struct door_bucket newcomers;
};

struct door_addresses;

/* Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status door_addresses_new(struct door_addresses **out);
void door_addresses_free(struct door_addresses *self); /* NULL is allowed. */

/* Lets one more connection of `remote` in, not proven yet; NULL: it has too many, comes too often,
 * or there is no place. Valid until it is left. */
struct door_address *door_addresses_enter(struct door_addresses *self,
                                          const struct sockaddr_storage *remote,
                                          const struct door_limits *limits, uint64_t now_ms);
void door_address_proven(struct door_address *self);
void door_address_leave(struct door_address *self, bool proven);

/* As in HOST:PORT (IPv6 in brackets, mapped IPv4 in its own form); "": good on one link only. */
void door_host_text(const struct sockaddr_storage *remote, char out[CHANNEL_HOST_MAX]);

#endif
