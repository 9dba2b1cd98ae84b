#include "trainer/data/ingest/shard_writer.h"

#include <stdio.h>

void shard_writer_init(struct shard_writer *self, const char *folder, enum dataset_split split,
                       uint64_t shard_tokens_max, struct manifest *manifest)
{
    self->folder = folder;
    self->split = split;
    self->shard_tokens_max = shard_tokens_max;
    self->manifest = manifest;
    self->token_count = 0;
    self->file.buffer = NULL;
}

static enum status begin_shard(struct shard_writer *self)
{
    char path[FILES_PATH_MAX];
    (void)snprintf(self->shard.file, sizeof(self->shard.file), "%s-%05zu.bin",
                   manifest_split_name(self->split),
                   self->manifest->splits[self->split].shard_count);
    enum status status = files_join(self->folder, self->shard.file, path);
    if (status == STATUS_OK) {
        status = output_file_begin(&self->file, path);
    }
    digest_begin(&self->hash);
    self->token_count = 0;
    return status;
}

enum status shard_writer_finish(struct shard_writer *self)
{
    if (self->file.buffer == NULL) {
        return STATUS_OK;
    }
    enum status status = output_file_commit(&self->file);
    if (status != STATUS_OK) {
        return status;
    }
    self->shard.token_count = self->token_count;
    self->shard.digest = digest_end(&self->hash);
    return manifest_add_shard(self->manifest, self->split, &self->shard);
}

enum status shard_writer_add(struct shard_writer *self, const uint16_t *tokens, size_t count)
{
    while (count > 0) {
        enum status status = STATUS_OK;
        if (self->file.buffer == NULL) {
            status = begin_shard(self);
        }
        uint64_t room = self->shard_tokens_max - self->token_count;
        size_t taken = room < count ? (size_t)room : count;
        if (status == STATUS_OK) {
            status = output_file_write(&self->file, tokens, taken * sizeof(*tokens));
        }
        if (status != STATUS_OK) {
            return status;
        }
        digest_update(&self->hash, tokens, taken * sizeof(*tokens));
        self->token_count += taken;
        tokens += taken;
        count -= taken;
        if (self->token_count == self->shard_tokens_max) {
            status = shard_writer_finish(self);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

void shard_writer_abandon(struct shard_writer *self)
{
    output_file_abandon(&self->file);
}
