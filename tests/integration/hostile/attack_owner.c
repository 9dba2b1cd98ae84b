/* Members that say they would own, and wait at their bulk ports for the coordinator to dial them.
 *
 *   greeting     nothing is said to whoever connects
 *   welcome      nothing after its HELLO
 *   ready        nothing after its INITIATE
 *   dripping     the handshake comes byte by byte
 *   wrong-key    a WELCOME of another key than was dialled
 *   metadata     a READY with as much in it as fits
 *   noise        random bytes after the handshake
 *   giant        a frame that promises 2^62 bytes, and bytes of it for ever
 *   giant-early  the same in place of the WELCOME
 *   endless      a message of full frames that does not end
 *   tiny         the same of frames without bytes
 *   stolen       heads and bodies that no owner says to a coordinator
 *   answers      answers to probes, of full size, to what was not asked
 *   small        the same without bytes
 *   pings        heartbeats that ask for an answer
 *   deaf         reads nothing after the handshake
 *
 * Told is how much the coordinator's side took on one connection from its first wrong doing on, and
 * how long. Each connection is served until the other side ends it. */
#include "common/clock.h"
#include "tests/integration/hostile/raw_member.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OWNERS_MAX = 16,
    BODY_BYTES = 320 * 1024, /* CHANNEL_BULK_BODY_MAX */
    BATCH_BYTES = 64 * 1024,
    SLICE_MS = 50,
    DRIP_MS = 40,
    SAY_MS = 500,
    ALIVE_MS = 1000,
    COMMAND = 2 /* inside of a box */
};

struct owner {
    const struct attack *attack;
    uint64_t end_ms;
    uint64_t connections;
    uint64_t proved; /* of them, with a whole handshake */
    uint64_t sent_bytes_max;
    uint64_t held_ms_max;
    struct raw_member member;
    int listener;
    bool joined;
    bool stands; /* its session did until the end */
};

static bool is(const struct owner *self, const char *mode)
{
    return strcmp(self->attack->mode, mode) == 0;
}

/* A handshake, as far as the mode has it. *out_stop: it goes no further. */
static enum raw_result shake_hands(const struct owner *self, struct raw_curve *line,
                                   uint64_t deadline_ms, bool *out_stop)
{
    uint8_t out[RAW_HEADER_MAX + RAW_READY_MAX];
    uint8_t metadata[RAW_METADATA_MAX];
    struct raw_keys keys = self->member.keys;
    if (is(self, "wrong-key")) {
        raw_curve_new_keys(&keys);
    }
    *out_stop = is(self, "greeting");
    enum raw_result result = *out_stop ? RAW_OK : raw_curve_greet(line, deadline_ms);
    if (result != RAW_OK || *out_stop) {
        return result;
    }
    result = raw_curve_hear_hello(line, deadline_ms);
    *out_stop = is(self, "welcome") || is(self, "giant-early");
    if (result != RAW_OK || *out_stop) {
        return result;
    }
    size_t size_bytes = raw_curve_make_welcome(line, &keys, out);
    for (size_t i = 0; is(self, "dripping") && i < size_bytes && result == RAW_OK; i++) {
        result = raw_send(&line->socket, out + i, 1, deadline_ms, NULL);
        clock_sleep_ms(DRIP_MS);
    }
    if (result == RAW_OK && !is(self, "dripping")) {
        result = raw_send(&line->socket, out, size_bytes, deadline_ms, NULL);
    }
    if (result == RAW_OK) {
        result = raw_curve_hear_initiate(line, deadline_ms);
    }
    *out_stop = is(self, "ready");
    if (result != RAW_OK || *out_stop) {
        return result;
    }
    size_t metadata_bytes = raw_property("Socket-Type", "ROUTER", 6, metadata);
    if (is(self, "metadata")) {
        static const uint8_t filler[RAW_METADATA_MAX];
        size_t left_bytes = sizeof metadata - metadata_bytes - 1 - 4 - 8;
        metadata_bytes += raw_property("X-Filler", filler, left_bytes, metadata + metadata_bytes);
    }
    size_bytes = raw_curve_make_ready(line, metadata, metadata_bytes, out);
    return raw_send(&line->socket, out, size_bytes, deadline_ms, NULL);
}

static size_t seal_probe(struct raw_curve *line, size_t body_bytes, uint8_t *out)
{
    static struct wire_message message;
    static const uint8_t body[BODY_BYTES];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    uint8_t head[WIRE_HEAD_MAX];
    size_t head_bytes = 0;
    (void)pthread_mutex_lock(&lock);
    message.type = WIRE_PROBE;
    message.as.probe = (struct wire_probe){.answer = true};
    randombytes_buf(&message.as.probe.nonce, sizeof message.as.probe.nonce);
    bool made = wire_encode(&message, head, sizeof head, &head_bytes) == STATUS_OK;
    (void)pthread_mutex_unlock(&lock);
    if (!made) {
        return 0;
    }
    size_t out_bytes = raw_curve_seal(line, RAW_MORE, head, head_bytes, out);
    return out_bytes + raw_curve_seal(line, 0, body, body_bytes, out + out_bytes);
}

/* What the mode says next, at most BATCH_BYTES or one full message; 0: nothing. */
static size_t make_next(const struct owner *self, struct raw_curve *line, uint8_t *out)
{
    static const uint8_t zeros[BODY_BYTES];
    uint8_t ping[] = "\x04PING\xFF\xFF"
                     "a context, 16 b";
    size_t bytes = 0;
    if (is(self, "noise") || is(self, "giant") || is(self, "giant-early")) {
        randombytes_buf(out, BATCH_BYTES);
        return BATCH_BYTES;
    }
    if (is(self, "endless")) {
        return raw_curve_seal(line, RAW_MORE, zeros, BODY_BYTES, out);
    }
    if (is(self, "answers")) {
        return seal_probe(line, BODY_BYTES, out);
    }
    while (bytes < BATCH_BYTES / 2) {
        size_t before = bytes;
        if (is(self, "tiny")) {
            bytes += raw_curve_seal(line, RAW_MORE, zeros, 0, out + bytes);
        } else if (is(self, "small")) {
            bytes += seal_probe(line, 0, out + bytes);
        } else if (is(self, "stolen")) {
            bytes += raw_curve_seal(line, RAW_MORE, zeros, 64, out + bytes);
            bytes += raw_curve_seal(line, 0, zeros, 64, out + bytes);
        } else if (is(self, "pings")) {
            bytes += raw_curve_seal(line, COMMAND, ping, sizeof ping, out + bytes);
        }
        if (bytes == before) {
            break;
        }
    }
    return bytes;
}

/* Misbehaves until the other side ends it. */
static uint64_t misbehave(const struct owner *self, struct raw_curve *line)
{
    uint8_t *out = malloc(BATCH_BYTES + BODY_BYTES + 4096);
    uint64_t sent_bytes = 0;
    enum raw_result result = out != NULL ? RAW_OK : RAW_BAD;
    if (result == RAW_OK && (is(self, "giant") || is(self, "giant-early"))) {
        size_t header_bytes = raw_header(RAW_LARGE, UINT64_C(1) << 62U, out);
        result = raw_send(&line->socket, out, header_bytes, self->end_ms, NULL);
    }
    while ((result == RAW_OK || result == RAW_LATE) && clock_now_ms() < self->end_ms) {
        size_t taken = 0;
        size_t out_bytes = make_next(self, line, out);
        if (out_bytes > 0) { /* all of a message, or the next one would be noise */
            result = raw_send(&line->socket, out, out_bytes, self->end_ms, &taken);
        } else if (is(self, "deaf")) {
            struct pollfd item = {.fd = line->socket.fd, .events = POLLRDHUP};
            result = poll(&item, 1, SLICE_MS) > 0 ? RAW_CUT : RAW_LATE;
        } else {
            result = raw_await_cut(&line->socket, clock_now_ms() + SLICE_MS);
        }
        sent_bytes += taken;
    }
    free(out);
    return sent_bytes;
}

static void serve(struct owner *self, int fd)
{
    struct raw_curve line;
    bool stop = false;
    if (!raw_curve_take(&line, fd)) {
        return;
    }
    self->connections++;
    enum raw_result result = shake_hands(self, &line, self->end_ms, &stop);
    self->proved += result == RAW_OK && !stop ? 1 : 0;
    if (result == RAW_OK) {
        uint64_t began_ms = clock_now_ms();
        uint64_t sent_bytes = misbehave(self, &line);
        uint64_t held_ms = clock_now_ms() - began_ms;
        self->sent_bytes_max =
            sent_bytes > self->sent_bytes_max ? sent_bytes : self->sent_bytes_max;
        self->held_ms_max = held_ms > self->held_ms_max ? held_ms : self->held_ms_max;
    }
    raw_curve_end(&line);
}

static void *wait_to_be_dialled(void *argument)
{
    struct owner *self = argument;
    while (clock_now_ms() < self->end_ms) {
        struct pollfd item = {.fd = self->listener, .events = POLLIN};
        int fd = poll(&item, 1, SLICE_MS) == 1
                     ? accept4(self->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
                     : -1;
        if (fd >= 0) {
            serve(self, fd);
        }
    }
    return NULL;
}

/* Says that it lives, as it should. */
static enum raw_result live_on(struct owner *self)
{
    enum raw_result result = RAW_OK;
    while (result == RAW_OK && clock_now_ms() < self->end_ms) {
        uint64_t until_ms = clock_now_ms() + ALIVE_MS;
        self->member.said->type = WIRE_ALIVE;
        result = raw_member_say(&self->member, NULL, 0);
        while (result == RAW_OK) {
            result =
                raw_member_hear(&self->member, until_ms < self->end_ms ? until_ms : self->end_ms);
        }
        result = result == RAW_LATE ? RAW_OK : result;
    }
    return result;
}

static void *take_part(void *argument)
{
    struct owner *self = argument;
    pthread_t thread;
    self->joined = raw_member_join(&self->member, self->attack, 0) == RAW_OK &&
                   pthread_create(&thread, NULL, wait_to_be_dialled, self) == 0;
    if (self->joined) {
        self->stands = live_on(self) == RAW_OK;
        (void)pthread_join(thread, NULL);
    }
    return NULL;
}

static bool begin(struct owner *self, const struct attack *attack)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t here_bytes = sizeof here;
    *self = (struct owner){.attack = attack,
                           .end_ms = clock_now_ms() + attack->duration_ms,
                           .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (self->listener < 0 || bind(self->listener, (const struct sockaddr *)&here, sizeof here) ||
        listen(self->listener, 16) != 0 ||
        getsockname(self->listener, (struct sockaddr *)&here, &here_bytes) != 0 ||
        !raw_member_new(&self->member)) {
        return false;
    }
    (void)snprintf(self->member.bulk_address, sizeof self->member.bulk_address, "127.0.0.1:%u",
                   (unsigned)ntohs(here.sin_port));
    return true;
}

static void tell(const struct attack *attack, const struct owner *owners, size_t count)
{
    struct owner all = {.attack = attack};
    uint64_t joined = 0;
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        const struct owner *one = &owners[i];
        joined += one->joined ? 1 : 0;
        lost += one->joined && !one->stands ? 1 : 0;
        all.connections += one->connections;
        all.proved += one->proved;
        all.sent_bytes_max =
            one->sent_bytes_max > all.sent_bytes_max ? one->sent_bytes_max : all.sent_bytes_max;
        all.held_ms_max = one->held_ms_max > all.held_ms_max ? one->held_ms_max : all.held_ms_max;
    }
    report_begin(attack);
    report_number("joined", joined);
    report_number("lost", lost);
    report_number("dialled", all.connections);
    report_number("proved", all.proved);
    report_number("taken_bytes_max", all.sent_bytes_max);
    report_number("held_ms_max", all.held_ms_max);
    report_end();
}

bool attack_owner(struct attack *attack)
{
    static struct owner owners[OWNERS_MAX];
    pthread_t threads[OWNERS_MAX];
    size_t count = attack->count < OWNERS_MAX ? (size_t)attack->count : OWNERS_MAX;
    size_t begun = 0;
    uint64_t dialled = 0;
    while (begun < count && begin(&owners[begun], attack) &&
           pthread_create(&threads[begun], NULL, take_part, &owners[begun]) == 0) {
        begun++;
    }
    for (size_t i = 0; i < begun; i++) {
        (void)pthread_join(threads[i], NULL);
        dialled += owners[i].connections;
        (void)close(owners[i].listener);
        raw_member_free(&owners[i].member);
    }
    tell(attack, owners, begun);
    return begun == count && dialled > 0;
}
