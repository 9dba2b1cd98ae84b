/* relay_connections - what the core knows of the connections behind its gateway.
 *
 * A gateway that was taken over may name as many as it likes, so the table has a fixed size: it is
 * a set-associative cache by number, in which a new one takes the place of the one in its set that
 * was silent for longest, and of a member only where there are members alone. Numbers of an
 * honest gateway follow each other and so fill the sets of each port evenly.
 *
 * Pure; one owner. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_RELAY_CONNECTIONS_H
#define DUGNAD_COORDINATOR_GATEWAY_RELAY_CONNECTIONS_H

#include "coordinator/gateway/gateway_facts.h"

enum { RELAY_SETS = 4096, RELAY_WAYS = 8, RELAY_CONNECTIONS_MAX = RELAY_SETS * RELAY_WAYS };

/* What was said and not taken yet. */
struct relay_window {
    size_t bytes;
    uint32_t messages;
};

struct relay_connection {
    uint64_t number; /* the gateway's; 0: free */
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    bool admitted;
    bool cut;  /* what it still says is dropped, and nothing is sent to it */
    bool gone; /* by itself: what it said before is heard, and nothing is sent to it */
    struct relay_window window;
    struct gateway_traffic traffic;
    uint64_t spoke; /* a count of calls, not a time */
};

struct relay_connections {
    uint64_t now;
    struct relay_connection sets[RELAY_SETS][RELAY_WAYS];
};

/* NULL: not known. */
struct relay_connection *relay_connections_find(struct relay_connections *self, uint64_t number);

/* Finds or adds a connection, and marks that it spoke just now. *out_pushed: bytes and messages of
 * the one whose place it took. Never NULL. */
struct relay_connection *relay_connections_touch(struct relay_connections *self, uint64_t number,
                                                 const uint8_t curve_key[IDENTITY_KEY_BYTES],
                                                 struct relay_window *out_pushed);

/* Marks all of a key as cut; with `but`, those at the same port except this one (0: all). */
void relay_connections_cut(struct relay_connections *self,
                           const uint8_t curve_key[IDENTITY_KEY_BYTES], uint64_t but);

#endif
