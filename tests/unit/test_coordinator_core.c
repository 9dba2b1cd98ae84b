#include "core_fixture.h"
#include "suite.h"

#include <math.h>
#include <string.h>

/* Lets a peer of one thread do its first sample, so that its speed is known. */
static void give_speed(struct fixture *f, uint32_t peer, uint64_t ms_per_sample)
{
    struct core_action lease = fixture_ready(f, peer);
    CU_ASSERT_EQUAL_FATAL(lease.count, 1);
    f->now_ms += ms_per_sample;
    fixture_report(f, CORE_PROGRESS, peer, lease.lease_id, 1);
}

static void first_lease_is_one_sample_a_thread(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(100);
    fixture_init(&f, &settings);
    fixture_join(&f, 3, 4);
    CU_ASSERT_EQUAL(core_peer_count(f.core), 1);
    struct core_action lease = fixture_ready(&f, 3);
    CU_ASSERT_EQUAL(lease.count, 4);
    CU_ASSERT_EQUAL(lease.first, 0);
    CU_ASSERT_EQUAL(lease.step, 0);
    CU_ASSERT_EQUAL(lease.duration_ms, 3000);
    CU_ASSERT_EQUAL(fixture_ready(&f, 3).first, 4); /* two at a time, */
    CU_ASSERT_EQUAL(fixture_ready(&f, 3).count, 0); /* not three */
    fixture_deinit(&f);
}

static void peer_that_rests_gets_no_lease_and_holds_up_nobody(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(4);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1);
    fixture_join(&f, 1, 1);
    fixture_step(&f, &(struct core_event){.type = CORE_READY, .peer = 0, .rests = true});
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 0));
    for (int i = 0; i < 4; i++) {
        struct core_action lease = fixture_ready(&f, 1);
        CU_ASSERT_EQUAL_FATAL(lease.count, 1);
        fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 1);
    }
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 1)); /* all of the step is done */
    CU_ASSERT_EQUAL(core_free_samples(f.core), 0);
    fixture_step(&f, &(struct core_event){.type = CORE_LEFT, .peer = 1});
    CU_ASSERT_EQUAL(core_free_samples(f.core), 4);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 0));
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 1); /* it need not rest any more */
    fixture_deinit(&f);
}

/* Takes one sample after the other until so many are done by the peer. */
static void compute(struct fixture *f, uint32_t peer, int count)
{
    for (int i = 0; i < count; i++) {
        struct core_action lease = fixture_ready(f, peer);
        CU_ASSERT_EQUAL_FATAL(lease.count, 1);
        fixture_report(f, CORE_PROGRESS, peer, lease.lease_id, 1);
    }
}

static void all_hand_in_while_the_last_hundredth_is_computed_again(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(100);
    struct core_outlook outlook;
    fixture_init(&f, &settings);
    for (uint32_t i = 0; i < 3; i++) {
        fixture_join(&f, i, 1);
    }
    compute(&f, 0, 98);
    CU_ASSERT_EQUAL(fixture_ready(&f, 1).count, 1);
    CU_ASSERT_EQUAL(fixture_ready(&f, 2).count, 1);
    core_outlook(f.core, &outlook);
    CU_ASSERT_TRUE(outlook.collects == 0 && outlook.awaited == 0 && outlook.computing);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 0)); /* two are missing */
    fixture_step(&f, &(struct core_event){.type = CORE_LEFT, .peer = 2});
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_COLLECT, 0)); /* one of them for the second time */
    const struct lease *lease = &f.core->peers[1].leases[0];
    fixture_report(&f, CORE_PROGRESS, 1, lease->id, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
    core_outlook(f.core, &outlook);
    CU_ASSERT_EQUAL(outlook.collects, 1);
    CU_ASSERT_EQUAL(outlook.awaited, 2);
    fixture_deinit(&f);
}

static void lost_samples_wait_a_while_for_a_fast_uplink(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(4);
    fixture_init(&f, &settings);
    for (uint32_t i = 0; i < 4; i++) {
        fixture_join(&f, i, 1);
    }
    compute(&f, 0, 4);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
    core_set_uplink(f.core, 0, 100.0);
    core_set_uplink(f.core, 1, 10.0);
    core_set_uplink(f.core, 2, 50.0);
    core_set_uplink(f.core, 3, 20.0);
    (void)fixture_ready(&f, 1);
    fixture_step(&f, &(struct core_event){.type = CORE_LEFT, .peer = 0});
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 1));
    CU_ASSERT_EQUAL(fixture_ready(&f, 2).count, 1); /* the fastest of three */
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 1));
    f.now_ms += CORE_UPLINK_MS;
    fixture_step(&f, &(struct core_event){.type = CORE_TICK});
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 1));
    fixture_deinit(&f);
}

static void lease_size_follows_speed_and_shrinks_at_the_end(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(60);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1);
    give_speed(&f, 0, 100);
    CU_ASSERT_DOUBLE_EQUAL(core_peer_speed(f.core, 0), 10.0, 1e-9);
    uint32_t last = UINT32_MAX;
    uint32_t leases = 0;
    for (uint32_t left = 59; left > 0; leases++) {
        struct core_action lease = fixture_ready(&f, 0);
        uint32_t expected = left > 20 ? 10 : (left + 1) / 2;
        CU_ASSERT_EQUAL_FATAL(lease.count, expected);
        CU_ASSERT_TRUE(lease.count <= last);
        last = lease.count;
        left -= lease.count;
        f.now_ms += UINT64_C(100) * lease.count;
        fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, lease.count);
    }
    CU_ASSERT_EQUAL(last, 1);
    CU_ASSERT_EQUAL(leases, 9);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
    fixture_deinit(&f);
}

static void speed_counts_reports_of_the_same_moment_together(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(60);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 4);
    struct core_action a = fixture_ready(&f, 0);
    struct core_action b = fixture_ready(&f, 0);
    f.now_ms += 1000;
    fixture_report(&f, CORE_PROGRESS, 0, a.lease_id, 4);
    fixture_report(&f, CORE_PROGRESS, 0, b.lease_id, 2);
    CU_ASSERT_DOUBLE_EQUAL(core_peer_speed(f.core, 0), 4.0, 1e-9);
    f.now_ms += 1000;
    fixture_report(&f, CORE_PROGRESS, 0, b.lease_id, 4);
    CU_ASSERT_DOUBLE_EQUAL(core_peer_speed(f.core, 0), 4.0, 1e-9); /* 2 + 2 samples in 1 s */
    fixture_deinit(&f);
}

static void samples_of_a_lost_peer_are_leased_again(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 8);
    fixture_join(&f, 1, 8);
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 8);
    CU_ASSERT_EQUAL(fixture_ready(&f, 1).count, 0);
    fixture_tell(&f, CORE_LEFT, 0);
    const struct core_action *lease = fixture_action(&f, CORE_LEASE, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
    CU_ASSERT_EQUAL(lease->count, 8);
    CU_ASSERT_EQUAL(core_peer_count(f.core), 1);
    fixture_report(&f, CORE_PROGRESS, 0, 1, 8); /* a ghost: ignored */
    fixture_offer(&f, 0, &(struct core_range){0, 8}, 1);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_deinit(&f);
}

static void peer_is_expelled_when_silent(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1);
    fixture_join(&f, 1, 1);
    fixture_tick(&f, 10000);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_tell(&f, CORE_HEARD, 1);
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 0));
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 1));
    fixture_join(&f, 0, 1); /* the index is free again */
    CU_ASSERT_EQUAL(core_peer_count(f.core), 2);
    fixture_deinit(&f);
}

static void peer_is_expelled_at_the_lease_deadline(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 2);
    fixture_join(&f, 1, 1);
    struct core_action lease = fixture_ready(&f, 0);
    fixture_tick(&f, 2000);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 1);
    fixture_tick(&f, 3001); /* later than the first deadline, but there was progress */
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 0));
    f.now_ms += 7999;
    fixture_tell(&f, CORE_HEARD, 0);
    fixture_tick(&f, 0); /* 4 x 2 s for the second sample and 3 s of patience */
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 0));
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 0));
    CU_ASSERT_EQUAL(f.core->table.now.free_count, 8);
    fixture_deinit(&f);
}

static void dribbled_progress_is_bounded(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(200);
    settings.silence_ms_max = 1U << 30;
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1000);
    struct core_action lease = fixture_ready(&f, 0);
    CU_ASSERT_EQUAL(lease.count, 64);
    uint64_t begin_ms = f.now_ms;
    for (uint32_t done = 1; done < 64 && core_peer_count(f.core) == 1; done++) {
        uint64_t deadline_ms = f.core->peers[0].leases[0].deadline_ms;
        fixture_tick(&f, deadline_ms - f.now_ms);
        fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, done);
        if (f.core->peers[0].leases[0].deadline_ms == deadline_ms) {
            fixture_tick(&f, 1);
        }
    }
    CU_ASSERT_EQUAL(core_peer_count(f.core), 0);
    CU_ASSERT_TRUE(f.now_ms - begin_ms <= 8 * 1000 + 4 * 3000 + 1);
    fixture_deinit(&f);
}

static void peer_is_expelled_when_it_does_not_hand_in(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(4);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 4);
    struct core_action lease = fixture_ready(&f, 0);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 4);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
    fixture_tick(&f, 3000);
    CU_ASSERT_EQUAL(f.actions.count, 0); /* asked once */
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 0));
    CU_ASSERT_EQUAL(f.core->table.now.free_count, 4);
    fixture_deinit(&f);
}

static void peer_is_expelled_when_its_bytes_do_not_come(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(4);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 4);
    fixture_report(&f, CORE_PROGRESS, 0, fixture_ready(&f, 0).lease_id, 4);
    fixture_offer(&f, 0, &(struct core_range){0, 4}, 1);
    for (int i = 0; i < 20; i++) {
        fixture_tick(&f, 1000);
        fixture_tell(&f, CORE_HEARD, 0);
        CU_ASSERT_EQUAL(core_peer_count(f.core), 1);
    }
    fixture_tick(&f, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, 0));
    fixture_answer(&f, CORE_RECEIVED, 0, true); /* too late: ignored */
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_deinit(&f);
}

/* Peer 0 is fast (10/s) and idle; 1 (5/s) and 2 (1/s) have the rest. The lease of peer 2. */
static struct core_action idle_and_slow(struct fixture *f)
{
    for (uint32_t i = 0; i < 3; i++) {
        fixture_join(f, i, 1);
    }
    give_speed(f, 0, 100);
    give_speed(f, 1, 200);
    give_speed(f, 2, 1000);
    f->core->settings.lease_ms = 1000000;
    f->core->peers[2].speed *= 1e6; /* for a moment, so that it gets half of all */
    struct core_action lease = fixture_ready(f, 2);
    f->core->peers[2].speed /= 1e6;
    f->core->peers[1].speed *= 1e6;
    struct core_action rest = fixture_ready(f, 1);
    f->core->peers[1].speed /= 1e6;
    CU_ASSERT_TRUE(lease.count > 5 && rest.count > 5);
    while (f->core->table.now.free_count > 0) {
        struct core_action own = fixture_ready(f, 0);
        fixture_report(f, CORE_PROGRESS, 0, own.lease_id, own.count);
    }
    f->core->peers[0].speed = 0.01;
    return lease;
}

static void reclaim_asks_the_slowest_and_the_idle_one_gets_it(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(40);
    fixture_init(&f, &settings);
    struct core_action lease = idle_and_slow(&f);
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0);
    const struct core_action *reclaim = fixture_action(&f, CORE_RECLAIM, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(reclaim);
    CU_ASSERT_EQUAL(reclaim->lease_id, lease.lease_id);
    uint32_t keep = (uint32_t)ceil(lease.count / 11.0);
    CU_ASSERT_EQUAL(reclaim->count, keep);
    fixture_tick(&f, 10); /* one question for one idle peer */
    CU_ASSERT_EQUAL(f.actions.count, 0);
    f.core->peers[2].wants_work = true; /* even if the slow one wants more itself, */
    fixture_report(&f, CORE_YIELDED, 2, lease.lease_id, keep);
    CU_ASSERT_TRUE_FATAL(f.actions.count > 0);
    CU_ASSERT_EQUAL(f.actions.items[0].type, CORE_LEASE);
    CU_ASSERT_EQUAL(f.actions.items[0].peer, 0); /* the idle one comes first */
    CU_ASSERT_EQUAL(f.actions.items[0].first, lease.first + keep);
    fixture_deinit(&f);
}

static void reclaim_of_nothing_is_not_asked_again_without_progress(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(40);
    fixture_init(&f, &settings);
    struct core_action lease = idle_and_slow(&f);
    (void)fixture_ready(&f, 0);
    fixture_report(&f, CORE_YIELDED, 2, lease.lease_id, lease.count); /* all is begun, it says */
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_RECLAIM, 2));
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_RECLAIM, 1)); /* the next slowest */
    fixture_report(&f, CORE_PROGRESS, 2, lease.lease_id, 1);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_RECLAIM, 2)); /* peer 1 has not answered */
    fixture_tick(&f, 2000);
    fixture_report(&f, CORE_PROGRESS, 1, f.core->peers[1].leases[0].id, 1);
    fixture_tick(&f, 1000);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_EXPEL, 1));
    fixture_tick(&f, 1);
    const struct core_action *expel = fixture_action(&f, CORE_EXPEL, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(expel);
    CU_ASSERT_STRING_EQUAL(expel->text, "did not answer when work was asked back");
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 0));
    fixture_deinit(&f);
}

static void collect_waits_until_every_lease_is_done(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 4);
    fixture_join(&f, 1, 4);
    struct core_action a = fixture_ready(&f, 0);
    struct core_action b = fixture_ready(&f, 1);
    fixture_report(&f, CORE_PROGRESS, 0, a.lease_id, 4);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_report(&f, CORE_PROGRESS, 1, b.lease_id, 3);
    CU_ASSERT_EQUAL(f.actions.count, 0);
    fixture_report(&f, CORE_PROGRESS, 1, b.lease_id, 4);
    CU_ASSERT_EQUAL(f.actions.count, 2);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 0));
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_COLLECT, 1));
    fixture_deinit(&f);
}

static void whole_run_commits_every_step_and_finishes(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    settings.step_first = 1;
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 8);
    for (uint64_t step = 1; step < 3; step++) {
        struct core_action lease = fixture_ready(&f, 0);
        CU_ASSERT_EQUAL(lease.step, step);
        f.now_ms += 1;
        fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, lease.count);
        for (lease = fixture_ready(&f, 0); lease.count > 0; lease = fixture_ready(&f, 0)) {
            fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, lease.count);
        }
        fixture_hand_in(&f, 0, 0, 8);
        const struct core_action *commit = fixture_action(&f, CORE_COMMIT, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(commit);
        CU_ASSERT_EQUAL(commit->step, step);
        CU_ASSERT_EQUAL(core_counted(f.core), 8);
        fixture_join(&f, 1, 1);
        CU_ASSERT_EQUAL(fixture_ready(&f, 1).count, 0); /* not while the optimizer runs */
        fixture_tell(&f, CORE_LEFT, 1);
        CU_ASSERT_EQUAL(f.actions.count, 0);
        fixture_tell(&f, CORE_COMMITTED, 0);
        CU_ASSERT_EQUAL(core_current_step(f.core), step + 1);
    }
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_FINISHED, 0));
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0);
    fixture_deinit(&f);
}

static void progress_that_lies_is_ignored(void)
{
    struct fixture f;
    struct core_action lease = half_done(&f);
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 2);
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 5);                /* too big */
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, UINT64_MAX);       /* far too big */
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, (1ULL << 32) + 3); /* in 64 bits */
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id, 1);                /* backwards */
    fixture_report(&f, CORE_PROGRESS, 1, lease.lease_id + 1, 4);            /* unknown */
    fixture_report(&f, CORE_PROGRESS, 1, 0, 4);
    fixture_report(&f, CORE_PROGRESS, 0, lease.lease_id, 4); /* another's */
    CU_ASSERT_EQUAL(f.core->peers[1].leases[0].done, 2);
    fixture_report(&f, CORE_YIELDED, 1, lease.lease_id, 1); /* fewer than done */
    fixture_report(&f, CORE_YIELDED, 1, lease.lease_id, 5);
    fixture_report(&f, CORE_YIELDED, 1, lease.lease_id, UINT64_MAX);
    fixture_report(&f, CORE_YIELDED, 0, lease.lease_id, 3);
    CU_ASSERT_EQUAL(f.core->peers[1].leases[0].count, 4);
    fixture_report(&f, CORE_YIELDED, 1, lease.lease_id, 3);
    CU_ASSERT_EQUAL(f.core->peers[1].owned, 3);
    fixture_deinit(&f);
}

static void ready_for_another_step_gets_nothing_and_is_expelled(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    settings.step_first = 1;
    fixture_init(&f, &settings);
    const uint64_t versions[3] = {0, 2, UINT64_MAX};
    for (uint32_t i = 0; i < 3; i++) {
        struct core_event event = {.type = CORE_READY, .peer = i, .version = versions[i]};
        fixture_join(&f, i, 1);
        fixture_step(&f, &event);
        CU_ASSERT_EQUAL(f.actions.count, 0);
        f.now_ms += 3000;
        fixture_step(&f, &event); /* its update may be under way */
        CU_ASSERT_EQUAL(f.actions.count, 0);
        f.now_ms += 1;
        fixture_step(&f, &event);
        CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_EXPEL, i));
    }
    fixture_deinit(&f);
}

static void late_joiner_takes_over_half_of_the_rest(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(9);
    settings.lease_samples_max = 8;
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1);
    give_speed(&f, 0, 1000);
    f.core->settings.lease_ms = 100000;
    struct core_action lease = fixture_ready(&f, 0);
    CU_ASSERT_EQUAL(lease.count, 4);
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 2);
    fixture_join(&f, 1, 2);
    CU_ASSERT_EQUAL(fixture_ready(&f, 1).count, 2);
    fixture_report(&f, CORE_PROGRESS, 1, f.core->peers[1].leases[0].id, 2);
    CU_ASSERT_EQUAL(fixture_ready(&f, 1).count, 0);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_RECLAIM, 0));
    fixture_deinit(&f);
}

static void stopping_peer_does_not_get_its_own_samples_back(void)
{
    struct fixture f;
    struct core_action lease = half_done(&f);
    (void)fixture_ready(&f, 1);
    f.core->peers[1].wants_work = true;
    fixture_report(&f, CORE_YIELDED, 1, lease.lease_id, 0);
    CU_ASSERT_PTR_NULL(fixture_action(&f, CORE_LEASE, 1));
    CU_ASSERT_TRUE(fixture_ready(&f, 1).count > 0);
    fixture_deinit(&f);
}

static void peers_who_handed_in_good_work_come_first(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 4);
    fixture_join(&f, 1, 4);
    fixture_join(&f, 2, 4);
    fixture_report(&f, CORE_PROGRESS, 1, fixture_ready(&f, 1).lease_id, 4);
    fixture_hand_in(&f, 1, 0, 4);
    CU_ASSERT_EQUAL(fixture_ready(&f, 2).count, 4);
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0);
    CU_ASSERT_EQUAL(fixture_ready(&f, 1).count, 0);
    f.core->grant_start = 0; /* the newcomer's turn, but */
    fixture_tell(&f, CORE_LEFT, 2);
    CU_ASSERT_TRUE_FATAL(f.actions.count > 0);
    CU_ASSERT_EQUAL(f.actions.items[0].type, CORE_LEASE);
    CU_ASSERT_EQUAL(f.actions.items[0].peer, 1);
    fixture_deinit(&f);
}

static void idle_peers_take_turns(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(8);
    fixture_init(&f, &settings);
    for (uint32_t i = 0; i < 4; i++) {
        fixture_join(&f, i, 8);
    }
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 8);
    for (uint32_t i = 1; i < 4; i++) {
        CU_ASSERT_EQUAL(fixture_ready(&f, i).count, 0);
    }
    fixture_report(&f, CORE_YIELDED, 0, f.core->peers[0].leases[0].id, 0);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 1));
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0);
    fixture_tell(&f, CORE_LEFT, 1);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 2));
    fixture_tell(&f, CORE_LEFT, 2);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 3));
    fixture_deinit(&f);
}

static void many_small_leases_are_collected_before_they_are_too_many(void)
{
    struct fixture f;
    struct core_settings settings = fixture_settings(2000);
    settings.lease_samples_max = 1;
    fixture_init(&f, &settings);
    fixture_join(&f, 0, 1);
    fixture_join(&f, 1, 1);
    uint32_t leases = 0;
    struct core_action open = fixture_ready(&f, 0);
    f.core->peers[0].uncollected = CORE_UNCOLLECTED_MAX;
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0); /* not even while one is open */
    f.core->peers[0].uncollected = 0;
    fixture_report(&f, CORE_YIELDED, 0, open.lease_id, 0);
    while (leases < 1000 && fixture_action(&f, CORE_COLLECT, 0) == NULL) {
        for (uint32_t i = 0; i < 2; i++) {
            fixture_report(&f, CORE_PROGRESS, i, fixture_ready(&f, i).lease_id, 1);
            if (i == 0) {
                leases++;
                if (fixture_action(&f, CORE_COLLECT, 0) != NULL) {
                    break;
                }
            }
        }
    }
    CU_ASSERT_EQUAL(leases, CORE_UNCOLLECTED_MAX);
    struct core_range ranges[CORE_UNCOLLECTED_MAX];
    for (uint32_t i = 0; i < CORE_UNCOLLECTED_MAX; i++) {
        ranges[i] = (struct core_range){UINT64_C(2) * i, 1};
    }
    CU_ASSERT_EQUAL(fixture_ready(&f, 0).count, 0);
    fixture_offer(&f, 0, ranges, CORE_UNCOLLECTED_MAX);
    fixture_answer(&f, CORE_RECEIVED, 0, true);
    fixture_answer(&f, CORE_ADDED, 0, true);
    CU_ASSERT_EQUAL(core_counted(f.core), CORE_UNCOLLECTED_MAX);
    CU_ASSERT_PTR_NOT_NULL(fixture_action(&f, CORE_LEASE, 0)); /* and on it goes */
    fixture_deinit(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(first_lease_is_one_sample_a_thread),
        SUITE_TEST(peer_that_rests_gets_no_lease_and_holds_up_nobody),
        SUITE_TEST(all_hand_in_while_the_last_hundredth_is_computed_again),
        SUITE_TEST(lost_samples_wait_a_while_for_a_fast_uplink),
        SUITE_TEST(lease_size_follows_speed_and_shrinks_at_the_end),
        SUITE_TEST(speed_counts_reports_of_the_same_moment_together),
        SUITE_TEST(samples_of_a_lost_peer_are_leased_again),
        SUITE_TEST(peer_is_expelled_when_silent),
        SUITE_TEST(peer_is_expelled_at_the_lease_deadline),
        SUITE_TEST(dribbled_progress_is_bounded),
        SUITE_TEST(peer_is_expelled_when_it_does_not_hand_in),
        SUITE_TEST(peer_is_expelled_when_its_bytes_do_not_come),
        SUITE_TEST(reclaim_asks_the_slowest_and_the_idle_one_gets_it),
        SUITE_TEST(reclaim_of_nothing_is_not_asked_again_without_progress),
        SUITE_TEST(collect_waits_until_every_lease_is_done),
        SUITE_TEST(whole_run_commits_every_step_and_finishes),
        SUITE_TEST(progress_that_lies_is_ignored),
        SUITE_TEST(ready_for_another_step_gets_nothing_and_is_expelled),
        SUITE_TEST(late_joiner_takes_over_half_of_the_rest),
        SUITE_TEST(stopping_peer_does_not_get_its_own_samples_back),
        SUITE_TEST(peers_who_handed_in_good_work_come_first),
        SUITE_TEST(idle_peers_take_turns),
        SUITE_TEST(many_small_leases_are_collected_before_they_are_too_many),
    };
    return suite_run("coordinator_core", tests, sizeof tests / sizeof tests[0]);
}
