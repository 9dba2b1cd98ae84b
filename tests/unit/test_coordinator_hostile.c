/* Peers that say anything, against books of the test's own. */
#include "common/random.h"
#include "core_fixture.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>

enum { SOAK_PEERS = 5, SOAK_BATCH = 24, SOAK_WINDOW = 2 * SOAK_BATCH, SOAK_EVENTS = 3000 };

struct soak {
    struct fixture f;
    struct random random;
    struct core_range offered[SOAK_PEERS][SOAK_WINDOW];
    size_t offered_count[SOAK_PEERS];
    struct core_range said[SOAK_WINDOW]; /* in the event that is being stepped */
    size_t said_count;
    struct core_range kept[SOAK_WINDOW];
    struct core_range reserved;
    struct core_lease leases[CORE_LEASES_PER_PEER + 1];
    bool active[SOAK_PEERS];
    bool fetching[SOAK_PEERS];
    uint32_t adding; /* peer + 1 */
    bool committing;
    uint32_t times[SOAK_BATCH]; /* how often each sample was counted in this step */
    uint64_t commits;
    uint64_t claims_accepted;
    uint64_t claims_refused;
    uint64_t ahead; /* leases of the next step */
};

static uint32_t chance(struct soak *s, uint32_t bound)
{
    return (uint32_t)random_below(&s->random, bound);
}

static bool is_live(const struct peer *peer, uint64_t sample)
{
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        const struct lease *lease = &peer->leases[i];
        if (lease->id != 0 && sample >= lease->first && sample < lease->first + lease->count) {
            return true;
        }
    }
    return false;
}

/* What this peer has done, sometimes spoilt. */
static void choose_ranges(struct soak *s, uint32_t peer)
{
    const struct sample_table *table = &s->f.core->table;
    uint32_t end = table->size + (chance(s, 30) == 0 ? table->next_size : 0);
    s->said_count = 0;
    for (uint32_t i = 0; i < end; i++) {
        uint64_t sample = s->f.core->sample_first + i;
        if (table->owners[i] != peer + 1 || chance(s, 60) == 0 ||
            (is_live(&s->f.core->peers[peer], sample) && chance(s, 60) != 0)) {
            continue;
        }
        struct core_range *last = s->said_count > 0 ? &s->said[s->said_count - 1] : NULL;
        if (last != NULL && last->first + last->count == sample) {
            last->count++;
        } else {
            s->said[s->said_count++] = (struct core_range){sample, 1};
        }
    }
    if (s->said_count > 0 && chance(s, 16) == 0) {
        struct core_range *spoilt = &s->said[chance(s, (uint32_t)s->said_count)];
        spoilt->first += chance(s, 2) == 0 ? UINT64_MAX - 3 : chance(s, 3);
        spoilt->count += chance(s, 2) == 0 ? UINT64_MAX - 3 : chance(s, 3);
    }
}

/* What the peer owns, leases made up from some of it, sometimes spoilt. */
static void choose_claim(struct soak *s, struct core_event *event)
{
    const struct sample_table *table = &s->f.core->table;
    event->ranges = s->said;
    event->kept = s->kept;
    event->leases = s->leases;
    for (uint32_t i = 0; i < table->size + table->next_size; i++) {
        if (table->owners[i] != event->peer + 1 && chance(s, 200) != 0) {
            continue;
        }
        const struct core_range range = {s->f.core->sample_first + i,
                                         1 + (chance(s, 50) == 0 ? chance(s, 3) : 0)};
        if (chance(s, 4) == 0) {
            s->kept[event->kept_count++] = range;
        } else if (chance(s, 20) != 0) {
            s->said[event->range_count++] = range;
        }
    }
    uint64_t id = 1 + chance(s, (uint32_t)s->f.core->next_lease_id + 1);
    uint32_t most = CORE_LEASES_PER_PEER + (chance(s, 30) == 0 ? 1 : 0);
    for (size_t i = 0; i < event->range_count && event->lease_count < most; i++) {
        if (chance(s, 3) == 0) {
            struct core_lease *lease = &s->leases[event->lease_count++];
            *lease = (struct core_lease){.id = id++, .first = s->said[i].first, .count = 1};
            lease->done = chance(s, 30) == 0 ? 1 : 0;
        }
    }
}

static uint64_t choose_lease(struct soak *s, uint32_t peer, const struct lease **out)
{
    uint32_t whose = chance(s, 10) == 0 ? chance(s, SOAK_PEERS) : peer;
    *out = &s->f.core->peers[whose].leases[chance(s, CORE_LEASES_PER_PEER)];
    return chance(s, 20) == 0 ? chance(s, 50) : (*out)->id;
}

static struct core_event choose_event(struct soak *s)
{
    static const enum core_event_type types[] = {
        CORE_LEFT,    CORE_HEARD,    CORE_READY,   CORE_READY,    CORE_READY,    CORE_PROGRESS,
        CORE_YIELDED, CORE_PROGRESS, CORE_OFFERED, CORE_PROGRESS, CORE_RETURNED, CORE_CLAIMED};
    struct core_event event = {.type = types[chance(s, sizeof types / sizeof types[0])],
                               .peer = chance(s, SOAK_PEERS)};
    const struct lease *lease = NULL;
    if (event.type == CORE_LEFT && chance(s, 20) != 0) {
        event.type = CORE_TICK;
    }
    if (!s->active[event.peer]) {
        event.type = CORE_JOINED;
    }
    if (event.type == CORE_RETURNED && chance(s, 4) == 0) {
        event.type = chance(s, 4) == 0 ? CORE_PAUSE : CORE_RESUME;
    }
    if (event.type == CORE_HEARD && s->f.core->peers[event.peer].claim_due) {
        s->reserved = (struct core_range){s->f.core->sample_first + chance(s, SOAK_WINDOW), 7};
        event = (struct core_event){
            .type = CORE_RESERVED, .peer = event.peer, .ranges = &s->reserved, .range_count = 1};
    }
    event.threads = chance(s, 50) == 0 ? UINT32_MAX : chance(s, 6);
    event.version = core_current_step(s->f.core) + (chance(s, 8) == 0 ? chance(s, 3) - 1U : 0U);
    event.step = chance(s, 20) == 0 ? chance(s, 3) : core_current_step(s->f.core);
    event.lease_id = choose_lease(s, event.peer, &lease);
    event.samples = chance(s, 30) == 0 ? UINT64_MAX : lease->count;
    if (chance(s, 3) == 0) {
        event.samples = chance(s, lease->count + 3);
    }
    if (event.type == CORE_CLAIMED) {
        choose_claim(s, &event);
    }
    if (event.type == CORE_OFFERED) {
        choose_ranges(s, event.peer);
        event.again = chance(s, 4) == 0;
        if (event.again && s->said_count > 1) {
            s->said_count = 1;
        }
        event.ranges = s->said;
        event.range_count = s->said_count;
        event.type = s->said_count > 0 || chance(s, 40) == 0 ? CORE_OFFERED : CORE_READY;
    }
    return event;
}

static void obey_action(struct soak *s, const struct core_action *action)
{
    uint32_t peer = action->peer;
    if (action->type == CORE_FETCH) {
        memcpy(s->offered[peer], s->said, sizeof s->said);
        s->offered_count[peer] = s->said_count;
        s->fetching[peer] = true;
    } else if (action->type == CORE_LEASE) {
        s->ahead += action->step > core_current_step(s->f.core) ? 1 : 0;
    } else if (action->type == CORE_CLAIM_ANSWER) {
        s->claims_accepted += action->ok ? 1 : 0;
        s->claims_refused += action->ok ? 0 : 1;
    } else if (action->type == CORE_ADD) {
        s->adding = peer + 1;
    } else if (action->type == CORE_EXPEL) {
        s->active[peer] = false;
        s->fetching[peer] = false;
    } else if (action->type == CORE_COMMIT) {
        for (uint32_t i = 0; i < SOAK_BATCH; i++) {
            CU_ASSERT_EQUAL_FATAL(s->times[i], 1);
        }
        s->committing = true;
    }
}

static void soak_step(struct soak *s, const struct core_event *event)
{
    if (event->type == CORE_JOINED || event->type == CORE_LEFT) {
        s->active[event->peer] = event->type == CORE_JOINED;
        s->fetching[event->peer] = false;
    }
    if (event->type == CORE_RETURNED) {
        s->fetching[event->peer] = false;
    }
    if (event->type == CORE_ADDED && event->ok) {
        for (size_t i = 0; i < s->offered_count[event->peer]; i++) {
            const struct core_range *range = &s->offered[event->peer][i];
            for (uint64_t j = 0; j < range->count; j++) {
                uint64_t place = place_of(s->f.core, range->first + j);
                CU_ASSERT_TRUE_FATAL(place < SOAK_BATCH);
                CU_ASSERT_EQUAL_FATAL(s->times[place]++, 0);
            }
        }
    }
    fixture_step(&s->f, event);
    for (size_t i = 0; i < s->f.actions.count; i++) {
        obey_action(s, &s->f.actions.items[i]);
    }
}

/* What the shell says between two things that the peers say. */
static void shell_events(struct soak *s)
{
    for (uint32_t i = 0; i < SOAK_PEERS; i++) {
        if (s->fetching[i] && chance(s, 4) == 0) {
            s->fetching[i] = false;
            soak_step(s, &(struct core_event){
                             .type = CORE_RECEIVED, .peer = i, .ok = chance(s, 16) != 0});
        }
        if (s->adding != 0) {
            uint32_t peer = s->adding - 1;
            s->adding = 0;
            soak_step(s, &(struct core_event){
                             .type = CORE_ADDED, .peer = peer, .ok = chance(s, 16) != 0});
        }
    }
    if (s->committing && chance(s, 4) == 0) {
        s->committing = false;
        memset(s->times, 0, sizeof s->times);
        s->commits++;
        soak_step(s, &(struct core_event){.type = CORE_COMMITTED});
    }
}

static void whatever_peers_say_each_sample_counts_exactly_once(void)
{
    uint64_t commits = 0;
    uint64_t accepted = 0;
    uint64_t refused = 0;
    uint64_t ahead = 0;
    uint32_t seed = 0;
    for (; seed < 600 && CU_get_number_of_failures() == 0; seed++) {
        struct soak *s = calloc(1, sizeof *s);
        CU_ASSERT_PTR_NOT_NULL_FATAL(s);
        struct core_settings settings = fixture_settings(SOAK_BATCH);
        settings.step_count = 1000;
        settings.max_staleness = seed % 2;
        settings.stale_from = seed % 3;
        settings.sample_first = seed % 5 * 1000;
        fixture_init(&s->f, &settings);
        random_init(&s->random, seed, 0);
        for (uint32_t i = 0; i < SOAK_EVENTS; i++) {
            s->f.now_ms += chance(s, 3) == 0 ? chance(s, 60) : 0;
            struct core_event event = choose_event(s);
            soak_step(s, &event);
            shell_events(s);
        }
        commits += s->commits;
        accepted += s->claims_accepted;
        refused += s->claims_refused;
        ahead += s->ahead;
        CU_ASSERT_TRUE(settings.max_staleness > 0 || s->ahead == 0);
        fixture_deinit(&s->f);
        free(s);
    }
    uint64_t claims = accepted + refused;
    (void)printf("(%u seeds, %llu commits, %llu claims, %llu refused, %llu leases ahead) ", seed,
                 (unsigned long long)commits, (unsigned long long)claims,
                 (unsigned long long)refused, (unsigned long long)ahead);
    CU_ASSERT_TRUE(commits > 2000 && accepted > 3000 && refused > 3000 && ahead > 3000);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(whatever_peers_say_each_sample_counts_exactly_once),
    };
    return suite_run("coordinator_hostile", tests, sizeof tests / sizeof tests[0]);
}
