#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/ledger.h"
#include "proto/identity.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help[] =
    "dugnad-coordinator credit --dir RUN [--json]\n"
    "\n"
    "Prints who computed how much of a run: samples and tokens of committed steps, and when each\n"
    "peer's latest work was committed (UTC). Also while the run is served.\n";

struct credit_list {
    struct ledger_peer *peers; /* (count), most tokens first */
    size_t count;
    uint64_t tokens; /* of all */
    uint64_t samples;
};

/* Names were checked when they came; the file may have been changed since, and a terminal obeys
 * some bytes. */
static void make_printable(char *name)
{
    for (char *byte = name; *byte != '\0'; byte++) {
        if (*byte < ' ' || *byte > '~') {
            *byte = '?';
        }
    }
}

static enum status read_list(const char *run_path, struct credit_list *out)
{
    struct ledger *ledger = NULL;
    *out = (struct credit_list){0};
    enum status status = ledger_open_to_read(run_path, &ledger);
    if (status == STATUS_OK) {
        status = ledger_peers(ledger, &out->peers, &out->count);
    }
    ledger_close(ledger);
    for (size_t i = 0; i < out->count; i++) {
        make_printable(out->peers[i].name);
        out->tokens += out->peers[i].tokens; /* for shares alone, so a wrap harms nobody */
        out->samples += out->peers[i].samples;
    }
    return status;
}

static double share_of(const struct credit_list *list, const struct ledger_peer *peer)
{
    return list->tokens > 0 ? (double)peer->tokens / (double)list->tokens : 0.0;
}

static void print_table(const struct credit_list *list)
{
    int name_width = (int)strlen("name");
    for (size_t i = 0; i < list->count; i++) {
        int width = (int)strlen(list->peers[i].name);
        name_width = width > name_width ? width : name_width;
    }
    (void)printf("%-12s  %-*s %12s %16s %7s  %s\n", "peer", name_width, "name", "samples", "tokens",
                 "share", "last work (UTC)");
    for (size_t i = 0; i < list->count; i++) {
        const struct ledger_peer *peer = &list->peers[i];
        char short_key[IDENTITY_NAME_BYTES];
        char seen[64] = "?";
        time_t seconds = (time_t)(peer->last_ms / 1000);
        struct tm parts;
        identity_name(peer->key, short_key);
        if (gmtime_r(&seconds, &parts) != NULL) {
            (void)strftime(seen, sizeof seen, "%Y-%m-%d %H:%M:%S", &parts);
        }
        (void)printf("%-12s  %-*s %12" PRIu64 " %16" PRIu64 " %6.2f%%  %s\n", short_key, name_width,
                     peer->name, peer->samples, peer->tokens, 100.0 * share_of(list, peer), seen);
    }
    (void)printf("%-12s  %-*s %12" PRIu64 " %16" PRIu64 "\n", "all", name_width, "", list->samples,
                 list->tokens);
}

static json_t *peer_to_json(const struct credit_list *list, const struct ledger_peer *peer)
{
    struct digest key;
    char hex[DIGEST_HEX_BYTES];
    memcpy(key.bytes, peer->key, sizeof key.bytes);
    digest_to_hex(&key, hex);
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:f,s:I,s:I}", "key", hex, "name", peer->name, "samples",
                     (json_int_t)peer->samples, "tokens", (json_int_t)peer->tokens, "contributions",
                     (json_int_t)peer->contributions, "share", share_of(list, peer), "first_ms",
                     (json_int_t)peer->first_ms, "last_ms", (json_int_t)peer->last_ms);
}

static enum status print_json(const struct credit_list *list)
{
    json_t *peers = json_array();
    bool whole = peers != NULL;
    for (size_t i = 0; i < list->count && whole; i++) {
        whole = json_array_append_new(peers, peer_to_json(list, &list->peers[i])) == 0;
    }
    json_t *all = json_pack("{s:I,s:I,s:o}", "samples", (json_int_t)list->samples, "tokens",
                            (json_int_t)list->tokens, "peers", peers);
    char *text =
        whole && all != NULL ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text != NULL) {
        (void)puts(text);
    }
    json_decref(all);
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to print the credit of %zu peers", list->count);
    }
    free(text);
    return STATUS_OK;
}

static enum status print_credit(const char *run_path, bool as_json)
{
    struct credit_list list;
    enum status status = read_list(run_path, &list);
    if (status == STATUS_OK && as_json) {
        status = print_json(&list);
    } else if (status == STATUS_OK) {
        print_table(&list);
    }
    free(list.peers);
    return status;
}

enum status cmd_credit(int argc, char **argv)
{
    struct command_dir options;
    enum status status = command_dir(argc, argv, help, "json", &options);
    return status != STATUS_OK || options.helped ? status
                                                 : print_credit(options.path, options.flagged);
}
