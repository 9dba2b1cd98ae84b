#include "peer/daemon/fetch.h"

#include "common/check.h"

#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_MIN = 16,
    LISTS_MAX = 3,   /* damaged ones, before it goes on without */
    SETTLE_MS = 5000 /* a mean over less is a burst */
};

struct source {
    bool out;
    uint64_t heard_ms; /* a chunk that was missing, or a sign of life */
    uint64_t chunk_ms;
    uint64_t until_ms; /* it may owe something; put off by all that comes. 0: never asked */
};

struct fetch {
    struct fetch_plan plan;
    struct blob_receiver *receiver;
    struct blob_receiver *list; /* NULL: not needed, or here */
    unsigned lists_damaged;
    bool whole;
    bool proven;   /* every chunk that is here is right */
    uint32_t turn; /* the source that is asked next */
    uint32_t window;
    uint64_t began_ms; /* with the first that was asked; 0: nothing was */
    uint64_t came_bytes;
    uint64_t least_bytes_per_s; /* what the owners are held to */
    struct source sources[BLOB_SOURCES_MAX];
};

static uint32_t chunk_count(const struct fetch *self)
{
    const struct blob_ref *ref = blob_receiver_ref(self->receiver);
    return blob_chunk_count(ref->size_bytes, ref->chunk_bytes);
}

static void begin(struct fetch *self, const struct fetch_plan *plan)
{
    uint32_t asked = 1;
    CHECK(plan->owner_count <= WIRE_OWNERS_MAX);
    self->plan = *plan;
    self->turn = 0;
    self->began_ms = 0;
    self->came_bytes = 0;
    self->least_bytes_per_s = FETCH_BYTES_PER_S_MIN;
    memset(self->sources, 0, sizeof self->sources);
    for (uint32_t i = 0; i < plan->owner_count; i++) {
        asked += plan->owners[i].chunk_count > 0 ? 1 : 0;
    }
    self->window = blob_window(blob_receiver_ref(self->receiver), BLOB_WINDOW_BYTES);
    if (asked > 1 && self->window * 2 / asked < self->window) {
        self->window =
            self->window * 2 / asked > WINDOW_MIN ? self->window * 2 / asked : WINDOW_MIN;
    }
}

static enum status begin_list(struct fetch *self)
{
    struct blob_ref ref = blob_hashes_ref(blob_receiver_ref(self->receiver));
    return blob_receiver_new(&ref, ref.size_bytes, &self->list);
}

static bool has_owners(const struct fetch_plan *plan)
{
    return plan->owner_count > 0 || plan->own.chunk_count > 0;
}

enum status fetch_new(const struct blob_ref *ref, const struct fetch_range *part,
                      const struct fetch_plan *plan, struct fetch **out)
{
    bool whole = part->chunk_count == 0;
    *out = NULL;
    struct fetch *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = whole ? blob_receiver_new(ref, ref->size_bytes, &self->receiver)
                               : blob_receiver_new_part(ref, part->first_chunk, part->chunk_count,
                                                        ref->size_bytes, &self->receiver);
    if (status == STATUS_OK && (!whole || has_owners(plan))) {
        status = begin_list(self);
    }
    if (status != STATUS_OK) {
        fetch_free(self);
        return status;
    }
    self->whole = whole;
    begin(self, plan);
    *out = self;
    return STATUS_OK;
}

void fetch_free(struct fetch *self)
{
    if (self == NULL) {
        return;
    }
    blob_receiver_free(self->list);
    blob_receiver_free(self->receiver);
    free(self);
}

const struct blob_ref *fetch_ref(const struct fetch *self)
{
    return blob_receiver_ref(self->receiver);
}

bool fetch_is_whole(const struct fetch *self)
{
    return self->whole;
}

void fetch_restart(struct fetch *self, const struct fetch_plan *plan)
{
    begin(self, plan);
    blob_receiver_reset_grants(self->receiver);
    if (self->list != NULL) {
        blob_receiver_reset_grants(self->list);
    }
}

/* It owed nothing up to now: that time does not count against it. */
static void note_asked(struct fetch *self, uint32_t index, uint64_t now_ms)
{
    struct source *source = &self->sources[index];
    uint64_t latest_ms = now_ms + FETCH_BEHIND_MS_MAX;
    uint64_t until_ms = source->until_ms + (now_ms - source->chunk_ms);
    self->began_ms = self->began_ms == 0 ? now_ms : self->began_ms;
    source->until_ms = source->until_ms == 0 || until_ms > latest_ms ? latest_ms : until_ms;
    source->heard_ms = source->chunk_ms = now_ms;
}

void fetch_coordinator_lost(struct fetch *self)
{
    blob_receiver_forget_source(self->receiver, FETCH_COORDINATOR);
    if (self->list != NULL) {
        blob_receiver_reset_grants(self->list);
    }
}

/* Grants of a range to a source, within what may be asked for now. */
static bool ask(struct fetch *self, struct blob_receiver *receiver, uint32_t source,
                struct fetch_range range, const struct blob_ask *limits, struct wire_grant *out)
{
    struct blob_ask ask = *limits;
    uint32_t outstanding = blob_receiver_outstanding(receiver, source);
    ask.source = source;
    ask.first_chunk = range.first_chunk;
    ask.chunk_count = range.chunk_count;
    ask.window =
        outstanding + limits->window < self->window ? outstanding + limits->window : self->window;
    if (range.chunk_count == 0 || !blob_receiver_grant_from(receiver, &ask, out)) {
        return false;
    }
    if (outstanding == 0) {
        note_asked(self, source, limits->now_ms);
    }
    return true;
}

/* Chunks from `first` on that the coordinator is to send: up to where an owner's begin. False: none
 * are left. */
static bool next_gap(const struct fetch *self, uint32_t first, struct fetch_range *out)
{
    uint32_t end = chunk_count(self);
    for (uint32_t i = 0; i < self->plan.owner_count; i++) {
        const struct fetch_range *owner = &self->plan.owners[i];
        if (owner->chunk_count == 0 || self->sources[1 + i].out) {
            continue;
        }
        if (first >= owner->first_chunk && first - owner->first_chunk < owner->chunk_count) {
            first = owner->first_chunk + owner->chunk_count;
        } else if (owner->first_chunk > first && owner->first_chunk < end) {
            end = owner->first_chunk;
        }
    }
    *out = (struct fetch_range){first, end > first ? end - first : 0};
    return end > first;
}

static bool ask_coordinator(struct fetch *self, const struct blob_ask *limits,
                            struct wire_grant *out)
{
    struct fetch_range range = {0, UINT32_MAX};
    if (self->list != NULL && ask(self, self->list, FETCH_COORDINATOR, range, limits, out)) {
        return true;
    }
    if (ask(self, self->receiver, FETCH_COORDINATOR, self->plan.own, limits, out)) {
        return true;
    }
    for (uint32_t first = 0; next_gap(self, first, &range); first += range.chunk_count) {
        if (ask(self, self->receiver, FETCH_COORDINATOR, range, limits, out)) {
            return true;
        }
        first = range.first_chunk;
    }
    return false;
}

bool fetch_grant(struct fetch *self, uint64_t now_ms, uint64_t bytes_max, uint32_t *out_source,
                 struct wire_grant *out)
{
    uint64_t chunks = bytes_max / fetch_ref(self)->chunk_bytes;
    const struct blob_ask limits = {.window = chunks > BLOB_WINDOW_MAX ? BLOB_WINDOW_MAX
                                                                       : (uint32_t)chunks + 1,
                                    .now_ms = now_ms,
                                    .retry_ms = FETCH_RETRY_MS};
    for (uint32_t i = 0; i <= self->plan.owner_count; i++) {
        uint32_t source = (self->turn + i) % (self->plan.owner_count + 1);
        bool granted =
            source == FETCH_COORDINATOR
                ? ask_coordinator(self, &limits, out)
                : !self->sources[source].out && ask(self, self->receiver, source,
                                                    self->plan.owners[source - 1], &limits, out);
        if (granted) {
            self->turn = (source + 1) % (self->plan.owner_count + 1);
            *out_source = source;
            return true;
        }
    }
    return false;
}

/* A damaged list is fetched again; not for ever. */
static enum status finish_list(struct fetch *self)
{
    const struct digest *hashes = (const void *)blob_receiver_data(self->list);
    enum status status = blob_receiver_use_hashes(self->receiver, hashes, chunk_count(self));
    blob_receiver_free(self->list);
    self->list = NULL;
    if (status == STATUS_OK) {
        self->proven = true;
        return STATUS_OK;
    }
    if (++self->lists_damaged < LISTS_MAX && begin_list(self) != STATUS_OK) {
        self->list = NULL; /* without memory: the root decides in the end */
    }
    return status;
}

static enum status take_list(struct fetch *self, uint32_t source,
                             const struct blob_chunk_header *header, const uint8_t *data,
                             size_t size_bytes)
{
    if (source != FETCH_COORDINATOR || self->list == NULL) {
        return STATUS_PROTOCOL;
    }
    enum status status = blob_receiver_add(self->list, header, data, size_bytes);
    return status == STATUS_OK && blob_receiver_complete(self->list) ? finish_list(self) : status;
}

static uint64_t least_after(const struct fetch *self, uint64_t now_ms)
{
    uint64_t mean = self->came_bytes * 1000 / (now_ms - self->began_ms + SETTLE_MS);
    uint64_t least = mean / FETCH_MEAN_SHARE;
    least = least < FETCH_BYTES_PER_S_MAX ? least : FETCH_BYTES_PER_S_MAX;
    return least > self->least_bytes_per_s ? least : self->least_bytes_per_s;
}

/* A chunk that was missing: it puts off what all owe. */
static void note_came(struct fetch *self, uint32_t source, uint64_t bytes, uint64_t now_ms)
{
    self->sources[source].heard_ms = self->sources[source].chunk_ms = now_ms;
    self->came_bytes += bytes;
    self->least_bytes_per_s = least_after(self, now_ms);
    uint64_t earned_ms = bytes * 1000 / self->least_bytes_per_s;
    uint64_t latest_ms = now_ms + FETCH_BEHIND_MS_MAX;
    for (uint32_t i = 1; i <= self->plan.owner_count; i++) {
        uint64_t until_ms = self->sources[i].until_ms;
        if (until_ms != 0) {
            until_ms += earned_ms;
            self->sources[i].until_ms = until_ms < latest_ms ? until_ms : latest_ms;
        }
    }
}

enum status fetch_take(struct fetch *self, uint32_t source, const struct blob_chunk_header *header,
                       const uint8_t *data, size_t size_bytes, uint64_t now_ms)
{
    CHECK(source < BLOB_SOURCES_MAX);
    if (header->kind == BLOB_HASHES) {
        return take_list(self, source, header, data, size_bytes);
    }
    uint64_t before_bytes = fetch_received_bytes(self);
    enum status status = blob_receiver_add(self->receiver, header, data, size_bytes);
    if (fetch_received_bytes(self) > before_bytes) {
        note_came(self, source, size_bytes, now_ms);
    } else if (status == STATUS_CORRUPT) {
        fetch_owner_out(self, source);
    }
    return status;
}

bool fetch_has(const struct fetch *self, const struct blob_chunk_header *header)
{
    const struct blob_receiver *receiver =
        header->kind == BLOB_HASHES ? self->list : self->receiver;
    return receiver != NULL && header->kind == blob_receiver_ref(receiver)->kind &&
           header->id == blob_receiver_ref(receiver)->id &&
           blob_receiver_chunk(receiver, header->index) != NULL;
}

void fetch_heard(struct fetch *self, uint32_t source, uint64_t now_ms)
{
    CHECK(source < BLOB_SOURCES_MAX);
    self->sources[source].heard_ms = now_ms;
}

void fetch_owner_out(struct fetch *self, uint32_t source)
{
    CHECK(source < BLOB_SOURCES_MAX);
    if (source != FETCH_COORDINATOR && !self->sources[source].out) {
        self->sources[source].out = true;
        blob_receiver_forget_source(self->receiver, source);
    }
}

bool fetch_judge(struct fetch *self, uint64_t now_ms, uint32_t *out_source)
{
    for (uint32_t i = 1; i <= self->plan.owner_count; i++) {
        const struct source *source = &self->sources[i];
        if (!source->out && blob_receiver_outstanding(self->receiver, i) > 0 &&
            (now_ms - source->heard_ms > FETCH_SILENT_MS_MAX ||
             now_ms - source->chunk_ms > FETCH_IDLE_MS_MAX || now_ms > source->until_ms)) {
            fetch_owner_out(self, i);
            *out_source = i;
            return true;
        }
    }
    return false;
}

uint64_t fetch_received_bytes(const struct fetch *self)
{
    return blob_receiver_received_bytes(self->receiver);
}

uint32_t fetch_waits_for(const struct fetch *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i <= self->plan.owner_count; i++) {
        count += blob_receiver_outstanding(self->receiver, i) > 0 ? 1 : 0;
    }
    return count > 0 || self->list == NULL ? count : 1;
}

bool fetch_complete(const struct fetch *self)
{
    return self->list == NULL && blob_receiver_complete(self->receiver);
}

enum status fetch_verify(struct fetch *self)
{
    enum status status = blob_receiver_verify(self->receiver);
    self->proven = self->proven || status == STATUS_OK;
    return status;
}

const uint8_t *fetch_data(const struct fetch *self)
{
    return blob_receiver_data(self->receiver);
}

bool fetch_chunk(const struct fetch *self, uint32_t index, struct blob_chunk_header *out_header,
                 const uint8_t **out_data)
{
    const struct blob_ref *ref = fetch_ref(self);
    *out_data = self->proven ? blob_receiver_chunk(self->receiver, index) : NULL;
    if (*out_data == NULL) {
        return false;
    }
    *out_header = (struct blob_chunk_header){.kind = ref->kind,
                                             .id = ref->id,
                                             .index = index,
                                             .size_bytes = blob_chunk_size(ref, index),
                                             .hash = *blob_receiver_hash(self->receiver, index)};
    return true;
}
