#include "coordinator/server/server_durable.h"

#include "common/check.h"
#include "common/log.h"
#include "coordinator/server/server_state.h"

#include <inttypes.h>
#include <string.h>

struct journal_lease server_lease_fact(const struct server *self, const struct core_action *action)
{
    const struct session *session = &self->sessions->items[action->peer];
    struct journal_lease fact = {.lease_id = action->lease_id,
                                 .step = action->step,
                                 .samples = {.first = action->first, .count = action->count}};
    memcpy(fact.key, session->public_key, sizeof fact.key);
    return fact;
}

/* Nobody is here yet, so that the core has nothing to do for it. */
static enum status tell_core(struct server *self, const struct core_event *event, uint64_t now_ms)
{
    enum status status = core_step(self->core, now_ms, event, &self->actions);
    CHECK(status != STATUS_OK || self->actions.count == 0);
    return status;
}

/* *out NULL: there is no place for it, or the fact names no key. */
static enum status find_or_add(struct server *self, const struct journal_lease *fact,
                               uint64_t now_ms, struct session **out)
{
    for (uint32_t i = 0; i < self->sessions->end; i++) {
        struct session *session = &self->sessions->items[i];
        if (session->used && memcmp(session->public_key, fact->key, sizeof fact->key) == 0) {
            *out = session;
            return STATUS_OK;
        }
    }
    if (sessions_add_away(self->sessions, fact->key, out) != STATUS_OK) {
        *out = NULL;
        return STATUS_OK;
    }
    return tell_core(
        self,
        &(struct core_event){.type = CORE_JOINED, .peer = sessions_index(self->sessions, *out)},
        now_ms);
}

/* What a fact says of the step in progress, or of the next one; empty: nothing. A step can have got
 * another place since: when nothing of it was lent any more, and settings changed. */
static struct core_range range_of(const struct server *self, const struct journal_lease *fact)
{
    uint64_t step = core_current_step(self->core);
    uint64_t batch = core_target_batch(self->core);
    uint64_t first = fact->step == step ? self->sample_first : self->sample_first + batch;
    uint64_t most = fact->step == step ? batch : UINT64_MAX;
    uint64_t place = fact->samples.first - first;
    if ((fact->step != step && fact->step != step + 1) || fact->samples.first < first ||
        place >= most) {
        return (struct core_range){0};
    }
    uint64_t room = most - place;
    return (struct core_range){.first = fact->samples.first,
                               .count = fact->samples.count < room ? fact->samples.count : room};
}

enum status server_reserve_leases(struct server *self, const struct journal_lease *facts,
                                  size_t count, uint64_t now_ms)
{
    enum status status = STATUS_OK;
    /* A later fact took its samples over: backwards, each takes what is free. */
    for (size_t i = count; i-- > 0 && status == STATUS_OK;) {
        const struct journal_lease *fact = &facts[i];
        struct session *session = NULL;
        const struct core_range range = range_of(self, fact);
        if (range.count == 0) {
            continue;
        }
        status = find_or_add(self, fact, now_ms, &session);
        if (status == STATUS_OK && session != NULL) {
            status = tell_core(self,
                               &(struct core_event){.type = CORE_RESERVED,
                                                    .peer = sessions_index(self->sessions, session),
                                                    .ranges = &range,
                                                    .range_count = 1},
                               now_ms);
        }
    }
    if (count > 0) {
        log_info("server", "leases_kept", "facts=%zu peers=%" PRIu32, count, self->sessions->end);
    }
    return status;
}
