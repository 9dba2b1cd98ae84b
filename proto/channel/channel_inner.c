#include "proto/channel/channel_inner.h"

#include "common/fault.h"
#include "common/open_files.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define NAME_BEGIN "dugnad-"

enum { CHANCE_BYTES = 16, NAME_MAX_BYTES = 64 };

enum status channel_inner_bind(void *socket, struct door_inner *out)
{
    uint8_t chance[CHANCE_BYTES];
    char hex[2 * CHANCE_BYTES + 1];
    char name[NAME_MAX_BYTES];
    char endpoint[NAME_MAX_BYTES + 8];
    pid_t own = getpid();
    randombytes_buf(chance, sizeof chance);
    (void)sodium_bin2hex(hex, sizeof hex, chance, sizeof chance);
    (void)snprintf(name, sizeof name, NAME_BEGIN "%s", hex);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://@%s", name);
    if (zmq_setsockopt(socket, ZMQ_IPC_FILTER_PID, &own, sizeof own) != 0 ||
        zmq_bind(socket, endpoint) != 0) {
        return fault(STATUS_OS, "cannot listen behind the door: %s%s", zmq_strerror(errno),
                     open_files_advice(errno));
    }
    memset(out, 0, sizeof *out);
    out->address.sun_family = AF_UNIX;
    memcpy(out->address.sun_path + 1, name, strlen(name));
    out->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    return STATUS_OK;
}
