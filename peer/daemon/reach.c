#include "peer/daemon/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum place { PLACE_NOWHERE, PLACE_HERE, PLACE_LOCAL, PLACE_INTERNET, PLACE_NAME };

struct block {
    uint32_t network;
    unsigned bits;
    enum place place;
};

/* IANA's registry of special-purpose addresses, as far as a packet could get there. */
static const struct block BLOCKS[] = {
    {0x7f000000, 8, PLACE_HERE},   {0x00000000, 8, PLACE_HERE},   {0x0a000000, 8, PLACE_LOCAL},
    {0xac100000, 12, PLACE_LOCAL}, {0xc0a80000, 16, PLACE_LOCAL}, {0xa9fe0000, 16, PLACE_LOCAL},
    {0x64400000, 10, PLACE_LOCAL}, {0xc6120000, 15, PLACE_LOCAL}, {0xe0000000, 3, PLACE_NOWHERE}};

static enum place place_of_4(uint32_t address)
{
    for (size_t i = 0; i < sizeof BLOCKS / sizeof BLOCKS[0]; i++) {
        if ((address ^ BLOCKS[i].network) >> (32 - BLOCKS[i].bits) == 0) {
            return BLOCKS[i].place;
        }
    }
    return PLACE_INTERNET;
}

static enum place place_of_6(const struct in6_addr *address)
{
    uint32_t last = 0;
    memcpy(&last, &address->s6_addr[12], sizeof last);
    if (IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address)) {
        return PLACE_HERE;
    }
    if (IN6_IS_ADDR_V4MAPPED(address) || IN6_IS_ADDR_V4COMPAT(address)) {
        return place_of_4(ntohl(last));
    }
    if (IN6_IS_ADDR_MULTICAST(address)) {
        return PLACE_NOWHERE;
    }
    bool local = IN6_IS_ADDR_LINKLOCAL(address) || IN6_IS_ADDR_SITELOCAL(address) ||
                 (address->s6_addr[0] & 0xfe) == 0xfc;
    return local ? PLACE_LOCAL : PLACE_INTERNET;
}

static enum place place_of(const char *address)
{
    char host[256];
    struct in_addr four;
    struct in6_addr six;
    const char *colon = strrchr(address, ':');
    int length = colon != NULL ? (int)(colon - address) : (int)strlen(address);
    bool bracketed = length > 2 && address[0] == '[' && address[length - 1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", bracketed ? length - 2 : length,
                   bracketed ? address + 1 : address);
    if (!bracketed && inet_pton(AF_INET, host, &four) == 1) {
        return place_of_4(ntohl(four.s_addr));
    }
    if (bracketed && inet_pton(AF_INET6, host, &six) == 1) {
        return place_of_6(&six);
    }
    return strcmp(host, "localhost") == 0 ? PLACE_HERE : PLACE_NAME;
}

bool reach_allowed(const char *coordinator, const char *owner)
{
    enum place there = place_of(coordinator);
    switch (place_of(owner)) {
    case PLACE_INTERNET:
        return true;
    case PLACE_LOCAL:
        return there != PLACE_INTERNET;
    case PLACE_HERE:
        return there == PLACE_HERE;
    case PLACE_NOWHERE:
    case PLACE_NAME:
    default:
        return false;
    }
}
