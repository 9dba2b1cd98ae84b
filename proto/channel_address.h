/* channel_address - what a client may connect to. Pure; thread-safe. */
#ifndef DUGNAD_PROTO_CHANNEL_ADDRESS_H
#define DUGNAD_PROTO_CHANNEL_ADDRESS_H

#include "proto/channel.h"

/* HOST:PORT, as text that fits LINK_ADDRESS_MAX; but for CHANNEL_CONTROL an IP address. Errors:
 * USAGE with a sentence. */
MUST_CHECK enum status channel_address_check(enum channel_use use, const char *address);

#endif
