/* How long a step waits for peers that live and do nothing. */
#include "tests/unit/core_fixture.h"
#include "tests/unit/suite.h"

/* A tick after each second in which all peers say that they live. */
static void live(struct fixture *f, uint32_t peers, uint32_t seconds)
{
    for (uint32_t s = 0; s < seconds; s++) {
        f->now_ms += 1000;
        for (uint32_t i = 0; i < peers; i++) {
            if (f->core->peers[i].active) {
                fixture_tell(f, CORE_HEARD, i);
            }
        }
        fixture_tick(f, 0);
    }
}

/* Peer 0 needs 500 ms for a sample, has done all that is free and waits; peer 1 has samples and
 * says nothing of them. The lease of peer 1. */
static struct core_action one_waits(struct fixture *f)
{
    struct core_settings settings = fixture_settings(8);
    settings.patience_ms = 60000;
    fixture_init(f, &settings);
    fixture_join(f, 0, 1);
    fixture_join(f, 1, 2);
    struct core_action lease = fixture_ready(f, 1);
    CU_ASSERT_EQUAL(lease.count, 2);
    while (f->core->table.now.free_count > 0) {
        struct core_action own = fixture_ready(f, 0);
        f->now_ms += UINT64_C(500) * own.count;
        fixture_report(f, CORE_PROGRESS, 0, own.lease_id, own.count);
    }
    CU_ASSERT_EQUAL(f->now_ms, 4000);
    CU_ASSERT_EQUAL(fixture_ready(f, 0).count, 0);
    return lease;
}

/* 5 s and 8 times what a sample takes the slowest, from when it was lent: of this 3 s are over. */
static void samples_of_a_quiet_peer_go_to_one_that_waits(void)
{
    struct fixture f;
    struct core_action lease = one_waits(&f);
    live(&f, 2, 6);
    CU_ASSERT_EQUAL(core_peer_count(f.core), 2);
    live(&f, 2, 1);
    const struct core_action *expel = fixture_action(&f, CORE_EXPEL, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(expel);
    CU_ASSERT_FALSE(expel->held);
    const struct core_action *other = fixture_action(&f, CORE_LEASE, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(other);
    CU_ASSERT_EQUAL(other->first, lease.first);
    fixture_deinit(&f);
}

static void slow_peer_that_shows_progress_is_waited_for(void)
{
    struct fixture f;
    struct core_action lease = one_waits(&f);
    live(&f, 2, 5);
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 1);
    live(&f, 2, 30); /* 5 s and 8 times its own 8 s */
    CU_ASSERT_EQUAL(core_peer_count(f.core), 2);
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 2);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 1));
    fixture_deinit(&f);
}

/* The slow one ends before anything could be gained. */
static void quiet_peer_is_left_alone_while_another_works(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(3);
    settings.patience_ms = 60000;
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1);
    fixture_join(&f, 1, 1);
    fixture_join(&f, 2, 1);
    f.core->peers[0].speed = 0.01;
    f.core->peers[2].speed = 0.0005;
    (void)fixture_ready(&f, 1);
    struct core_action slow = fixture_ready(&f, 2);
    fixture_report(&f, CORE_PROGRESS, 0, fixture_ready(&f, 0).lease_id, 1);
    live(&f, 3, 15);
    CU_ASSERT_EQUAL(core_peer_count(f.core), 3);
    f.core->peers[2].mark_ms = f.now_ms; /* as where a longer lease makes progress */
    live(&f, 3, 15);
    CU_ASSERT_EQUAL(core_peer_count(f.core), 3);
    fixture_report(&f, CORE_PROGRESS, 2, slow.lease_id, 1);
    f.core->peers[2].speed = 0.0005;
    fixture_tick(&f, 0);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 1));
    fixture_deinit(&f);
}

/* Peer 1 (5/s) has ten samples that it did not begin, peer 0 (10/s) none. */
static void one_has_much_to_give(struct fixture *f)
{
    fixture_join(f, 0, 1);
    fixture_join(f, 1, 1);
    f->core->peers[0].speed = 0.01;
    f->core->peers[1].speed = 0.005;
    struct core_action lease = fixture_ready(f, 1);
    while (f->core->table.now.free_count > 0) {
        struct core_action own = fixture_ready(f, 0);
        fixture_report(f, CORE_PROGRESS, 0, own.lease_id, own.count);
    }
    f->core->peers[0].speed = 0.01;
    CU_ASSERT_TRUE(lease.count > 3);
}

static void reclaim_that_is_ignored_costs_the_lease(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(40);
    settings.patience_ms = 60000;
    fixture_init(&f, &settings);
    one_has_much_to_give(&f);
    (void)fixture_ready(&f, 0);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_RECLAIM, 1));
    live(&f, 2, 3); /* it may be on its way */
    CU_ASSERT_EQUAL(core_peer_count(f.core), 2);
    for (int i = 0; i < 5; i++) { /* nothing is heard of it: it may not know yet */
        fixture_tick(&f, 1000);
        CU_ASSERT_EQUAL(core_peer_count(f.core), 2);
    }
    fixture_tell(&f, CORE_HEARD, 1);
    fixture_tick(&f, 0);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 1));
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 0));
    fixture_deinit(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(samples_of_a_quiet_peer_go_to_one_that_waits),
        SUITE_TEST(slow_peer_that_shows_progress_is_waited_for),
        SUITE_TEST(quiet_peer_is_left_alone_while_another_works),
        SUITE_TEST(reclaim_that_is_ignored_costs_the_lease),
    };
    return suite_run("core_quiet", tests, sizeof tests / sizeof tests[0]);
}
