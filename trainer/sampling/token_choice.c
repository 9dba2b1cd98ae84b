#include "trainer/sampling/token_choice.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/vector_clones.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A 32-bit key is selected in three steps: 11, 11 and 10 bits. */
enum { STEP_COUNT = 3, BINS = 1 << 11 };

static const struct {
    unsigned shift;
    uint32_t mask; /* of the bins, after the shift */
} STEPS[STEP_COUNT] = {{21, 0x7ff}, {10, 0x7ff}, {0, 0x3ff}};

struct token_choice {
    struct token_choice_settings settings;
    uint32_t vocab;
    uint32_t *keys;  /* (V): the logits as integers of the same order */
    double *weights; /* (V): exp((logit - largest) / temperature); 0: not to be chosen */
    double bins[BINS];
};

/* Where a descending sum over the tokens, by key, first reaches a goal. */
struct threshold {
    uint32_t key;
    double above; /* sum of the tokens with larger keys */
};

enum status token_choice_new(const struct token_choice_settings *settings, uint32_t vocab,
                             struct token_choice **out)
{
    *out = NULL;
    CHECK(vocab > 0 && vocab <= TOKEN_CHOICE_VOCAB_MAX);
    CHECK(settings->temperature >= 0.0 && isfinite(settings->temperature));
    CHECK(settings->top_p >= 0.0 && settings->top_p <= 1.0);
    CHECK(settings->min_p >= 0.0 && settings->min_p <= 1.0);
    struct token_choice *self = calloc(1, sizeof(*self));
    if (self != NULL) {
        self->settings = *settings;
        self->vocab = vocab;
        self->keys = calloc(vocab, sizeof(*self->keys));
        self->weights = calloc(vocab, sizeof(*self->weights));
    }
    if (self == NULL || self->keys == NULL || self->weights == NULL) {
        token_choice_free(self);
        return fault(STATUS_NO_MEMORY, "no memory to choose among %u tokens", vocab);
    }
    *out = self;
    return STATUS_OK;
}

void token_choice_free(struct token_choice *self)
{
    if (self != NULL) {
        free(self->keys);
        free(self->weights);
        free(self);
    }
}

/* The index of the largest, the first of equals. */
static enum status find_largest(const float *logits, uint32_t count, uint32_t *out)
{
    uint32_t best = 0;
    bool bad = false;
    for (uint32_t i = 0; i < count; i++) {
        bad |= !(logits[i] < INFINITY); /* also true for NaN */
        best = logits[i] > logits[best] ? i : best;
    }
    if (bad || logits[best] == -INFINITY) {
        return fault(STATUS_OUT_OF_RANGE, "the model computes values that are no numbers: its "
                                          "parameters are broken; take an earlier checkpoint");
    }
    *out = best;
    return STATUS_OK;
}

/* exp(x) for x <= 0 to about 1e-14: x = n ln 2 + r, |r| <= ln 2 / 2, and the Taylor series of
 * exp(r) to the 11th power. Below exp(-64) no draw of 53 bits can tell it from 0. Without branches
 * and conversions, so that loops over it become vector code. */
static inline double exp_negative(double x)
{
    static const double SERIES[] = {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                                    1.0 / 5040,     1.0 / 720,     1.0 / 120,    1.0 / 24,
                                    1.0 / 6,        1.0 / 2,       1.0,          1.0};
    static const double LN2_HIGH = 0x1.62e42fee00000p-1; /* n * LN2_HIGH is exact */
    static const double LN2_LOW = 0x1.a39ef35793c76p-33;
    static const double ROUNDER = 0x1.8p52; /* a sum with it has no bits behind the point */
    double rounded = x * 0x1.71547652b82fep+0 + ROUNDER;
    double n = rounded - ROUNDER;
    double r = (x - n * LN2_HIGH) - n * LN2_LOW;
    double sum = SERIES[0];
    for (size_t k = 1; k < sizeof(SERIES) / sizeof(SERIES[0]); k++) {
        sum = sum * r + SERIES[k];
    }
    uint64_t bits; /* the low ones are n */
    memcpy(&bits, &rounded, sizeof(bits));
    bits = (bits + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof(scale));
    double value = sum * scale;
    memcpy(&bits, &value, sizeof(bits));
    bits &= -(uint64_t)(x > -64.0);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* An integer that orders as the float does; no NaN. */
static uint32_t key_of(float value)
{
    float positive_zero = value + 0.0F;
    uint32_t bits;
    memcpy(&bits, &positive_zero, sizeof(bits));
    return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/* keys(count) and weights(count) of logits(count). */
VECTOR_CLONES static void weigh(uint32_t *restrict keys, double *restrict weights,
                                const float *restrict logits, size_t count, float largest,
                                double temperature)
{
    for (size_t i = 0; i < count; i++) {
        keys[i] = key_of(logits[i]);
    }
    for (size_t i = 0; i < count; i++) {
        weights[i] = exp_negative(((double)logits[i] - (double)largest) / temperature);
    }
}

/* Sums amounts, or counts tokens when amounts is NULL, from the largest key downwards until `goal`
 * is reached. Rounding may keep the sum just below a goal that all tokens together reach: then
 * the smallest key that has an amount is the threshold. */
static struct threshold find_threshold(struct token_choice *self, const double *amounts,
                                       double goal)
{
    uint32_t prefix = 0;
    double above = 0.0;
    for (unsigned step = 0; step < STEP_COUNT; step++) {
        unsigned shift = STEPS[step].shift;
        uint32_t mask = STEPS[step].mask;
        /* Bits that the earlier steps fixed. */
        uint32_t fixed = ~(((mask << shift) | ((UINT32_C(1) << shift) - 1)));
        memset(self->bins, 0, sizeof(self->bins));
        for (uint32_t i = 0; i < self->vocab; i++) {
            if ((self->keys[i] & fixed) == prefix) {
                self->bins[(self->keys[i] >> shift) & mask] += amounts != NULL ? amounts[i] : 1.0;
            }
        }
        uint32_t found = mask + 1; /* none */
        double above_found = above;
        double sum = above;
        for (uint32_t bin = mask + 1; bin-- > 0 && (sum < goal || found > mask);) {
            if (self->bins[bin] > 0.0) {
                found = bin;
                above_found = sum;
                sum += self->bins[bin];
            }
        }
        CHECK(found <= mask); /* the likeliest token has an amount */
        prefix |= found << shift;
        above = above_found;
    }
    return (struct threshold){.key = prefix, .above = above};
}

static void keep_top_k(struct token_choice *self)
{
    struct threshold last = find_threshold(self, NULL, self->settings.top_k);
    for (uint32_t i = 0; i < self->vocab; i++) {
        self->weights[i] = self->keys[i] < last.key ? 0.0 : self->weights[i];
    }
}

/* Eight sums side by side: a single one would wait for each addition. */
static double total_weight(const struct token_choice *self)
{
    double sums[8] = {0.0};
    size_t i = 0;
    for (; i + 8 <= self->vocab; i += 8) {
        for (size_t j = 0; j < 8; j++) {
            sums[j] += self->weights[i + j];
        }
    }
    for (; i < self->vocab; i++) {
        sums[0] += self->weights[i];
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/* A token stays when those before it, likeliest and lowest id first, do not reach p. */
static void keep_top_p(struct token_choice *self, uint32_t likeliest)
{
    double likeliest_weight = self->weights[likeliest];
    double goal = self->settings.top_p * total_weight(self);
    struct threshold last = find_threshold(self, self->weights, goal);
    double before = last.above;
    for (uint32_t i = 0; i < self->vocab; i++) {
        if (self->keys[i] < last.key) {
            self->weights[i] = 0.0;
        } else if (self->keys[i] == last.key) {
            double weight = self->weights[i];
            self->weights[i] = before < goal ? weight : 0.0;
            before += weight;
        }
    }
    self->weights[likeliest] = likeliest_weight;
}

static void keep_min_p(struct token_choice *self)
{
    for (uint32_t i = 0; i < self->vocab; i++) { /* the likeliest has weight 1 */
        self->weights[i] = self->weights[i] < self->settings.min_p ? 0.0 : self->weights[i];
    }
}

/* The first token at which the sum of weights, by id, exceeds a uniform share of the total. In the
 * order of ids a small difference between two machines' logits moves the draw only when it lies
 * at the very edge of a token. */
static uint32_t draw(const struct token_choice *self, double uniform)
{
    double target = uniform * total_weight(self);
    double sum = 0.0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < self->vocab; i++) {
        if (self->weights[i] > 0.0) {
            last = i;
            sum += self->weights[i];
            if (sum > target) {
                break;
            }
        }
    }
    return last;
}

enum status token_choice_draw(struct token_choice *self, const float *logits, struct random *random,
                              uint16_t *out)
{
    const struct token_choice_settings *settings = &self->settings;
    uint32_t likeliest = 0;
    enum status status = find_largest(logits, self->vocab, &likeliest);
    if (status != STATUS_OK) {
        return status;
    }
    if (settings->temperature == 0.0) {
        *out = (uint16_t)likeliest;
        return STATUS_OK;
    }
    weigh(self->keys, self->weights, logits, self->vocab, logits[likeliest], settings->temperature);
    if (settings->top_k > 0 && settings->top_k < self->vocab) {
        keep_top_k(self);
    }
    if (settings->top_p < 1.0) {
        keep_top_p(self, likeliest);
    }
    if (settings->min_p > 0.0) {
        keep_min_p(self);
    }
    *out = (uint16_t)draw(self, random_uniform(random));
    return STATUS_OK;
}
