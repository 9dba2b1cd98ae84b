/* reach - which addresses a coordinator may send a peer to.
 *
 * A plan names other peers' addresses. To a coordinator on the internet, this machine and the
 * network that it stands in are none of its business: it must not be able to make a volunteer knock
 * at what only the volunteer can reach. Pure. */
#ifndef DUGNAD_PEER_DAEMON_REACH_H
#define DUGNAD_PEER_DAEMON_REACH_H

#include <stdbool.h>

/* Both as HOST:PORT, IPv6 in brackets; an owner's host is an IP address. This machine's own
 * addresses are reached only when the coordinator was joined at such a one ("localhost",
 * 127.0.0.1); those of a local network not when it was joined at an IP address of the internet (a
 * name may mean either). Never: multicast, broadcast, and what is no IP address. */
bool reach_allowed(const char *coordinator, const char *owner);

#endif
