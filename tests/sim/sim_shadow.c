#include "tests/sim/sim_shadow.h"

#include "coordinator/store/course.h"
#include "proto/blob.h"
#include "tests/sim/sim_aggregation.h"
#include "tests/sim/sim_chunks.h"
#include "tests/sim/sim_reference.h"
#include "tests/sim/sim_storage.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"

#include <inttypes.h>
#include <string.h>

enum { COUNTED_MAX = 256 };

struct encoded {
    struct encoded *next;
    struct digest root; /* as in a blob_ref */
    uint64_t samples;   /* bitmap */
    uint64_t sample_count;
    struct sim_inside inside;
    enum codec codec;
    bool committed; /* it is in a version */
    size_t size_bytes;
    uint8_t data[];
};

struct offered {
    uint64_t blob_id;
    struct digest root;
    uint64_t samples; /* bitmap */
};

struct sim_shadow {
    const struct sim_template *pattern;
    struct master *master;
    struct slices *slices;
    struct live_settings settings; /* of the step in progress */
    uint64_t settings_count;       /* changes so far */
    bool exact;                    /* the codec was never one that leaves a rest */
    uint64_t sample_first;
    struct digest digests[SIM_STEPS_MAX + 1];
    int64_t *sums;
    uint8_t *update; /* the latest */
    enum codec update_codec;
    float *before;    /* (value_count) P of the version before the latest */
    float *predicted; /* (value_count) and with the update that led to it once more */
    struct digest predicted_digest;
    uint64_t stale_count;
    struct encoded *encoded;
    struct offered offers[SIM_PEERS_MAX]; /* of each peer, the latest */
    struct encoded *counted[COUNTED_MAX]; /* for the step in progress */
    size_t counted_count;
};

struct sim_shadow *sim_shadow_new(const struct sim_template *pattern)
{
    struct sim_shadow *self = sim_outer_alloc(sizeof *self);
    self->pattern = pattern;
    sim_reference_start(pattern, &self->master, &self->slices);
    self->settings = course_settings(&pattern->config);
    self->exact = self->settings.codec == CODEC_FP32 && !sim->plan.aggregation.coarse;
    self->digests[0] = pattern->digests[0];
    self->sums = sim_outer_alloc(pattern->value_count * sizeof *self->sums);
    self->update = sim_outer_alloc(codec_encoded_bytes(CODEC_FP32, pattern->value_count));
    self->before = sim_outer_alloc(pattern->value_count * sizeof *self->before);
    self->predicted = sim_outer_alloc(pattern->value_count * sizeof *self->predicted);
    return self;
}

void sim_shadow_free(struct sim_shadow *self)
{
    if (self == NULL) {
        return;
    }
    while (self->encoded != NULL) {
        struct encoded *next = self->encoded->next;
        sim_outer_free(self->encoded);
        self->encoded = next;
    }
    slices_free(self->slices);
    master_free(self->master);
    sim_outer_free(self->sums);
    sim_outer_free(self->before);
    sim_outer_free(self->predicted);
    sim_outer_free(self->update);
    sim_outer_free(self);
}

static uint64_t bits(uint64_t first, uint64_t count)
{
    uint64_t samples = 0;
    for (uint64_t i = first; i < first + count && i < SIM_SAMPLES_MAX; i++) {
        samples |= UINT64_C(1) << i;
    }
    return samples;
}

void sim_shadow_encoded(struct sim_shadow *self, const struct work *work,
                        const struct sim_inside *inside, enum codec codec, const uint8_t *data,
                        size_t size_bytes)
{
    uint32_t chunk_bytes = (uint32_t)codec_encoded_bytes(codec, sim_chunk_values);
    struct encoded *encoded = sim_outer_alloc(sizeof *encoded + size_bytes);
    encoded->root = blob_describe(BLOB_CONTRIBUTION, 1, data, size_bytes, chunk_bytes, NULL).root;
    encoded->sample_count = work->held_samples;
    encoded->codec = codec;
    encoded->size_bytes = size_bytes;
    for (size_t i = 0; i < work->held_count; i++) {
        encoded->samples |= bits(work->held[i].first, work->held[i].count);
    }
    encoded->inside = *inside;
    if (encoded->samples != inside->samples) {
        sim_fail("an accumulator is handed in that holds other samples than its peer says");
    }
    memcpy(encoded->data, data, size_bytes);
    encoded->next = self->encoded;
    self->encoded = encoded;
}

void sim_shadow_offered(struct sim_shadow *self, uint32_t peer,
                        const struct wire_contribution *offer)
{
    struct offered *offered = &self->offers[peer];
    *offered = (struct offered){.blob_id = offer->blob.id, .root = offer->blob.root};
    for (uint32_t i = 0; i < offer->range_count; i++) {
        offered->samples |= bits(offer->ranges[i].first, offer->ranges[i].count);
    }
}

static struct encoded *find(const struct sim_shadow *self, const struct offered *offered)
{
    struct encoded *encoded = self->encoded;
    while (encoded != NULL && (!digest_equal(&encoded->root, &offered->root) ||
                               encoded->samples != offered->samples)) {
        encoded = encoded->next;
    }
    return encoded;
}

/* The same samples, that is: a peer that was lent them twice has them in two contributions. */
static bool was_counted(const struct sim_shadow *self, const struct offered *offered)
{
    bool counted = false;
    for (size_t i = 0; i < self->counted_count && !counted; i++) {
        counted = self->counted[i]->samples == offered->samples;
    }
    const struct encoded *encoded = self->encoded;
    for (; encoded != NULL && !counted; encoded = encoded->next) {
        counted = encoded->committed && encoded->samples == offered->samples;
    }
    return counted;
}

static uint64_t counted_samples(const struct sim_shadow *self)
{
    uint64_t samples = 0;
    for (size_t i = 0; i < self->counted_count; i++) {
        samples |= self->counted[i]->samples;
    }
    return samples;
}

/* A contribution that was counted already, offered again after its answer was lost, is accepted
 * once more and not added. */
void sim_shadow_counted(struct sim_shadow *self, uint32_t peer, uint64_t blob_id)
{
    const struct offered *offered = &self->offers[peer];
    struct encoded *encoded = offered->blob_id == blob_id ? find(self, offered) : NULL;
    if (encoded != NULL && was_counted(self, offered)) {
        return;
    }
    if (encoded == NULL) {
        sim_fail("a contribution is counted that nobody encoded for these samples");
    } else if (self->counted_count == COUNTED_MAX) {
        sim_fail("more contributions to a step than there can be");
    } else {
        self->counted[self->counted_count++] = encoded;
    }
}

/* Each sample of the step once, and no other. */
static bool is_whole(const struct sim_shadow *self, uint64_t *out_samples)
{
    uint64_t batch = self->settings.target_batch;
    uint64_t seen = counted_samples(self);
    *out_samples = 0;
    for (size_t i = 0; i < self->counted_count; i++) {
        *out_samples += self->counted[i]->sample_count;
    }
    return *out_samples == batch && seen == bits(self->sample_first, batch);
}

/* The run's codec, or the one that a plan may choose instead. */
static bool may_have(const struct live_settings *settings, enum codec codec)
{
    return codec == settings->codec || (sim->plan.aggregation.coarse && codec == SIM_COARSE_CODEC);
}

/* What the counted contributions hold. With such plans a peer may also have been told the codec
 * that the run had before. */
static void add_all(struct sim_shadow *self, const struct exact_grid *grid)
{
    size_t value_count = self->pattern->value_count;
    for (size_t i = 0; i < self->counted_count; i++) {
        const struct encoded *encoded = self->counted[i];
        bool may = sim->plan.aggregation.coarse || encoded->codec == self->settings.codec;
        if (!may || encoded->size_bytes != codec_encoded_bytes(encoded->codec, value_count)) {
            sim_fail("a contribution in %s is counted, and the run's codec is %s",
                     codec_name(encoded->codec), codec_name(self->settings.codec));
            return;
        }
        exact_sum_add(grid, encoded->codec, encoded->data, value_count, self->sums);
    }
}

/* The parameters that a sample of the step in progress was computed on; NULL: none that it may be.
 */
static const float *params_for(const struct sim_shadow *self, const struct encoded *encoded,
                               uint64_t sample, struct digest *out_digest)
{
    const struct sim_inside *inside = &encoded->inside;
    uint64_t version = master_version(self->master);
    uint64_t bit = UINT64_C(1) << sample;
    *out_digest = self->digests[version];
    if ((inside->stale & bit) == 0) {
        return digest_equal(&inside->fresh_on, out_digest) ? master_params(self->master) : NULL;
    }
    bool may = sim->plan.max_staleness > 0 && version > 0 && version >= sim->plan.stale_from;
    *out_digest = may ? self->digests[version - 1] : *out_digest;
    if (!may || !digest_equal(&inside->stale_on, out_digest)) {
        return NULL;
    }
    bool predicted = (inside->predicted & bit) != 0;
    *out_digest = predicted ? self->predicted_digest : *out_digest;
    return predicted ? self->predicted : self->before;
}

/* Adds the sample's gradient to `values`; it is on the grid, so floats add up exactly. */
static void add_gradient(const struct sim_shadow *self, const struct encoded *encoded,
                         uint64_t sample, float *values)
{
    const struct run_config *config = &self->pattern->config;
    struct sampler sampler;
    struct digest digest;
    uint16_t tokens[SIM_CONTEXT_MAX + 1];
    const float *params = params_for(self, encoded, sample, &digest);
    if (params == NULL || sampler_init(&sampler, dataset_token_count(self->pattern->data),
                                       config->context, config->seed) != STATUS_OK) {
        sim_fail("sample %" PRIu64 " of step %" PRIu64
                 " was computed on parameters that it must not be computed on",
                 sample, master_version(self->master));
        return;
    }
    dataset_read(self->pattern->data, sampler_offset(&sampler, sample), config->context + 1U,
                 tokens);
    const struct sim_gradient *gradient =
        sim_gradient(self->pattern, &digest, params, sample, tokens);
    for (size_t i = 0; i < self->pattern->value_count; i++) {
        values[i] += gradient->values[i];
    }
}

/* A contribution is the sum of the gradients of its samples; what the codec leaves of earlier ones
 * is inside as well, unless it is exact. */
static void check_values(const struct sim_shadow *self, const struct encoded *encoded)
{
    size_t size_bytes = self->pattern->value_count * sizeof(float);
    float *values = sim_outer_alloc(size_bytes);
    for (uint64_t sample = 0; sample < SIM_SAMPLES_MAX; sample++) {
        if ((encoded->samples >> sample & 1U) != 0) {
            add_gradient(self, encoded, sample, values);
        }
    }
    for (size_t i = 0; self->exact && i < self->pattern->value_count; i++) {
        float value = 0.0F;
        memcpy(&value, encoded->data + i * sizeof value, sizeof value);
        if (value != values[i]) {
            sim_fail("a contribution to step %" PRIu64 " is not the sum of its samples' gradients",
                     master_version(self->master));
            break;
        }
    }
    sim_outer_free(values);
}

/* What samples of the step after the coming version may be computed on. */
static void keep_params(struct sim_shadow *self)
{
    size_t value_count = self->pattern->value_count;
    memcpy(self->before, master_params(self->master), value_count * sizeof *self->before);
    memcpy(self->predicted, self->before, value_count * sizeof *self->before);
    if (master_version(self->master) > 0) {
        codec_add(self->update_codec, self->update, value_count, self->predicted);
    }
    self->predicted_digest = params_digest(self->predicted, value_count);
    self->update_codec = self->settings.update_codec;
}

static void commit(struct sim_shadow *self, uint64_t version, const struct digest *digest)
{
    uint64_t samples = 0;
    if (sim_storage_rotten() || version != master_version(self->master) + 1) {
        return;
    }
    if (!is_whole(self, &samples)) {
        sim_fail("version %" PRIu64 " is made of %" PRIu64 " samples, and not of each one once",
                 version, samples);
        return;
    }
    struct exact_grid grid =
        exact_grid_for((uint64_t)self->settings.target_batch * self->pattern->config.context);
    add_all(self, &grid);
    for (size_t i = 0; i < self->counted_count; i++) {
        check_values(self, self->counted[i]);
        self->counted[i]->committed = true;
        self->stale_count += (uint64_t)__builtin_popcountll(self->counted[i]->inside.stale);
    }
    keep_params(self);
    struct master_step_result result;
    enum status status =
        master_step_from_sums(self->master, self->slices, self->sums, &grid,
                              samples * self->pattern->config.context, self->update, &result);
    if (status != STATUS_OK || !digest_equal(&result.digest, digest)) {
        sim_fail("version %" PRIu64 " is not what its contributions make", version);
    }
    self->sample_first += samples;
    self->digests[version] = *digest;
    self->counted_count = 0;
}

/* The update is in the codec that the journal names, or peers and replay would part. */
void sim_shadow_announced(struct sim_shadow *self, uint64_t version, const struct digest *digest,
                          enum codec codec)
{
    if (!sim_storage_rotten() && codec != self->settings.update_codec) {
        sim_fail("version %" PRIu64 " is announced in %s, and the journal says %s", version,
                 codec_name(codec), codec_name(self->settings.update_codec));
    }
    sim->figures.steps_coarse += codec != self->settings.codec ? 1 : 0;
    sim->figures.codec_changes += version > 1 && codec != self->update_codec ? 1 : 0;
    commit(self, version, digest);
}

void sim_shadow_served(struct sim_shadow *self, uint64_t version, const struct digest *digest)
{
    if (version == master_version(self->master) + 1) {
        commit(self, version, digest); /* it died before it could tell anybody */
    }
    self->counted_count = 0;
}

void sim_shadow_settings(struct sim_shadow *self, uint64_t number, uint64_t version,
                         const struct live_settings *settings)
{
    if (number < self->settings_count || version > master_version(self->master)) {
        return;
    }
    self->settings_count = number + 1;
    self->settings = *settings;
    self->exact = self->exact && settings->codec == CODEC_FP32;
    if (!may_have(settings, settings->update_codec)) {
        sim_fail("updates are to be in %s, and the run's codec is %s",
                 codec_name(settings->update_codec), codec_name(settings->codec));
    }
    if (master_change(self->master, settings->learning_rate, settings->update_codec,
                      settings->mean_codec) != STATUS_OK) {
        sim_fail("the second master takes no other settings");
    }
}

uint64_t sim_shadow_stale(const struct sim_shadow *self)
{
    return self->stale_count;
}

const struct digest *sim_shadow_digest(const struct sim_shadow *self, uint64_t version)
{
    return version <= master_version(self->master) ? &self->digests[version] : NULL;
}

uint64_t sim_shadow_version(const struct sim_shadow *self)
{
    return master_version(self->master);
}

uint64_t sim_shadow_samples(const struct sim_shadow *self)
{
    return self->sample_first;
}
