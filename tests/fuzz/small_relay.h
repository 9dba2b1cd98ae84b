/* small_relay - the relay with small frames and few places, so that short inputs fill them.
 *
 * relay*.c and what they read frames with are compiled once more for the fuzzer, with this file
 * before all others. The table of connections keeps its size; only its first places are used. */
#ifndef DUGNAD_TESTS_FUZZ_SMALL_RELAY_H
#define DUGNAD_TESTS_FUZZ_SMALL_RELAY_H

#include "proto/channel.h"
#include "proto/wire.h"

enum { SMALL_BODY = 2048, SMALL_HEAD = 2048 };

#define WIRE_BODY_MAX SMALL_BODY
#define WIRE_HEAD_MAX SMALL_HEAD

#include "coordinator/gateway/relay_state.h"

enum { SMALL_SETS = 2, SMALL_WAYS = 2, SMALL_LETTERS = 4, SMALL_INCIDENTS = 3 };

#define RELAY_SETS SMALL_SETS
#define RELAY_WAYS SMALL_WAYS
#define RELAY_CONNECTIONS_MAX (SMALL_SETS * SMALL_WAYS)
#define RELAY_INBOX_MESSAGES_MAX SMALL_LETTERS
#define RELAY_CLIENT_INBOX_MESSAGES_MAX SMALL_LETTERS
#define RELAY_INCIDENTS_MAX SMALL_INCIDENTS

#endif
