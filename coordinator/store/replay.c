#include "coordinator/store/replay.h"

#include "common/fault.h"
#include "trainer/optimizer/master_step.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum status replay_init(struct replay *self, const struct run_dir *run, struct master *master,
                        struct slices *slices)
{
    size_t room_bytes = codec_encoded_bytes(CODEC_FP32, layout_value_count(run->layout));
    *self =
        (struct replay){.run = run, .master = master, .slices = slices, .room_bytes = room_bytes};
    self->payload = malloc(room_bytes);
    self->update = malloc(room_bytes);
    return self->payload != NULL && self->update != NULL
               ? STATUS_OK
               : fault(STATUS_NO_MEMORY, "no memory to replay the journal");
}

void replay_deinit(struct replay *self)
{
    free(self->payload);
    free(self->update);
    self->payload = NULL;
    self->update = NULL;
}

enum status replay_set(struct master *master, const struct live_settings *settings)
{
    return master_change(master, settings->learning_rate, settings->update_codec,
                         settings->mean_codec);
}

enum status replay_segment_path(const struct run_dir *run, const struct journal_record *record,
                                char *out)
{
    char name[64];
    (void)snprintf(name, sizeof name, "journal/%012" PRIu64 ".journal", record->segment);
    return files_join(run->path, name, out);
}

/* One sentence with the place of the record. */
static enum replay_result place_fault(const struct replay *self,
                                      const struct journal_record *record,
                                      enum replay_result result, const char *what)
{
    (void)fault(STATUS_CORRUPT,
                "%.700s/journal/%012" PRIu64 ".journal at byte %" PRIu64 ": step %" PRIu64 " %s",
                self->run->path, record->segment, record->offset, record->as.step.step, what);
    return result;
}

enum status replay_step(struct replay *self, struct journal_reader *reader,
                        const struct journal_record *record, const struct live_settings *settings,
                        enum replay_result *out)
{
    if (record->condensed) {
        *out = place_fault(self, record, REPLAY_CONDENSED,
                           "cannot be replayed, because its mean gradient was dropped; put a copy "
                           "of a later checkpoint back");
        return STATUS_OK;
    }
    enum status status = replay_set(self->master, settings);
    if (status != STATUS_OK) {
        return status;
    }
    size_t size_bytes = master_mean_bytes(self->master);
    if (record->payload_bytes != size_bytes || size_bytes > self->room_bytes) {
        *out = place_fault(self, record, REPLAY_DIFFERS,
                           "has a mean gradient of another length than the model");
        return STATUS_OK;
    }
    status = journal_read_payload(reader, self->payload, size_bytes);
    if (status == STATUS_CORRUPT) {
        *out = REPLAY_DAMAGED;
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct master_step_result result;
    /* An input as the mean gradient is: the schedule may have been made longer since. */
    master_set_learning_rate(self->master, record->as.step.learning_rate);
    status = master_step_from_mean(self->master, self->slices, self->payload, size_bytes,
                                   self->update, &result);
    if (status == STATUS_NO_MEMORY) {
        return status;
    }
    if (status != STATUS_OK || !digest_equal(&result.digest, &record->as.step.digest)) {
        *out = place_fault(self, record, REPLAY_DIFFERS,
                           status == STATUS_OK ? "replays to another digest than it had"
                                               : "replays to parameters that are not finite");
        return STATUS_OK;
    }
    *out = REPLAY_DONE;
    return STATUS_OK;
}
