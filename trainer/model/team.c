#include "trainer/model/team.h"

#include "common/check.h"
#include "common/fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct member {
    struct team *team;
    struct workspace *workspace;
    pthread_t thread;
};

struct team {
    const struct model *model;
    struct member *members;
    size_t thread_count;
    size_t running_count;
    pthread_mutex_t gate; /* held until all threads are there */
    bool cancelled;       /* one could not be started: the others end before they take anything */
    /* What the running threads share, from team_start to team_join. */
    const float *params;
    struct gradient *gradient;
    const struct team_source *source;
};

enum status team_new(const struct model *model, size_t thread_count, size_t context,
                     struct team **out)
{
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
    (void)pthread_mutex_init(&self->gate, NULL);
    for (size_t i = 0; i < thread_count; i++) {
        members[i].team = self;
        enum status status = workspace_new(model, context, &members[i].workspace);
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

static void *member_run(void *argument)
{
    struct member *member = argument;
    struct team *team = member->team;
    const struct team_source *source = team->source;
    struct team_item item;
    if (!pass_gate(team)) {
        return NULL;
    }
    while (source->take(source->context, &item)) {
        double loss_sum = 0.0;
        if (team->gradient != NULL) {
            model_gradient(team->model, member->workspace, team->params, item.tokens,
                           item.token_count, team->gradient, &loss_sum);
        } else {
            model_loss(team->model, member->workspace, team->params, item.tokens, item.token_count,
                       &loss_sum);
        }
        source->done(source->context, &item, loss_sum);
    }
    return NULL;
}

enum status team_start(struct team *self, const float *params, struct gradient *gradient,
                       const struct team_source *source)
{
    CHECK(self->running_count == 0);
    self->params = params;
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
