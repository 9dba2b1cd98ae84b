#include "trainer/model/team.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct member {
    struct team *team;
    size_t index;
    struct workspace *workspace;
    pthread_t thread;
};

struct team {
    const struct model *model;
    struct member *members;
    size_t thread_count;
    size_t sequence_count; /* that a thread takes at most */
    bool pinned;
    size_t running_count;
    pthread_mutex_t gate; /* held until all threads are there */
    bool cancelled;       /* one could not be started: the others end before they take anything */
    /* What the running threads share, from team_start to team_join. */
    const struct weights *weights;
    struct gradient *gradient;
    const struct team_source *source;
};

uint64_t team_bytes(const struct model *model, const struct team_plan *plan)
{
    return plan->thread_count *
           (workspace_bytes(model, &plan->workspace) + model->backend->thread_bytes);
}

enum status team_new(const struct model *model, const struct team_plan *plan, struct team **out)
{
    size_t thread_count = plan->thread_count;
    *out = NULL;
    if (thread_count == 0 || thread_count > TEAM_THREADS_MAX) {
        return fault(STATUS_OUT_OF_RANGE, "%zu threads were asked for; use 1 to %d", thread_count,
                     (int)TEAM_THREADS_MAX);
    }
    struct team *self = calloc(1, sizeof(*self));
    struct member *members = calloc(thread_count, sizeof(*members));
    if (self == NULL || members == NULL) {
        free(self);
        free(members);
        return fault(STATUS_NO_MEMORY, "no memory for a team of threads");
    }
    self->model = model;
    self->members = members;
    self->thread_count = thread_count;
    self->sequence_count = plan->workspace.sequence_count;
    self->pinned = plan->pinned;
    (void)pthread_mutex_init(&self->gate, NULL);
    for (size_t i = 0; i < thread_count; i++) {
        members[i].team = self;
        members[i].index = i;
        enum status status = workspace_new(model, &plan->workspace, &members[i].workspace);
        if (status != STATUS_OK) {
            team_free(self);
            return status;
        }
    }
    *out = self;
    return STATUS_OK;
}

void team_free(struct team *self)
{
    if (self == NULL) {
        return;
    }
    CHECK(self->running_count == 0);
    for (size_t i = 0; i < self->thread_count; i++) {
        workspace_free(self->members[i].workspace);
    }
    (void)pthread_mutex_destroy(&self->gate);
    free(self->members);
    free(self);
}

/* Waits for team_start's word; false: end at once. */
static bool pass_gate(struct team *team)
{
    (void)pthread_mutex_lock(&team->gate);
    bool passed = !team->cancelled;
    (void)pthread_mutex_unlock(&team->gate);
    return passed;
}

static void compute(const struct member *member, const struct team_item *items, size_t count)
{
    const struct team *team = member->team;
    const uint16_t *tokens[SEQUENCES_MAX];
    double loss_sums[SEQUENCES_MAX];
    struct sequences sequences = {.tokens = tokens, .count = count, .length = items[0].token_count};
    for (size_t i = 0; i < count; i++) {
        CHECK(items[i].token_count == sequences.length);
        tokens[i] = items[i].tokens;
    }
    if (team->gradient != NULL) {
        model_gradient(team->model, member->workspace, team->weights, &sequences, team->gradient,
                       loss_sums);
    } else {
        model_loss(team->model, member->workspace, team->weights, &sequences, loss_sums);
    }
    for (size_t i = 0; i < count; i++) {
        team->source->done(team->source->context, &items[i], loss_sums[i]);
    }
}

/* To the processor number `index` of those that the process may use, round and round. A system
 * that refuses leaves the thread where it likes: it computes the same. */
static void pin(size_t index)
{
    cpu_set_t usable;
    if (sched_getaffinity(0, sizeof(usable), &usable) != 0) {
        return;
    }
    size_t wanted = index % (size_t)CPU_COUNT(&usable);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &usable) && wanted-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
            return;
        }
    }
}

static void *member_run(void *argument)
{
    const struct member *member = argument;
    struct team *team = member->team;
    const struct team_source *source = team->source;
    struct team_item items[SEQUENCES_MAX];
    if (!pass_gate(team)) {
        return NULL;
    }
    if (team->pinned) {
        pin(member->index);
    }
    for (;;) {
        size_t count = source->take(source->context, items, team->sequence_count);
        if (count == 0) {
            return NULL;
        }
        CHECK(count <= team->sequence_count);
        compute(member, items, count);
    }
}

enum status team_start(struct team *self, const struct weights *weights, struct gradient *gradient,
                       const struct team_source *source)
{
    CHECK(self->running_count == 0);
    self->weights = weights;
    self->gradient = gradient;
    self->source = source;
    self->cancelled = false;
    int error = 0;
    (void)pthread_mutex_lock(&self->gate);
    while (error == 0 && self->running_count < self->thread_count) {
        struct member *member = &self->members[self->running_count];
        error = pthread_create(&member->thread, NULL, member_run, member);
        self->running_count += error == 0 ? 1 : 0;
    }
    self->cancelled = error != 0;
    size_t started = self->running_count;
    (void)pthread_mutex_unlock(&self->gate);
    if (error != 0) {
        team_join(self);
        return fault(STATUS_OS,
                     "only %zu of %zu threads could be started (%s); use fewer --threads", started,
                     self->thread_count, strerror(error));
    }
    return STATUS_OK;
}

void team_join(struct team *self)
{
    for (size_t i = 0; i < self->running_count; i++) {
        CHECK(pthread_join(self->members[i].thread, NULL) == 0);
    }
    self->running_count = 0;
}
