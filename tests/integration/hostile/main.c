/* dugnad-hostile - attacks on a coordinator, one a call. For tests only; it is not installed. */
#include "common/fault.h"
#include "tests/integration/hostile/attack.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    bool (*run)(struct attack *self);
} attacks[] = {
    {"flood", attack_flood},         {"slowloris", attack_slowloris}, {"giant", attack_giant},
    {"handshake", attack_handshake}, {"multipart", attack_multipart}, {"squat", attack_squat},
    {"bomb", attack_bomb},           {"member", attack_member},       {"hold", attack_hold},
    {"relay", attack_relay},         {"replay", attack_replay},       {"stale", attack_stale},
    {"owner", attack_owner},
};

unsigned attack_source(const struct attack *self, uint64_t n)
{
    return self->sources == 0 ? 0 : 1U + (unsigned)(n % self->sources);
}

void report_begin(const struct attack *self)
{
    (void)printf("{\"attack\":\"%s\",\"mode\":\"%s\"", self->name, self->mode);
}

void report_number(const char *key, uint64_t value)
{
    (void)printf(",\"%s\":%" PRIu64, key, value);
}

void report_text(const char *key, const char *value)
{
    (void)printf(",\"%s\":\"%s\"", key, value);
}

void report_end(void)
{
    (void)printf("}\n");
    (void)fflush(stdout);
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: dugnad-hostile ATTACK LINK [--mode NAME] [--count N] "
                          "[--sources N] [--ms N] [--file PATH] [--port N] [--to N]\n"
                          "See README.md for the attacks.\n");
    return status_exit_code(STATUS_USAGE);
}

static enum status find_server(struct attack *self, const char *text)
{
    char host[LINK_ADDRESS_MAX];
    enum status status = link_parse(text, &self->link);
    if (status != STATUS_OK) {
        return status;
    }
    (void)snprintf(host, sizeof host, "%s", self->link.address);
    char *colon = strrchr(host, ':');
    *colon = '\0';
    self->address = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10))};
    if (inet_pton(AF_INET, host, &self->address.sin_addr) != 1) {
        return fault(STATUS_USAGE, "give a link with an IPv4 address, not '%s'", host);
    }
    return identity_curve_of(self->link.coordinator_key, self->server_key);
}

static bool read_options(struct attack *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"mode", required_argument, NULL, 'm'},    {"count", required_argument, NULL, 'c'},
        {"sources", required_argument, NULL, 's'}, {"ms", required_argument, NULL, 't'},
        {"file", required_argument, NULL, 'f'},    {"port", required_argument, NULL, 'p'},
        {"to", required_argument, NULL, 'o'},      {NULL, 0, NULL, 0},
    };
    int option = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'm':
            self->mode = optarg;
            break;
        case 'f':
            self->file = optarg;
            break;
        case 'c':
            self->count = strtoull(optarg, NULL, 10);
            break;
        case 's':
            self->sources = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            self->duration_ms = strtoull(optarg, NULL, 10);
            break;
        case 'p':
            self->port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'o':
            self->address.sin_port = htons((uint16_t)strtoul(optarg, NULL, 10));
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct attack self = {.mode = "", .file = "", .count = 1, .duration_ms = 5000};
    struct rlimit files;
    if (argc < 3 || sodium_init() < 0) {
        return usage();
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    self.name = argv[1];
    enum status status = find_server(&self, argv[2]);
    if (status != STATUS_OK) {
        return fault_report("dugnad-hostile", status);
    }
    if (!read_options(&self, argc - 2, argv + 2)) {
        return usage();
    }
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        if (strcmp(argv[1], attacks[i].name) == 0) {
            return attacks[i].run(&self) ? 0 : 1;
        }
    }
    return usage();
}
