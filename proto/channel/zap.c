#include "proto/channel/zap.h"

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "proto/channel.h"
#include "proto/channel_incidents.h"
#include "proto/key_set.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* A request: version, request id, domain, address, routing id, mechanism, CURVE key. */
enum { REQUEST_FRAMES = 7, FRAME_MAX = 256 };
enum { FRAME_VERSION = 0, FRAME_ID = 1, FRAME_MECHANISM = 5, FRAME_KEY = 6 };

enum { KEY_DIGITS = 2 * IDENTITY_KEY_BYTES, NUMBER_DIGITS_MAX = 20, USER_ID_MAX = 96 };
_Static_assert(KEY_DIGITS + 1 + NUMBER_DIGITS_MAX < USER_ID_MAX, "a User-Id holds both");

#define ENDPOINT "inproc://zeromq.zap.01"
/* One frame, as no request of libzmq is. */
#define STOP "stop"

struct zap {
    void *context;
    void *socket; /* belongs to the thread once it runs */
    pthread_t thread;
    bool stopped;
    pthread_mutex_t lock;   /* of the following */
    struct key_set *barred; /* NULL: nobody was barred yet */
    struct channel_incidents refused;
};

static _Atomic uint64_t numbers;

struct zap_frame {
    uint8_t bytes[FRAME_MAX];
    size_t size_bytes;
};

struct zap_request {
    struct zap_frame frames[REQUEST_FRAMES];
    size_t frame_count; /* more than REQUEST_FRAMES: the rest was read and dropped */
};

/* False: the context ends. */
static bool receive_request(void *socket, struct zap_request *request)
{
    int more = 1;
    size_t more_bytes = sizeof more;
    for (request->frame_count = 0; more != 0; request->frame_count++) {
        struct zap_frame spare;
        struct zap_frame *frame =
            request->frame_count < REQUEST_FRAMES ? &request->frames[request->frame_count] : &spare;
        int size = -1;
        do {
            size = zmq_recv(socket, frame->bytes, sizeof frame->bytes, 0);
        } while (size < 0 && errno == EINTR);
        if (size < 0 || zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &more_bytes) != 0) {
            return false;
        }
        /* zmq_recv says how long the frame was, also when it kept only the start of it. */
        frame->size_bytes =
            (size_t)size <= sizeof frame->bytes ? (size_t)size : sizeof frame->bytes;
    }
    return true;
}

static bool frame_is(const struct zap_frame *frame, const char *text)
{
    return frame->size_bytes == strlen(text) && memcmp(frame->bytes, text, strlen(text)) == 0;
}

_Atomic uint64_t *zap_counter(void)
{
    return &numbers;
}

static void write_user_id(const uint8_t *key, char out[USER_ID_MAX])
{
    (void)sodium_bin2hex(out, USER_ID_MAX, key, IDENTITY_KEY_BYTES);
    (void)snprintf(out + KEY_DIGITS, (size_t)USER_ID_MAX - KEY_DIGITS, ":%" PRIu64,
                   atomic_fetch_add(&numbers, 1) + 1);
}

bool zap_read_user_id(const char *text, uint8_t out_key[IDENTITY_KEY_BYTES],
                      uint64_t *out_connection)
{
    size_t length = 0;
    if (text == NULL || strlen(text) < KEY_DIGITS + 2 || text[KEY_DIGITS] != ':' ||
        text[KEY_DIGITS + 1] < '1' || text[KEY_DIGITS + 1] > '9' ||
        sodium_hex2bin(out_key, IDENTITY_KEY_BYTES, text, KEY_DIGITS, NULL, &length, NULL) != 0 ||
        length != IDENTITY_KEY_BYTES) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    *out_connection = strtoull(text + KEY_DIGITS + 1, &end, 10);
    return errno == 0 && *end == '\0';
}

bool zap_is_barred(struct zap *self, const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    bool barred = self->barred != NULL && key_set_has(self->barred, curve_key);
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
    return barred;
}

bool zap_incident(struct zap *self, struct channel_incident *out)
{
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    bool told = channel_incidents_next(&self->refused, clock_now_ms(), out);
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
    return told;
}

/* The handshake has proved the key by the time it is asked about. */
static void note_refused(struct zap *self, const uint8_t *curve_key)
{
    struct channel_incident incident = {.reason = CHANNEL_BARRED_CAME, .has_key = true};
    memcpy(incident.curve_key, curve_key, IDENTITY_KEY_BYTES);
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    channel_incidents_add(&self->refused, &incident, clock_now_ms());
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
}

enum status zap_bar(struct zap *self, const uint8_t curve_key[IDENTITY_KEY_BYTES], bool barred)
{
    enum status status = STATUS_OK;
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    if (self->barred == NULL && barred) {
        status = key_set_new(CHANNEL_BARRED_MAX, &self->barred);
    }
    if (status == STATUS_OK && barred) {
        status = key_set_add(self->barred, curve_key);
    } else if (self->barred != NULL && !barred) {
        key_set_remove(self->barred, curve_key);
    }
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
    return status;
}

static bool is_welcome(struct zap *self, const struct zap_request *request)
{
    if (request->frame_count != REQUEST_FRAMES ||
        !frame_is(&request->frames[FRAME_VERSION], "1.0") ||
        !frame_is(&request->frames[FRAME_MECHANISM], "CURVE") ||
        request->frames[FRAME_KEY].size_bytes != IDENTITY_KEY_BYTES) {
        return false;
    }
    bool barred = zap_is_barred(self, request->frames[FRAME_KEY].bytes);
    if (barred) {
        note_refused(self, request->frames[FRAME_KEY].bytes);
    }
    return !barred;
}

/* False: the context ends. */
static bool send_reply(struct zap *self, const struct zap_request *request)
{
    void *socket = self->socket;
    bool accepted = is_welcome(self, request);
    char user_id[USER_ID_MAX] = "";
    if (accepted) {
        write_user_id(request->frames[FRAME_KEY].bytes, user_id);
    }
    const struct zap_frame *id = &request->frames[FRAME_ID];
    size_t id_bytes = request->frame_count > FRAME_ID ? id->size_bytes : 0;
    return zmq_send(socket, "1.0", 3, ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, id->bytes, id_bytes, ZMQ_SNDMORE) >= 0 &&
           /* 400 is told to the client, whose ZeroMQ then does not come again by itself. */
           zmq_send(socket, accepted ? "200" : "400", 3, ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, "", 0, ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, user_id, strlen(user_id), ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, "", 0, 0) >= 0;
}

static void *answer_requests(void *argument)
{
    struct zap *self = argument;
    struct zap_request request;
    while (receive_request(self->socket, &request) &&
           !(request.frame_count == 1 && frame_is(&request.frames[0], STOP)) &&
           send_reply(self, &request)) {
    }
    (void)zmq_close(self->socket);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct zap *self)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    int masked = pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&self->thread, NULL, answer_requests, self);
    if (masked == 0) {
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return result;
}

enum status zap_new(void *zmq_context, struct zap **out)
{
    *out = NULL;
    struct zap *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = STATUS_OK;
    int linger_ms = 0;
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0);
    self->context = zmq_context;
    self->socket = zmq_socket(zmq_context, ZMQ_REP);
    if (self->socket == NULL ||
        zmq_setsockopt(self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms) != 0 ||
        zmq_bind(self->socket, ENDPOINT) != 0) {
        status =
            fault(STATUS_OS, "the key check cannot be started: %s; try again", zmq_strerror(errno));
        goto fail;
    }
    int result = start_thread(self);
    if (result != 0) {
        status = fault(STATUS_OS,
                       "no thread for the key check: %s; end other programs or raise the "
                       "limit of processes",
                       strerror(result));
        goto fail;
    }
    *out = self;
    return STATUS_OK;
fail:
    if (self->socket != NULL) {
        (void)zmq_close(self->socket);
    }
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    return status;
}

enum status zap_stop(struct zap *self)
{
    void *socket = zmq_socket(self->context, ZMQ_REQ);
    if (socket == NULL) {
        return STATUS_OS;
    }
    bool asked = zmq_connect(socket, ENDPOINT) == 0 && zmq_send(socket, STOP, strlen(STOP), 0) >= 0;
    (void)zmq_close(socket);
    self->stopped = asked && pthread_join(self->thread, NULL) == 0;
    return self->stopped ? STATUS_OK : STATUS_OS;
}

void zap_free(struct zap *self)
{
    if (self == NULL) {
        return;
    }
    if (!self->stopped) {
        (void)pthread_join(self->thread, NULL);
    }
    key_set_free(self->barred);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}
