#include "tests/sim/sim_lines.h"

#include "proto/blob.h"

#include <string.h>

enum {
    DELAY_US_MIN = 200,
    LATE_US_MAX = 2000000,  /* of a letter that is overtaken */
    BREAK_US_MAX = 3000000, /* from a fault to the end of its connection */
    CLOG_US_MAX = 15000000,
    PARTITION_US_MAX = 20000000,
    TIMED_FAULT_ONE_IN = 30,
    TIMED_FAULT_US_MAX = 100000,
    ENVELOPE_BYTES = 100, /* what CURVE, TCP and IP add to a letter, about */
    SECOND_US = 1000000,
    VARY_US = 7000000 /* how long a link stays as it is */
};

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

/* Nothing but CURVE's seal says that the head is what was sent: another one of a contribution's
 * chunk proves that its contributor lies, and a sum is known by nothing but its own hash. */
static bool is_sealed(const struct sim_letter *letter)
{
    struct blob_chunk_header header;
    return sim->plan.aggregation.peers &&
           blob_header_read(letter->data, letter->head_bytes, &header) == STATUS_OK &&
           (header.kind == BLOB_CONTRIBUTION || header.kind == BLOB_SUM);
}

/* False: the letter must not arrive, because what is wrong with it would be noticed by CURVE alone:
 * a message that still reads as one, or tokens that were changed. */
static bool damage(struct sim_letter *letter)
{
    bool chunk = wire_is_chunk(letter->data, letter->head_bytes);
    bool sealed = is_sealed(letter);
    switch (sim_chance(4)) {
    case 0:
        cut_head(letter);
        if (sealed && is_sealed(letter)) {
            return false; /* less of a proof */
        }
        break;
    case 1:
        flip(letter, 0, letter->head_bytes);
        if (sealed) {
            return false;
        }
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
        sim_line("    %s to %s: %s, %s", sim_process_name(sim_letter_sender(letter)),
                 sim_process_name(sim_letter_receiver(letter)), name_of(letter), what);
    }
}

static void push_fault(uint64_t at_us, enum sim_fault kind, uint32_t machine, uint64_t serial)
{
    struct sim_event event = {.time_us = at_us,
                              .tie = random_next(&sim->ties),
                              .type = SIM_NETWORK,
                              .index = machine,
                              .worker = kind,
                              .serial = serial};
    sim_heap_push(&sim->heap, &event);
}

/* On one connection TCP loses, doubles and reorders nothing: where that happened, it breaks soon.
 */
static void break_soon(struct sim_line *line)
{
    if (!line->lossy) {
        line->lossy = true;
        push_fault(sim->now_us + 1 + sim_chance(BREAK_US_MAX), SIM_BREAK, line->client, line->id);
    }
}

static void lose(struct sim_letter *letter, const char *why)
{
    sim->figures.letters_lost++;
    tell(letter, why);
    sim_letter_free(letter);
}

/* What a machine's link carries at this time. */
static uint64_t rate_now(uint32_t machine, uint64_t bytes_per_s)
{
    static const uint64_t eighths[] = {4, 8, 8, 64};
    if (!sim->plan.links_vary) {
        return bytes_per_s;
    }
    struct random random;
    random_init(&random, sim->now_us / VARY_US, machine);
    return bytes_per_s / 8 * eighths[random_below(&random, 4)];
}

/* When a link that is free from *free_us on has taken the letter in or out. */
static uint64_t pass_link(const struct sim_letter *letter, uint64_t bytes_per_s, uint64_t *free_us)
{
    if (bytes_per_s == 0) {
        return sim->now_us;
    }
    uint64_t size_bytes = letter->head_bytes + letter->body_bytes + ENVELOPE_BYTES;
    uint64_t begin_us = *free_us > sim->now_us ? *free_us : sim->now_us;
    *free_us = begin_us + 1 + size_bytes * SECOND_US / bytes_per_s;
    return *free_us;
}

static void push_letter(struct sim_letter *letter, uint64_t at_us)
{
    struct sim_event event = {.time_us = at_us,
                              .tie = random_next(&sim->ties),
                              .type = SIM_LETTER,
                              .index = letter->line->client,
                              .pointer = letter};
    sim_heap_push(&sim->heap, &event);
}

static void send_off(struct sim_letter *letter, uint64_t extra_us)
{
    struct sim_line *line = letter->line;
    uint32_t sender = sim_letter_sender(letter);
    enum sim_way way = SIM_UP;
    const struct sim_wire *wire = sim_wire(sender, sim_letter_receiver(letter), line->at, &way);
    uint64_t rate = rate_now(sender, sim->plan.links[sender].up_bytes_per_s);
    uint64_t due_us = pass_link(letter, rate, &sim->network->up_free_us[sender]);
    due_us += DELAY_US_MIN + random_below(&sim->networks, sim->plan.delay_us_max);
    due_us = due_us > wire->held_until_us[way] ? due_us : wire->held_until_us[way];
    if (extra_us == 0) {
        uint64_t *last_us = &line->due_us[letter->way];
        due_us = due_us > *last_us ? due_us : *last_us + 1;
        *last_us = due_us;
    }
    push_letter(letter, due_us + extra_us);
}

static uint64_t late_us(void)
{
    return 1 + sim_chance(LATE_US_MAX);
}

void sim_letter_dispatch(struct sim_letter *letter)
{
    const struct sim_plan *plan = &sim->plan;
    enum sim_way way = SIM_UP;
    const struct sim_wire *wire =
        sim_wire(sim_letter_sender(letter), sim_letter_receiver(letter), letter->line->at, &way);
    if (sim->now_us < wire->lost_until_us[way]) {
        lose(letter, "lost in a partition");
        return;
    }
    if (sim_permille(plan->loss)) {
        break_soon(letter->line);
        lose(letter, "lost");
        return;
    }
    if (sim_permille(plan->duplicates)) {
        sim->figures.letters_doubled++;
        break_soon(letter->line);
        struct sim_letter *copy =
            sim_letter_new(letter->line, letter->way, letter->data, letter->head_bytes,
                           letter->data + letter->head_bytes, letter->body_bytes);
        copy->forged = letter->forged;
        send_off(copy, late_us());
    }
    if (sim_permille(plan->damaged)) {
        sim->figures.letters_damaged++;
        break_soon(letter->line);
        if (!damage(letter)) {
            lose(letter, "damaged, and dropped as CURVE would");
            return;
        }
        if (letter->line->client < SIM_PEERS_MAX) {
            sim->peers[letter->line->client].garbled = true;
        }
    }
    bool overtaken = sim_permille(plan->reordered);
    if (overtaken) {
        sim->figures.letters_reordered++;
        break_soon(letter->line);
    }
    send_off(letter, overtaken ? late_us() : 0);
}

static void trace_letter(const struct sim_letter *letter)
{
    uint64_t numbers[] = {sim_letter_sender(letter), sim_letter_receiver(letter),
                          letter->head_bytes, letter->body_bytes};
    sim_trace_numbers(&sim->trace, numbers, sizeof numbers / sizeof numbers[0]);
    sim_trace_bytes(&sim->trace, letter->data, letter->head_bytes);
}

/* True: the receiver's link has to take the letter in first. */
static bool is_still_coming(struct sim_letter *letter)
{
    uint32_t receiver = sim_letter_receiver(letter);
    if (letter->through || sim->plan.links[receiver].down_bytes_per_s == 0) {
        return false;
    }
    letter->through = true;
    uint64_t rate = rate_now(receiver, sim->plan.links[receiver].down_bytes_per_s);
    push_letter(letter, pass_link(letter, rate, &sim->network->down_free_us[receiver]));
    return true;
}

/* What owners are sent, and send. */
static bool is_about_sums(const struct sim_letter *letter)
{
    struct blob_chunk_header header;
    if (blob_header_read(letter->data, letter->head_bytes, &header) == STATUS_OK) {
        return header.kind == BLOB_SUM || sim_letter_receiver(letter) != SIM_COORDINATOR;
    }
    uint8_t type = letter->head_bytes > 0 ? letter->data[0] : 0;
    return type == WIRE_ROUTE || type == WIRE_DELIVER || type == WIRE_OPEN || type == WIRE_SET ||
           type == WIRE_HOLDS || type == WIRE_COMMITTED;
}

/* What is hit of what lies between two machines: a bit for each port. Between a peer and the
 * coordinator it is one of them half of the time. */
static unsigned choose_ports(uint32_t one, uint32_t other)
{
    bool both = one != SIM_COORDINATOR && other != SIM_COORDINATOR;
    uint64_t dice = both ? 0 : sim_chance(4);
    return dice < 2 ? (1U << SIM_PORTS) - 1 : 1U << (dice - 2);
}

/* Where a fault hits: a machine and ports (0: any), as the serial of an event. */
static uint64_t pack_target(uint32_t other, unsigned ports)
{
    return (uint64_t)ports << 32 | (1 + (uint64_t)other);
}

/* One of the two that are talking ends in a moment, or the wire between them fails. */
static void fail_in_time(const struct sim_letter *letter)
{
    if (sim->calm || sim->timed_faults_left == 0 || !is_about_sums(letter) ||
        sim_chance(TIMED_FAULT_ONE_IN) != 0) {
        return;
    }
    sim->timed_faults_left--;
    sim->figures.timed_faults++;
    uint32_t sender = sim_letter_sender(letter);
    uint32_t receiver = sim_letter_receiver(letter);
    uint64_t at_us = sim->now_us + sim_chance(TIMED_FAULT_US_MAX);
    static const enum sim_fault kinds[] = {SIM_RESET, SIM_CLOG, SIM_PARTITION};
    uint64_t kind = sim_chance(2 * sizeof kinds / sizeof kinds[0]);
    if (kind < sizeof kinds / sizeof kinds[0]) {
        push_fault(at_us, kinds[kind], sender,
                   pack_target(receiver, choose_ports(sender, receiver)));
    } else {
        sim_push(at_us, SIM_CRASH, kind % 2 == 0 ? sender : receiver, 0);
    }
}

void sim_network_letter(void *pointer)
{
    struct sim_letter *letter = pointer;
    struct sim_line *line = letter->line;
    uint32_t receiver = sim_letter_receiver(letter);
    struct sim_listener *listener = &sim->network->listeners[line->server];
    bool there = letter->connection == line->connection &&
                 (letter->way == SIM_UP ? listener->open : line->open);
    if (!there) {
        lose(letter, "lost: nobody is there");
        return;
    }
    if (is_still_coming(letter)) {
        return;
    }
    sim->figures.letters++;
    line->came_bytes[letter->way] += letter->head_bytes + letter->body_bytes;
    fail_in_time(letter);
    tell(letter, "arrives");
    trace_letter(letter);
    sim_queue_put(letter->way == SIM_UP ? &listener->inbox : &line->inbox, letter);
    sim_process_wake(sim_process(receiver), sim->now_us + 1);
}

static void hold_back(uint32_t from, uint32_t to, unsigned ports)
{
    uint64_t until_us = sim->now_us + 1 + sim_chance(CLOG_US_MAX);
    uint64_t ways = 1 + sim_chance(3); /* up, down, both */
    for (int at = 0; at < SIM_PORTS; at++) {
        enum sim_way way = SIM_UP;
        struct sim_wire *wire = sim_wire(from, to, (enum sim_port)at, &way);
        for (int i = 0; i < SIM_WAYS; i++) {
            if ((ports >> at & 1U) != 0 && (ways >> i & 1U) != 0) {
                wire->held_until_us[i] = until_us;
            }
        }
    }
    sim->figures.clogs++;
}

/* In one direction or both; at its end the connections are found broken, as heartbeats would. */
static void partition(uint32_t from, uint32_t to, unsigned ports)
{
    uint64_t until_us = sim->now_us + 1 + sim_chance(PARTITION_US_MAX);
    uint64_t ways = 1 + sim_chance(3);
    for (int at = 0; at < SIM_PORTS; at++) {
        enum sim_way way = SIM_UP;
        struct sim_wire *wire = sim_wire(from, to, (enum sim_port)at, &way);
        for (int i = 0; i < SIM_WAYS; i++) {
            if ((ports >> at & 1U) != 0 && (ways >> i & 1U) != 0) {
                wire->lost_until_us[i] = until_us;
            }
        }
    }
    push_fault(until_us, SIM_RESET, from, pack_target(to, ports));
    sim->figures.partitions++;
}

static bool joins(const struct sim_line *line, uint32_t one, uint32_t other)
{
    return (line->client == one && line->server == other) ||
           (line->client == other && line->server == one);
}

static void reset(uint32_t one, uint32_t other, unsigned ports)
{
    for (struct sim_line *line = sim->network->lines; line != NULL; line = line->next) {
        if (joins(line, one, other) && (ports >> line->at & 1U) != 0) {
            sim_line_break(line);
        }
    }
    sim->figures.resets++;
}

/* A peer's faults are on its wire to the coordinator, or to another peer that it has a line with.
 */
static uint32_t choose_other(uint32_t machine)
{
    uint32_t others[SIM_PROCESSES] = {SIM_COORDINATOR};
    size_t count = 1;
    for (uint32_t other = 0; other < SIM_PEERS_MAX; other++) {
        const struct sim_line *line = sim->network->lines;
        while (line != NULL && !(line->open && joins(line, machine, other))) {
            line = line->next;
        }
        if (line != NULL) {
            others[count++] = other;
        }
    }
    return count == 1 ? others[0] : others[sim_chance(count)];
}

void sim_network_fault(const struct sim_event *event)
{
    static const char *const names[] = {"breaks", "is clogged", "is cut"};
    if (sim->calm) {
        return; /* sim_network_calm has put everything right */
    }
    if (event->worker == SIM_BREAK) {
        struct sim_line *line = sim_line_find(event->serial);
        if (line != NULL && line->lossy) {
            sim_line("a line of %s breaks", sim_process_name(event->index));
            sim->figures.resets++;
            sim_line_break(line);
        }
        return;
    }
    uint32_t machine = event->index;
    uint32_t other = event->serial > 0 ? (uint32_t)event->serial - 1 : choose_other(machine);
    unsigned ports = (unsigned)(event->serial >> 32);
    ports = ports != 0 ? ports : choose_ports(machine, other);
    if (sim_tracing()) {
        sim_line("the wire between %s and %s %s, ports %u", sim_process_name(machine),
                 sim_process_name(other), names[event->worker], ports);
    }
    if (event->worker == SIM_CLOG) {
        hold_back(machine, other, ports);
    } else if (event->worker == SIM_PARTITION) {
        partition(machine, other, ports);
    } else {
        reset(machine, other, ports);
    }
}

static void plan_faults(enum sim_fault kind, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t peer = (uint32_t)sim_chance(sim->plan.peer_count);
        push_fault(sim_chance(sim->plan.safety_us), kind, peer, 0);
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
    for (struct sim_line *line = sim->network->lines; line != NULL; line = line->next) {
        bool was_cut = false;
        if (line->server != SIM_NOWHERE) {
            enum sim_way way = SIM_UP;
            const struct sim_wire *wire = sim_wire(line->client, line->server, line->at, &way);
            was_cut = wire->lost_until_us[SIM_UP] > sim->now_us ||
                      wire->lost_until_us[SIM_DOWN] > sim->now_us;
        }
        if (was_cut || line->lossy || (line->open && !line->connected)) {
            sim_line_break(line);
        }
    }
    memset(sim->network->wires, 0, sizeof sim->network->wires);
}
