#include "proto/channel/channel_tcp.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

bool channel_tcp_remote(int fd, struct sockaddr_in6 *out)
{
    socklen_t size_bytes = sizeof *out;
    memset(out, 0, sizeof *out);
    return fd >= 0 && getpeername(fd, (struct sockaddr *)out, &size_bytes) == 0;
}

bool channel_tcp_is(int fd, const struct sockaddr_in6 *remote)
{
    struct sockaddr_in6 now;
    return channel_tcp_remote(fd, &now) && memcmp(&now, remote, sizeof now) == 0;
}

static struct tcp_info info_of(int fd, const struct sockaddr_in6 *remote)
{
    struct tcp_info info;
    socklen_t size_bytes = sizeof info;
    memset(&info, 0, sizeof info); /* an older kernel fills in less */
    if (!channel_tcp_is(fd, remote) ||
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size_bytes) != 0) {
        memset(&info, 0, sizeof info);
    }
    return info;
}

uint64_t channel_tcp_delivered_bytes(int fd, const struct sockaddr_in6 *remote)
{
    return info_of(fd, remote).tcpi_bytes_acked;
}

uint64_t channel_tcp_read_bytes(int fd, const struct sockaddr_in6 *remote)
{
    int waiting_bytes = 0;
    uint64_t received_bytes = info_of(fd, remote).tcpi_bytes_received;
    /* In this order what comes in between makes the result smaller, not larger. */
    if (received_bytes == 0 || ioctl(fd, SIOCINQ, &waiting_bytes) != 0 || waiting_bytes < 0) {
        return 0;
    }
    return received_bytes > (uint64_t)waiting_bytes ? received_bytes - (uint64_t)waiting_bytes : 0;
}
