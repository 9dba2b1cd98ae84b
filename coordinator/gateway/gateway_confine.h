/* gateway_confine - what the gateway gives up before it hears from anybody.
 *
 * No files, no programs, no new ports; a ceiling on its memory, because libzmq holds without limit
 * what strangers send; no core dumps, which would hold a key; and it dies with the coordinator.
 *
 * For the whole process, before it has other threads. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_CONFINE_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_CONFINE_H

#include "common/sandbox.h"

enum { GATEWAY_MEMORY_BYTES_MAX = 512 * 1024 * 1024 };

/* *out says what the kernel could do. Errors: OS with a sentence. */
MUST_CHECK enum status gateway_confine(struct sandbox_result *out);

#endif
