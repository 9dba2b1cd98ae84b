/* channel_tcp - what the kernel knows of a connection of ours. Thread-safe. */
#ifndef DUGNAD_PROTO_CHANNEL_TCP_H
#define DUGNAD_PROTO_CHANNEL_TCP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Who is at the other end of `fd`; false: nobody. */
bool channel_tcp_remote(int fd, struct sockaddr_in6 *out);

/* The same remote is behind this number as when it was learnt: numbers of closed ones come back. */
bool channel_tcp_is(int fd, const struct sockaddr_in6 *remote);

/* Bytes that the other side has confirmed so far; 0: the connection is another one by now. */
uint64_t channel_tcp_delivered_bytes(int fd, const struct sockaddr_in6 *remote);

/* Bytes of it that were read from the kernel so far; 0: it is another one by now. */
uint64_t channel_tcp_read_bytes(int fd, const struct sockaddr_in6 *remote);

#endif
