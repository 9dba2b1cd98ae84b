/* Somebody on the way between a real peer and the coordinator, who sees only boxes.
 *
 *   capture     passes everything on and keeps what the peer sends
 *   flip        one bit of a message is another
 *   duplicate   a message comes twice
 *   swap        two change places
 *   splice      a body and the head after it are left out: one's head with another's body
 *
 * With "down-" before it, what the coordinator sends is bent instead. Once in every connection;
 * told is whether the side that got it ended the connection, and when. */
#include "common/clock.h"
#include "proto/link.h"
#include "tests/integration/hostile/attack.h"
#include "tests/integration/hostile/capture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLICE_MS = 50, SURVIVES_MS = 2000, PLACES = 12, SEND_MS = 5000 };

enum bend { BEND_NOTHING, BEND_FLIP, BEND_DUPLICATE, BEND_SWAP, BEND_SPLICE };

struct relay {
    const struct attack *attack;
    FILE *file;
    enum bend bend;
    bool down;
    uint64_t connections;
    uint64_t bent;
    uint64_t survived;
    uint64_t cut_ms_max;
};

struct line {
    struct relay *relay;
    struct raw_socket client;
    struct raw_socket server;
    uint32_t place; /* of the message to bend */
    uint64_t end_ms;
    atomic_bool over;
    atomic_uint_fast64_t bent_ms; /* 0: not yet */
    atomic_uint_fast64_t cut_ms;  /* 0: not yet; by the side that got what was bent */
};

struct direction {
    struct line *line;
    struct raw_socket *from;
    struct raw_socket *to;
    bool bends;
    uint32_t messages;
    uint8_t *held; /* of a swap */
    size_t held_bytes;
};

static enum raw_result pass(struct direction *self, const uint8_t *data, size_t size_bytes)
{
    return raw_send(self->to, data, size_bytes, clock_now_ms() + SEND_MS, NULL);
}

static void note_bent(struct line *line)
{
    uint64_t none = 0;
    (void)atomic_compare_exchange_strong(&line->bent_ms, &none, clock_now_ms());
}

/* Passes on, in the place that was chosen, something else than came. */
static enum raw_result pass_bent(struct direction *self, uint8_t *data, size_t size_bytes)
{
    struct line *line = self->line;
    uint32_t turn = self->messages - line->place;
    switch (line->relay->bend) {
    case BEND_FLIP: /* not in the frame's header, which the peer's TCP would not notice either */
        data[9 + randombytes_uniform((uint32_t)size_bytes - 9)] ^=
            (uint8_t)(1U << randombytes_uniform(8));
        note_bent(line);
        return pass(self, data, size_bytes);
    case BEND_DUPLICATE: {
        enum raw_result result = pass(self, data, size_bytes);
        note_bent(line);
        return result == RAW_OK ? pass(self, data, size_bytes) : result;
    }
    case BEND_SWAP:
        if (turn == 0) {
            self->held = malloc(size_bytes);
            self->held_bytes = self->held != NULL ? size_bytes : 0;
            memcpy(self->held, data, self->held_bytes);
            return RAW_OK;
        }
        note_bent(line);
        return pass(self, data, size_bytes) == RAW_OK ? pass(self, self->held, self->held_bytes)
                                                      : RAW_CUT;
    case BEND_SPLICE:
        return RAW_OK; /* noted with the first that follows */
    case BEND_NOTHING:
    default:
        return pass(self, data, size_bytes);
    }
}

static uint32_t bent_messages(enum bend bend)
{
    return bend == BEND_SWAP || bend == BEND_SPLICE ? 2 : 1;
}

static enum raw_result pass_frame(struct direction *self)
{
    struct line *line = self->line;
    uint8_t *data = self->from->in;
    size_t size_bytes = self->from->in_used;
    struct captured frame = {data, size_bytes};
    bool is_message = capture_is(&frame, "\x07MESSAGE");
    if (!self->bends || !is_message) {
        return pass(self, data, size_bytes);
    }
    uint32_t behind = line->place + bent_messages(line->relay->bend);
    bool bends = self->messages >= line->place && self->messages < behind;
    enum raw_result result =
        bends ? pass_bent(self, data, size_bytes) : pass(self, data, size_bytes);
    if (self->messages == behind && line->relay->bend == BEND_SPLICE) {
        note_bent(line);
    }
    self->messages++;
    return result;
}

static bool survived(struct line *line)
{
    uint64_t bent_ms = atomic_load(&line->bent_ms);
    return bent_ms != 0 && clock_now_ms() - bent_ms > SURVIVES_MS;
}

/* Byte by byte: each side waits for the start of the other's before it says the rest. */
static enum raw_result pass_greeting(struct direction *self, FILE *file)
{
    uint8_t greeting[RAW_GREETING_BYTES];
    enum raw_result result = RAW_OK;
    for (size_t i = 0; i < sizeof greeting && result == RAW_OK; i++) {
        result = raw_read(self->from, greeting + i, 1, self->line->end_ms);
        if (result == RAW_OK) {
            result = pass(self, greeting + i, 1);
        }
    }
    return result != RAW_OK || file == NULL || capture_write(file, greeting, sizeof greeting)
               ? result
               : RAW_BAD;
}

static void *pass_all(void *argument)
{
    struct direction *self = argument;
    struct line *line = self->line;
    struct raw_frame frame;
    FILE *file = self->from == &line->client ? line->relay->file : NULL;
    enum raw_result result = pass_greeting(self, file);
    while ((result == RAW_OK || result == RAW_LATE) && !atomic_load(&line->over) &&
           !survived(line) && clock_now_ms() < line->end_ms) {
        result = raw_read_frame(self->from, clock_now_ms() + SLICE_MS, &frame);
        if (result == RAW_OK && file != NULL &&
            !capture_write(file, self->from->in, self->from->in_used)) {
            result = RAW_BAD;
        }
        if (result == RAW_OK) {
            result = pass_frame(self);
        }
    }
    if (result == RAW_CUT && atomic_load(&line->bent_ms) != 0 && !atomic_load(&line->over)) {
        atomic_store(&line->cut_ms, clock_now_ms());
    }
    atomic_store(&line->over, true);
    free(self->held);
    return NULL;
}

static void count(struct relay *relay, struct line *line)
{
    uint64_t bent_ms = atomic_load(&line->bent_ms);
    uint64_t cut_ms = atomic_load(&line->cut_ms);
    if (bent_ms == 0) {
        return;
    }
    relay->bent++;
    if (cut_ms == 0 && survived(line)) {
        relay->survived++;
    } else if (cut_ms != 0 && cut_ms - bent_ms > relay->cut_ms_max) {
        relay->cut_ms_max = cut_ms - bent_ms;
    }
}

static void serve(struct relay *relay, int fd, uint64_t end_ms)
{
    pthread_t thread;
    struct line *line = calloc(1, sizeof *line);
    if (line == NULL || !raw_open(&relay->attack->address, 0, &line->server)) {
        (void)close(fd);
        free(line);
        return;
    }
    line->relay = relay;
    line->end_ms = end_ms;
    line->client = (struct raw_socket){.fd = fd, .in = malloc(RAW_FRAME_MAX + RAW_HEADER_MAX)};
    /* Not the hello itself, of which the peer would learn that it is not known. Heads are even. */
    line->place = 2 + randombytes_uniform(PLACES);
    line->place |= relay->bend == BEND_SPLICE ? 1U : 0U;
    bool bends = relay->bend != BEND_NOTHING;
    struct direction up = {line, &line->client, &line->server, bends && !relay->down, 0, NULL, 0};
    struct direction down = {line, &line->server, &line->client, bends && relay->down, 0, NULL, 0};
    relay->connections++;
    if (line->client.in != NULL && pthread_create(&thread, NULL, pass_all, &down) == 0) {
        (void)pass_all(&up);
        (void)pthread_join(thread, NULL);
        count(relay, line);
    }
    raw_close(&line->client);
    raw_close(&line->server);
    free(line);
}

/* Prints the link that leads here: at an address where nobody listens for chunks, so that all goes
 * through this relay. */
static int listens(const struct attack *attack)
{
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons(attack->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    socklen_t here_bytes = sizeof here;
    struct join_link link = attack->link;
    char text[LINK_TEXT_MAX];
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&here, sizeof here) != 0 ||
        listen(fd, 16) != 0 || getsockname(fd, (struct sockaddr *)&here, &here_bytes) != 0) {
        return -1;
    }
    (void)snprintf(link.address, sizeof link.address, "127.0.0.2:%u",
                   (unsigned)ntohs(here.sin_port));
    if (link_format(&link, text) != STATUS_OK) {
        return -1;
    }
    report_begin(attack);
    report_text("link", text);
    report_end();
    return fd;
}

bool attack_relay(struct attack *attack)
{
    static const char *const names[] = {"capture", "flip", "duplicate", "swap", "splice"};
    struct relay relay = {.attack = attack, .down = strncmp(attack->mode, "down-", 5) == 0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(attack->mode + (relay.down ? 5 : 0), names[i]) == 0) {
            relay.bend = (enum bend)i;
        }
    }
    int listener = listens(attack);
    uint64_t end_ms = clock_now_ms() + attack->duration_ms;
    relay.file = attack->file[0] != '\0' ? fopen(attack->file, "wb") : NULL;
    while (listener >= 0 && clock_now_ms() < end_ms &&
           (relay.bend == BEND_NOTHING || relay.bent < attack->count)) {
        struct pollfd item = {.fd = listener, .events = POLLIN};
        if (poll(&item, 1, SLICE_MS) == 1) {
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                serve(&relay, fd, end_ms);
            }
        }
    }
    report_begin(attack);
    report_number("connections", relay.connections);
    report_number("bent", relay.bent);
    report_number("accepted", relay.survived);
    report_number("cut_ms_max", relay.survived > 0 ? ATTACK_NEVER_MS : relay.cut_ms_max);
    report_end();
    bool written = relay.file == NULL || fclose(relay.file) == 0;
    if (listener >= 0) {
        (void)close(listener);
    }
    return written && relay.connections > 0;
}
