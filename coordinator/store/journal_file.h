/* journal_file - the journal's folder, and one of its segments open for reading.
 *
 * Every file operation goes through common/disk.h. One owner; not thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_JOURNAL_FILE_H
#define DUGNAD_COORDINATOR_STORE_JOURNAL_FILE_H

#include "coordinator/store/journal_format.h"

/* The journal's folder, a file in it, and the segment that begins at `version`; out holds
 * FILES_PATH_MAX bytes. Errors: USAGE (too long). */
MUST_CHECK enum status journal_folder_path(const char *run_path, char *out);
MUST_CHECK enum status journal_entry_path(const char *run_path, const char *name, char *out);
MUST_CHECK enum status journal_segment_path(const char *run_path, uint64_t version, char *out);

/* Calls `visit` with every name in the folder that ends in `suffix`; fine when there is no folder.
 * A status that `visit` returns ends it. Errors: IO and those of `visit`. */
MUST_CHECK enum status journal_each_name(const char *run_path, const char *suffix,
                                         enum status (*visit)(void *context, const char *name),
                                         void *context);

/* Names in the folder are durable. Errors: IO. */
MUST_CHECK enum status journal_sync_names(const char *run_path);

/* A file written under a temporary name (path and ".tmp") that takes the place of `path` when it is
 * whole and durable. A temporary file of before is replaced. */
struct journal_draft {
    int fd;
    char temporary[FILES_PATH_MAX];
};
/* Errors: CANNOT_CREATE. Then journal_draft_finish or journal_draft_drop. */
MUST_CHECK enum status journal_draft_begin(const char *path, struct journal_draft *out);
/* Errors: IO. */
MUST_CHECK enum status journal_draft_write(const struct journal_draft *self, const void *data,
                                           size_t size_bytes);
/* Syncs, closes, renames and syncs the folder. Errors: IO, CANNOT_CREATE; the draft is dropped. */
MUST_CHECK enum status journal_draft_finish(struct journal_draft *self, const char *run_path,
                                            const char *path);
void journal_draft_drop(struct journal_draft *self);

struct journal_file {
    int fd; /* < 0: closed */
    uint64_t size_bytes;
    char path[FILES_PATH_MAX];
};

/* Errors: NO_INPUT, IO, USAGE. */
MUST_CHECK enum status journal_file_open(const char *run_path, uint64_t version,
                                         struct journal_file *out);
void journal_file_close(struct journal_file *self); /* One that is closed is allowed. */

/* Bytes that lie in the file. Errors: IO. */
MUST_CHECK enum status journal_file_read(const struct journal_file *self, uint64_t offset,
                                         void *out, size_t size_bytes);

/* What is at a place in a file. */
struct journal_found {
    uint64_t offset;
    uint8_t head[JOURNAL_HEADER_BYTES];
    struct journal_header header;
    const char *wrong; /* NULL: header and meta part are whole and of the right hash */
};

/* Looks for a record at `offset` as far as its header goes and its meta part lies in the file; its
 * hash is not checked. Errors: IO. */
MUST_CHECK enum status journal_file_head(const struct journal_file *self, uint64_t offset,
                                         struct journal_found *out);

/* Reads the meta part behind a head, out(header.meta_bytes), and checks the hash of what was read:
 * found->wrong says how that went. Errors: IO. */
MUST_CHECK enum status journal_file_meta(const struct journal_file *self,
                                         struct journal_found *found, uint8_t *out);

/* Looks for a record at `offset`, its hash included. Errors: IO. */
MUST_CHECK enum status journal_file_look(const struct journal_file *self, uint64_t offset,
                                         struct journal_found *out);

/* True when the payload of a found record lies in the file, or need not. */
bool journal_file_holds_payload(const struct journal_file *self, const struct journal_found *found);

/* *out_wrong is NULL when the payload of a found record is whole and of the right hash (or not
 * there because it was dropped or never was). Errors: IO. */
MUST_CHECK enum status journal_file_check_payload(const struct journal_file *self,
                                                  const struct journal_found *found,
                                                  const char **out_wrong);

/* Looks for the first record at or behind `offset` whose header and meta part are right and whose
 * sequence number is at least sequence_min; *out_more false: there is none. `work_bytes` is what
 * may still be hashed on the way, so that bytes made to look like records cannot keep a reader
 * busy: *out_more is true, with out->wrong, when it is used up. Errors: IO. */
MUST_CHECK enum status journal_file_search(const struct journal_file *self, uint64_t offset,
                                           uint64_t sequence_min, uint64_t *work_bytes,
                                           struct journal_found *out, bool *out_more);

#endif
