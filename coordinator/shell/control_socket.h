/* control_socket - the door through which the owner's commands reach a coordinator that serves.
 *
 * A Unix socket in the run's folder (control.sock, 0600): who may write the folder may command the
 * run, and shows it with each request (control_proof.h). One packet asks, one answers. */
#ifndef DUGNAD_COORDINATOR_SHELL_CONTROL_SOCKET_H
#define DUGNAD_COORDINATOR_SHELL_CONTROL_SOCKET_H

#include "coordinator/server/control.h"

struct control_socket;

/* Listens in the run's folder; the caller holds the run's lock, so that what an earlier process
 * left can be taken away. Errors: CANNOT_CREATE, NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status control_socket_new(const char *run_path, struct control_socket **out);
void control_socket_free(struct control_socket *self); /* NULL is allowed. Removes the socket. */

/* Readable when somebody asks. */
int control_socket_fd(const struct control_socket *self);

/* Answers one who asks, if there is one; waits for a silent one for at most half a second. For one
 * to whom the server says AGAIN it is asked again at every call, and others are answered meanwhile.
 * Errors: those that end the run (server_control). */
MUST_CHECK enum status control_socket_serve(struct control_socket *self, struct server *server,
                                            uint64_t now_ms);

/* Asks the coordinator that serves the run; `reply` gets its words. Errors: UNAVAILABLE (nobody
 * serves it), REFUSED (with the coordinator's sentence, or the run's lock cannot be opened for
 * writing), BAD_DATA, NO_MEMORY. */
MUST_CHECK enum status control_socket_ask(const char *run_path,
                                          const struct control_request *request,
                                          char reply[CONTROL_REPLY_BYTES_MAX]);

#endif
