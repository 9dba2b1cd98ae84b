#include "coordinator/store/journal_format.h"

#include "common/fault.h"
#include "coordinator/store/journal_bytes.h"

#include <math.h>
#include <stdlib.h>

enum {
    STATE_BYTES = 104,
    LEASE_BYTES = 64,
    STEP_BYTES = 104,
    CONTRIBUTION_BYTES = 56,
    RANGE_BYTES = 16,
    EVENT_BYTES = 48,
    SETTINGS_BYTES = 20,
    UPDATE_CODEC_SHIFT = 16,
    CODEC_MASK = 0xFFFF
};

_Static_assert(JOURNAL_CONTRIBUTIONS_MAX *CONTRIBUTION_BYTES + JOURNAL_RANGES_MAX * RANGE_BYTES +
                       STEP_BYTES <=
                   JOURNAL_META_BYTES_MAX,
               "the largest step fits");
_Static_assert(JOURNAL_HEADER_BYTES + LEASE_BYTES == JOURNAL_LEASE_RECORD_BYTES,
               "all leases are of one length");
_Static_assert(JOURNAL_HEADER_BYTES + EVENT_BYTES + JOURNAL_TEXT_MAX <= JOURNAL_SMALL_RECORD_MAX,
               "the longest event is a small record");

static bool positive(double value)
{
    return isfinite(value) && value >= 0.0;
}

static enum status check_settings(const struct live_settings *settings)
{
    if (!positive(settings->learning_rate) || settings->target_batch == 0 ||
        !codec_is_known(settings->codec) || !codec_is_known(settings->update_codec) ||
        !codec_suits_mean(settings->mean_codec)) {
        return fault(STATUS_OUT_OF_RANGE, "the settings of the run cannot be right");
    }
    return STATUS_OK;
}

static enum status check_state(const struct journal_state *state)
{
    if (!isfinite(state->loss_first) || !isfinite(state->loss_last)) {
        return fault(STATUS_OUT_OF_RANGE, "a loss in the run's state is not a finite number");
    }
    return check_settings(&state->settings);
}

static bool range_fits(const struct sample_range *range)
{
    return range->count > 0 && range->first <= UINT64_MAX - range->count;
}

static enum status check_lease(const struct journal_lease *lease)
{
    return range_fits(&lease->samples)
               ? STATUS_OK
               : fault(STATUS_OUT_OF_RANGE, "the samples of a lease cannot be right");
}

static bool ranges_fit(const struct journal_contribution *contribution,
                       const struct sample_range *samples)
{
    uint64_t at = samples->first;
    uint64_t end = samples->first + samples->count;
    for (size_t i = 0; i < contribution->range_count; i++) {
        const struct sample_range *range = &contribution->ranges[i];
        if (!range_fits(range) || range->first < at || range->first + range->count > end) {
            return false;
        }
        at = range->first + range->count;
    }
    return contribution->range_count > 0;
}

/* Whether contributions overlap, leave samples out or add up to the step's tokens is not the
 * format's to say: who checks a run counts it. */
static enum status check_step(const struct journal_step *step)
{
    size_t range_count = 0;
    uint64_t tokens = 0;
    if (step->contribution_count > JOURNAL_CONTRIBUTIONS_MAX) {
        return fault(STATUS_FULL, "a step has more than %d contributions",
                     JOURNAL_CONTRIBUTIONS_MAX);
    }
    if (step->step == UINT64_MAX || !range_fits(&step->samples) || !isfinite(step->loss_sum) ||
        !positive(step->grad_l2) || !positive(step->learning_rate) ||
        !codec_suits_mean(step->mean_codec)) {
        return fault(STATUS_OUT_OF_RANGE, "the figures of a step cannot be right");
    }
    for (size_t i = 0; i < step->contribution_count; i++) {
        const struct journal_contribution *from = &step->contributions[i];
        if (from->range_count > JOURNAL_RANGES_MAX - range_count) {
            return fault(STATUS_FULL, "a step has more than %d sample ranges", JOURNAL_RANGES_MAX);
        }
        range_count += from->range_count;
        if (!ranges_fit(from, &step->samples) || !isfinite(from->loss_sum) ||
            from->tokens > UINT64_MAX - tokens) {
            return fault(STATUS_OUT_OF_RANGE, "contribution %zu of a step cannot be right", i);
        }
        tokens += from->tokens;
    }
    return STATUS_OK;
}

static size_t text_length(const char *text)
{
    return strnlen(text, JOURNAL_TEXT_MAX - 1);
}

static enum status check_event(const struct journal_event *event)
{
    if (event->type < JOURNAL_SERVED || event->type > JOURNAL_NOTE) {
        return fault(STATUS_OUT_OF_RANGE, "an event is of no known type");
    }
    return event->type == JOURNAL_SETTINGS ? check_settings(&event->settings) : STATUS_OK;
}

static enum status check_record(const struct journal_record *record)
{
    switch (record->type) {
    case JOURNAL_SEGMENT:
        return check_state(&record->as.state);
    case JOURNAL_LEASE:
        return check_lease(&record->as.lease);
    case JOURNAL_STEP:
        return check_step(&record->as.step);
    case JOURNAL_EVENT:
        return check_event(&record->as.event);
    }
    return fault(STATUS_OUT_OF_RANGE, "a record is of no known type");
}

static size_t step_bytes(const struct journal_step *step)
{
    size_t size_bytes = STEP_BYTES + step->contribution_count * CONTRIBUTION_BYTES;
    for (size_t i = 0; i < step->contribution_count; i++) {
        size_bytes += step->contributions[i].range_count * RANGE_BYTES;
    }
    return size_bytes;
}

enum status journal_meta_size(const struct journal_record *record, size_t *out_bytes)
{
    *out_bytes = 0;
    enum status status = check_record(record);
    if (status != STATUS_OK) {
        return status;
    }
    switch (record->type) {
    case JOURNAL_SEGMENT:
        *out_bytes = STATE_BYTES;
        break;
    case JOURNAL_LEASE:
        *out_bytes = LEASE_BYTES;
        break;
    case JOURNAL_STEP:
        *out_bytes = step_bytes(&record->as.step);
        break;
    case JOURNAL_EVENT:
        *out_bytes = EVENT_BYTES + journal_align(text_length(record->as.event.text));
        break;
    }
    return STATUS_OK;
}

/* Journals from before updates could have a codec of their own have 0 there: that of all else. */
static void put_settings(uint8_t **at, const struct live_settings *settings)
{
    uint32_t own = settings->update_codec != settings->codec ? settings->update_codec : 0;
    put_double(at, settings->learning_rate);
    put_u32(at, settings->target_batch);
    put_u32(at, settings->codec | own << UPDATE_CODEC_SHIFT);
    put_u32(at, settings->mean_codec);
}

static void put_state(uint8_t **at, const struct journal_state *state)
{
    put_bytes(at, state->run_id.bytes, DIGEST_BYTES);
    put_u64(at, state->version);
    put_u64(at, state->sample_first);
    put_u64(at, state->tokens);
    put_double(at, state->loss_first);
    put_double(at, state->loss_last);
    put_u64(at, state->serial);
    put_settings(at, &state->settings);
    put_u32(at, state->paused);
}

static void put_range(uint8_t **at, const struct sample_range *range)
{
    put_u64(at, range->first);
    put_u64(at, range->count);
}

static void put_lease(uint8_t **at, const struct journal_lease *lease)
{
    put_bytes(at, lease->key, IDENTITY_KEY_BYTES);
    put_u64(at, lease->lease_id);
    put_u64(at, lease->step);
    put_range(at, &lease->samples);
}

static void put_step(uint8_t **at, const struct journal_step *step)
{
    put_u64(at, step->step);
    put_range(at, &step->samples);
    put_u64(at, step->tokens);
    put_double(at, step->loss_sum);
    put_double(at, step->grad_l2);
    put_double(at, step->learning_rate);
    put_u64(at, step->unix_ms);
    put_bytes(at, step->digest.bytes, DIGEST_BYTES);
    put_u32(at, step->mean_codec);
    put_u32(at, (uint32_t)step->contribution_count);
    for (size_t i = 0; i < step->contribution_count; i++) {
        const struct journal_contribution *from = &step->contributions[i];
        put_bytes(at, from->key, IDENTITY_KEY_BYTES);
        put_u64(at, from->tokens);
        put_double(at, from->loss_sum);
        put_u64(at, from->range_count);
        for (size_t j = 0; j < from->range_count; j++) {
            put_range(at, &from->ranges[j]);
        }
    }
}

/* What a terminal would obey becomes a question mark. */
static uint8_t plain(char byte)
{
    uint8_t value = (uint8_t)byte;
    return value < 0x20 || value == 0x7F ? '?' : value;
}

static void put_event(uint8_t **at, const struct journal_event *event)
{
    static const struct live_settings none = {0};
    size_t length = text_length(event->text);
    put_u32(at, event->type);
    put_u32(at, (uint32_t)length);
    put_u64(at, event->version);
    put_u64(at, event->unix_ms);
    put_settings(at, event->type == JOURNAL_SETTINGS ? &event->settings : &none);
    put_u32(at, 0);
    for (size_t i = 0; i < journal_align(length); i++) {
        *(*at)++ = i < length ? plain(event->text[i]) : 0;
    }
}

void journal_meta_encode(const struct journal_record *record, uint8_t *out)
{
    uint8_t *at = out;
    switch (record->type) {
    case JOURNAL_SEGMENT:
        put_state(&at, &record->as.state);
        break;
    case JOURNAL_LEASE:
        put_lease(&at, &record->as.lease);
        break;
    case JOURNAL_STEP:
        put_step(&at, &record->as.step);
        break;
    case JOURNAL_EVENT:
        put_event(&at, &record->as.event);
        break;
    }
}

static void take_settings(struct taker *from, struct live_settings *out)
{
    out->learning_rate = take_double(from);
    out->target_batch = take_u32(from);
    uint32_t codecs = take_u32(from);
    uint32_t own = codecs >> UPDATE_CODEC_SHIFT;
    out->codec = (enum codec)(codecs & CODEC_MASK);
    out->update_codec = own != 0 ? (enum codec)own : out->codec;
    out->mean_codec = (enum codec)take_u32(from);
    from->spoiled = from->spoiled || (own != 0 && own == (uint32_t)out->codec);
}

static void take_state(struct taker *from, struct journal_state *out)
{
    take_bytes(from, out->run_id.bytes, DIGEST_BYTES);
    out->version = take_u64(from);
    out->sample_first = take_u64(from);
    out->tokens = take_u64(from);
    out->loss_first = take_double(from);
    out->loss_last = take_double(from);
    out->serial = take_u64(from);
    take_settings(from, &out->settings);
    uint32_t paused = take_u32(from);
    out->paused = paused == 1;
    from->spoiled = from->spoiled || paused > 1;
}

static void take_range(struct taker *from, struct sample_range *out)
{
    out->first = take_u64(from);
    out->count = take_u64(from);
}

static void take_lease(struct taker *from, struct journal_lease *out)
{
    take_bytes(from, out->key, IDENTITY_KEY_BYTES);
    out->lease_id = take_u64(from);
    out->step = take_u64(from);
    take_range(from, &out->samples);
}

static bool all_zeros(const uint8_t *bytes, size_t count)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        seen |= bytes[i];
    }
    return seen == 0;
}

/* `length` bytes of text and the zeros that fill them up, to the end. */
static void take_text(struct taker *from, size_t length, char out[JOURNAL_TEXT_MAX])
{
    if (length >= JOURNAL_TEXT_MAX || journal_align(length) != from->left ||
        !all_zeros(from->at + length, from->left - length)) {
        from->spoiled = true;
        return;
    }
    memcpy(out, from->at, length);
    for (size_t i = 0; i < length; i++) {
        from->spoiled = from->spoiled || plain(out[i]) != (uint8_t)out[i];
    }
    from->left = 0;
}

static void take_event(struct taker *from, struct journal_event *out)
{
    uint32_t type = take_u32(from);
    uint32_t length = take_u32(from);
    out->version = take_u64(from);
    out->unix_ms = take_u64(from);
    bool set = from->left >= SETTINGS_BYTES && !all_zeros(from->at, SETTINGS_BYTES);
    take_settings(from, &out->settings);
    uint32_t zero = take_u32(from);
    if (from->spoiled || type < JOURNAL_SERVED || type > JOURNAL_NOTE || zero != 0 ||
        set != (type == JOURNAL_SETTINGS)) {
        from->spoiled = true;
        return;
    }
    out->type = (enum journal_event_type)type;
    take_text(from, length, out->text);
}

void journal_lists_free(struct journal_lists *lists)
{
    free(lists->contributions);
    free(lists->ranges);
    *lists = (struct journal_lists){0};
}

/* Room for what `left` bytes of meta can hold at most, so a lie in a count costs nothing. */
static enum status reserve_lists(struct journal_lists *lists, size_t contribution_count,
                                 size_t left)
{
    size_t range_count = (left - contribution_count * CONTRIBUTION_BYTES) / RANGE_BYTES;
    if (contribution_count > lists->contribution_capacity) {
        free(lists->contributions);
        lists->contributions = calloc(contribution_count, sizeof *lists->contributions);
        lists->contribution_capacity = lists->contributions != NULL ? contribution_count : 0;
    }
    if (range_count > lists->range_capacity) {
        free(lists->ranges);
        lists->ranges = calloc(range_count, sizeof *lists->ranges);
        lists->range_capacity = lists->ranges != NULL ? range_count : 0;
    }
    return lists->contribution_capacity >= contribution_count &&
                   lists->range_capacity >= range_count
               ? STATUS_OK
               : fault(STATUS_NO_MEMORY, "not enough memory for a step's %zu contributions",
                       contribution_count);
}

static void take_contributions(struct taker *from, const struct journal_lists *lists,
                               struct journal_step *out)
{
    size_t used = 0;
    if (lists->contributions == NULL || lists->ranges == NULL) {
        from->spoiled = out->contribution_count > 0; /* of no samples */
        return;
    }
    for (size_t i = 0; i < out->contribution_count && !from->spoiled; i++) {
        struct journal_contribution *one = &lists->contributions[i];
        take_bytes(from, one->key, IDENTITY_KEY_BYTES);
        one->tokens = take_u64(from);
        one->loss_sum = take_double(from);
        uint64_t count = take_u64(from);
        if (count > lists->range_capacity - used) {
            from->spoiled = true;
            return;
        }
        one->range_count = (size_t)count;
        one->ranges = lists->ranges + used;
        for (size_t j = 0; j < one->range_count; j++) {
            take_range(from, &lists->ranges[used++]);
        }
    }
    out->contributions = lists->contributions;
}

static enum status take_step(struct taker *from, struct journal_lists *lists,
                             struct journal_step *out)
{
    out->step = take_u64(from);
    take_range(from, &out->samples);
    out->tokens = take_u64(from);
    out->loss_sum = take_double(from);
    out->grad_l2 = take_double(from);
    out->learning_rate = take_double(from);
    out->unix_ms = take_u64(from);
    take_bytes(from, out->digest.bytes, DIGEST_BYTES);
    out->mean_codec = (enum codec)take_u32(from);
    out->contribution_count = take_u32(from);
    if (out->contribution_count > JOURNAL_CONTRIBUTIONS_MAX ||
        out->contribution_count > from->left / CONTRIBUTION_BYTES) {
        from->spoiled = true;
        return STATUS_OK;
    }
    enum status status = reserve_lists(lists, out->contribution_count, from->left);
    if (status == STATUS_OK) {
        take_contributions(from, lists, out);
    }
    return status;
}

enum status journal_meta_decode(const uint8_t *meta, size_t size_bytes, struct journal_lists *lists,
                                struct journal_record *record)
{
    struct taker from = {.at = meta, .left = size_bytes};
    enum status status = STATUS_OK;
    memset(&record->as, 0, sizeof record->as);
    switch (record->type) {
    case JOURNAL_SEGMENT:
        take_state(&from, &record->as.state);
        break;
    case JOURNAL_LEASE:
        take_lease(&from, &record->as.lease);
        break;
    case JOURNAL_STEP:
        status = take_step(&from, lists, &record->as.step);
        break;
    case JOURNAL_EVENT:
        take_event(&from, &record->as.event);
        break;
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (from.spoiled || from.left > 0) {
        return fault(STATUS_BAD_DATA, "a record's length does not fit what it holds");
    }
    return check_record(record) == STATUS_OK ? STATUS_OK : STATUS_BAD_DATA;
}
