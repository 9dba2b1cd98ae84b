#include "tests/sim/sim_lines.h"

#include "proto/wire.h"

#include <string.h>

enum {
    DELAY_US_MIN = 200,
    LATE_US_MAX = 2000000,  /* of a letter that is overtaken */
    BREAK_US_MAX = 3000000, /* from a fault to the end of its connection */
    RETRY_US_MIN = 100000,  /* ZeroMQ's backoff, as channel_client_new says */
    RETRY_US_MAX = 500000
};

struct sim_network *sim_network_new(void)
{
    return sim_outer_alloc(sizeof(struct sim_network));
}

void sim_queue_put(struct sim_queue *self, struct sim_letter *letter)
{
    letter->next = NULL;
    if (self->first == NULL) {
        self->first = letter;
    } else {
        self->last->next = letter;
    }
    self->last = letter;
}

struct sim_letter *sim_queue_take(struct sim_queue *self)
{
    struct sim_letter *letter = self->first;
    if (letter != NULL) {
        self->first = letter->next;
        letter->next = NULL;
    }
    return letter;
}

bool sim_queue_remove(struct sim_queue *self, struct sim_letter *letter)
{
    struct sim_letter *before = NULL;
    for (struct sim_letter *at = self->first; at != NULL; before = at, at = at->next) {
        if (at == letter) {
            *(before != NULL ? &before->next : &self->first) = at->next;
            self->last = self->last == at ? before : self->last;
            return true;
        }
    }
    return false;
}

static void empty(struct sim_queue *self)
{
    for (struct sim_letter *letter; (letter = sim_queue_take(self)) != NULL;) {
        sim_letter_free(letter);
    }
}

void sim_network_free(struct sim_network *self)
{
    for (size_t i = 0; i < SIM_PEERS_MAX; i++) {
        empty(&self->lines[i].outbox);
        empty(&self->lines[i].inbox);
    }
    for (size_t i = 0; i < SIM_PROCESSES; i++) {
        empty(&self->held[i]);
    }
    empty(&self->server_inbox);
    sim_outer_free(self);
}

struct sim_letter *sim_letter_new(uint32_t peer, enum sim_way way, const uint8_t *head,
                                  size_t head_bytes, const uint8_t *body, size_t body_bytes)
{
    struct sim_line *line = &sim->network->lines[peer];
    struct sim_letter *letter = sim_outer_realloc(NULL, sizeof *letter + head_bytes + body_bytes);
    *letter = (struct sim_letter){.peer = peer,
                                  .way = way,
                                  .endpoint = line->endpoint,
                                  .connection = line->connection,
                                  .head_bytes = head_bytes,
                                  .body_bytes = body_bytes};
    memcpy(letter->data, head, head_bytes);
    if (body_bytes > 0) {
        memcpy(letter->data + head_bytes, body, body_bytes);
    }
    line->under_way[way]++;
    return letter;
}

void sim_letter_free(struct sim_letter *letter)
{
    sim->network->lines[letter->peer].under_way[letter->way]--;
    sim_outer_free(letter);
}

void sim_network_drop(void *letter)
{
    sim_letter_free(letter);
}

static uint64_t retry_us(void)
{
    return RETRY_US_MIN + random_below(&sim->networks, RETRY_US_MAX - RETRY_US_MIN);
}

void sim_line_break(uint32_t peer)
{
    struct sim_line *line = &sim->network->lines[peer];
    line->connected = false;
    line->lossy = false;
    line->connection++;
    if (line->open && sim->network->server_open) {
        sim_push(sim->now_us + (sim->calm ? RETRY_US_MIN : retry_us()), SIM_CONNECT, peer,
                 line->connection);
    }
}

void sim_network_connect(uint32_t peer, uint64_t serial)
{
    struct sim_line *line = &sim->network->lines[peer];
    if (!line->open || !sim->network->server_open || line->connection != serial) {
        return;
    }
    line->connected = true;
    line->connections++;
    sim_line("%s is connected", sim_process_name(peer));
    for (struct sim_letter *letter; (letter = sim_queue_take(&line->outbox)) != NULL;) {
        letter->connection = line->connection;
        sim_letter_dispatch(letter);
    }
}

static void cut_body(struct sim_letter *letter)
{
    letter->body_bytes = (size_t)sim_chance(letter->body_bytes);
}

static void cut_head(struct sim_letter *letter)
{
    size_t kept = (size_t)sim_chance(letter->head_bytes);
    memmove(letter->data + kept, letter->data + letter->head_bytes, letter->body_bytes);
    letter->head_bytes = kept;
}

static void flip(struct sim_letter *letter, size_t first, size_t count)
{
    size_t at = first + (size_t)sim_chance(count);
    letter->data[at] ^= (uint8_t)(1U << sim_chance(8));
}

/* False: the letter must not arrive, because what is wrong with it would be noticed by CURVE alone:
 * a message that still reads as one, or tokens that were changed. */
static bool damage(struct sim_letter *letter)
{
    bool chunk = wire_is_chunk(letter->data, letter->head_bytes);
    switch (sim_chance(4)) {
    case 0:
        cut_head(letter);
        break;
    case 1:
        flip(letter, 0, letter->head_bytes);
        break;
    case 2:
        if (letter->body_bytes == 0) {
            return false;
        }
        cut_body(letter);
        return true;
    default:
        if (letter->body_bytes == 0 || !chunk) {
            return false;
        }
        flip(letter, letter->head_bytes, letter->body_bytes);
    }
    if (wire_is_chunk(letter->data, letter->head_bytes)) {
        return chunk;
    }
    static struct wire_message message;
    return wire_decode(letter->data, letter->head_bytes, &message) != STATUS_OK;
}

static const char *name_of(const struct sim_letter *letter)
{
    if (wire_is_chunk(letter->data, letter->head_bytes)) {
        return "chunk";
    }
    return wire_type_name(letter->head_bytes > 0 ? (enum wire_type)letter->data[0] : WIRE_TYPE_END);
}

static void tell(const struct sim_letter *letter, const char *what)
{
    if (sim_tracing()) {
        sim_line("    %s %s: %s, %s", letter->way == SIM_UP ? "from" : "to",
                 sim_process_name(letter->peer), name_of(letter), what);
    }
}

/* On one connection TCP loses, doubles and reorders nothing: where that happened, it breaks soon.
 */
static void break_soon(uint32_t peer)
{
    struct sim_line *line = &sim->network->lines[peer];
    if (line->lossy) {
        return;
    }
    line->lossy = true;
    struct sim_event event = {.time_us = sim->now_us + 1 + sim_chance(BREAK_US_MAX),
                              .tie = random_next(&sim->ties),
                              .type = SIM_NETWORK,
                              .index = peer,
                              .worker = SIM_RESET};
    sim_heap_push(&sim->heap, &event);
}

static void lose(struct sim_letter *letter, const char *why)
{
    sim->figures.letters_lost++;
    tell(letter, why);
    sim_letter_free(letter);
}

static void send_off(struct sim_letter *letter, uint64_t extra_us)
{
    struct sim_line *line = &sim->network->lines[letter->peer];
    uint64_t held_us = line->held_until_us[letter->way];
    uint64_t due_us =
        sim->now_us + DELAY_US_MIN + random_below(&sim->networks, sim->plan.delay_us_max);
    due_us = due_us > held_us ? due_us : held_us;
    if (extra_us == 0) {
        due_us = due_us > line->due_us[letter->way] ? due_us : line->due_us[letter->way] + 1;
        line->due_us[letter->way] = due_us;
    }
    struct sim_event event = {.time_us = due_us + extra_us,
                              .tie = random_next(&sim->ties),
                              .type = SIM_LETTER,
                              .index = letter->peer,
                              .pointer = letter};
    sim_heap_push(&sim->heap, &event);
}

static uint64_t late_us(void)
{
    return 1 + sim_chance(LATE_US_MAX);
}

void sim_letter_dispatch(struct sim_letter *letter)
{
    const struct sim_plan *plan = &sim->plan;
    if (sim->now_us < sim->network->lines[letter->peer].lost_until_us[letter->way]) {
        lose(letter, "lost in a partition");
        return;
    }
    if (sim_permille(plan->loss)) {
        break_soon(letter->peer);
        lose(letter, "lost");
        return;
    }
    if (sim_permille(plan->duplicates)) {
        sim->figures.letters_doubled++;
        break_soon(letter->peer);
        struct sim_letter *copy =
            sim_letter_new(letter->peer, letter->way, letter->data, letter->head_bytes,
                           letter->data + letter->head_bytes, letter->body_bytes);
        send_off(copy, late_us());
    }
    if (sim_permille(plan->damaged)) {
        sim->figures.letters_damaged++;
        break_soon(letter->peer);
        if (!damage(letter)) {
            lose(letter, "damaged, and dropped as CURVE would");
            return;
        }
    }
    bool overtaken = sim_permille(plan->reordered);
    if (overtaken) {
        sim->figures.letters_reordered++;
        break_soon(letter->peer);
    }
    send_off(letter, overtaken ? late_us() : 0);
}

static void trace_letter(const struct sim_letter *letter)
{
    uint64_t numbers[] = {letter->peer, (uint64_t)letter->way, letter->head_bytes,
                          letter->body_bytes};
    sim_trace_numbers(&sim->trace, numbers, sizeof numbers / sizeof numbers[0]);
    sim_trace_bytes(&sim->trace, letter->data, letter->head_bytes);
}

void sim_network_letter(void *pointer)
{
    struct sim_letter *letter = pointer;
    struct sim_network *network = sim->network;
    struct sim_line *line = &network->lines[letter->peer];
    bool there = letter->connection == line->connection &&
                 (letter->way == SIM_UP ? network->server_open
                                        : line->open && letter->endpoint == line->endpoint);
    if (!there) {
        lose(letter, "lost: nobody is there");
        return;
    }
    sim->figures.letters++;
    tell(letter, "arrives");
    trace_letter(letter);
    if (letter->way == SIM_UP) {
        sim_queue_put(&network->server_inbox, letter);
        sim_process_wake(&sim->coordinator.process, sim->now_us + 1);
    } else {
        sim_queue_put(&line->inbox, letter);
        sim_process_wake(&sim->peers[letter->peer].process, sim->now_us + 1);
    }
}

void sim_network_lose_server(void)
{
    struct sim_network *network = sim->network;
    network->server_open = false;
    empty(&network->server_inbox);
    empty(&network->held[SIM_COORDINATOR]);
    for (uint32_t i = 0; i < SIM_PEERS_MAX; i++) {
        sim_line_break(i);
    }
}

void sim_network_lose_client(uint32_t peer)
{
    struct sim_line *line = &sim->network->lines[peer];
    line->open = false;
    empty(&line->inbox);
    empty(&line->outbox);
    empty(&sim->network->held[peer]);
    sim_line_break(peer);
}

static void hold_back(struct sim_line *line)
{
    uint64_t until_us = sim->now_us + 1 + sim_chance(15000000);
    uint64_t ways = 1 + sim_chance(3); /* up, down, both */
    for (int way = 0; way < SIM_WAYS; way++) {
        if ((ways >> way & 1U) != 0) {
            line->held_until_us[way] = until_us;
        }
    }
    sim->figures.clogs++;
}

/* In one direction or both; at its end the connection is found broken, as heartbeats would. */
static void partition(uint32_t peer)
{
    struct sim_line *line = &sim->network->lines[peer];
    uint64_t until_us = sim->now_us + 1 + sim_chance(20000000);
    uint64_t ways = 1 + sim_chance(3);
    for (int way = 0; way < SIM_WAYS; way++) {
        if ((ways >> way & 1U) != 0) {
            line->lost_until_us[way] = until_us;
        }
    }
    struct sim_event event = {.time_us = until_us,
                              .tie = random_next(&sim->ties),
                              .type = SIM_NETWORK,
                              .index = peer,
                              .worker = SIM_RESET};
    sim_heap_push(&sim->heap, &event);
    sim->figures.partitions++;
}

void sim_network_fault(uint32_t peer, uint32_t kind)
{
    static const char *const names[] = {"breaks", "is clogged", "is cut"};
    if (sim->calm) {
        return; /* sim_network_calm has put everything right */
    }
    sim_line("the line of %s %s", sim_process_name(peer), names[kind]);
    if (kind == SIM_CLOG) {
        hold_back(&sim->network->lines[peer]);
    } else if (kind == SIM_PARTITION) {
        partition(peer);
    } else {
        sim->figures.resets++;
        sim_line_break(peer);
    }
}

static void plan_faults(enum sim_fault kind, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t peer = (uint32_t)sim_chance(sim->plan.peer_count);
        struct sim_event event = {.time_us = sim_chance(sim->plan.safety_us),
                                  .tie = random_next(&sim->ties),
                                  .type = SIM_NETWORK,
                                  .index = peer,
                                  .worker = kind};
        sim_heap_push(&sim->heap, &event);
    }
}

void sim_network_plan(void)
{
    plan_faults(SIM_RESET, sim->plan.resets);
    plan_faults(SIM_CLOG, sim->plan.clogs);
    plan_faults(SIM_PARTITION, sim->plan.partitions);
}

void sim_network_calm(void)
{
    for (uint32_t i = 0; i < SIM_PEERS_MAX; i++) {
        struct sim_line *line = &sim->network->lines[i];
        memset(line->held_until_us, 0, sizeof line->held_until_us);
        bool was_cut = line->lost_until_us[SIM_UP] > sim->now_us ||
                       line->lost_until_us[SIM_DOWN] > sim->now_us;
        memset(line->lost_until_us, 0, sizeof line->lost_until_us);
        if (was_cut || line->lossy || (line->open && !line->connected)) {
            sim_line_break(i);
        }
    }
}
