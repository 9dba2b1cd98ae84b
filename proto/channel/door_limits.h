/* door_limits - what a door lets through before it shuts. Values: docs/transport.md. */
#ifndef DUGNAD_PROTO_DOOR_LIMITS_H
#define DUGNAD_PROTO_DOOR_LIMITS_H

#include "proto/channel.h"

#include <stdint.h>

enum { DOOR_CONNECTIONS_MAX = 8192 };

struct door_limits {
    /* Connections. */
    uint32_t connections_max; /* at most DOOR_CONNECTIONS_MAX; fewer where files are few */
    uint32_t unproven_max;    /* that have not proved a key */
    uint32_t address_connections_max;
    uint32_t address_unproven_max;
    uint32_t newcomers_per_s; /* of one address */
    uint32_t newcomers_burst;
    uint32_t loopback_times; /* as many more of each from this machine itself */
    /* Handshakes. */
    uint32_t handshake_ms_max;
    uint32_t initiate_bytes_max;
    uint32_t stranger_ms_max; /* from a proven key until admitted */
    /* Flight: forwarded, and not yet taken by the program as whole messages, each frame with
     * DOOR_FRAME_COST. */
    bool counts_messages; /* door_framing.h */
    uint64_t frame_body_max;
    uint64_t member_flight_max; /* at least the largest message */
    uint64_t stranger_flight_max;
    uint64_t total_flight_max;
    uint32_t leak_bytes_per_s; /* of each connection, forgiven: heartbeats */
    uint32_t unfinished_ms_max;
    /* What is sent. */
    uint64_t queued_body_max; /* towards one client: no body any more above this */
    uint64_t queued_head_max; /* and nothing at all above this */
    uint64_t total_queued_max;
    uint32_t slow_member_ms_max; /* without taking anything */
    uint32_t slow_stranger_ms_max;
    /* Rates of one connection. */
    uint32_t small_messages_per_s; /* those with at most small_body_max bytes of body */
    uint32_t small_messages_burst;
    uint32_t small_body_max;
};

/* The defaults for a use, with connections_max as open files allow. */
void door_limits_default(enum channel_use use, struct door_limits *out);

#endif
