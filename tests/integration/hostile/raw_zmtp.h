/* raw_zmtp - TCP and the framing of ZMTP 3.1 (RFC 37), as little of it as an attacker needs.
 *
 * Written from the specification, without libzmq and without our own channel: what is tested must
 * not be what tests. Blocking calls with deadlines of clock_now_ms(). One owner each. */
#ifndef DUGNAD_HOSTILE_RAW_ZMTP_H
#define DUGNAD_HOSTILE_RAW_ZMTP_H

#include "common/status.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RAW_GREETING_BYTES = 64,
    RAW_HEADER_MAX = 9,
    RAW_FRAME_MAX = 2 * 1024 * 1024, /* that we take from the server */
    RAW_MORE = 1,
    RAW_LARGE = 2,
    RAW_COMMAND = 4
};

/* What came of waiting for the other side. */
enum raw_result {
    RAW_OK,
    RAW_CUT,  /* it closed the connection */
    RAW_LATE, /* nothing until the deadline */
    RAW_BAD   /* what it said is not what the specification says */
};

struct raw_socket {
    int fd; /* -1: not open */
    uint8_t *in;
    size_t in_count; /* bytes that wait in `in` */
    size_t in_used;  /* of them, those of the frame that was read last */
};

struct raw_frame {
    uint8_t flags;
    const uint8_t *data; /* until the next call */
    size_t size_bytes;
};

/* Connects; source > 0 binds to the source-th address of 127.1.0.0/16 first, so that one machine
 * looks like many. False: refused, or cut at once. */
bool raw_open(const struct sockaddr_in *address, unsigned source, struct raw_socket *out);
void raw_close(struct raw_socket *self);

/* As raw_open, without blocking: the descriptor, which may not be connected yet, or -1. */
int raw_connect(const struct sockaddr_in *address, unsigned source);

/* All of it, or RAW_CUT, or RAW_LATE when the other side does not take it until deadline_ms.
 * *out_sent: how much it took (NULL: nobody asks). */
enum raw_result raw_send(struct raw_socket *self, const void *data, size_t size_bytes,
                         uint64_t deadline_ms, size_t *out_sent);

/* Exactly size_bytes of the stream, for the greeting. */
enum raw_result raw_read(struct raw_socket *self, uint8_t *out, size_t size_bytes,
                         uint64_t deadline_ms);
enum raw_result raw_read_frame(struct raw_socket *self, uint64_t deadline_ms,
                               struct raw_frame *out);

/* Reads and forgets until the connection is closed; RAW_LATE: it was not. */
enum raw_result raw_await_cut(struct raw_socket *self, uint64_t deadline_ms);

/* The 64 bytes for a mechanism of at most 20 letters. */
void raw_greeting(const char *mechanism, bool as_server, uint8_t out[RAW_GREETING_BYTES]);

/* Writes the header of a frame; returns its bytes. RAW_LARGE is added where it is needed. */
size_t raw_header(uint8_t flags, uint64_t size_bytes, uint8_t out[RAW_HEADER_MAX]);

#endif
