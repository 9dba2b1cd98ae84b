#include "proto/channel/door_limits.h"

#include "common/open_files.h"
#include "proto/channel_listen.h"
#include "proto/wire.h"

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * KIB)

enum {
    CONTROL_CONNECTIONS_MAX = DOOR_CONNECTIONS_MAX,
    BULK_CONNECTIONS_MAX = 1024,
    FRAME_OVERHEAD_MAX = 256
};

/* The memory of a coordinator's gateway is shared out between its two doors. */
static const struct {
    uint32_t connections_max;
    uint32_t doors; /* of a program with such a one */
    uint32_t body_bytes_max;
    uint64_t member_flight_max;
    uint64_t stranger_flight_max;
    uint64_t total_flight_max;
    uint64_t total_queued_max;
} by_use[] = {
    [CHANNEL_CONTROL] = {CONTROL_CONNECTIONS_MAX, 2, WIRE_BODY_MAX, MIB + 256 * KIB, 8 * KIB,
                         12 * MIB, 24 * MIB},
    [CHANNEL_CHUNKS] = {CONTROL_CONNECTIONS_MAX, 2, CHANNEL_BULK_BODY_MAX, 512 * KIB, 8 * KIB,
                        20 * MIB, 40 * MIB},
    /* Whoever has said who it is goes on at once, without an answer. */
    [CHANNEL_BULK] = {BULK_CONNECTIONS_MAX, 1, CHANNEL_BULK_BODY_MAX, 512 * KIB, 512 * KIB,
                      16 * MIB, 64 * MIB},
};

void door_limits_default(enum channel_use use, struct door_limits *out)
{
    *out = (struct door_limits){
        .connections_max = open_files_room(by_use[use].doors * CHANNEL_FILES_PER_CONNECTION,
                                           by_use[use].connections_max),
        .unproven_max = 512,
        .address_connections_max = 256,
        .address_unproven_max = 64,
        .newcomers_per_s = 32,
        .newcomers_burst = 128,
        .loopback_times = 4,
        .handshake_ms_max = 2000,
        .initiate_bytes_max = 2 * KIB,
        .stranger_ms_max = CHANNEL_STRANGER_MS_MAX,
        .counts_messages = true,
        .frame_body_max = by_use[use].body_bytes_max + FRAME_OVERHEAD_MAX,
        .member_flight_max = by_use[use].member_flight_max,
        .stranger_flight_max = by_use[use].stranger_flight_max,
        .total_flight_max = by_use[use].total_flight_max,
        .leak_bytes_per_s = 64,
        .unfinished_ms_max = 500,
        .queued_body_max = MIB,
        .queued_head_max = 4 * MIB,
        .total_queued_max = by_use[use].total_queued_max,
        .slow_member_ms_max = 30000,
        .slow_stranger_ms_max = 5000,
        .small_messages_per_s = 500,
        .small_messages_burst = 2000,
        .small_body_max = KIB,
    };
}
