/* gateway_check - which messages from outside may cross to the coordinator's core.
 *
 * Each head is read as the core will read it (wire_decode, blob_header_read), and must be of a type
 * that this side may get, with a body only where one belongs. What does not pass costs its sender
 * the connection.
 *
 * Pure; thread-safe on distinct scratch. */
#ifndef DUGNAD_COORDINATOR_GATEWAY_GATEWAY_CHECK_H
#define DUGNAD_COORDINATOR_GATEWAY_GATEWAY_CHECK_H

#include "coordinator/gateway/gateway_frame.h"

#include <stdbool.h>

/* From a peer to one of the coordinator's ports: at that for chunks these alone, and a sign of
 * life.
 */
bool gateway_check_heard(struct wire_message *scratch, enum gateway_port port, const uint8_t *head,
                         size_t head_size_bytes, size_t body_size_bytes);

/* From a peer whose port the coordinator dialled: answers to its probes. */
bool gateway_check_answer(struct wire_message *scratch, const uint8_t *head,
                          size_t head_size_bytes);

#endif
