#include "tests/sim/experiment_net.h"

#include "common/check.h"
#include "common/random.h"
#include "tests/sim/sim_memory.h"

enum { EVENT_UP_DONE, EVENT_ARRIVED, EVENT_DOWN_DONE, EVENT_CREDIT, EVENT_TIMER };

/* Flows of one kind that want a link: a heap, the one of which the least part has passed on top. */
struct lane {
    int64_t *flows;
    uint32_t count, capacity;
    double turn; /* the lane with the least is served next */
};

struct link {
    double bytes_per_s;
    bool up;
    bool busy;
    int64_t serving;
    uint32_t serving_count;
    double turn; /* of the lane that was served last */
    struct lane lanes[NET_KINDS_MAX];
};

struct node {
    struct link up, down;
};

struct net {
    struct net_settings settings;
    struct net_handlers handlers;
    struct experiment_queue queue;
    double now_s;
    uint64_t events;
    struct node *nodes;
    size_t node_count, node_capacity;
    struct net_flow *flows;
    size_t flow_count, flow_capacity;
    int64_t free_flow; /* chained by next */
    double coordinator_up[NET_KINDS_MAX], coordinator_down[NET_KINDS_MAX];
};

struct net *net_new(const struct net_settings *settings, const struct net_handlers *handlers)
{
    struct net *self = sim_memory_new(1, sizeof *self);
    self->settings = *settings;
    self->handlers = *handlers;
    self->free_flow = NET_NONE;
    return self;
}

void net_free(struct net *self)
{
    if (self == NULL) {
        return;
    }
    experiment_queue_deinit(&self->queue);
    for (size_t i = 0; i < self->node_count; i++) {
        for (size_t kind = 0; kind < NET_KINDS_MAX; kind++) {
            sim_memory_free(self->nodes[i].up.lanes[kind].flows);
            sim_memory_free(self->nodes[i].down.lanes[kind].flows);
        }
    }
    sim_memory_free(self->nodes);
    sim_memory_free(self->flows);
    sim_memory_free(self);
}

uint32_t net_add_node(struct net *self, double up_bytes_per_s, double down_bytes_per_s)
{
    if (self->node_count == self->node_capacity) {
        self->node_capacity = self->node_capacity == 0 ? 64 : 2 * self->node_capacity;
        self->nodes = sim_memory_resize(self->nodes, self->node_capacity, sizeof *self->nodes);
    }
    self->nodes[self->node_count] =
        (struct node){.up = {.bytes_per_s = up_bytes_per_s, .up = true, .serving = NET_NONE},
                      .down = {.bytes_per_s = down_bytes_per_s, .serving = NET_NONE}};
    return (uint32_t)self->node_count++;
}

/* True when less of flow `a` has passed. Equal ones go in an order that differs from link to link:
 * else all would begin with the same receiver. */
static bool goes_first(const struct net *self, bool up, int64_t a, int64_t b)
{
    const struct net_flow *left = &self->flows[a];
    const struct net_flow *right = &self->flows[b];
    uint64_t left_part = (uint64_t)(up ? left->sent : left->delivered) * right->count;
    uint64_t right_part = (uint64_t)(up ? right->sent : right->delivered) * left->count;
    if (left_part != right_part) {
        return left_part < right_part;
    }
    return random_mix((uint64_t)a) < random_mix((uint64_t)b);
}

static void push(struct net *self, struct link *link, int64_t flow)
{
    struct lane *lane = &link->lanes[self->flows[flow].tag.kind];
    if (lane->count == lane->capacity) {
        lane->capacity = lane->capacity == 0 ? 4 : 2 * lane->capacity;
        lane->flows = sim_memory_resize(lane->flows, lane->capacity, sizeof *lane->flows);
    }
    if (lane->count == 0 && lane->turn < link->turn) {
        lane->turn = link->turn; /* who was away saved nothing up */
    }
    size_t at = lane->count++;
    while (at > 0 && goes_first(self, link->up, flow, lane->flows[(at - 1) / 2])) {
        lane->flows[at] = lane->flows[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    lane->flows[at] = flow;
    self->flows[flow].references++;
}

static int64_t pop_lane(struct net *self, struct lane *lane, bool up)
{
    int64_t top = lane->flows[0];
    int64_t moved = lane->flows[--lane->count];
    size_t at = 0;
    for (size_t child = 1; child < lane->count; child = 2 * at + 1) {
        if (child + 1 < lane->count &&
            goes_first(self, up, lane->flows[child + 1], lane->flows[child])) {
            child++;
        }
        if (!goes_first(self, up, lane->flows[child], moved)) {
            break;
        }
        lane->flows[at] = lane->flows[child];
        at = child;
    }
    lane->flows[at] = moved;
    return top;
}

/* Kinds share a link by how many flows of each want it. */
static int64_t pop(struct net *self, struct link *link)
{
    struct lane *best = NULL;
    for (size_t kind = 0; kind < NET_KINDS_MAX; kind++) {
        struct lane *lane = &link->lanes[kind];
        if (lane->count > 0 && (best == NULL || lane->turn < best->turn)) {
            best = lane;
        }
    }
    if (best == NULL) {
        return NET_NONE;
    }
    link->turn = best->turn;
    best->turn += 1.0 / best->count;
    return pop_lane(self, best, link->up);
}

static void unreference(struct net *self, int64_t at)
{
    struct net_flow *flow = &self->flows[at];
    CHECK(flow->references > 0);
    if (--flow->references == 0 && flow->released) {
        flow->next = self->free_flow;
        self->free_flow = at;
    }
}

/* Chunks that may go out now. */
static uint32_t sendable(const struct net *self, const struct net_flow *flow)
{
    uint32_t under_way = flow->sent - flow->taken;
    if (flow->cancelled || flow->offered <= flow->sent ||
        under_way >= self->settings.window_chunks) {
        return 0;
    }
    uint32_t count = flow->offered - flow->sent;
    uint32_t credit = self->settings.window_chunks - under_way;
    count = count < credit ? count : credit;
    return count < self->settings.train_chunks ? count : self->settings.train_chunks;
}

static double bytes_of(const struct net_flow *flow, uint32_t first, uint32_t count)
{
    double bytes = (double)flow->chunk_bytes * count;
    return first + count == flow->count ? bytes - flow->chunk_bytes + flow->last_bytes : bytes;
}

static void later(struct net *self, double delay_s, uint32_t type, uint64_t subject, uint32_t count)
{
    experiment_queue_add(&self->queue, (struct experiment_event){.at_s = self->now_s + delay_s,
                                                                 .type = type,
                                                                 .subject = subject,
                                                                 .count = count});
}

static void serve_up(struct net *self, uint32_t node)
{
    struct link *link = &self->nodes[node].up;
    while (!link->busy) {
        int64_t at = pop(self, link);
        if (at == NET_NONE) {
            return;
        }
        struct net_flow *flow = &self->flows[at];
        flow->in_up = false;
        uint32_t count = sendable(self, flow);
        if (count > 0) {
            double bytes = bytes_of(flow, flow->sent, count);
            double seconds = bytes / link->bytes_per_s;
            if (node == 0) {
                self->coordinator_up[flow->tag.kind] += bytes;
            }
            flow->sent += count;
            flow->references += 2; /* the two events */
            link->busy = true;
            link->serving = at;
            later(self, seconds, EVENT_UP_DONE, node, 0);
            later(self, seconds + self->settings.latency_s, EVENT_ARRIVED, (uint64_t)at, count);
        }
        unreference(self, at);
    }
}

static void want_up(struct net *self, int64_t at)
{
    struct net_flow *flow = &self->flows[at];
    if (!flow->in_up && sendable(self, flow) > 0) {
        flow->in_up = true;
        push(self, &self->nodes[flow->from].up, at);
        serve_up(self, flow->from);
    }
}

static void serve_down(struct net *self, uint32_t node)
{
    struct link *link = &self->nodes[node].down;
    while (!link->busy) {
        int64_t at = pop(self, link);
        if (at == NET_NONE) {
            return;
        }
        struct net_flow *flow = &self->flows[at];
        flow->in_down = false;
        if (!flow->cancelled) {
            uint32_t most = self->settings.train_chunks;
            uint32_t count = flow->waiting < most ? flow->waiting : most;
            double bytes = bytes_of(flow, flow->delivered, count);
            flow->waiting -= count;
            flow->references++; /* until it is served */
            link->busy = true;
            link->serving = at;
            link->serving_count = count;
            later(self, bytes / link->bytes_per_s, EVENT_DOWN_DONE, node, 0);
        }
        unreference(self, at);
    }
}

static void want_down(struct net *self, int64_t at)
{
    struct net_flow *flow = &self->flows[at];
    if (!flow->in_down && flow->waiting > 0) {
        flow->in_down = true;
        push(self, &self->nodes[flow->to].down, at);
        serve_down(self, flow->to);
    }
}

static void up_done(struct net *self, uint32_t node)
{
    struct link *link = &self->nodes[node].up;
    int64_t at = link->serving;
    link->busy = false;
    link->serving = NET_NONE;
    want_up(self, at); /* behind those that wait */
    unreference(self, at);
    serve_up(self, node);
}

static void arrived(struct net *self, int64_t at, uint32_t count)
{
    struct net_flow *flow = &self->flows[at];
    if (!flow->cancelled) {
        flow->waiting += count;
        want_down(self, at);
    }
    unreference(self, at);
}

static void down_done(struct net *self, uint32_t node)
{
    struct link *link = &self->nodes[node].down;
    int64_t at = link->serving;
    uint32_t count = link->serving_count;
    struct net_flow *flow = &self->flows[at];
    link->busy = false;
    link->serving = NET_NONE;
    if (!flow->cancelled) {
        if (node == 0) {
            self->coordinator_down[flow->tag.kind] += bytes_of(flow, flow->delivered, count);
        }
        flow->delivered += count;
        if (flow->count > self->settings.window_chunks) {
            flow->references++;
            later(self, self->settings.latency_s, EVENT_CREDIT, (uint64_t)at, count);
        }
        want_down(self, at);
        self->handlers.delivered(self->handlers.context, at, count);
    }
    unreference(self, at);
    serve_down(self, node);
}

int64_t net_open(struct net *self, const struct net_flow *flow)
{
    int64_t at = self->free_flow;
    CHECK(flow->from != flow->to && flow->count > 0 && flow->tag.kind < NET_KINDS_MAX);
    if (at != NET_NONE) {
        self->free_flow = self->flows[at].next;
    } else {
        if (self->flow_count == self->flow_capacity) {
            self->flow_capacity = self->flow_capacity == 0 ? 1024 : 2 * self->flow_capacity;
            self->flows = sim_memory_resize(self->flows, self->flow_capacity, sizeof *self->flows);
        }
        at = (int64_t)self->flow_count++;
    }
    self->flows[at] = (struct net_flow){.tag = flow->tag,
                                        .from = flow->from,
                                        .to = flow->to,
                                        .chunk_bytes = flow->chunk_bytes,
                                        .last_bytes = flow->last_bytes,
                                        .count = flow->count,
                                        .offered = flow->offered};
    want_up(self, at);
    return at;
}

void net_offer(struct net *self, int64_t flow, uint32_t offered)
{
    CHECK(offered <= self->flows[flow].count);
    self->flows[flow].offered = offered;
    want_up(self, flow);
}

void net_cancel(struct net *self, int64_t flow)
{
    self->flows[flow].cancelled = true;
}

void net_release(struct net *self, int64_t flow)
{
    if (flow == NET_NONE) {
        return;
    }
    self->flows[flow].released = true;
    self->flows[flow].references++;
    unreference(self, flow);
}

const struct net_flow *net_flow_at(const struct net *self, int64_t flow)
{
    return &self->flows[flow];
}

void net_after(struct net *self, double delay_s, uint32_t type, uint64_t subject, uint32_t count)
{
    later(self, delay_s, EVENT_TIMER + type, subject, count);
}

double net_now_s(const struct net *self)
{
    return self->now_s;
}

uint64_t net_events(const struct net *self)
{
    return self->events;
}

bool net_turn(struct net *self)
{
    struct experiment_event event;
    if (!experiment_queue_take(&self->queue, &event)) {
        return false;
    }
    self->now_s = event.at_s;
    self->events++;
    if (event.type == EVENT_UP_DONE) {
        up_done(self, (uint32_t)event.subject);
    } else if (event.type == EVENT_ARRIVED) {
        arrived(self, (int64_t)event.subject, event.count);
    } else if (event.type == EVENT_DOWN_DONE) {
        down_done(self, (uint32_t)event.subject);
    } else if (event.type == EVENT_CREDIT) {
        self->flows[event.subject].taken += event.count;
        want_up(self, (int64_t)event.subject);
        unreference(self, (int64_t)event.subject);
    } else {
        self->handlers.timer(self->handlers.context, event.type - EVENT_TIMER, event.subject,
                             event.count);
    }
    return true;
}

void net_charge(struct net *self, uint32_t kind, double up_bytes, double down_bytes)
{
    self->coordinator_up[kind] += up_bytes;
    self->coordinator_down[kind] += down_bytes;
}

double net_coordinator_up(const struct net *self, uint32_t kind)
{
    return self->coordinator_up[kind];
}

double net_coordinator_down(const struct net *self, uint32_t kind)
{
    return self->coordinator_down[kind];
}
