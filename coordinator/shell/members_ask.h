/* members_ask - asks about members: the coordinator that serves the run, or where nobody does, the
 * run's own file. */
#ifndef DUGNAD_COORDINATOR_SHELL_MEMBERS_ASK_H
#define DUGNAD_COORDINATOR_SHELL_MEMBERS_ASK_H

#include "coordinator/server/control.h"

/* The folder must hold a run. Errors: those of members_command and control_socket_ask, UNAVAILABLE
 * (another command holds the run), with a sentence. */
MUST_CHECK enum status members_ask(const char *run_path, const struct members_request *request,
                                   char reply[CONTROL_REPLY_BYTES_MAX]);

/* All pages of a list; the caller owns *out_rows, an array: json_decref. Errors: as above. */
MUST_CHECK enum status members_ask_all(const char *run_path, enum members_wish wish,
                                       struct json_t **out_rows);

#endif
