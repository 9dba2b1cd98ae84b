/* dugnad-sim - the real coordinator and real peers on virtual time, from a seed. */
#include "sim.h"
#include "sim_template.h"

#include <jansson.h>
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <inttypes.h>

int main(int argc, char **argv)
{
    uint64_t first = 1;
    uint64_t last = 1;
    bool trace = false;
    bool quiet = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            first = last = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            quiet = true;
        }
    }
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 17);
    if (sodium_init() < 0) return 1;
    sim_templates_make();
    for (uint64_t seed = first; seed <= last; seed++) {
        struct sim_options options = {.seed = seed, .quiet = quiet, .trace = trace, .trace_out = trace ? stdout : NULL};
        struct sim_result result;
        char hex[DIGEST_HEX_BYTES];
        sim_run(&options, &result, stdout);
        digest_to_hex(&result.hash, hex);
        printf("seed=%" PRIu64 " hash=%.16s virtual=%.1f events=%" PRIu64 " steps=%" PRIu64 " %s\n", seed, hex, (double)result.figures.virtual_us / 1e6, result.figures.events, result.figures.steps, result.failure);
    }
    sim_templates_free();
    return 0;
}
