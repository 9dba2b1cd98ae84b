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
    free(self->members);
    free(self);
}

static void *member_run(void *argument)
{
    struct member *member = argument;
    const struct team *team = member->team;
    const struct team_source *source = team->source;
    struct team_item item;
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
    for (size_t i = 0; i < self->thread_count; i++) {
        int error = pthread_create(&self->members[i].thread, NULL, member_run, &self->members[i]);
        if (error != 0) {
            team_join(self);
            return fault(STATUS_OS, "thread %zu of %zu could not be started (error %d); use fewer",
                         i + 1, self->thread_count, error);
        }
        self->running_count++;
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
