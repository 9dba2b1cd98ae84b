/* dugnad-sim - the real coordinator and real peers on virtual time, from a seed. */
#include "common/fault.h"
#include "tests/sim/experiment.h"
#include "tests/sim/sim_crashes.h"
#include "tests/sim/sim_jobs.h"
#include "tests/sim/sim_template.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char help[] =
    "dugnad-sim --seed N [--trace] | --seeds A..B | --seeds random | --crash-every-call\n"
    "dugnad-sim --experiment links [--quick] [--only WORDS] [--json FILE] [--svg FILE]\n"
    "           [--seed N]\n"
    "\n"
    "  --seed N       one run; prints the hash over all that happened\n"
    "  --trace        with all of it in words\n"
    "  --seeds A..B   many runs, and a summary; the first that fails is shown\n"
    "  --seeds random a thousand seeds that nobody chose; --count N: another number of them\n"
    "  --jobs N       processes (2)\n"
    "  --crash-every-call\n"
    "                 one short run, ended at every call of its disk; with --seed N: another one;\n"
    "                 --sparse N: of the points in recoveries only every Nth\n"
    "  --quiet        nothing goes wrong\n"
    "  --keep-going   with --seeds: name every seed that fails\n"
    "  --experiment links\n"
    "                 steps of large models over limited links, by strategy: a table; --quick: a\n"
    "                 few seconds of it, with the bars that must be reached; --json, --svg: as "
    "files\n";

enum { SEED_BITS_OF_CHANCE = 40, USAGE = 64 };

struct arguments {
    struct sim_jobs_options jobs;
    bool one;
    bool random;
    bool trace;
    bool crashes;
    uint64_t sparse;
    uint64_t count;
    bool experiment;
    struct experiment_options links;
};

static bool read_seeds(const char *text, struct arguments *out)
{
    char *end = NULL;
    if (strcmp(text, "random") == 0) {
        out->random = true;
        return true;
    }
    out->jobs.first = strtoull(text, &end, 10);
    if (end == text || strncmp(end, "..", 2) != 0) {
        return false;
    }
    text = end + 2;
    out->jobs.last = strtoull(text, &end, 10);
    return end != text && *end == '\0' && out->jobs.last >= out->jobs.first;
}

static bool read_number(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return end != text && *end == '\0';
}

static bool take_option(struct arguments *out, int option)
{
    uint64_t number = 0;
    switch (option) {
    case 's':
        out->one = true;
        return read_number(optarg, &out->jobs.first);
    case 'S':
        return read_seeds(optarg, out);
    case 'j':
        out->jobs.jobs = read_number(optarg, &number) ? (size_t)number : 0;
        return number >= 1 && number <= SIM_JOBS_MAX;
    case 'c':
        return read_number(optarg, &out->count) && out->count > 0;
    case 'p':
        return read_number(optarg, &out->sparse) && out->sparse > 0;
    case 't':
        out->trace = true;
        return true;
    case 'x':
        out->crashes = true;
        return true;
    case 'q':
        out->jobs.quiet = true;
        return true;
    case 'k':
        out->jobs.keep_going = true;
        return true;
    case 'e':
        out->experiment = true;
        return strcmp(optarg, "links") == 0;
    case 'Q':
        out->links.quick = true;
        return true;
    case 'O':
        out->links.only = optarg;
        return true;
    case 'J':
        out->links.json_path = optarg;
        return true;
    case 'V':
        out->links.svg_path = optarg;
        return true;
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},   {"seeds", required_argument, NULL, 'S'},
        {"jobs", required_argument, NULL, 'j'},   {"count", required_argument, NULL, 'c'},
        {"trace", no_argument, NULL, 't'},        {"crash-every-call", no_argument, NULL, 'x'},
        {"sparse", required_argument, NULL, 'p'}, {"quiet", no_argument, NULL, 'q'},
        {"keep-going", no_argument, NULL, 'k'},   {"experiment", required_argument, NULL, 'e'},
        {"quick", no_argument, NULL, 'Q'},        {"only", required_argument, NULL, 'O'},
        {"json", required_argument, NULL, 'J'},   {"svg", required_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (!take_option(out, option)) {
            return false;
        }
    }
    return optind == argc &&
           (out->one || out->experiment || out->random || out->crashes || out->jobs.last > 0);
}

static int run_one(const struct arguments *arguments)
{
    struct sim_options options = {.seed = arguments->jobs.first,
                                  .quiet = arguments->jobs.quiet,
                                  .trace = arguments->trace ? stdout : NULL};
    struct sim_result result;
    char hex[DIGEST_HEX_BYTES];
    sim_run(&options, &result);
    digest_to_hex(&result.hash, hex);
    sim_figures_print(&result.figures, 0.0);
    printf("seed=%" PRIu64 " trace=%s\n", options.seed, hex);
    if (result.failure[0] != '\0') {
        printf("FAILED seed=%" PRIu64 ": %s\n", options.seed, result.failure);
    }
    return result.failure[0] == '\0' ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void choose_seeds(struct arguments *arguments)
{
    uint64_t chance = 0;
    (void)!getrandom(&chance, sizeof chance, 0);
    arguments->jobs.first = 1 + (chance >> (64 - SEED_BITS_OF_CHANCE));
    arguments->jobs.last = arguments->jobs.first + arguments->count - 1;
    arguments->jobs.by_chance = true;
    printf("seeds %" PRIu64 "..%" PRIu64 "\n", arguments->jobs.first, arguments->jobs.last);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.jobs = {.jobs = 2}, .count = 1000, .sparse = 1};
    if (!parse(argc, argv, &arguments)) {
        (void)fputs(help, stderr);
        return USAGE;
    }
    if (arguments.experiment) {
        arguments.links.seed = arguments.one ? arguments.jobs.first : 1;
        enum status status = experiment_run(&arguments.links);
        return status == STATUS_OK ? EXIT_SUCCESS : fault_report("dugnad-sim", status);
    }
    /* Large blocks come from the kernel, zeroed when they are touched: most of them are not. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 17);
    json_set_alloc_funcs(malloc, free); /* so that what a crash leaves of JSON is freed as well */
    sim_templates_make();
    int result = EXIT_SUCCESS;
    if (arguments.crashes) {
        uint64_t seed = arguments.one ? arguments.jobs.first : 1;
        result = sim_crashes_run(seed, arguments.jobs.jobs, arguments.sparse) == 0 ? EXIT_SUCCESS
                                                                                   : EXIT_FAILURE;
    } else if (arguments.one) {
        result = run_one(&arguments);
    } else {
        if (arguments.random) {
            choose_seeds(&arguments);
        }
        result = sim_jobs_run(&arguments.jobs) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    sim_templates_free();
    return result;
}
