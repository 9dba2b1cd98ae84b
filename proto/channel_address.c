#include "proto/channel_address.h"

#include "common/fault.h"

#include <arpa/inet.h>
#include <string.h>

/* Whether HOST is an IPv4 address or a bracketed IPv6 address: nothing that has to be looked up. */
static bool is_numeric(const char *address)
{
    char host[INET6_ADDRSTRLEN];
    uint8_t binary[sizeof(struct in6_addr)];
    size_t length = (size_t)(strrchr(address, ':') - address);
    bool ipv6 = length > 2 && address[0] == '[' && address[length - 1] == ']';
    const char *first = ipv6 ? address + 1 : address;
    length -= ipv6 ? 2 : 0;
    if (length >= sizeof host) {
        return false;
    }
    memcpy(host, first, length);
    host[length] = '\0';
    return inet_pton(ipv6 ? AF_INET6 : AF_INET, host, binary) == 1;
}

enum status channel_address_check(enum channel_use use, const char *address)
{
    const char *colon = strrchr(address, ':');
    if (strlen(address) >= LINK_ADDRESS_MAX || colon == NULL || colon == address) {
        return fault(STATUS_USAGE, "the address '%.100s' is not HOST:PORT", address);
    }
    if (use != CHANNEL_CONTROL && !is_numeric(address)) {
        return fault(STATUS_USAGE,
                     "'%.100s' is no IP address with a port; a peer that aggregates must be "
                     "announced by one",
                     address);
    }
    return STATUS_OK;
}
