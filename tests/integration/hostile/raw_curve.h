/* raw_curve - CurveZMQ (RFC 26) over raw_zmtp, one command at a time: the client's side here, and
 * the server's handshake in raw_curve_server.c.
 *
 * An attacker stops, repeats or bends any command of the handshake, so each is a call of its own.
 * One owner; libsodium must be initialised. */
#ifndef DUGNAD_HOSTILE_RAW_CURVE_H
#define DUGNAD_HOSTILE_RAW_CURVE_H

#include "tests/integration/hostile/raw_zmtp.h"

enum {
    RAW_KEY_BYTES = 32,
    RAW_COOKIE_BYTES = 96,
    RAW_HELLO_BYTES = 200,
    RAW_METADATA_MAX = 4096,
    RAW_INITIATE_MAX = 257 + RAW_METADATA_MAX,
    RAW_WELCOME_BYTES = 168,
    RAW_READY_MAX = 30 + RAW_METADATA_MAX,
    RAW_SEAL_BYTES = 33, /* that a message's box adds: name, nonce, authenticator, flags */
    RAW_HANDSHAKE_MS = 5000
};

struct raw_keys {
    uint8_t public_key[RAW_KEY_BYTES]; /* Curve25519 */
    uint8_t secret_key[RAW_KEY_BYTES];
};

struct raw_curve {
    struct raw_socket socket;
    bool serves; /* we are the server */
    struct raw_keys transient;
    uint8_t other_transient[RAW_KEY_BYTES]; /* of the other side */
    uint8_t shared[RAW_KEY_BYTES];          /* of both transient keys, for crypto_box_*_afternm */
    uint8_t cookie[RAW_COOKIE_BYTES];
    uint64_t nonce; /* of the next command of ours */
    uint8_t *plain; /* (RAW_FRAME_MAX) what raw_curve_read() opened */
};

/* An opened message of the server. */
struct raw_message {
    bool more;
    bool command;
    const uint8_t *data; /* until the next call */
    size_t size_bytes;
};

/* A key pair that nobody has seen before. */
void raw_curve_new_keys(struct raw_keys *out);

/* Writes a property of a handshake's metadata; returns its bytes. */
size_t raw_property(const char *name, const void *value, size_t value_bytes, uint8_t *out);

/* Connects and exchanges greetings. On anything but RAW_OK the socket may be open or not;
 * raw_curve_end() is right in any case. */
enum raw_result raw_curve_begin(struct raw_curve *self, const struct sockaddr_in *address,
                                unsigned source);
void raw_curve_end(struct raw_curve *self);

/* Makes the HELLO, with header. */
size_t raw_curve_hello(struct raw_curve *self, const uint8_t server_key[RAW_KEY_BYTES],
                       uint8_t out[RAW_HEADER_MAX + RAW_HELLO_BYTES]);
/* Reads the WELCOME. */
enum raw_result raw_curve_welcome(struct raw_curve *self, const uint8_t server_key[RAW_KEY_BYTES],
                                  uint64_t deadline_ms);
/* Makes the INITIATE, with header; metadata_bytes <= RAW_METADATA_MAX. */
size_t raw_curve_initiate(struct raw_curve *self, const uint8_t server_key[RAW_KEY_BYTES],
                          const struct raw_keys *keys, const uint8_t *metadata,
                          size_t metadata_bytes, uint8_t out[RAW_HEADER_MAX + RAW_INITIATE_MAX]);
/* Reads the READY: from now on the key is proved. */
enum raw_result raw_curve_ready(struct raw_curve *self, uint64_t deadline_ms);

/* All of these; metadata NULL: that of a DEALER. */
enum raw_result raw_curve_connect(struct raw_curve *self, const struct sockaddr_in *address,
                                  unsigned source, const uint8_t server_key[RAW_KEY_BYTES],
                                  const struct raw_keys *keys, const uint8_t *metadata,
                                  size_t metadata_bytes);

/* The server's side. Takes over the descriptor of an accepted connection, which does not block.
 * False: no memory, and it is closed. raw_curve_end() ends it. */
bool raw_curve_take(struct raw_curve *self, int fd);
/* Exchanges greetings. */
enum raw_result raw_curve_greet(struct raw_curve *self, uint64_t deadline_ms);
/* Reads the HELLO. */
enum raw_result raw_curve_hear_hello(struct raw_curve *self, uint64_t deadline_ms);
/* Makes the WELCOME, with header. */
size_t raw_curve_make_welcome(struct raw_curve *self, const struct raw_keys *keys,
                              uint8_t out[RAW_HEADER_MAX + RAW_WELCOME_BYTES]);
/* Reads the INITIATE, whoever sent it: an attacker is not choosy. */
enum raw_result raw_curve_hear_initiate(struct raw_curve *self, uint64_t deadline_ms);
/* Makes the READY, with header; metadata_bytes <= RAW_METADATA_MAX. */
size_t raw_curve_make_ready(struct raw_curve *self, const uint8_t *metadata, size_t metadata_bytes,
                            uint8_t out[RAW_HEADER_MAX + RAW_READY_MAX]);

/* Both sides from here on. Makes a MESSAGE with header: size_bytes + RAW_SEAL_BYTES +
 * RAW_HEADER_MAX at most. flags: RAW_MORE, and 2 for a command, inside of the box. */
size_t raw_curve_seal(struct raw_curve *self, uint8_t flags, const uint8_t *data, size_t size_bytes,
                      uint8_t *out);
/* Seals and sends; at most RAW_FRAME_MAX bytes. */
enum raw_result raw_curve_send(struct raw_curve *self, uint8_t flags, const uint8_t *data,
                               size_t size_bytes, uint64_t deadline_ms);

/* The next message; heartbeats are answered inside. */
enum raw_result raw_curve_read(struct raw_curve *self, uint64_t deadline_ms,
                               struct raw_message *out);

#endif
