#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/store/store.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "dugnad-coordinator log --dir RUN [--leases]\n"
    "\n"
    "Prints what the journal of a run tells, one line of JSON for each committed step:\n"
    "  "
    "{\"step\":..,\"loss\":..,\"tokens\":..,\"grad_l2\":..,\"learning_rate\":..,\"digest\":\"..\","
    "\n"
    "   "
    "\"unix_ms\":..,\"contributions\":[{\"peer\":\"..\",\"key\":\"..\",\"tokens\":..,\"loss\":..,\n"
    "   \"ranges\":[[first,count],..]},..]}\n"
    "and one for each event:\n"
    "  {\"event\":\"served|settings|paused|resumed|note\",\"version\":..,\"unix_ms\":..,..}\n"
    "With --leases also one for each time that samples were given to a peer:\n"
    "  {\"lease\":ID,\"peer\":\"..\",\"in_step\":..,\"first\":..,\"count\":..}\n"
    "Loss is in nats per token; ranges are sample numbers. Also of a run that is being served.\n";

static double per_token(double loss_sum, uint64_t tokens)
{
    return tokens > 0 ? loss_sum / (double)tokens : 0.0;
}

static void print_contribution(const struct journal_contribution *item)
{
    char name[IDENTITY_NAME_BYTES];
    identity_name(item->key, name);
    (void)printf("{\"peer\":\"%s\",\"key\":\"", name);
    for (size_t i = 0; i < sizeof item->key; i++) {
        (void)printf("%02x", item->key[i]);
    }
    (void)printf("\",\"tokens\":%" PRIu64 ",\"loss\":%.17g,\"ranges\":[", item->tokens,
                 per_token(item->loss_sum, item->tokens));
    for (size_t i = 0; i < item->range_count; i++) {
        (void)printf("%s[%" PRIu64 ",%" PRIu64 "]", i > 0 ? "," : "", item->ranges[i].first,
                     item->ranges[i].count);
    }
    (void)fputs("]}", stdout);
}

static void print_step(const struct journal_step *step)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(&step->digest, hex);
    (void)printf("{\"step\":%" PRIu64 ",\"loss\":%.17g,\"tokens\":%" PRIu64
                 ",\"grad_l2\":%.9g,\"learning_rate\":%.9g,\"digest\":\"%s\",\"unix_ms\":%" PRIu64
                 ",\"contributions\":[",
                 step->step, per_token(step->loss_sum, step->tokens), step->tokens, step->grad_l2,
                 step->learning_rate, hex, step->unix_ms);
    for (size_t i = 0; i < step->contribution_count; i++) {
        (void)fputs(i > 0 ? "," : "", stdout);
        print_contribution(&step->contributions[i]);
    }
    (void)puts("]}");
}

static const char *event_name(enum journal_event_type type)
{
    switch (type) {
    case JOURNAL_SERVED:
        return "served";
    case JOURNAL_SETTINGS:
        return "settings";
    case JOURNAL_PAUSED:
        return "paused";
    case JOURNAL_RESUMED:
        return "resumed";
    case JOURNAL_NOTE:
        break;
    }
    return "note";
}

/* jansson escapes the text, which a person may have written. */
static enum status print_event(const struct journal_event *event)
{
    json_t *line = json_pack("{s:s,s:I,s:I}", "event", event_name(event->type), "version",
                             (json_int_t)event->version, "unix_ms", (json_int_t)event->unix_ms);
    if (event->type == JOURNAL_SETTINGS) {
        const struct live_settings *settings = &event->settings;
        (void)json_object_set_new(line, "learning_rate", json_real(settings->learning_rate));
        (void)json_object_set_new(line, "target_batch", json_integer(settings->target_batch));
        (void)json_object_set_new(line, "codec", json_string(codec_name(settings->codec)));
        (void)json_object_set_new(line, "mean_codec",
                                  json_string(codec_name(settings->mean_codec)));
        (void)json_object_set_new(line, "update_codec",
                                  json_string(codec_name(settings->update_codec)));
    }
    if (event->text[0] != '\0') {
        (void)json_object_set_new(line, "text", json_string(event->text));
    }
    char *text = line != NULL ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (text == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to print an event");
    }
    (void)puts(text);
    free(text);
    return STATUS_OK;
}

static void print_lease(const struct journal_lease *lease)
{
    char name[IDENTITY_NAME_BYTES];
    identity_name(lease->key, name);
    (void)printf("{\"lease\":%" PRIu64 ",\"peer\":\"%s\",\"in_step\":%" PRIu64 ",\"first\":%" PRIu64
                 ",\"count\":%" PRIu64 "}\n",
                 lease->lease_id, name, lease->step, lease->samples.first, lease->samples.count);
}

static enum status print_record(const struct journal_record *record, bool with_leases)
{
    if (record->type == JOURNAL_STEP) {
        print_step(&record->as.step);
    } else if (record->type == JOURNAL_LEASE && with_leases) {
        print_lease(&record->as.lease);
    }
    return record->type == JOURNAL_EVENT ? print_event(&record->as.event) : STATUS_OK;
}

static enum status print_records(struct journal_reader *reader, bool with_leases)
{
    struct journal_record record;
    bool more = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && more) {
        status = journal_read(reader, false, &record, &more);
        if (status == STATUS_OK && more) {
            status = print_record(&record, with_leases);
        }
    }
    return status;
}

static enum status print_log(const char *path, bool with_leases)
{
    struct journal_reader *reader = NULL;
    struct journal_fault torn;
    struct journal_fault damage;
    enum status status = journal_reader_new(path, UINT64_MAX, &reader);
    if (status != STATUS_OK) {
        return status;
    }
    status = print_records(reader, with_leases);
    journal_reader_faults(reader, &torn,
                          &damage); /* a torn end is being written, or was not kept */
    journal_reader_free(reader);
    if (status == STATUS_OK && damage.found) {
        status = fault(STATUS_CORRUPT, "%s is damaged at byte %" PRIu64 ": %s", damage.path,
                       damage.offset, damage.text);
    }
    if (status == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        status = fault(STATUS_IO, "the log could not be printed");
    }
    return status;
}

enum status cmd_log(int argc, char **argv)
{
    struct command_dir options;
    enum status status = command_dir(argc, argv, help, "leases", &options);
    return status != STATUS_OK || options.helped ? status
                                                 : print_log(options.path, options.flagged);
}
