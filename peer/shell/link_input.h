/* link_input - the join link that a user hands over: as an argument, in a file, on standard input.
 */
#ifndef DUGNAD_PEER_SHELL_LINK_INPUT_H
#define DUGNAD_PEER_SHELL_LINK_INPUT_H

#include "proto/link.h"

/* Reads the link that `argument` is, that stands in the file behind an @, or (-) that comes first
 * on standard input; blanks, empty lines and a byte order mark around it do not matter. An argument
 * that is a link is zeroed, so that no list of processes shows it. Errors: those of link_parse and
 * files_read; BAD_DATA (no link, or more than one), NO_INPUT; each with a sentence. */
MUST_CHECK enum status link_input_read(char *argument, struct join_link *out);

#endif
