#include "proto/channel/door_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAMILY_IPV4 = 4, FAMILY_IPV6 = 6, PREFIX_BYTES = 8, IPV4_BYTES = 4, MAPPED_AT = 12 };

struct door_addresses {
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct door_address sets[DOOR_ADDRESS_SETS][DOOR_ADDRESS_WAYS];
};

enum status door_addresses_new(struct door_addresses **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return STATUS_NO_MEMORY;
    }
    crypto_shorthash_keygen((*out)->hash_key);
    return STATUS_OK;
}

void door_addresses_free(struct door_addresses *self)
{
    free(self);
}

static void set_ipv4(struct door_address *self, const void *bytes)
{
    self->bytes[0] = FAMILY_IPV4;
    memcpy(self->bytes + 1, bytes, IPV4_BYTES);
    self->loopback = self->bytes[1] == IN_LOOPBACKNET;
}

static void read_remote(const struct sockaddr_storage *remote, struct door_address *out)
{
    memset(out, 0, sizeof *out);
    if (remote->ss_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)(const void *)remote;
        set_ipv4(out, &ipv4->sin_addr);
        return;
    }
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)(const void *)remote;
    if (IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr)) {
        set_ipv4(out, ipv6->sin6_addr.s6_addr + MAPPED_AT);
        return;
    }
    out->bytes[0] = FAMILY_IPV6;
    memcpy(out->bytes + 1, &ipv6->sin6_addr, PREFIX_BYTES);
    out->loopback = IN6_IS_ADDR_LOOPBACK(&ipv6->sin6_addr);
}

static uint64_t last_came(const struct door_address *self)
{
    return self->used ? self->newcomers.at_ms : 0;
}

/* Its place in the table, taken from whichever without connections came longest ago; NULL: all
 * have connections. */
static struct door_address *place(struct door_addresses *self, const struct door_address *wanted)
{
    uint64_t hash = 0;
    uint8_t hash_bytes[crypto_shorthash_BYTES];
    (void)crypto_shorthash(hash_bytes, wanted->bytes, sizeof wanted->bytes, self->hash_key);
    memcpy(&hash, hash_bytes, sizeof hash);
    struct door_address *set = self->sets[hash % DOOR_ADDRESS_SETS];
    struct door_address *found = NULL;
    for (size_t i = 0; i < DOOR_ADDRESS_WAYS; i++) {
        if (set[i].used && memcmp(set[i].bytes, wanted->bytes, sizeof wanted->bytes) == 0) {
            return &set[i];
        }
        bool free_place = set[i].connections == 0;
        if (free_place && (found == NULL || last_came(&set[i]) < last_came(found))) {
            found = &set[i];
        }
    }
    if (found != NULL) {
        *found = *wanted;
        found->used = true;
    }
    return found;
}

struct door_address *door_addresses_enter(struct door_addresses *self,
                                          const struct sockaddr_storage *remote,
                                          const struct door_limits *limits, uint64_t now_ms)
{
    struct door_address wanted;
    read_remote(remote, &wanted);
    struct door_address *found = place(self, &wanted);
    if (found == NULL) {
        return NULL;
    }
    uint32_t times = found->loopback ? limits->loopback_times : 1;
    if (found->connections >= limits->address_connections_max * times ||
        found->unproven >= limits->address_unproven_max * times ||
        !door_bucket_take(&found->newcomers, (uint64_t)limits->newcomers_per_s * times,
                          (uint64_t)limits->newcomers_burst * times, now_ms)) {
        return NULL;
    }
    found->connections++;
    found->unproven++;
    return found;
}

void door_address_proven(struct door_address *self)
{
    self->unproven--;
}

void door_address_leave(struct door_address *self, bool proven)
{
    self->connections--;
    self->unproven -= proven ? 0 : 1;
}

void door_host_text(const struct sockaddr_storage *remote, char out[CHANNEL_HOST_MAX])
{
    char text[INET6_ADDRSTRLEN] = "";
    out[0] = '\0';
    if (remote->ss_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)(const void *)remote;
        (void)inet_ntop(AF_INET, &ipv4->sin_addr, text, sizeof text);
        (void)snprintf(out, CHANNEL_HOST_MAX, "%s", text);
        return;
    }
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)(const void *)remote;
    if (remote->ss_family != AF_INET6 || ipv6->sin6_scope_id != 0) {
        return;
    }
    if (IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr)) {
        (void)inet_ntop(AF_INET, ipv6->sin6_addr.s6_addr + MAPPED_AT, text, sizeof text);
        (void)snprintf(out, CHANNEL_HOST_MAX, "%s", text);
        return;
    }
    (void)inet_ntop(AF_INET6, &ipv6->sin6_addr, text, sizeof text);
    (void)snprintf(out, CHANNEL_HOST_MAX, "[%s]", text);
}
