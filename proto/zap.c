#include "proto/zap.h"

#include "common/fault.h"
#include "proto/identity.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* A request: version, request id, domain, address, routing id, mechanism, CURVE key. */
enum { REQUEST_FRAMES = 7, FRAME_MAX = 256 };
enum { FRAME_VERSION = 0, FRAME_ID = 1, FRAME_MECHANISM = 5, FRAME_KEY = 6 };

struct zap {
    void *socket; /* belongs to the thread once it runs */
    pthread_t thread;
};

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

/* False: the context ends. */
static bool send_reply(void *socket, const struct zap_request *request)
{
    bool accepted = request->frame_count == REQUEST_FRAMES &&
                    frame_is(&request->frames[FRAME_VERSION], "1.0") &&
                    frame_is(&request->frames[FRAME_MECHANISM], "CURVE") &&
                    request->frames[FRAME_KEY].size_bytes == IDENTITY_KEY_BYTES;
    char user_id[2 * IDENTITY_KEY_BYTES + 1] = "";
    if (accepted) {
        (void)sodium_bin2hex(user_id, sizeof user_id, request->frames[FRAME_KEY].bytes,
                             IDENTITY_KEY_BYTES);
    }
    const struct zap_frame *id = &request->frames[FRAME_ID];
    size_t id_bytes = request->frame_count > FRAME_ID ? id->size_bytes : 0;
    return zmq_send(socket, "1.0", 3, ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, id->bytes, id_bytes, ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, accepted ? "200" : "400", 3, ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, "", 0, ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, user_id, strlen(user_id), ZMQ_SNDMORE) >= 0 &&
           zmq_send(socket, "", 0, 0) >= 0;
}

static void *answer_requests(void *argument)
{
    struct zap *self = argument;
    struct zap_request request;
    while (receive_request(self->socket, &request) && send_reply(self->socket, &request)) {
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
    self->socket = zmq_socket(zmq_context, ZMQ_REP);
    if (self->socket == NULL ||
        zmq_setsockopt(self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms) != 0 ||
        zmq_bind(self->socket, "inproc://zeromq.zap.01") != 0) {
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
    free(self);
    return status;
}

void zap_free(struct zap *self)
{
    if (self == NULL) {
        return;
    }
    (void)pthread_join(self->thread, NULL);
    free(self);
}
