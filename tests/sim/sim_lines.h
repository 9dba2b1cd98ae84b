/* sim_lines - what sim_network.c, sim_lines.c and sim_channel.c share: letters, lines, wires, and
 * who listens. */
#ifndef DUGNAD_TESTS_SIM_SIM_LINES_H
#define DUGNAD_TESTS_SIM_SIM_LINES_H

#include "tests/sim/sim_network.h"

enum sim_way { SIM_UP, SIM_DOWN, SIM_WAYS }; /* up: from the client to the server */
/* The first three are what happens between two machines, the last to one line. */
enum sim_fault { SIM_RESET, SIM_CLOG, SIM_PARTITION, SIM_BREAK };
/* A server's ports, which what happens may hit apart. */
enum sim_port { SIM_CONTROL_PORT, SIM_BULK_PORT, SIM_PORTS };
enum { SIM_NOWHERE = SIM_PROCESSES, SIM_HANDSHAKES_MAX = 3, SIM_ROUTES = 256 };

struct sim_letter {
    struct sim_letter *next; /* in a queue */
    struct sim_line *line;
    enum sim_way way;
    uint64_t connection;
    bool through; /* the receiver's link */
    bool forged;  /* a contribution with a sample that was never lent to its sender */
    size_t head_bytes;
    size_t body_bytes;
    uint8_t data[]; /* head, then body */
};

struct sim_queue {
    struct sim_letter *first;
    struct sim_letter *last;
};

/* A client's socket, and what it sent and is sent. */
struct sim_line {
    struct sim_line *next; /* in order of creation */
    uint64_t id;
    uint32_t client; /* machines */
    uint32_t server; /* SIM_NOWHERE: nobody has this address */
    uint16_t port;
    enum sim_port at; /* which of its server's ports that is, as of when it connected last */
    uint8_t server_key[IDENTITY_KEY_BYTES]; /* Ed25519, that the client wants */
    uint8_t curve_key[IDENTITY_KEY_BYTES];  /* the client's */
    bool open;                              /* its client has the socket */
    bool connected;
    bool ending;          /* its server closed it, which comes after what that had sent */
    uint64_t connection;  /* no other ever had this number: letters of an earlier one are lost */
    uint64_t connections; /* that stood */
    unsigned failed_handshakes;
    bool shut_out;           /* at the latest of them */
    struct sim_queue outbox; /* sent while not connected */
    struct sim_queue inbox;
    size_t under_way[SIM_WAYS];    /* sent and not closed by the receiver */
    uint64_t due_us[SIM_WAYS];     /* of the latest letter in order */
    uint64_t came_bytes[SIM_WAYS]; /* on the present connection */
    bool lossy;                    /* something went wrong on it: the connection will break */
};

/* What lies between two machines, for one of the server's ports, by direction: to the one with the
 * higher number first. */
struct sim_wire {
    uint64_t held_until_us[SIM_WAYS];
    uint64_t lost_until_us[SIM_WAYS];
};

/* A connection that a server heard of; it may be gone. */
struct sim_route {
    uint64_t connection; /* 0: the place is free */
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint32_t client;
    uint64_t line; /* its id */
    enum sim_port at;
    bool member;
    bool cut;
    unsigned messages; /* of a stranger */
};

struct sim_listener {
    bool open;
    uint16_t ports[SIM_PORTS]; /* 0: it has no such one */
    uint8_t public_key[IDENTITY_KEY_BYTES];
    struct sim_queue inbox;
    struct sim_route routes[SIM_ROUTES];
    uint8_t barred[SIM_PROCESSES][IDENTITY_KEY_BYTES]; /* (barred_count) CURVE keys */
    uint32_t barred_count;
};

struct sim_network {
    struct sim_line *lines;
    uint64_t numbers; /* given to lines and connections so far */
    struct sim_listener listeners[SIM_PROCESSES];
    struct sim_queue held[SIM_PROCESSES]; /* received by a process and not closed */
    struct sim_wire wires[SIM_PROCESSES][SIM_PROCESSES][SIM_PORTS]; /* the lower number first */
    uint64_t up_free_us[SIM_PROCESSES]; /* when a link has sent what waits */
    uint64_t down_free_us[SIM_PROCESSES];
};

void sim_queue_put(struct sim_queue *self, struct sim_letter *letter);
struct sim_letter *sim_queue_take(struct sim_queue *self); /* NULL: empty */
bool sim_queue_remove(struct sim_queue *self, struct sim_letter *letter);
void sim_queue_empty(struct sim_queue *self); /* Frees what is in it. */

/* A new letter with this content. */
struct sim_letter *sim_letter_new(struct sim_line *line, enum sim_way way, const uint8_t *head,
                                  size_t head_bytes, const uint8_t *body, size_t body_bytes);

/* Frees a letter; its line has room again. */
void sim_letter_free(struct sim_letter *letter);

uint32_t sim_letter_sender(const struct sim_letter *letter);
uint32_t sim_letter_receiver(const struct sim_letter *letter);

/* Takes a letter that was just sent on a connected line. */
void sim_letter_dispatch(struct sim_letter *letter);

/* A line from a machine to "HOST:PORT", open and not connected. It is freed some time after its
 * client closed it, once no letter is under way. */
struct sim_line *sim_line_new(uint32_t client, const char *address);
struct sim_line *sim_line_find(uint64_t id); /* NULL: none */
void sim_line_close(struct sim_line *line);  /* What was sent on a connection still arrives. */

/* Tries to connect in wait_us, if somebody listens there. */
void sim_line_connect_in(struct sim_line *line, uint64_t wait_us);

/* The connection breaks; what is under way is lost, and the client tries again after a while. */
void sim_line_break(struct sim_line *line);

/* The wire between two machines for a port; *out_way: the direction from the first to the second.
 */
struct sim_wire *sim_wire(uint32_t from, uint32_t to, enum sim_port at, enum sim_way *out_way);

/* Whether a server lets nobody in who has this key. */
bool sim_is_barred(const struct sim_listener *listener,
                   const uint8_t curve_key[IDENTITY_KEY_BYTES]);

/* A peer that is not honest changes what it sends. False: it keeps the letter to itself. The letter
 * may be another one afterwards. */
bool sim_hostile_letter(const struct sim_peer *peer, struct sim_letter **letter);

/* A letter comes to the coordinator. False: it is lost, for what it forged became true on its way,
 * and then nobody could tell it from an honest one. */
bool sim_hostile_arrives(const struct sim_peer *peer, const struct sim_letter *letter);

#endif
