/* commands - what dugnad-coordinator can be asked to do; argv[0] is the command's name.
 *
 * Errors leave a sentence for main. */
#ifndef DUGNAD_COORDINATOR_SHELL_COMMANDS_H
#define DUGNAD_COORDINATOR_SHELL_COMMANDS_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>

MUST_CHECK enum status cmd_init(int argc, char **argv);
MUST_CHECK enum status cmd_serve(int argc, char **argv);
MUST_CHECK enum status cmd_invite(int argc, char **argv);
MUST_CHECK enum status cmd_status(int argc, char **argv);
MUST_CHECK enum status cmd_credit(int argc, char **argv);
MUST_CHECK enum status cmd_log(int argc, char **argv);
MUST_CHECK enum status cmd_verify(int argc, char **argv);
MUST_CHECK enum status cmd_rebuild_ledger(int argc, char **argv);
MUST_CHECK enum status cmd_pause(int argc, char **argv);
MUST_CHECK enum status cmd_resume(int argc, char **argv);
MUST_CHECK enum status cmd_stop(int argc, char **argv);
MUST_CHECK enum status cmd_set(int argc, char **argv);
MUST_CHECK enum status cmd_plan(int argc, char **argv);
MUST_CHECK enum status cmd_trust(int argc, char **argv);
MUST_CHECK enum status cmd_untrust(int argc, char **argv);
MUST_CHECK enum status cmd_invites(int argc, char **argv);
MUST_CHECK enum status cmd_peers(int argc, char **argv);
MUST_CHECK enum status cmd_allow(int argc, char **argv);
MUST_CHECK enum status cmd_ban(int argc, char **argv);
MUST_CHECK enum status cmd_unban(int argc, char **argv);
MUST_CHECK enum status cmd_revoke(int argc, char **argv);
MUST_CHECK enum status cmd_incidents(int argc, char **argv);
MUST_CHECK enum status cmd_fork(int argc, char **argv);

/* The number behind --threads. Errors: USAGE. */
MUST_CHECK enum status command_threads(const char *text, size_t *out);

/* A text that lists and logs can show, of less than size_max bytes. Errors: USAGE, which names the
 * option. */
MUST_CHECK enum status command_text(const char *option, const char *text, char *out,
                                    size_t size_max);

/* Fine when no argument is left at argv[index]. Errors: USAGE, which names it. */
MUST_CHECK enum status command_end(int argc, char **argv, int index);

struct command_dir {
    const char *path; /* behind --dir */
    bool flagged;
    bool helped; /* `help` was asked for and printed: there is nothing more to do */
};

/* Options of a command that takes --dir and, unless `flag` is NULL, that one word more ("json").
 * Errors: USAGE. */
MUST_CHECK enum status command_dir(int argc, char **argv, const char *help, const char *flag,
                                   struct command_dir *out);

enum { COORDINATOR_PORT_DEFAULT = 7700 };

#endif
