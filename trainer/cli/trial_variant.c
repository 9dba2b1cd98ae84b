#include "trainer/cli/trial_variant.h"

#include "common/fault.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTINGS_MAX = 256, COUNT_MAX = 1000000, FACTOR_MAX = 10 };

static const struct {
    const char *name;
    const char *settings;
} known[] = {
    {"fp32", ""},
    {"fp32-again", "contributors=5"}, /* the same but for rounding: how much is chance */
    {"bf16", "codec=bf16"},
    {"mx8", "codec=mx8"},
    {"mx4", "codec=mx4"},
    {"mx4-gradients", "codec=mx8,gradient=mx4"},
    {"mx4-updates", "codec=mx8,update=mx4"},
    {"mx4-slow-links", "codec=mx8,slow=mx4,slow_share=0.25,rotate=10"},
    {"mx4-leaving", "codec=mx4,leave=10"},
    {"stale-0.11", "stale=0.11"},
    {"stale-0.25", "stale=0.25"},
    {"stale-0.25-late", "stale=0.25,from=0.1"},
    {"stale-0.25-later", "stale=0.25,from=0.2"},
    {"stale-0.25-bend", "stale=0.25,ahead=0,bend=1"},
    {"stale-0.25-bend-late", "stale=0.25,ahead=0,bend=1,from=0.1"},
    {"stale-0.25-plain", "stale=0.25,ahead=0"},
    {"stale-0.25-mx8", "codec=mx8,stale=0.25"},
    {"stale-1", "stale=1"},
    {"stale-1-late", "stale=1,from=0.1"},
    {"stale-1-plain", "stale=1,ahead=0"},
};

enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

const char *trial_variant_name(size_t index)
{
    return index < KNOWN_COUNT ? known[index].name : NULL;
}

static enum status take_count(const char *key, const char *text, uint64_t most, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > most) {
        return fault(STATUS_USAGE, "%s of a variant must be a whole number up to %llu, not '%.40s'",
                     key, (unsigned long long)most, text);
    }
    *out = value;
    return STATUS_OK;
}

static enum status take_real(const char *key, const char *text, double most, double *out)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0.0 && value <= most)) {
        return fault(STATUS_USAGE, "%s of a variant must be from 0 to %g, not '%.40s'", key, most,
                     text);
    }
    *out = value;
    return STATUS_OK;
}

static enum status take_codec(struct trial_variant *self, const char *text)
{
    enum status status = codec_from_name(text, &self->gradient);
    self->slow = self->gradient;
    self->update = self->gradient;
    self->mean = self->gradient == CODEC_FP32 ? CODEC_FP32 : CODEC_BF16;
    return status;
}

static enum status take_gradient(struct trial_variant *self, const char *text)
{
    enum status status = codec_from_name(text, &self->gradient);
    self->slow = self->gradient;
    return status;
}

static enum status take_setting(struct trial_variant *self, const char *key, const char *text)
{
    if (strcmp(key, "codec") == 0) {
        return take_codec(self, text);
    }
    if (strcmp(key, "gradient") == 0) {
        return take_gradient(self, text);
    }
    if (strcmp(key, "update") == 0) {
        return codec_from_name(text, &self->update);
    }
    if (strcmp(key, "mean") == 0) {
        return codec_mean_from_name(text, &self->mean);
    }
    if (strcmp(key, "slow") == 0) {
        return codec_from_name(text, &self->slow);
    }
    if (strcmp(key, "slow_share") == 0) {
        return take_real(key, text, 1.0, &self->slow_share);
    }
    if (strcmp(key, "rotate") == 0) {
        return take_count(key, text, COUNT_MAX, &self->rotate_steps);
    }
    if (strcmp(key, "contributors") == 0) {
        return take_count(key, text, TRIAL_CONTRIBUTORS_MAX, &self->contributor_count);
    }
    if (strcmp(key, "stale") == 0) {
        return take_real(key, text, 1.0, &self->stale_share);
    }
    if (strcmp(key, "from") == 0) {
        return take_real(key, text, 1.0, &self->stale_from);
    }
    if (strcmp(key, "ahead") == 0) {
        return take_real(key, text, FACTOR_MAX, &self->ahead);
    }
    if (strcmp(key, "bend") == 0) {
        return take_real(key, text, FACTOR_MAX, &self->bend);
    }
    if (strcmp(key, "rate") == 0) {
        return take_real(key, text, FACTOR_MAX, &self->rate);
    }
    if (strcmp(key, "leave") == 0) {
        return take_count(key, text, COUNT_MAX, &self->leave_steps);
    }
    return fault(STATUS_USAGE, "a variant has no setting '%.40s'; 'dugnad trial --help' lists them",
                 key);
}

static enum status take_settings(struct trial_variant *self, const char *settings)
{
    char text[SETTINGS_MAX];
    char *rest = text;
    if (strlen(settings) >= sizeof text) {
        return fault(STATUS_USAGE, "the settings of the variant %s are longer than %d characters",
                     self->name, SETTINGS_MAX - 1);
    }
    memcpy(text, settings, strlen(settings) + 1);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && rest != NULL && *rest != '\0') {
        char *key = strsep(&rest, ",");
        char *value = strchr(key, '=');
        if (value == NULL) {
            return fault(STATUS_USAGE, "'%.40s' is no setting of a variant; write KEY=VALUE", key);
        }
        *value = '\0';
        status = take_setting(self, key, value + 1);
    }
    return status;
}

static enum status take_name(struct trial_variant *self, const char *text, size_t length)
{
    if (length == 0 || length >= sizeof self->name) {
        return fault(STATUS_USAGE,
                     "the name of a variant has 1 to %d characters, as in "
                     "mine:codec=mx4",
                     TRIAL_NAME_MAX - 1);
    }
    for (size_t i = 0; i < length; i++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", text[i]) ==
            NULL) {
            return fault(STATUS_USAGE,
                         "the name of a variant has letters, digits, '-', '_' and "
                         "'.' alone, not '%.40s'",
                         text);
        }
    }
    memcpy(self->name, text, length);
    return STATUS_OK;
}

enum status trial_variant_parse(const char *text, struct trial_variant *out)
{
    const char *colon = strchr(text, ':');
    *out = (struct trial_variant){.gradient = CODEC_FP32,
                                  .update = CODEC_FP32,
                                  .mean = CODEC_FP32,
                                  .slow = CODEC_FP32,
                                  .slow_share = 0.25,
                                  .ahead = 1.0,
                                  .rate = 1.0};
    enum status status =
        take_name(out, text, colon != NULL ? (size_t)(colon - text) : strlen(text));
    if (status != STATUS_OK) {
        return status;
    }
    if (colon != NULL) {
        return take_settings(out, colon + 1);
    }
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(known[i].name, text) == 0) {
            return take_settings(out, known[i].settings);
        }
    }
    return fault(STATUS_USAGE,
                 "no variant is called '%.40s'; 'dugnad trial --help' lists them, or describe one "
                 "as in mine:codec=mx4",
                 text);
}

bool trial_variant_is_slow(const struct trial_variant *self, uint64_t step, uint64_t index,
                           uint64_t count)
{
    if (self->slow == self->gradient) {
        return false;
    }
    uint64_t turns = self->rotate_steps > 0 ? step / self->rotate_steps : 0;
    return (double)((index + turns) % count) < self->slow_share * (double)count;
}

bool trial_variant_is_stale(const struct trial_variant *self, uint64_t step, uint64_t step_count,
                            uint64_t sample)
{
    if (step == 0 || (double)step < self->stale_from * (double)step_count) {
        return false;
    }
    double before = floor((double)sample * self->stale_share);
    return floor((double)(sample + 1) * self->stale_share) > before;
}
