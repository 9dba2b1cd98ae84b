#include "coordinator/store/course.h"

#include <inttypes.h>
#include <stdio.h>

struct live_settings course_settings(const struct run_config *config)
{
    return (struct live_settings){.learning_rate = config->schedule.learning_rate,
                                  .target_batch = config->target_batch,
                                  .codec = config->codec,
                                  .mean_codec = config->mean_codec,
                                  .update_codec = config->codec};
}

struct journal_state course_begin(const struct run_dir *run, uint64_t version)
{
    uint64_t samples = version * run->config.target_batch;
    return (struct journal_state){.run_id = run->run_id,
                                  .version = version,
                                  .sample_first = samples,
                                  .tokens = samples * run->config.context,
                                  .settings = course_settings(&run->config)};
}

static bool segment_fits(const struct journal_state *state, const struct journal_state *begun,
                         char text[JOURNAL_TEXT_MAX])
{
    if (begun->version == state->version && begun->sample_first == state->sample_first &&
        begun->tokens == state->tokens) {
        return true;
    }
    (void)snprintf(text, JOURNAL_TEXT_MAX,
                   "the segment begins at step %" PRIu64 ", sample %" PRIu64
                   ", but what stands before it ends at step %" PRIu64 ", sample %" PRIu64,
                   begun->version, begun->sample_first, state->version, state->sample_first);
    return false;
}

static bool step_fits(const struct journal_state *state, const struct journal_step *step,
                      uint32_t context, char text[JOURNAL_TEXT_MAX])
{
    if (step->step != state->version || step->samples.first != state->sample_first) {
        (void)snprintf(text, JOURNAL_TEXT_MAX,
                       "step %" PRIu64 " from sample %" PRIu64 " follows where step %" PRIu64
                       " from sample %" PRIu64 " is due",
                       step->step, step->samples.first, state->version, state->sample_first);
        return false;
    }
    if (step->samples.count != state->settings.target_batch ||
        step->tokens != step->samples.count * context) {
        (void)snprintf(text, JOURNAL_TEXT_MAX,
                       "step %" PRIu64 " holds %" PRIu64 " samples and %" PRIu64
                       " tokens, and not %" PRIu32 " samples of %" PRIu32 " tokens",
                       step->step, step->samples.count, step->tokens, state->settings.target_batch,
                       context);
        return false;
    }
    if (step->mean_codec != state->settings.mean_codec) {
        (void)snprintf(text, JOURNAL_TEXT_MAX,
                       "the mean gradient of step %" PRIu64 " is in %s, and not in %s", step->step,
                       codec_name(step->mean_codec), codec_name(state->settings.mean_codec));
        return false;
    }
    return true;
}

bool course_fits(const struct journal_state *state, const struct journal_record *record,
                 uint32_t context, char text[JOURNAL_TEXT_MAX])
{
    switch (record->type) {
    case JOURNAL_SEGMENT:
        return segment_fits(state, &record->as.state, text);
    case JOURNAL_STEP:
        return step_fits(state, &record->as.step, context, text);
    case JOURNAL_EVENT:
        if (record->as.event.version != state->version) {
            (void)snprintf(text, JOURNAL_TEXT_MAX,
                           "an event of step %" PRIu64 " stands among those of step %" PRIu64,
                           record->as.event.version, state->version);
            return false;
        }
        return true;
    case JOURNAL_LEASE:
        break;
    }
    return true;
}

static void take_step(struct journal_state *state, const struct journal_step *step)
{
    double loss = step->tokens > 0 ? step->loss_sum / (double)step->tokens : 0.0;
    state->version = step->step + 1;
    state->sample_first = step->samples.first + step->samples.count;
    state->tokens += step->tokens;
    state->loss_last = loss;
    if (state->loss_first == 0.0) {
        state->loss_first = loss;
    }
}

static void take_event(struct journal_state *state, const struct journal_event *event)
{
    switch (event->type) {
    case JOURNAL_SERVED:
        state->serial++;
        break;
    case JOURNAL_SETTINGS:
        state->settings = event->settings;
        break;
    case JOURNAL_PAUSED:
        state->paused = true;
        break;
    case JOURNAL_RESUMED:
        state->paused = false;
        break;
    case JOURNAL_NOTE:
        break;
    }
}

void course_take(struct journal_state *state, const struct journal_record *record)
{
    switch (record->type) {
    case JOURNAL_SEGMENT:
        *state = record->as.state;
        break;
    case JOURNAL_STEP:
        take_step(state, &record->as.step);
        break;
    case JOURNAL_EVENT:
        take_event(state, &record->as.event);
        break;
    case JOURNAL_LEASE:
        break;
    }
}
