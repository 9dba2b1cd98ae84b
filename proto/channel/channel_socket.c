#include "proto/channel/channel_socket.h"

#include "common/check.h"
#include "common/fault.h"
#include "proto/wire.h"

#include <errno.h>
#include <string.h>

enum {
    HANDSHAKE_MS = 2000,
    HEARTBEAT_INTERVAL_MS = 10000,
    HEARTBEAT_TIMEOUT_MS = 30000,
    FRAME_OVERHEAD_BYTES = 256, /* CURVE adds 33 bytes; libzmq counts them */
    FRAMES_MAX = 3
};

_Static_assert(sizeof(struct channel_frames) <= sizeof((struct channel_message *)0)->opaque,
               "a message holds its frames");
_Static_assert((int)WIRE_HEAD_MAX <= (int)CHANNEL_BULK_BODY_MAX &&
                   (int)CHANNEL_BULK_BODY_MAX <= (int)WIRE_BODY_MAX,
               "MAXMSGSIZE follows the larger frame");

static enum status set_failed(int option)
{
    return fault(STATUS_OS,
                 "ZeroMQ refuses socket option %d: %s; Dugnad needs libzmq 4.3 with CURVE", option,
                 zmq_strerror(errno));
}

enum status channel_socket_set(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0 ? STATUS_OK
                                                                     : set_failed(option);
}

enum status channel_socket_set_up(void *socket, const struct identity *identity,
                                  const struct channel_limits *limits)
{
    const struct {
        int option;
        int value;
    } settings[] = {
        {ZMQ_RCVHWM, limits->receive_messages_max},
        {ZMQ_SNDHWM, limits->send_messages_max},
        {ZMQ_LINGER, limits->linger_ms},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_HEARTBEAT_IVL, HEARTBEAT_INTERVAL_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        enum status status = channel_socket_set(socket, settings[i].option, settings[i].value);
        if (status != STATUS_OK) {
            return status;
        }
    }
    int64_t frame_bytes_max = (int64_t)limits->body_bytes_max + FRAME_OVERHEAD_BYTES;
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof frame_bytes_max) != 0) {
        return set_failed(ZMQ_MAXMSGSIZE);
    }
    if (zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, identity->curve_public, IDENTITY_KEY_BYTES) !=
        0) {
        return set_failed(ZMQ_CURVE_PUBLICKEY);
    }
    if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, identity->secrets->curve, IDENTITY_KEY_BYTES) !=
        0) {
        return set_failed(ZMQ_CURVE_SECRETKEY);
    }
    return STATUS_OK;
}

struct channel_frames *channel_frames_of(struct channel_message *message)
{
    return (struct channel_frames *)(void *)message->opaque;
}

void channel_message_close(struct channel_message *message)
{
    struct channel_frames *frames = channel_frames_of(message);
    (void)zmq_msg_close(&frames->head);
    (void)zmq_msg_close(&frames->body);
    message->head = NULL;
    message->body = NULL;
    message->head_size_bytes = 0;
    message->body_size_bytes = 0;
}

enum status channel_socket_receive(void *socket, struct channel_message *out, bool *draining)
{
    struct channel_frames *frames = channel_frames_of(out);
    memset(out, 0, sizeof *out);
    (void)zmq_msg_init(&frames->head); /* cannot fail */
    (void)zmq_msg_init(&frames->body);
    if (zmq_msg_recv(&frames->head, socket, ZMQ_DONTWAIT) < 0) {
        return STATUS_AGAIN;
    }
    if (zmq_msg_more(&frames->head) == 0) {
        return STATUS_PROTOCOL;
    }
    if (zmq_msg_recv(&frames->body, socket, ZMQ_DONTWAIT) < 0) {
        return STATUS_PROTOCOL; /* the frames of a message come together */
    }
    *draining = zmq_msg_more(&frames->body) != 0;
    out->head = zmq_msg_data(&frames->head);
    out->head_size_bytes = zmq_msg_size(&frames->head);
    out->body = zmq_msg_data(&frames->body);
    out->body_size_bytes = zmq_msg_size(&frames->body);
    if (*draining || out->head_size_bytes == 0 || out->head_size_bytes > WIRE_HEAD_MAX ||
        out->body_size_bytes > WIRE_BODY_MAX) {
        return STATUS_PROTOCOL;
    }
    return STATUS_OK;
}

bool channel_socket_drain(void *socket, bool *draining)
{
    for (unsigned i = 0; *draining && i < CHANNEL_DRAINED_PER_CALL_MAX; i++) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame);
        *draining = zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&frame) != 0;
        (void)zmq_msg_close(&frame);
    }
    return !*draining;
}

static enum status send_failed(void)
{
    return errno == EHOSTUNREACH ? STATUS_STALE : STATUS_AGAIN;
}

enum status channel_socket_send(void *socket, struct channel_bytes prefix,
                                struct channel_bytes head, struct channel_bytes body)
{
    CHECK(head.size_bytes > 0 && head.size_bytes <= WIRE_HEAD_MAX);
    CHECK(body.size_bytes <= WIRE_BODY_MAX);
    const struct channel_bytes parts[FRAMES_MAX] = {prefix, head, body};
    zmq_msg_t frames[FRAMES_MAX];
    enum status status = STATUS_OK;
    size_t ready = 0;
    /* All memory comes first: a message that is half sent cannot be taken back. */
    for (; ready < FRAMES_MAX && status == STATUS_OK; ready++) {
        if (zmq_msg_init_size(&frames[ready], parts[ready].size_bytes) != 0) {
            status = STATUS_AGAIN;
            break;
        }
        if (parts[ready].size_bytes > 0) {
            memcpy(zmq_msg_data(&frames[ready]), parts[ready].data, parts[ready].size_bytes);
        }
    }
    for (size_t i = prefix.size_bytes > 0 ? 0 : 1; i < FRAMES_MAX && status == STATUS_OK; i++) {
        int flags = ZMQ_DONTWAIT | (i + 1 < FRAMES_MAX ? ZMQ_SNDMORE : 0);
        if (zmq_msg_send(&frames[i], socket, flags) < 0) {
            status = send_failed();
        }
    }
    for (size_t i = 0; i < ready; i++) {
        (void)zmq_msg_close(&frames[i]); /* what was sent is empty now */
    }
    return status;
}
