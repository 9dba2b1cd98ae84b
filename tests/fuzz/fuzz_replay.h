/* fuzz_replay - whether this program replays inputs (replay.c), and does not look for new ones. */
#ifndef DUGNAD_TESTS_FUZZ_FUZZ_REPLAY_H
#define DUGNAD_TESTS_FUZZ_FUZZ_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool fuzz_replays(void);

/* libFuzzer's entry point (fuzz.c). */
/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer chooses the name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#endif
