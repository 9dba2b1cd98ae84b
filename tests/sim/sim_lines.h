/* sim_lines - what sim_network.c and sim_channel.c share: letters, lines, and who is connected. */
#ifndef DUGNAD_TESTS_SIM_SIM_LINES_H
#define DUGNAD_TESTS_SIM_SIM_LINES_H

#include "tests/sim/sim_network.h"

enum sim_way { SIM_UP, SIM_DOWN, SIM_WAYS };
enum sim_fault { SIM_RESET, SIM_CLOG, SIM_PARTITION };

struct sim_letter {
    struct sim_letter *next; /* in a queue */
    uint32_t peer;
    enum sim_way way;
    uint64_t endpoint;
    uint64_t connection;
    size_t head_bytes;
    size_t body_bytes;
    uint8_t data[]; /* head, then body */
};

struct sim_queue {
    struct sim_letter *first;
    struct sim_letter *last;
};

struct sim_line {
    bool open; /* its client has a socket */
    bool connected;
    uint64_t endpoint;    /* counts the client's sockets */
    uint64_t connection;  /* counts attempts to connect: letters of an earlier one are lost */
    uint64_t connections; /* that stood, of this socket */
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    struct sim_queue outbox; /* sent while not connected */
    struct sim_queue inbox;
    size_t under_way[SIM_WAYS]; /* sent and not received */
    uint64_t due_us[SIM_WAYS];  /* of the latest letter in order */
    uint64_t held_until_us[SIM_WAYS];
    uint64_t lost_until_us[SIM_WAYS];
    bool lossy; /* something went wrong on it: the connection will break */
};

/* Where the server reaches a key: the endpoint that spoke with it last. */
struct sim_route {
    bool used;
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint32_t peer;
    uint64_t endpoint;
};

struct sim_network {
    struct sim_line lines[SIM_PEERS_MAX];
    bool server_open;
    struct sim_queue server_inbox;
    struct sim_route routes[SIM_PEERS_MAX];
    struct sim_queue held[SIM_PROCESSES]; /* received by a process and not closed */
};

void sim_queue_put(struct sim_queue *self, struct sim_letter *letter);
struct sim_letter *sim_queue_take(struct sim_queue *self); /* NULL: empty */
bool sim_queue_remove(struct sim_queue *self, struct sim_letter *letter);

/* Frees a letter; its line has room again. */
void sim_letter_free(struct sim_letter *letter);

/* Takes a letter that was just sent on a connected line. */
void sim_letter_dispatch(struct sim_letter *letter);

/* The connection breaks; what is under way is lost, and the client tries again after a while. */
void sim_line_break(uint32_t peer);

/* A peer that is not honest changes what it sends. False: it keeps the letter to itself. The letter
 * may be another one afterwards. */
bool sim_hostile_letter(const struct sim_peer *peer, struct sim_letter **letter);

/* A new letter with this content. */
struct sim_letter *sim_letter_new(uint32_t peer, enum sim_way way, const uint8_t *head,
                                  size_t head_bytes, const uint8_t *body, size_t body_bytes);

#endif
