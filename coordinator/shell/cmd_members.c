/* allow, ban, unban, revoke: one key each; peers, invites, incidents: lists. */
#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/shell/members_ask.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help_allow[] =
    "dugnad-coordinator allow --dir RUN KEY\n"
    "\n"
    "Lets the peer with this key in, whatever 'membership' in run.yaml says, with any link of the\n"
    "run. KEY is what 'dugnad-peer key' prints. For a key that was refused because its state "
    "folder\n"
    "was put back from an older copy: it may come again.\n";
static const char help_ban[] = "dugnad-coordinator ban --dir RUN KEY [--reason TEXT]\n"
                               "\n"
                               "Throws the peer with this key out at once and refuses its "
                               "connections from now on. KEY is the\n"
                               "whole key, 64 hexadecimal digits, or the first 12 of a member's "
                               "('dugnad-coordinator peers').\n";
static const char help_unban[] = "dugnad-coordinator unban --dir RUN KEY\n"
                                 "\n"
                                 "Takes a ban back: the peer may come again as before it.\n";
static const char help_revoke[] = "dugnad-coordinator revoke --dir RUN KEY|INVITE\n"
                                  "\n"
                                  "KEY: ends the membership of a peer, which is thrown out at "
                                  "once; an invite that is made later\n"
                                  "lets it in again, or 'allow'. INVITE, a number as "
                                  "'dugnad-coordinator invites' shows it: nobody\n"
                                  "joins by it any more; who did stays.\n";
static const char help_peers[] = "dugnad-coordinator peers --dir RUN [--json]\n"
                                 "\n"
                                 "Lists who ever joined, or was allowed or banned: whether it is "
                                 "here, by which invite it came,\n"
                                 "when it was here last (UTC).\n";
static const char help_invites[] =
    "dugnad-coordinator invites --dir RUN [--json]\n"
    "\n"
    "Lists the invites: how many joined by each, and until when (UTC) others may.\n";
static const char help_incidents[] =
    "dugnad-coordinator incidents --dir RUN [--json]\n"
    "\n"
    "Lists what peers and strangers did that they should not, the latest first.\n";

/* *out_reason NULL: the command has no --reason. *out_path NULL: only help was asked for. */
static enum status parse_who(int argc, char **argv, const char *help, const char **out_path,
                             struct members_request *out)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"reason", required_argument, NULL, 'r'},
                                            {NULL, 0, NULL, 0}};
    *out_path = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'h') {
            (void)fputs(help, stdout);
            *out_path = NULL;
            return STATUS_OK;
        }
        if (option == 'd') {
            *out_path = optarg;
        } else if (option == 'r' && out->wish == MEMBERS_BAN) {
            enum status status = command_text("--reason", optarg, out->reason, sizeof out->reason);
            if (status != STATUS_OK) {
                return status;
            }
        } else {
            return fault(STATUS_USAGE, "see 'dugnad-coordinator %s --help'", argv[0]);
        }
    }
    if (*out_path == NULL || optind == argc) {
        return fault(STATUS_USAGE, "%s needs --dir RUN and a key", argv[0]);
    }
    if (optind + 1 < argc) {
        return command_end(argc, argv, optind + 1);
    }
    if (strlen(argv[optind]) >= sizeof out->who) {
        return fault(STATUS_USAGE, "'%.80s...' is no key: a key has 64 hexadecimal digits",
                     argv[optind]);
    }
    (void)snprintf(out->who, sizeof out->who, "%s", argv[optind]);
    return STATUS_OK;
}

static enum status change(int argc, char **argv, const char *help, enum members_wish wish)
{
    static char reply[CONTROL_REPLY_BYTES_MAX];
    struct members_request request = {.wish = wish};
    const char *path = NULL;
    enum status status = parse_who(argc, argv, help, &path, &request);
    if (status != STATUS_OK || path == NULL) {
        return status;
    }
    status = members_ask(path, &request, reply);
    if (status == STATUS_OK) {
        (void)puts(reply);
    }
    return status;
}

enum status cmd_allow(int argc, char **argv)
{
    return change(argc, argv, help_allow, MEMBERS_ALLOW);
}

enum status cmd_ban(int argc, char **argv)
{
    return change(argc, argv, help_ban, MEMBERS_BAN);
}

enum status cmd_unban(int argc, char **argv)
{
    return change(argc, argv, help_unban, MEMBERS_UNBAN);
}

enum status cmd_revoke(int argc, char **argv)
{
    return change(argc, argv, help_revoke, MEMBERS_REVOKE);
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL ? text : "";
}

static long long number_of(const json_t *row, const char *key)
{
    return (long long)json_integer_value(json_object_get(row, key));
}

/* The file may have been changed since its texts were checked, and a terminal obeys some bytes. */
static void print_text(const char *text, int width)
{
    int printed = 0;
    for (; text[printed] != '\0'; printed++) {
        (void)putchar(text[printed] < ' ' || text[printed] > '~' ? '?' : text[printed]);
    }
    (void)printf("%*s  ", printed < width ? width - printed : 0, "");
}

static void print_time(const json_t *row, const char *key)
{
    char text[32] = "never";
    long long ms = number_of(row, key);
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (ms > 0 && gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    }
    (void)printf("%-19s  ", text);
}

enum { SHORT_DIGITS = 12, NAME_WIDTH = 24 };

static void print_peer(const json_t *row)
{
    char came[32] = "open";
    if (json_is_true(json_object_get(row, "allowed"))) {
        (void)snprintf(came, sizeof came, "allowed");
    } else if (number_of(row, "invite") > 0) {
        (void)snprintf(came, sizeof came, "invite %lld", number_of(row, "invite"));
    } else if (number_of(row, "first_ms") == 0) {
        (void)snprintf(came, sizeof came, "never");
    }
    (void)printf("%-12.*s  ", SHORT_DIGITS, text_of(row, "key"));
    print_text(text_of(row, "name"), NAME_WIDTH);
    (void)printf("%-8s  %-4s  %-12s  ", text_of(row, "state"),
                 json_is_true(json_object_get(row, "here")) ? "here" : "", came);
    print_time(row, "last_ms");
    print_text(text_of(row, "reason"), 0);
    (void)puts("");
}

static void print_peers(const json_t *rows)
{
    (void)printf("%-12s  %-*s  %-8s  %-4s  %-12s  %-19s  %s\n", "peer", NAME_WIDTH, "name", "state",
                 "", "by", "last here (UTC)", "reason of a ban");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        print_peer(json_array_get(rows, i));
    }
}

static void print_invites(const json_t *rows)
{
    (void)printf("%6s  %-*s  %9s  %-19s  %s\n", "invite", NAME_WIDTH, "label", "used", "ends (UTC)",
                 "");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char used[48];
        (void)snprintf(used, sizeof used, "%lld/%lld", number_of(row, "used"),
                       number_of(row, "uses"));
        if (number_of(row, "uses") == 0) {
            (void)snprintf(used, sizeof used, "%lld", number_of(row, "used"));
        }
        (void)printf("%6lld  ", number_of(row, "invite"));
        print_text(text_of(row, "label"), NAME_WIDTH);
        (void)printf("%9s  ", used);
        print_time(row, "expires_ms");
        (void)puts(json_is_true(json_object_get(row, "revoked")) ? "revoked" : "");
    }
}

static void print_incidents(const json_t *rows)
{
    (void)printf("%-19s  %6s  %-12s  %-*s  %-*s  %s\n", "last (UTC)", "times", "peer", NAME_WIDTH,
                 "address", NAME_WIDTH, "what", "");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        print_time(row, "last_ms");
        (void)printf("%6lld  %-12.*s  ", number_of(row, "count"), SHORT_DIGITS,
                     text_of(row, "key"));
        print_text(text_of(row, "host"), NAME_WIDTH);
        print_text(text_of(row, "kind"), NAME_WIDTH);
        print_text(text_of(row, "text"), 0);
        (void)puts("");
    }
}

static enum status print_json(const json_t *rows)
{
    char *text = json_dumps(rows, JSON_INDENT(1));
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to print the list");
    }
    (void)puts(text);
    free(text);
    return STATUS_OK;
}

static enum status list(int argc, char **argv, const char *help, enum members_wish wish,
                        void (*print)(const json_t *rows))
{
    struct command_dir options;
    json_t *rows = NULL;
    enum status status = command_dir(argc, argv, help, "json", &options);
    if (status != STATUS_OK || options.helped) {
        return status;
    }
    status = members_ask_all(options.path, wish, &rows);
    if (status == STATUS_OK && options.flagged) {
        status = print_json(rows);
    } else if (status == STATUS_OK) {
        print(rows);
    }
    json_decref(rows);
    return status;
}

enum status cmd_peers(int argc, char **argv)
{
    return list(argc, argv, help_peers, MEMBERS_PEERS, print_peers);
}

enum status cmd_invites(int argc, char **argv)
{
    return list(argc, argv, help_invites, MEMBERS_INVITES, print_invites);
}

enum status cmd_incidents(int argc, char **argv)
{
    return list(argc, argv, help_incidents, MEMBERS_INCIDENTS, print_incidents);
}
