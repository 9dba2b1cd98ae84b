#include "common/fault.h"
#include "common/log.h"
#include "peer/daemon/daemon_state.h"

#include <inttypes.h>
#include <string.h>

enum { FETCH_STALL_MS_MAX = 60000 };

static void tell_fetched(struct daemon *self, bool ok)
{
    struct session_event event = {.type = SESSION_FETCHED, .ok = ok};
    daemon_step(self, &event);
}

bool daemon_fetches_own(const struct daemon *self)
{
    const struct session *session = &self->session;
    bool busy = session->fetching || session->fetched || session->applying;
    return self->options->aggregates_only || (!session->follows && !busy);
}

/* True: somebody waits for what is coming. */
static bool is_fetching(const struct daemon *self)
{
    return self->shelf.coming != NULL && (self->session.fetching || daemon_fetches_own(self));
}

/* Whom to ask for an update: its chunks' owners, but this peer for its own. */
static void make_plan(const struct daemon *self, enum blob_kind kind, struct fetch_plan *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; kind == BLOB_UPDATE && i < self->route.owner_count; i++) {
        const struct wire_owner *owner = &self->route.owners[i];
        struct fetch_range range = {owner->first_chunk, owner->chunk_count};
        if (memcmp(owner->public_key, self->identity->public_key, IDENTITY_KEY_BYTES) == 0) {
            out->own = range;
            range.chunk_count = 0;
        }
        out->owners[i] = range;
        out->owner_count = daemon_fetches_own(self) ? 0 : i + 1;
    }
}

/* An owner that is asked, and says nothing, or cannot be reached. */
static void judge_owners(struct daemon *self)
{
    uint32_t source = 0;
    while (fetch_judge(self->shelf.coming, self->now_ms, &source)) {
        log_warn("peer", "owner_slow", "address=%s", self->route.owners[source - 1].address);
    }
    for (uint32_t i = 0; i < self->route.owner_count; i++) {
        if (bulk_is_lost(self->bulk, i, self->now_ms)) {
            fetch_owner_out(self->shelf.coming, 1 + i);
        }
    }
}

static void grant_more(struct daemon *self)
{
    struct fetch *fetch = self->shelf.coming;
    uint32_t source = 0;
    uint64_t bytes_max = 0;
    struct wire_grant grant;
    if (daemon_line_is_coming(self)) {
        return; /* so that messages do not wait behind megabytes */
    }
    while ((bytes_max = pace_may_ask(&self->pace, self->now_ms)) > 0 &&
           fetch_grant(fetch, self->now_ms, bytes_max, &source, &grant)) {
        pace_asked(&self->pace, (uint64_t)grant.chunk_count * fetch_ref(fetch)->chunk_bytes,
                   self->now_ms);
        if (source == FETCH_COORDINATOR) {
            self->outgoing.type = WIRE_GRANT;
            self->outgoing.as.grant = grant;
            daemon_send(self);
        } else if (!bulk_ask(self->bulk, source - 1, &grant, fetch_ref(fetch)->chunk_bytes)) {
            fetch_owner_out(fetch, source);
        }
    }
}

static bool same_blob(const struct blob_ref *a, const struct blob_ref *b)
{
    return a->kind == b->kind && a->id == b->id && a->size_bytes == b->size_bytes &&
           a->chunk_bytes == b->chunk_bytes && digest_equal(&a->root, &b->root);
}

/* Size and chunks follow from the model and the codec. */
static bool fits(const struct daemon *self, const struct blob_ref *ref, enum codec codec)
{
    return ref->size_bytes == codec_encoded_bytes(codec, self->value_count) &&
           ref->chunk_bytes == codec_encoded_bytes(codec, CODEC_CHUNK_VALUES);
}

void daemon_fetch(struct daemon *self, const struct blob_ref *ref, enum codec codec)
{
    static const struct fetch_range all = {0, 0};
    struct fetch_plan plan;
    if (self->compute != NULL && ref->kind == BLOB_UPDATE &&
        !daemon_judge_codecs(self, compute_offer_codec(self->compute), codec)) {
        return;
    }
    make_plan(self, ref->kind, &plan);
    self->coming_codec = codec;
    self->fetch_ms = self->now_ms;
    if (self->shelf.coming != NULL && fetch_is_whole(self->shelf.coming) &&
        same_blob(fetch_ref(self->shelf.coming), ref)) {
        fetch_restart(self->shelf.coming, &plan); /* go on where the connection broke */
    } else {
        shelf_drop(&self->shelf);
        if (ref->kind == BLOB_SNAPSHOT) {
            shelf_pass(&self->shelf, ref->id); /* no update before it is fetched any more */
        }
        enum status status = fits(self, ref, codec)
                                 ? fetch_new(ref, &all, &plan, &self->shelf.coming)
                                 : STATUS_BAD_SHAPE;
        if (status != STATUS_OK) {
            daemon_fail(self, fault(STATUS_PROTOCOL, "the coordinator offers parameters of the "
                                                     "wrong size; tell whoever runs it"));
            return;
        }
    }
    grant_more(self);
}

/* What others wait for from here, of an update that this peer itself has no use for. */
void daemon_fetch_own(struct daemon *self)
{
    const struct wire_committed *latest = &self->latest;
    struct fetch_plan plan;
    if (self->owner == NULL || !daemon_fetches_own(self)) {
        return;
    }
    make_plan(self, BLOB_UPDATE, &plan);
    shelf_drop(&self->shelf);
    if (plan.own.chunk_count == 0 || self->value_count == 0) {
        shelf_pass(&self->shelf, latest->update.id); /* it owns nothing of this */
        return;
    }
    self->fetch_ms = self->now_ms;
    uint64_t bytes = (uint64_t)plan.own.chunk_count * latest->update.chunk_bytes;
    if (!fits(self, &latest->update, latest->codec) || !shelf_has_room(&self->shelf, bytes) ||
        fetch_new(&latest->update, &plan.own, &plan, &self->shelf.coming) != STATUS_OK) {
        log_warn("owner", "fetch_refused", "step=%" PRIu64, latest->step);
        shelf_pass(&self->shelf, latest->update.id);
        return;
    }
    grant_more(self);
}

void daemon_fetch_replan(struct daemon *self)
{
    struct fetch_plan plan;
    if (self->shelf.coming != NULL && self->session.fetching) {
        make_plan(self, fetch_ref(self->shelf.coming)->kind, &plan);
        fetch_restart(self->shelf.coming, &plan);
    }
}

void daemon_fetch_line_back(struct daemon *self)
{
    if (is_fetching(self)) {
        fetch_coordinator_lost(self->shelf.coming);
        grant_more(self);
    }
}

/* It does not come: others that wait for it here fetch it elsewhere. */
static void give_up(struct daemon *self)
{
    uint64_t id = fetch_ref(self->shelf.coming)->id;
    shelf_drop(&self->shelf);
    shelf_pass(&self->shelf, id);
}

static void finish_fetch(struct daemon *self)
{
    const struct blob_ref *ref = fetch_ref(self->shelf.coming);
    bool own = !self->session.fetching;
    enum status status = fetch_verify(self->shelf.coming);
    if (status == STATUS_OK && !own) {
        status = compute_check_blob(self->compute, self->coming_codec,
                                    fetch_data(self->shelf.coming), ref->size_bytes);
    }
    self->shelf.arrivals++;
    if (status != STATUS_OK) {
        log_warn("peer", "fetch_refused", "reason=\"%s\"", status_text(status));
        give_up(self);
    } else if (own) {
        shelf_keep(&self->shelf);
    }
    if (!own) {
        tell_fetched(self, status == STATUS_OK);
    }
}

static void count_unasked(struct daemon *self, uint32_t source,
                          const struct channel_message *incoming)
{
    uint64_t bytes = incoming->head_size_bytes + incoming->body_size_bytes;
    if (source == FETCH_COORDINATOR) {
        pace_came_unasked(&self->pace, bytes, self->now_ms);
    } else {
        pace_came_from_others(&self->pace, bytes, self->now_ms);
    }
}

void daemon_take_chunk(struct daemon *self, uint32_t source, const struct channel_message *incoming)
{
    struct blob_chunk_header header;
    if (!is_fetching(self) ||
        blob_header_read(incoming->head, incoming->head_size_bytes, &header) != STATUS_OK ||
        fetch_has(self->shelf.coming, &header)) {
        count_unasked(self, source, incoming);
        return; /* late, a second time, or not asked for: no reason to wait longer for who sends it
                 */
    }
    enum status status = fetch_take(self->shelf.coming, source, &header, incoming->body,
                                    incoming->body_size_bytes, self->now_ms);
    if (status != STATUS_OK) {
        count_unasked(self, source, incoming);
        log_event(status == STATUS_CORRUPT ? LOG_WARN : LOG_DEBUG, "peer", "chunk_refused",
                  "source=%" PRIu32 " reason=\"%s\"", source, status_text(status));
        return;
    }
    self->fetch_ms = self->now_ms;
    self->shelf.arrivals++;
    pace_came(&self->pace, incoming->body_size_bytes);
    if (source == FETCH_COORDINATOR) {
        session_heard(&self->session, self->now_ms);
    }
    if (fetch_complete(self->shelf.coming)) {
        finish_fetch(self);
    } else {
        grant_more(self);
    }
}

void daemon_fetch_tick(struct daemon *self)
{
    if (!is_fetching(self)) {
        return;
    }
    if (fetch_complete(self->shelf.coming)) {
        finish_fetch(self); /* it was here already when it was asked for again */
    } else if (self->now_ms - self->fetch_ms > FETCH_STALL_MS_MAX) {
        log_warn("peer", "fetch_stalled", "seconds=%d", FETCH_STALL_MS_MAX / 1000);
        if (self->session.fetching) {
            tell_fetched(self, false);
        } else {
            give_up(self);
        }
    } else {
        judge_owners(self);
        grant_more(self);
    }
}
