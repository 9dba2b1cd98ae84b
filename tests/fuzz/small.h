/* small - chunks of few values, transfers from few sources and tokenizers of few tokens, so that
 * short inputs hold several and take no time.
 *
 * What reads them is compiled once more for the fuzzer, with this file before all others. */
#ifndef DUGNAD_TESTS_FUZZ_SMALL_H
#define DUGNAD_TESTS_FUZZ_SMALL_H

#include "proto/blob_receiver.h"
#include "proto/codec/codec.h"
#include "trainer/tokenizer/tokenizer.h"

enum { SMALL_CHUNK_VALUES = 64, SMALL_SOURCES = 4, SMALL_VOCAB = 512 };

#define CODEC_CHUNK_VALUES SMALL_CHUNK_VALUES
#define BLOB_SOURCES_MAX SMALL_SOURCES
#define TOKENIZER_VOCAB_MAX SMALL_VOCAB

#endif
