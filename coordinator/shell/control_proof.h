/* control_proof - how one who asks at the control socket shows that the run's folder is its own.
 *
 * The socket's mode lets in whoever is the same user, and so it would the gateway, which the public
 * talks to: a kernel that keeps a process from all files does not keep it from unix sockets. So a
 * request comes with a descriptor of RUN/lock that is open for writing, which such a process can
 * neither open nor inherit. It is no secret: nothing lies on disk that could be copied. */
#ifndef DUGNAD_COORDINATOR_SHELL_CONTROL_PROOF_H
#define DUGNAD_COORDINATOR_SHELL_CONTROL_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Opens what is shown for the run whose folder is open as folder_fd; -1 with errno. */
int control_proof_open(int folder_fd);

/* Sends text(size_bytes) as one packet, with the descriptor; -1 with errno. */
ssize_t control_proof_send(int fd, const char *text, size_t size_bytes, int proof_fd);

/* Receives one packet into text(size_bytes_max): its size, or <= 0. *out_proven: a descriptor of
 * this folder's file came with it. None that came stays open. */
ssize_t control_proof_receive(int fd, int folder_fd, char *text, size_t size_bytes_max,
                              bool *out_proven);

#endif
