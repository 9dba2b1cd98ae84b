#include "trainer/run/run_optimizer.h"

#include <stdio.h>

/* Shares of the steps and of the peak, for keys that are not given. */
enum { WARMUP_SHARE = 50, DECAY_SHARE = 5, LEAST_SHARE = 10 };

/* Keys that belong to some types or schedules alone; the bits are 1 << kind. */
struct restricted {
    enum run_key key;
    unsigned kinds;
};

#define ADAMS (1U << OPTIMIZER_ADAMW | 1U << OPTIMIZER_LAMB | 1U << OPTIMIZER_ADAM_MINI)

static const struct restricted OF_TYPE[] = {
    {RUN_KEY_BETA1, ADAMS},
    {RUN_KEY_BETA2, ADAMS},
    {RUN_KEY_EPS, ADAMS},
    {RUN_KEY_MOMENTUM, 1U << OPTIMIZER_SGD},
    {RUN_KEY_NESTEROV, 1U << OPTIMIZER_SGD},
};

static const struct restricted OF_SCHEDULE[] = {
    {RUN_KEY_DECAY_STEPS, 1U << SCHEDULE_WSD},
    {RUN_KEY_DECAY, 1U << SCHEDULE_WSD},
    {RUN_KEY_LEARNING_RATE_MIN, ~(1U << SCHEDULE_CONSTANT)},
};

/* A key that is not used would be a setting that silently does not count. */
static enum status refuse_unused(const struct run_yaml *yaml, const struct restricted *keys,
                                 size_t count, unsigned kind, const char *chosen)
{
    for (size_t i = 0; i < count; i++) {
        if (yaml->values[keys[i].key].set && (keys[i].kinds >> kind & 1U) == 0) {
            return run_yaml_fault(yaml, keys[i].key, "is not used by %s; remove it", chosen);
        }
    }
    return STATUS_OK;
}

/* The key is `type`; runs of earlier versions say `name`. */
static enum status read_type(const struct run_yaml *yaml, enum optimizer_kind *out)
{
    enum run_key key = RUN_KEY_OPTIMIZER_TYPE;
    if (yaml->values[RUN_KEY_OPTIMIZER_NAME].set) {
        if (yaml->values[key].set) {
            return run_yaml_fault(yaml, RUN_KEY_OPTIMIZER_NAME,
                                  "is the old word for optimizer.type; remove it");
        }
        key = RUN_KEY_OPTIMIZER_NAME;
    }
    const char *name = run_yaml_text(yaml, key, optimizer_name(OPTIMIZER_ADAMW));
    if (optimizer_from_name(name, out) != STATUS_OK) {
        return run_yaml_fault(yaml, key, "must be adamw, lamb, sgd or adam_mini, not '%.100s'",
                              name);
    }
    return STATUS_OK;
}

static enum status read_settings(const struct run_yaml *yaml, struct optimizer_settings *out)
{
    enum optimizer_kind kind = OPTIMIZER_ADAMW;
    enum status status = read_type(yaml, &kind);
    if (status == STATUS_OK) {
        status = refuse_unused(yaml, OF_TYPE, sizeof OF_TYPE / sizeof OF_TYPE[0], kind,
                               optimizer_name(kind));
    }
    if (status != STATUS_OK) {
        return status;
    }
    *out = optimizer_defaults(kind);
    out->beta1 = run_yaml_real(yaml, RUN_KEY_BETA1, out->beta1);
    out->beta2 = run_yaml_real(yaml, RUN_KEY_BETA2, out->beta2);
    out->eps = run_yaml_real(yaml, RUN_KEY_EPS, out->eps);
    out->weight_decay = run_yaml_real(yaml, RUN_KEY_WEIGHT_DECAY, out->weight_decay);
    out->grad_clip = run_yaml_real(yaml, RUN_KEY_GRAD_CLIP, out->grad_clip);
    out->momentum = run_yaml_real(yaml, RUN_KEY_MOMENTUM, out->momentum);
    /* Plain descent has no step ahead to take. */
    out->nesterov = run_yaml_flag(yaml, RUN_KEY_NESTEROV, out->nesterov && out->momentum > 0);
    if (out->nesterov && out->momentum <= 0) {
        return run_yaml_fault(yaml, RUN_KEY_NESTEROV,
                              "needs a momentum above 0; give one or remove nesterov");
    }
    return STATUS_OK;
}

static enum status read_kinds(const struct run_yaml *yaml, struct schedule *out)
{
    const char *name = run_yaml_text(yaml, RUN_KEY_SCHEDULE, schedule_name(SCHEDULE_COSINE));
    if (schedule_from_name(name, &out->kind) != STATUS_OK) {
        return run_yaml_fault(yaml, RUN_KEY_SCHEDULE,
                              "must be cosine, linear, wsd or constant, not '%.100s'", name);
    }
    const char *decay = run_yaml_text(yaml, RUN_KEY_DECAY, schedule_decay_name(out->decay));
    if (schedule_decay_from_name(decay, &out->decay) != STATUS_OK) {
        return run_yaml_fault(yaml, RUN_KEY_DECAY, "must be sqrt or linear, not '%.100s'", decay);
    }
    char chosen[64];
    (void)snprintf(chosen, sizeof chosen, "the schedule %s", name);
    return refuse_unused(yaml, OF_SCHEDULE, sizeof OF_SCHEDULE / sizeof OF_SCHEDULE[0], out->kind,
                         chosen);
}

static enum status check_schedule(const struct run_yaml *yaml, const struct schedule *schedule)
{
    if (schedule->learning_rate_min > schedule->learning_rate) {
        return run_yaml_fault(yaml, RUN_KEY_LEARNING_RATE_MIN,
                              "is %g, more than learning_rate (%g)", schedule->learning_rate_min,
                              schedule->learning_rate);
    }
    if (schedule->warmup_steps > schedule->step_count) {
        return run_yaml_fault(
            yaml, RUN_KEY_WARMUP_STEPS, "is %llu, more than training.steps (%llu)",
            (unsigned long long)schedule->warmup_steps, (unsigned long long)schedule->step_count);
    }
    uint64_t left = schedule->step_count - schedule->warmup_steps;
    if (schedule->decay_steps > left) {
        return run_yaml_fault(yaml, RUN_KEY_DECAY_STEPS,
                              "is %llu, but only %llu of training.steps are left after the warm-up",
                              (unsigned long long)schedule->decay_steps, (unsigned long long)left);
    }
    return STATUS_OK;
}

static enum status read_schedule(const struct run_yaml *yaml, uint64_t step_count,
                                 double learning_rate, struct schedule *out)
{
    *out = (struct schedule){.step_count = step_count};
    enum status status = read_kinds(yaml, out);
    if (status != STATUS_OK) {
        return status;
    }
    out->learning_rate = run_yaml_real(yaml, RUN_KEY_LEARNING_RATE, learning_rate);
    out->learning_rate_min =
        run_yaml_real(yaml, RUN_KEY_LEARNING_RATE_MIN, out->learning_rate / LEAST_SHARE);
    out->warmup_steps = run_yaml_count(yaml, RUN_KEY_WARMUP_STEPS, step_count / WARMUP_SHARE);
    if (out->kind == SCHEDULE_WSD) {
        uint64_t left = out->warmup_steps < step_count ? step_count - out->warmup_steps : 0;
        uint64_t usual = step_count / DECAY_SHARE;
        out->decay_steps = run_yaml_count(yaml, RUN_KEY_DECAY_STEPS, usual < left ? usual : left);
    }
    return check_schedule(yaml, out);
}

enum status run_optimizer_read(const struct run_yaml *yaml, uint64_t step_count,
                               struct optimizer_settings *out_settings,
                               struct schedule *out_schedule)
{
    enum status status = read_settings(yaml, out_settings);
    if (status != STATUS_OK) {
        return status;
    }
    double learning_rate = out_settings->kind == OPTIMIZER_SGD ? 0.1 : 1e-3;
    return read_schedule(yaml, step_count, learning_rate, out_schedule);
}
