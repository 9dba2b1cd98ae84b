/* journal - what happened to a run, in order: append-only, chained by hashes, enough to replay it.
 *
 *   journal/000000000000.journal    segments, named by the version (committed steps) they begin at
 *   journal/000000000100.journal
 *
 * A segment is a sequence of records; a record is a header, a meta part and, for a step, a payload
 * (the optimizer's input). The header holds type, lengths, sequence number, the hash of the
 * payload, the hash of the record before it (across segments) and the record's own hash over all of
 * that and the meta part. The payload is hashed apart, so a segment can be condensed: payloads that
 * no kept checkpoint needs are dropped, and the chain, the samples and the credit can still be
 * checked from the first step on. Everything is little-endian; docs/durability.md has the layout.
 *
 * A step is committed when journal_sync returned OK after journal_append_step. Whatever was
 * appended and not synced may be lost or torn by a crash: journal_open cuts such a tail off. A
 * record that is damaged although a whole step stands behind it was durable once: that is told as
 * damage.
 *
 * One owner; not thread-safe. All files go through common/disk.h. */
#ifndef DUGNAD_COORDINATOR_STORE_JOURNAL_H
#define DUGNAD_COORDINATOR_STORE_JOURNAL_H

#include "common/files.h"
#include "coordinator/store/journal_facts.h"

/* One record as read. What it points to lives until the next read. */
struct journal_record {
    enum journal_type type;
    uint64_t sequence; /* counts records of the run, from 0 */
    struct digest hash;
    uint64_t segment; /* its segment's version */
    uint64_t offset;  /* of the record in its file */
    uint64_t payload_bytes;
    bool condensed; /* the payload was dropped */
    union {
        struct journal_state state;
        struct journal_lease lease;
        struct journal_step step;
        struct journal_event event;
    } as;
};

/* Where something is wrong. */
struct journal_fault {
    bool found;
    char path[FILES_PATH_MAX];
    uint64_t offset;
    char text[JOURNAL_TEXT_MAX]; /* what, in words; no full stop */
};

struct journal_reader;

/* Reads the segments of run_path/journal from the one that begins at version `from` (the first
 * there is when `from` is UINT64_MAX). Errors: NO_INPUT (there is no such segment), IO, NO_MEMORY.
 * The caller owns *out. */
MUST_CHECK enum status journal_reader_new(const char *run_path, uint64_t from,
                                          struct journal_reader **out);
void journal_reader_free(struct journal_reader *self); /* NULL is allowed. */

/* Versions at which segments begin, ascending, into *out (free()); *out_count may be 0.
 * Errors: IO, NO_MEMORY. */
MUST_CHECK enum status journal_segments(const char *run_path, uint64_t **out, size_t *out_count);

/* The next record, checked: hashes, chain, every count and value. Payloads are checked when they
 * are read by journal_read_payload, or here when `check_payloads`. *out_more false: the end (of
 * whole records); then journal_reader_fault tells whether something follows it. Errors: IO,
 * NO_MEMORY. Damage is no error: it is the end, and a fault. */
MUST_CHECK enum status journal_read(struct journal_reader *self, bool check_payloads,
                                    struct journal_record *out, bool *out_more);

/* The payload of the step just read, into out(size_bytes = payload_bytes).
 * Errors: CORRUPT (with a sentence: file, offset), IO. */
MUST_CHECK enum status journal_read_payload(struct journal_reader *self, uint8_t *out,
                                            size_t size_bytes);

/* After the end: `torn` is a tail that a crash left (no whole step stands behind it), `damage` a
 * record that was durable once. At most one is found. */
void journal_reader_faults(const struct journal_reader *self, struct journal_fault *out_torn,
                           struct journal_fault *out_damage);

/* Before the journal of an earlier process is read to go on with it: what its last segment shows is
 * what the disk holds (disk_refresh). Fine when there is none. Errors: IO (the process must end).
 */
MUST_CHECK enum status journal_refresh(const char *run_path);

struct journal;

/* Begins the journal of a run that has none (folder included): its first segment, durable.
 * Errors: CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status journal_create(const char *run_path, const struct journal_state *state,
                                      struct journal **out);

/* Goes on behind `last`, the last whole record that was read. What stands behind it is cut off;
 * with `keep_rest` (it is damage, and not a torn tail) it is first copied to journal/damaged-...
 * and later segments are renamed to damaged-..., so that nothing is lost that a person could still
 * use. Errors: IO, CANNOT_CREATE, NO_MEMORY. */
MUST_CHECK enum status journal_open(const char *run_path, const struct journal_record *last,
                                    bool keep_rest, struct journal **out);
void journal_close(struct journal *self); /* NULL is allowed. Does not sync. */

/* Each appends one record to the present segment; payload_bytes > 0. After a step journal_sync
 * comes before anything else is appended: a record behind a step tells a reader that the step was
 * durable. Errors: IO (with a sentence; the process must end and recover), NO_MEMORY, FULL (past
 * the limits above), OUT_OF_RANGE (a fact that cannot be: not finite, not sorted, no samples). */
MUST_CHECK enum status journal_append_lease(struct journal *self,
                                            const struct journal_lease *lease);
MUST_CHECK enum status journal_append_event(struct journal *self,
                                            const struct journal_event *event);
MUST_CHECK enum status journal_append_step(struct journal *self, const struct journal_step *step,
                                           const uint8_t *payload, size_t payload_bytes);

/* All that was appended is durable. Errors: IO: the process must end (ATC'20: after a failed fsync
 * the page cache may have lost it, so a retry lies). */
MUST_CHECK enum status journal_sync(struct journal *self);

/* Begins a new segment with this state, durable; the old one is synced and closed. When no step was
 * appended since the present one began, it is synced and nothing more. Errors: IO, CANNOT_CREATE
 * (the process must end and recover), NO_MEMORY. */
MUST_CHECK enum status journal_roll(struct journal *self, const struct journal_state *state);

/* Condenses every segment all of whose steps are below `version` (atomically, one by one; those
 * that are condensed already cost nothing). Errors: IO, CANNOT_CREATE, NO_MEMORY. */
MUST_CHECK enum status journal_condense(const char *run_path, uint64_t version);

/* Sequence number and hash of the latest record. */
uint64_t journal_sequence(const struct journal *self);
struct digest journal_hash(const struct journal *self);
uint64_t journal_bytes(const struct journal *self); /* of the present segment */

#endif
