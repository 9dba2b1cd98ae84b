/* A coordinator that says anything in every phase. */
#include "common/random.h"
#include "session_fixture.h"
#include "suite.h"

#include <stdio.h>

struct soak {
    struct fixture f;
    struct random random;
    struct work_item running[4];
    size_t running_count;
    bool apply_open;
    bool fetch_open;
    bool opening;
    uint32_t setups;
    uint32_t samples;
    uint32_t offers;
    uint32_t applied;
    uint32_t claims;
    uint32_t again;
    uint32_t stale; /* samples */
    uint32_t set_aside;
    uint64_t kept[SESSION_OFFERS_MAX];
    size_t kept_count;
    uint64_t latest_id;
};

static uint64_t chance(struct soak *s, uint64_t bound)
{
    return random_below(&s->random, bound);
}

/* Often what leads on to where claims are made. */
static bool answer_hello_or_claim(struct soak *s)
{
    struct fixture *f = &s->f;
    if (f->session.phase == SESSION_HELLO && chance(s, 3) == 0) {
        fixture_welcome(f, 1, WIRE_VERSION_NONE);
        return true;
    }
    if (f->session.claim_open && chance(s, 3) == 0) {
        fixture_claimed(f, chance(s, 4) != 0);
        return true;
    }
    return false;
}

static void say_of_connections(struct soak *s, uint64_t step)
{
    if (chance(s, 4) == 0) {
        fixture_event(&s->f, SESSION_CONNECTED, true);
        return;
    }
    s->f.message.as.claimed.step = step;
    s->f.message.as.claimed.accepted = chance(s, 4) != 0;
    fixture_deliver(&s->f, WIRE_CLAIMED);
}

static void say_anything(struct soak *s)
{
    struct fixture *f = &s->f;
    const uint64_t version = f->session.version;
    const uint64_t odd[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, version + 1, version - 1};
    uint64_t any = chance(s, 8) == 0 ? odd[chance(s, 6)] : version;
    switch (chance(s, 22)) {
    case 0:
        fixture_refused(f, chance(s, 60) == 0 ? (enum wire_refusal)chance(s, 8)
                                              : WIRE_REFUSED_FULL + (unsigned)chance(s, 3));
        break;
    case 1:
        fixture_welcome(f, 1, WIRE_VERSION_NONE);
        break;
    case 2:
        fixture_welcome(f, chance(s, 300) == 0 ? 2 : 1, chance(s, 2) == 0 ? any : chance(s, 9));
        break;
    case 3:
    case 4:
    case 5:
        (f->max_staleness > 0 && chance(s, 2) == 0 ? fixture_lease_ahead : fixture_lease)(
            f, chance(s, 30), chance(s, 20) == 0 ? UINT64_MAX - 2 : chance(s, 100), chance(s, 6));
        break;
    case 6:
        f->message.as.lease.version = any;
        f->message.as.lease.lease_id = any;
        fixture_deliver(f, WIRE_LEASE);
        break;
    case 7:
        fixture_reclaim(f, chance(s, 30), (uint32_t)(chance(s, 2) * UINT32_MAX));
        break;
    case 8:
    case 9:
        if (chance(s, 3) == 0) {
            f->message.as.collect.step = any;
            fixture_deliver(f, WIRE_COLLECT);
        }
        break;
    case 10:
        fixture_verdict(f, chance(s, 2) == 0);
        break;
    case 11:
    case 12:
        fixture_collect(f);
        break;
    case 13: {
        size_t count = f->session.update_count;
        uint64_t next = count > 0 ? f->session.updates[count - 1].step + 1 : any;
        fixture_committed(f, chance(s, 9) == 0 ? any : next, (uint8_t)chance(s, 2));
        break;
    }
    case 14:
        fixture_deliver(f, chance(s, 400) == 0 ? WIRE_FINISHED : WIRE_ALIVE);
        break;
    case 15:
        fixture_deliver(f, (enum wire_type)chance(s, WIRE_FINISHED));
        break;
    case 16:
    case 17:
        say_of_connections(s, any);
        break;
    default:
        fixture_tick(f, chance(s, 30) == 0 ? 6000 : chance(s, 200));
    }
}

static void keep(struct soak *s, uint64_t id)
{
    CU_ASSERT_TRUE_FATAL(s->kept_count < SESSION_OFFERS_MAX);
    CU_ASSERT_TRUE(id > s->latest_id);
    s->latest_id = id;
    s->kept[s->kept_count++] = id;
}

static bool is_kept(const struct soak *s, uint64_t id)
{
    bool kept = false;
    for (size_t i = 0; i < s->kept_count; i++) {
        kept = kept || s->kept[i] == id;
    }
    return kept;
}

static void drop(struct soak *s, uint64_t id)
{
    for (size_t i = 0; i < s->kept_count; i++) {
        if (s->kept[i] == id) {
            s->kept[i] = s->kept[--s->kept_count];
        }
    }
}

/* What the shell does with the actions of the last step. */
static void obey(struct soak *s)
{
    struct fixture *f = &s->f;
    for (size_t i = 0; i < f->actions.count; i++) {
        switch (f->actions.items[i].type) {
        case SESSION_SETUP:
            s->setups++;
            break;
        case SESSION_FETCH:
            s->fetch_open = true;
            break;
        case SESSION_LOAD:
        case SESSION_APPLY:
            CU_ASSERT_FALSE(s->apply_open);
            CU_ASSERT_EQUAL(s->running_count, 0); /* nobody reads P now */
            s->apply_open = true;
            break;
        case SESSION_ENCODE:
            CU_ASSERT_EQUAL(s->running_count, 0);
            CU_ASSERT_TRUE(f->session.work.held_samples > 0);
            work_clear_held(&f->session.work);
            keep(s, f->actions.items[i].offer_id);
            s->offers++;
            break;
        case SESSION_SET_ASIDE:
            CU_ASSERT_EQUAL(s->running_count, 0);
            CU_ASSERT_TRUE(f->session.work.held_samples > 0);
            work_clear_held(&f->session.work);
            keep(s, f->actions.items[i].offer_id);
            s->set_aside++;
            break;
        case SESSION_OPEN:
            CU_ASSERT_EQUAL(s->running_count, 0);
            s->opening = true;
            break;
        case SESSION_OFFER_AGAIN:
            CU_ASSERT_TRUE(is_kept(s, f->actions.items[i].offer_id));
            s->again++;
            break;
        case SESSION_DROP_OFFER:
            CU_ASSERT_TRUE(is_kept(s, f->actions.items[i].offer_id));
            drop(s, f->actions.items[i].offer_id);
            break;
        case SESSION_DROP_OFFERS:
            CU_ASSERT_TRUE(s->kept_count > 0);
            s->kept_count = 0;
            break;
        case SESSION_DISCARD:
            CU_ASSERT_EQUAL(s->running_count, 0);
            CU_ASSERT_EQUAL(f->session.work.held_samples, 0);
            break;
        case SESSION_SEND:
            s->claims += f->actions.items[i].send == WIRE_CLAIM ? 1 : 0;
            break;
        case SESSION_RECONNECT:
        case SESSION_MISMATCH:
        case SESSION_EXIT:
        default:
            break;
        }
    }
    f->actions.count = 0;
}

static void act_as_shell(struct soak *s)
{
    struct fixture *f = &s->f;
    if (s->running_count < 4 && chance(s, 2) == 0 &&
        work_begin(&f->session.work, &s->running[s->running_count])) {
        CU_ASSERT_FALSE(s->apply_open || s->opening);
        CU_ASSERT_TRUE(s->running[s->running_count].stale == f->session.ahead);
        s->stale += s->running[s->running_count].stale ? 1 : 0;
        s->running_count++;
    }
    if (s->opening && chance(s, 3) == 0) {
        s->opening = false;
        fixture_event(f, SESSION_OPENED, true);
        obey(s);
    }
    if (s->running_count > 0 && chance(s, 3) == 0) {
        size_t at = (size_t)chance(s, s->running_count);
        struct work_item item = s->running[at];
        s->running[at] = s->running[--s->running_count];
        s->samples++;
        if (chance(s, 4) == 0) { /* something else comes before WORKED */
            work_done(&f->session.work, &item, 1.0);
        } else {
            fixture_done(f, &item);
            obey(s);
        }
    }
    if (s->fetch_open && chance(s, 3) == 0) {
        s->fetch_open = false;
        /* Not ok would mean what is being applied. */
        fixture_event(f, SESSION_FETCHED, s->apply_open || chance(s, 10) != 0);
        obey(s);
    }
    if (s->apply_open && chance(s, 2) == 0) {
        s->apply_open = false;
        s->applied++;
        if (chance(s, 20) == 0) {
            fixture_event(f, SESSION_FETCHED, false);
        } else {
            fixture_applied(f, chance(s, 10) == 0 ? 3 : f->session.applying_digest.bytes[0]);
        }
        obey(s);
    }
}

static void soak_run(struct soak *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    random_init(&s->random, seed, 0);
    fixture_init(&s->f);
    s->f.max_staleness = seed % 2;
    for (int i = 0; i < 3000 && s->f.session.phase != SESSION_OVER; i++) {
        if (!answer_hello_or_claim(s)) {
            say_anything(s);
        }
        obey(s);
        act_as_shell(s);
        if (chance(s, 2000) == 0) {
            fixture_event(&s->f, SESSION_STOP, true);
            obey(s);
        }
    }
    fixture_lease(&s->f, 1000, 0, 1); /* also after the end, or kept until deinit */
    CU_ASSERT_TRUE(s->setups <= 1);
    session_deinit(&s->f.session);
}

static void whatever_the_coordinator_says_the_peer_stays_whole(void)
{
    static struct soak s;
    uint64_t samples = 0;
    uint64_t offers = 0;
    uint64_t applied = 0;
    uint64_t claims = 0;
    uint64_t again = 0;
    uint64_t stale = 0;
    uint64_t set_aside = 0;
    uint64_t seed = 0;
    for (; seed < 1000 && CU_get_number_of_failures() == 0; seed++) {
        soak_run(&s, seed);
        samples += s.samples;
        offers += s.offers;
        applied += s.applied;
        claims += s.claims;
        again += s.again;
        stale += s.stale;
        set_aside += s.set_aside;
        CU_ASSERT_TRUE(seed % 2 == 1 || s.stale + s.set_aside == 0);
    }
    (void)printf(
        "(%u seeds, %u samples, %u stale, %u offers, %u again, %u set aside, %u claims, %u "
        "updates) ",
        (unsigned)seed, (unsigned)samples, (unsigned)stale, (unsigned)offers, (unsigned)again,
        (unsigned)set_aside, (unsigned)claims, (unsigned)applied);
    CU_ASSERT_TRUE(samples > 5000 && offers > 2000 && applied > 5000 && claims > 2000 &&
                   again > 1000 && stale > 1000 && set_aside > 300);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(whatever_the_coordinator_says_the_peer_stays_whole),
    };
    return suite_run("peer_hostile", tests, sizeof tests / sizeof tests[0]);
}
