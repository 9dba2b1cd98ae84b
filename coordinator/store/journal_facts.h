/* journal_facts - what the records of a run's journal say (journal.h keeps them).
 *
 * Plain structs; everything in them is checked by whoever reads or writes the journal. */
#ifndef DUGNAD_COORDINATOR_STORE_JOURNAL_FACTS_H
#define DUGNAD_COORDINATOR_STORE_JOURNAL_FACTS_H

#include "common/digest.h"
#include "proto/codec/codec.h"
#include "proto/wire.h"

enum {
    JOURNAL_CONTRIBUTIONS_MAX = 65536, /* in one step */
    JOURNAL_RANGES_MAX = 1 << 20,      /* in one step, of all contributions together */
    JOURNAL_META_BYTES_MAX = 64 << 20,
    JOURNAL_TEXT_MAX = 256
};

/* What can be changed while a run lives. */
struct live_settings {
    double learning_rate;    /* the schedule's peak */
    uint32_t target_batch;   /* samples in a step */
    enum codec codec;        /* of contributions and updates, unless a plan says otherwise */
    enum codec mean_codec;   /* of the mean gradient in the journal (master.h) */
    enum codec update_codec; /* of updates, as the plan in force says */
};

/* Where a run stands between two steps. Every segment begins with it. */
struct journal_state {
    struct digest run_id;
    uint64_t version;      /* committed steps */
    uint64_t sample_first; /* samples applied; the next step begins with this one */
    uint64_t tokens;       /* trained so far */
    double loss_first;     /* nats per token, of the first step; 0: none yet */
    double loss_last;
    uint64_t serial; /* how often the run was served */
    bool paused;     /* by its owner */
    struct live_settings settings;
};

struct journal_lease {
    uint8_t key[IDENTITY_KEY_BYTES]; /* Ed25519, of the peer */
    uint64_t lease_id;
    uint64_t step;
    struct sample_range samples; /* absolute */
};

struct journal_contribution {
    uint8_t key[IDENTITY_KEY_BYTES];
    uint64_t tokens;
    double loss_sum; /* nats */
    size_t range_count;
    const struct sample_range *ranges; /* absolute, sorted, disjoint */
};

struct journal_step {
    uint64_t step; /* the version before it */
    struct sample_range samples;
    uint64_t tokens;
    double loss_sum; /* nats, of all contributions */
    double grad_l2;
    double learning_rate;
    uint64_t unix_ms;
    struct digest digest; /* of P after it */
    enum codec mean_codec;
    size_t contribution_count;
    const struct journal_contribution *contributions;
};

enum journal_event_type {
    JOURNAL_SERVED = 1, /* a coordinator began to serve; its serial is the state's */
    JOURNAL_SETTINGS,   /* from `version` on */
    JOURNAL_PAUSED,
    JOURNAL_RESUMED,
    JOURNAL_NOTE /* text alone: what a person should know, such as damage that was met */
};

struct journal_event {
    enum journal_event_type type;
    uint64_t version;
    uint64_t unix_ms;
    struct live_settings settings; /* JOURNAL_SETTINGS */
    char text[JOURNAL_TEXT_MAX];
};

enum journal_type {
    JOURNAL_SEGMENT = 1, /* state */
    JOURNAL_LEASE,       /* lease: not synced by itself; a fact that helps after a crash */
    JOURNAL_STEP,        /* step, payload */
    JOURNAL_EVENT        /* event */
};

#endif
