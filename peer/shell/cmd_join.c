#include "peer/shell/cmd_join.h"

#include "common/cores.h"
#include "common/fault.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/open_files.h"
#include "common/process.h"
#include "common/secret.h"
#include "peer/daemon/daemon.h"
#include "peer/daemon/state_dir.h"
#include "peer/shell/confine.h"
#include "peer/shell/link_input.h"
#include "proto/rate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_S_MAX = 86400, MEMORY_MIB_MAX = 1 << 30, PORT_MAX = 65535 };

/* Of the memory that the peer may use, what is for others' contributions and their sums: the rest
 * is for computing. */
enum { DISK_MIB = 64 };

/* A coordinator's messages cause lines: it must not fill the disk that they go to. */
enum { LOG_LINES_PER_S = 20, LOG_LINES_AT_ONCE = 2000 };

enum { FILES_NEEDED = 20 }; /* without owners to dial, or guests */

enum { AGGREGATE_SHARE = 4, AGGREGATE_ONLY_PERCENT = 75 };

static const char help[] =
    "dugnad-peer join LINK [OPTIONS]\n"
    "\n"
    "Joins a run and computes for it until the run is finished. LINK comes from whoever runs the\n"
    "coordinator and is a secret: better than on the command line, where others on this machine\n"
    "may see it for a moment, is @FILE, which reads it from a file, or - (standard input).\n"
    "Ctrl-C finishes the sequence, hands in what is done and leaves.\n"
    "  --threads N          threads that compute (the machine's cores)\n"
    "  --cpu-limit PERCENT  share of the time that each thread computes (100)\n"
    "  --memory MIB         refuse a run that needs more than this (what the machine has)\n"
    "  --disk MIB           what the state folder may hold (64)\n"
    "  --state DIR          where the identity is kept (~/.local/state/dugnad)\n"
    "  --name NAME          what others see in their logs (the host's name)\n"
    "  --wait SECONDS       give up when nobody answers for this long at the start; 0: never (60)\n"
    "  --precision auto|fp32|bf16  what the machine computes in; auto measures (auto)\n"
    "  --recompute none|blocks     blocks needs less memory and is about a fifth slower (none)\n"
    "  --pin                keep each thread on one processor\n"
    "  --backend cpu|bf16|ref      instead of --precision, to compare arithmetics\n"
    "  --aggregate [HOST:]PORT     sum and pass on for others, who reach this machine at that "
    "port\n"
    "                       (HOST: an IP address; by itself the one the coordinator sees; PORT 0:\n"
    "                       a free one)\n"
    "  --no-compute         with --aggregate: do nothing else\n"
    "  --max-up RATE        send no faster than this, such as 20mbit or 2.5MB a second\n"
    "  --max-down RATE      and receive no faster\n"
    "  --no-sandbox         keep all rights of the user who runs this, instead of what the peer\n"
    "                       needs (docs/volunteering.md)\n"
    "  --log text|json      form of the log lines on stderr (text)\n"
    "  --verbose            more of them, to find out what went on\n";

struct join_arguments {
    struct daemon_options daemon;
    const char *state;
    uint64_t disk_bytes_max;
    bool bare;  /* no sandbox */
    char *link; /* one of main's arguments */
    bool helped;
};

static enum status parse_number(const char *option, const char *text, unsigned long least,
                                unsigned long most, unsigned long *out)
{
    char *end = NULL;
    *out = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || *out < least || *out > most) {
        return fault(STATUS_USAGE, "%s takes a number from %lu to %lu, not '%s'", option, least,
                     most, text);
    }
    return STATUS_OK;
}

/* Nobody looks up names for an owner's port. */
static bool is_ip_address(const char *host)
{
    uint8_t binary[sizeof(struct in6_addr)];
    char inner[INET6_ADDRSTRLEN + 2];
    size_t length = strlen(host);
    bool bracketed =
        length > 2 && length < sizeof inner && host[0] == '[' && host[length - 1] == ']';
    if (!bracketed) {
        return inet_pton(AF_INET, host, binary) == 1;
    }
    (void)snprintf(inner, sizeof inner, "%.*s", (int)length - 2, host + 1);
    return inet_pton(AF_INET6, inner, binary) == 1;
}

static enum status parse_aggregate(const char *value, struct daemon_options *out)
{
    const char *colon = strrchr(value, ':');
    const char *port = colon != NULL ? colon + 1 : value;
    size_t host_length = colon != NULL ? (size_t)(colon - value) : 0;
    unsigned long number = 0;
    enum status status = parse_number("the port of --aggregate", port, 0, PORT_MAX, &number);
    if (status != STATUS_OK) {
        return status;
    }
    if (host_length >= sizeof out->bulk_host) {
        host_length = sizeof out->bulk_host - 1; /* no address is so long */
    }
    memcpy(out->bulk_host, value, host_length);
    out->bulk_host[host_length] = '\0';
    out->bulk_port = (uint16_t)number;
    out->aggregates = true;
    if (colon != NULL && !is_ip_address(out->bulk_host)) {
        return fault(STATUS_USAGE,
                     "--aggregate takes PORT, or HOST:PORT with the IP address at which others "
                     "reach this machine (IPv6 in brackets), not '%.100s'",
                     value);
    }
    return STATUS_OK;
}

/* Names travel as printable ASCII without quotes and backslashes. */
static void set_name(struct daemon_options *options, const char *name)
{
    size_t length = 0;
    for (; length < WIRE_NAME_MAX - 1 && name[length] != '\0'; length++) {
        options->name[length] = name[length];
        if (name[length] <= ' ' || name[length] >= 0x7f || strchr("\"\\", name[length]) != NULL) {
            options->name[length] = '-';
        }
    }
    options->name[length] = '\0';
}

static enum status take_option(struct join_arguments *out, int option, const char *value)
{
    unsigned long number = 0;
    enum status status = STATUS_OK;
    switch (option) {
    case 't':
        status = parse_number("--threads", value, 1, TEAM_THREADS_MAX, &number);
        out->daemon.compute.thread_count = number;
        return status;
    case 'c':
        status = parse_number("--cpu-limit", value, 1, 100, &number);
        out->daemon.compute.cpu_percent = (unsigned)number;
        return status;
    case 'w':
        status = parse_number("--wait", value, 0, WAIT_S_MAX, &number);
        out->daemon.first_ms_max = number * 1000;
        return status;
    case 'm':
        status = parse_number("--memory", value, 1, MEMORY_MIB_MAX, &number);
        out->daemon.compute.memory_bytes_max = (uint64_t)number << 20;
        return status;
    case 'k':
        status = parse_number("--disk", value, 1, MEMORY_MIB_MAX, &number);
        out->disk_bytes_max = (uint64_t)number << 20;
        return status;
    case 'f':
        out->bare = true;
        return STATUS_OK;
    case 's':
        out->state = value;
        return STATUS_OK;
    case 'n':
        set_name(&out->daemon, value);
        return STATUS_OK;
    case 'p':
        return precision_find(value, &out->daemon.compute.precision);
    case 'r':
        return recompute_find(value, &out->daemon.compute.recompute);
    case 'a':
        return parse_aggregate(value, &out->daemon);
    case 'x':
        out->daemon.aggregates_only = true;
        return STATUS_OK;
    case 'u':
        return rate_from_text("--max-up", value, &out->daemon.up_bytes_per_s_max);
    case 'd':
        return rate_from_text("--max-down", value, &out->daemon.down_bytes_per_s_max);
    case 'i':
        out->daemon.compute.pinned = true;
        return STATUS_OK;
    case 'b':
        return backend_find(value, &out->daemon.compute.backend);
    case 'o':
        return log_set_format(value);
    case 'v':
        log_set_level(LOG_DEBUG);
        log_limit(0, 0);
        return STATUS_OK;
    case 'h':
        (void)fputs(help, stdout);
        out->helped = true;
        return STATUS_OK;
    default:
        return STATUS_USAGE; /* the caller knows which it was */
    }
}

/* getopt's own sentence would repeat all of it, and it may hold a link. */
static enum status bad_option(const char *argument)
{
    return fault(STATUS_USAGE,
                 "'%.*s' is no option of join, or its value is missing; see 'dugnad-peer join "
                 "--help'",
                 (int)strcspn(argument, "=:/"), argument);
}

static enum status parse(int argc, char **argv, struct join_arguments *out)
{
    static const struct option options[] = {{"threads", required_argument, NULL, 't'},
                                            {"cpu-limit", required_argument, NULL, 'c'},
                                            {"precision", required_argument, NULL, 'p'},
                                            {"recompute", required_argument, NULL, 'r'},
                                            {"memory", required_argument, NULL, 'm'},
                                            {"disk", required_argument, NULL, 'k'},
                                            {"no-sandbox", no_argument, NULL, 'f'},
                                            {"pin", no_argument, NULL, 'i'},
                                            {"wait", required_argument, NULL, 'w'},
                                            {"state", required_argument, NULL, 's'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"backend", required_argument, NULL, 'b'},
                                            {"aggregate", required_argument, NULL, 'a'},
                                            {"no-compute", no_argument, NULL, 'x'},
                                            {"max-up", required_argument, NULL, 'u'},
                                            {"max-down", required_argument, NULL, 'd'},
                                            {"log", required_argument, NULL, 'o'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    enum status status = STATUS_OK;
    opterr = 0;
    for (int option; status == STATUS_OK && !out->helped &&
                     (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        status = option == '?' ? bad_option(argv[optind - 1]) : take_option(out, option, optarg);
    }
    if (status == STATUS_OK && !out->helped) {
        if (out->daemon.aggregates_only && !out->daemon.aggregates) {
            return fault(STATUS_USAGE, "--no-compute needs --aggregate PORT: a peer that neither "
                                       "computes nor aggregates does nothing");
        }
        if (optind + 1 != argc) {
            return fault(STATUS_USAGE, "join needs one LINK; ask for it whoever runs the "
                                       "coordinator ('dugnad-coordinator invite')");
        }
        out->link = argv[optind];
    }
    return status;
}

/* oneDNN writes its kernels while it runs; OpenBLAS and our own do not. */
static bool makes_code(const struct daemon_options *options)
{
    const struct compute_settings *compute = &options->compute;
    bool maybe_bf16 = compute->backend == NULL ? compute->precision != PRECISION_FP32
                                               : strcmp(compute->backend->name, "bf16") == 0;
    return !options->aggregates_only && maybe_bf16;
}

/* Memory for others, out of --memory or of what the machine has. */
static void share_memory(struct daemon_options *options)
{
    uint64_t *limit = &options->compute.memory_bytes_max;
    uint64_t bytes = *limit > 0 ? *limit : memory_available_bytes();
    if (options->aggregates_only) {
        options->aggregate_bytes_max = bytes / 100 * AGGREGATE_ONLY_PERCENT;
        options->compute.thread_count = 1; /* as others see it */
    } else if (options->aggregates) {
        options->aggregate_bytes_max = bytes / AGGREGATE_SHARE;
        *limit = *limit > 0 ? *limit - options->aggregate_bytes_max : 0;
    }
}

/* Nothing from outside was read before this but the link. */
static enum status run_confined(struct join_arguments *arguments, const char *state,
                                const struct identity *identity)
{
    struct daemon_options *options = &arguments->daemon;
    const struct confine_wish wish = {.state = state,
                                      .disk_bytes_max = arguments->disk_bytes_max,
                                      .bare = arguments->bare,
                                      .aggregates = options->aggregates,
                                      .makes_code = makes_code(options)};
    options->pins_folder = state;
    options->disk_bytes_max = arguments->disk_bytes_max;
    enum status status = confine(&wish);
    return status == STATUS_OK ? daemon_run(options, identity) : status;
}

enum status cmd_join(int argc, char **argv)
{
    struct join_arguments arguments = {
        .daemon = {.compute = {.thread_count = cores_usable(TEAM_THREADS_MAX), .cpu_percent = 100},
                   .first_ms_max = 60000},
        .disk_bytes_max = (uint64_t)DISK_MIB << 20};
    char host[WIRE_NAME_MAX] = "peer";
    (void)gethostname(host, sizeof host - 1);
    set_name(&arguments.daemon, host);
    log_limit(LOG_LINES_PER_S, LOG_LINES_AT_ONCE);
    enum status status = parse(argc, argv, &arguments);
    if (status != STATUS_OK || arguments.link == NULL) {
        return status; /* with --help there is no link */
    }
    status = open_files_prepare(FILES_NEEDED); /* before one is lacking somewhere else */
    if (status != STATUS_OK) {
        return status;
    }
    share_memory(&arguments.daemon);
    struct identity identity;
    char state[FILES_PATH_MAX];
    struct sequence sequence;
    arguments.daemon.sequence = &sequence;
    status = link_input_read(arguments.link, &arguments.daemon.link);
    if (status == STATUS_OK) {
        status = state_dir_find(arguments.state, state);
    }
    if (status == STATUS_OK) {
        status = state_dir_open(state, &identity, &sequence);
    }
    if (status == STATUS_OK && !secret_all_locked()) {
        log_warn("join", "key_not_locked", "%s", SECRET_NOT_LOCKED_ADVICE);
    }
    if (status == STATUS_OK) {
        status = run_confined(&arguments, state, &identity);
        identity_wipe(&identity);
    }
    secret_wipe(&arguments.daemon.link, sizeof arguments.daemon.link);
    return status;
}
