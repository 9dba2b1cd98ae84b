/* journal_reader - what reading a journal keeps, for journal_reader.c, journal_search.c and
 * journal_condense.c alone. */
#ifndef DUGNAD_COORDINATOR_STORE_JOURNAL_READER_H
#define DUGNAD_COORDINATOR_STORE_JOURNAL_READER_H

#include "coordinator/store/journal_file.h"

struct journal_reader {
    char run_path[FILES_PATH_MAX];
    uint64_t *segments; /* (segment_count), all there are from where reading began */
    size_t segment_count;
    size_t segment_index; /* of the one in `file` */
    struct journal_file file;
    uint64_t end;        /* of the last record read, before it is aligned */
    uint64_t before_end; /* of the segment before this one */
    bool from_first;
    bool started; /* a record was read: what follows must fit it */
    bool ended;
    uint64_t sequence; /* of the next record */
    uint64_t version;  /* of the run at this place */
    struct digest run_id;
    struct digest previous;
    struct journal_found found; /* the record read last, with its meta part */
    uint8_t *meta;
    size_t meta_capacity;
    struct journal_lists lists;
    struct journal_fault torn;
    struct journal_fault damage;
};

/* Whether something behind the bad place `offset` of the reader's file shows that what stood there
 * was durable once. `bad` is the record there when its own hash was right (a step with a wrong
 * payload), otherwise NULL. Errors: IO, NO_MEMORY. */
MUST_CHECK enum status journal_search_behind(const struct journal_reader *self, uint64_t offset,
                                             const struct journal_found *bad, bool *out_durable);

/* Whether the found step is the journal's last, as far as whole records tell. Errors: IO. */
MUST_CHECK enum status journal_search_is_last(const struct journal_reader *self,
                                              const struct journal_found *step, bool *out_last);

#endif
