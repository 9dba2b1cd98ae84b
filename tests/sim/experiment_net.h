/* experiment_net - chunks over limited links, by discrete events.
 *
 * Every node has an uplink and a downlink of their own rates (full duplex). A flow is a run of
 * chunks from one node to another. A chunk is put on the sender's uplink, is a latency later at
 * the receiver's downlink, and is delivered when that has taken it as well; only then may it be
 * sent on. A link is shared fairly, by trains of at most `train_chunks` chunks (1 simulates every
 * chunk, more is for large populations): each kind gets as much of it as it has flows there, and
 * the flows of a kind are served in proportion to their sizes, so that they end together. No more
 * than `window_chunks` chunks of a flow are under way, so that a slow receiver holds its senders
 * back and not their other flows.
 *
 * One owner. Memory never fails (sim_memory.h). */
#ifndef DUGNAD_TESTS_SIM_EXPERIMENT_NET_H
#define DUGNAD_TESTS_SIM_EXPERIMENT_NET_H

#include "tests/sim/experiment_queue.h"

enum { NET_KINDS_MAX = 12, NET_NONE = -1 };

struct net_settings {
    double latency_s;
    uint32_t train_chunks;
    uint32_t window_chunks;
};

struct net_handlers {
    void *context;
    /* `count` more chunks of a flow are there. */
    void (*delivered)(void *context, int64_t flow, uint32_t count);
    void (*timer)(void *context, uint32_t type, uint64_t subject, uint32_t count);
};

/* What the protocol wants to know about a flow when its chunks come. */
struct net_tag {
    uint32_t kind; /* < NET_KINDS_MAX */
    uint32_t slot;
    uint32_t part;
    uint32_t member;
};

struct net_flow {
    struct net_tag tag;
    uint32_t from, to;
    uint32_t chunk_bytes, last_bytes; /* of its last chunk */
    uint32_t count, offered;          /* chunks in all; those that may be sent */
    uint32_t sent, taken, delivered;  /* taken: credit that is back */
    uint32_t waiting;                 /* at the receiver's downlink */
    uint32_t references;
    bool in_up, in_down, cancelled, released;
    int64_t next; /* in the list of free ones */
};

struct net;

struct net *net_new(const struct net_settings *settings, const struct net_handlers *handlers);
void net_free(struct net *self); /* NULL is allowed. */

/* Returns its number: 0, 1, ... */
uint32_t net_add_node(struct net *self, double up_bytes_per_s, double down_bytes_per_s);

/* Opens a flow as `flow` has it in from, to, tag, chunk_bytes, last_bytes, count and offered. */
int64_t net_open(struct net *self, const struct net_flow *flow);

/* More chunks of it may be sent: `offered` in all. */
void net_offer(struct net *self, int64_t flow, uint32_t offered);

/* What is not delivered never will be. */
void net_cancel(struct net *self, int64_t flow);

/* The caller forgets the flow, which goes on; NET_NONE is allowed. */
void net_release(struct net *self, int64_t flow);

/* Valid until the next net_open. */
const struct net_flow *net_flow_at(const struct net *self, int64_t flow);

void net_after(struct net *self, double delay_s, uint32_t type, uint64_t subject, uint32_t count);
double net_now_s(const struct net *self);

/* One event; false: nothing is to come. */
bool net_turn(struct net *self);

uint64_t net_events(const struct net *self);

/* Small messages of node 0 that are only counted. */
void net_charge(struct net *self, uint32_t kind, double up_bytes, double down_bytes);

/* Bytes of a kind that node 0 has sent and been sent so far. */
double net_coordinator_up(const struct net *self, uint32_t kind);
double net_coordinator_down(const struct net *self, uint32_t kind);

#endif
