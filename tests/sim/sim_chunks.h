/* sim_chunks - the simulator's models are tiny, so its chunks are as well: a seed says how many
 * values they have.
 *
 * What cuts vectors into chunks is compiled once more for the simulator, with this file before all
 * others; from here on the name means the seed's number. */
#ifndef DUGNAD_TESTS_SIM_SIM_CHUNKS_H
#define DUGNAD_TESTS_SIM_SIM_CHUNKS_H

#include "proto/codec/codec.h"

enum { SIM_CHUNK_VALUES_MAX = CODEC_CHUNK_VALUES };

/* A multiple of CODEC_BLOCK_VALUES, at most SIM_CHUNK_VALUES_MAX. */
extern uint16_t sim_chunk_values;

#define CODEC_CHUNK_VALUES sim_chunk_values

#endif
