#include "common/clock.h"
#include "common/fault.h"
#include "common/files.h"
#include "coordinator/shell/commands.h"
#include "coordinator/shell/members_ask.h"
#include "coordinator/store/run_dir.h"
#include "coordinator/store/status_file.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { USES_MAX = 1000000, DAYS_MAX = 3650 };
#define EXPIRES_MS_DEFAULT (UINT64_C(30) * 24 * 3600 * 1000)

static const char help[] =
    "dugnad-coordinator invite --dir RUN [--address HOST:PORT] [--uses N] [--expires TIME]\n"
    "                          [--label TEXT] [--out FILE]\n"
    "\n"
    "Prints one link with which peers join: dugnad-peer join LINK. The link is a secret: whoever\n"
    "has it can join.\n"
    "  --address HOST:PORT  how the peers reach this machine; without it the link works on this\n"
    "                       machine only\n"
    "  --uses N             so many peers may join by it (any number); each may come and go\n"
    "  --expires TIME       nobody joins by it later: 30m, 12h, 7d, or never (30d)\n"
    "  --label TEXT         what 'invites' shows, such as for whom it is\n"
    "  --out FILE           write it there, readable for you alone, instead of printing it\n";

struct invite_options {
    const char *path;
    const char *address;
    const char *out;
    struct members_request request;
    uint64_t expires_in_ms; /* 0: never */
    bool helped;
};

static enum status parse_uses(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out >= 1 && *out <= USES_MAX
               ? STATUS_OK
               : fault(STATUS_USAGE, "--uses takes a number from 1 to %d, not '%s'", USES_MAX,
                       text);
}

static enum status parse_expires(const char *text, uint64_t *out_ms)
{
    static const struct {
        char letter;
        uint64_t ms;
    } units[] = {{'m', 60000}, {'h', 3600000}, {'d', UINT64_C(24) * 3600000}};
    char *end = NULL;
    *out_ms = 0;
    if (strcmp(text, "never") == 0) {
        return STATUS_OK;
    }
    unsigned long long number = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0] && text[0] >= '0' && text[0] <= '9';
         i++) {
        if (end[0] == units[i].letter && end[1] == '\0' && number > 0 &&
            number <= DAYS_MAX * UINT64_C(24) * 3600000 / units[i].ms) {
            *out_ms = number * units[i].ms;
        }
    }
    return *out_ms > 0 ? STATUS_OK
                       : fault(STATUS_USAGE,
                               "--expires takes a time such as 30m, 12h or 7d, at most %dd, or "
                               "never, not '%s'",
                               DAYS_MAX, text);
}

static enum status take_option(int option, struct invite_options *out)
{
    switch (option) {
    case 'd':
        out->path = optarg;
        return STATUS_OK;
    case 'a':
        out->address = optarg;
        return STATUS_OK;
    case 'o':
        out->out = optarg;
        return STATUS_OK;
    case 'u':
        return parse_uses(optarg, &out->request.uses);
    case 'e':
        return parse_expires(optarg, &out->expires_in_ms);
    case 'l':
        return command_text("--label", optarg, out->request.label, sizeof out->request.label);
    case 'h':
        (void)fputs(help, stdout);
        out->helped = true;
        return STATUS_OK;
    default:
        return fault(STATUS_USAGE, "see 'dugnad-coordinator invite --help'");
    }
}

static enum status parse(int argc, char **argv, struct invite_options *out)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},   {"address", required_argument, NULL, 'a'},
        {"uses", required_argument, NULL, 'u'},  {"expires", required_argument, NULL, 'e'},
        {"label", required_argument, NULL, 'l'}, {"out", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    enum status status = STATUS_OK;
    for (int option; status == STATUS_OK && !out->helped &&
                     (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        status = take_option(option, out);
    }
    if (status == STATUS_OK && !out->helped) {
        status = out->path != NULL ? command_end(argc, argv, optind)
                                   : fault(STATUS_USAGE, "invite needs --dir RUN");
    }
    return status;
}

/* All of the link but its token: what is wrong is told before there is an invite. */
static enum status begin_link(const struct invite_options *options, struct join_link *out)
{
    char text[LINK_TEXT_MAX];
    struct run_dir run;
    enum status status = run_dir_open(options->path, &run);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(out->coordinator_key, run.identity.public_key, sizeof out->coordinator_key);
    run_dir_close(&run);
    if (options->address == NULL) {
        uint16_t port = status_file_port(options->path);
        (void)snprintf(out->address, sizeof out->address, "127.0.0.1:%d",
                       port != 0 ? (int)port : (int)COORDINATOR_PORT_DEFAULT);
        (void)fputs("this link works on this machine only; for other machines give "
                    "--address HOST:PORT\n",
                    stderr);
    } else {
        (void)snprintf(out->address, sizeof out->address, "%s", options->address);
    }
    if (options->out != NULL && files_exists(options->out)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there already; choose another --out FILE",
                     options->out);
    }
    return link_format(out, text);
}

static void tell(const struct invite_options *options, const char *number)
{
    char until[64] = "without an end";
    time_t seconds = (time_t)(options->request.expires_ms / 1000);
    struct tm parts;
    if (options->request.expires_ms > 0 && gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(until, sizeof until, "until %Y-%m-%d %H:%M UTC", &parts);
    }
    if (options->request.uses == 0) {
        (void)fprintf(stderr, "invite %s: for any number of peers, %s\n", number, until);
    } else {
        (void)fprintf(stderr, "invite %s: for %" PRIu64 " peer%s, %s\n", number,
                      options->request.uses, options->request.uses == 1 ? "" : "s", until);
    }
}

static enum status put_out(const struct invite_options *options, const char *link)
{
    char line[LINK_TEXT_MAX + 1];
    if (options->out == NULL) {
        return puts(link) >= 0 && fflush(stdout) == 0
                   ? STATUS_OK
                   : fault(STATUS_IO, "the link cannot be printed: %s", strerror(errno));
    }
    int length = snprintf(line, sizeof line, "%s\n", link);
    enum status status = files_write_new(options->out, line, (size_t)length, 0600);
    sodium_memzero(line, sizeof line);
    return status;
}

/* A link that nobody got must let nobody in. */
static enum status withdraw(const struct invite_options *options, const char *number,
                            enum status why)
{
    static char reply[CONTROL_REPLY_BYTES_MAX];
    char sentence[FAULT_TEXT_MAX];
    struct members_request request = {.wish = MEMBERS_REVOKE};
    (void)snprintf(sentence, sizeof sentence, "%s", fault_text());
    (void)snprintf(request.who, sizeof request.who, "%.60s", number);
    if (members_ask(options->path, &request, reply) == STATUS_OK) {
        return fault(why, "%s; invite %s is withdrawn again", sentence, number);
    }
    return fault(why, "%s; take invite %s back with 'dugnad-coordinator revoke --dir %s %s'",
                 sentence, number, options->path, number);
}

/* What is opened next would get the number of a standard output that is closed. */
static enum status check_output(const struct invite_options *options)
{
    return options->out != NULL || fcntl(STDOUT_FILENO, F_GETFD) >= 0
               ? STATUS_OK
               : fault(STATUS_IO, "standard output is closed: there is nowhere to print the link; "
                                  "give --out FILE");
}

/* The token never leaves this process but in the link: the coordinator is told its hash. */
static enum status invite(struct invite_options *options)
{
    static char reply[CONTROL_REPLY_BYTES_MAX];
    struct join_link link = {.address = ""};
    char text[LINK_TEXT_MAX];
    uint64_t now_ms = clock_unix_ms();
    enum status status = check_output(options);
    if (status == STATUS_OK) {
        status = begin_link(options, &link);
    }
    if (status == STATUS_OK) {
        randombytes_buf(link.token, sizeof link.token);
        options->request.hash = digest_of(link.token, sizeof link.token);
        options->request.expires_ms =
            options->expires_in_ms > 0 ? now_ms + options->expires_in_ms : 0;
        status = members_ask(options->path, &options->request, reply);
    }
    if (status == STATUS_OK) {
        status = link_format(&link, text);
    }
    if (status == STATUS_OK) {
        status = put_out(options, text);
        if (status == STATUS_OK) {
            tell(options, reply);
        } else {
            status = withdraw(options, reply, status);
        }
    }
    sodium_memzero(&link, sizeof link);
    sodium_memzero(text, sizeof text);
    return status;
}

enum status cmd_invite(int argc, char **argv)
{
    struct invite_options options = {.request = {.wish = MEMBERS_INVITE},
                                     .expires_in_ms = EXPIRES_MS_DEFAULT};
    enum status status = parse(argc, argv, &options);
    return status != STATUS_OK || options.helped ? status : invite(&options);
}
