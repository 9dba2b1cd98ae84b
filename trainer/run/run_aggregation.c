#include "trainer/run/run_aggregation.h"

#include "trainer/run/run_yaml.h"

#include <inttypes.h>
#include <string.h>

static const double check_share_missing = 0.02;
static const double fraction_max_missing = 0.25;
enum { OWNERS_MISSING = 64 };

static const char *const strategies[] = {[AGGREGATION_ADAPTIVE] = "adaptive",
                                         [AGGREGATION_ALL_REDUCE] = "all_reduce",
                                         [AGGREGATION_PARAMETER_SERVER] = "parameter_server"};
static const char *const beliefs[] = {
    [AGGREGATION_CHECKED] = "checked", [AGGREGATION_TRUSTED] = "trusted"};
enum {
    STRATEGY_COUNT = sizeof strategies / sizeof strategies[0],
    BELIEF_COUNT = sizeof beliefs / sizeof beliefs[0]
};

/* The index of a name; `count` when there is no such name. */
static size_t find(const char *const *names, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

static enum status read_slow_link_codec(const struct run_yaml *yaml,
                                        struct aggregation_settings *out)
{
    const char *name = run_yaml_text(yaml, RUN_KEY_SLOW_LINK_CODEC, NULL);
    out->has_slow_link_codec = name != NULL;
    if (name != NULL && codec_from_name(name, &out->slow_link_codec) != STATUS_OK) {
        return run_yaml_fault(yaml, RUN_KEY_SLOW_LINK_CODEC, "names no codec: '%.100s'", name);
    }
    out->slow_link_updates = run_yaml_flag(yaml, RUN_KEY_SLOW_LINK_UPDATES, false);
    if (out->slow_link_updates && name == NULL) {
        return run_yaml_fault(yaml, RUN_KEY_SLOW_LINK_UPDATES,
                              "needs the codec to choose: set aggregation.slow_link_codec too");
    }
    return STATUS_OK;
}

enum status run_aggregation_read(const struct run_yaml *yaml, struct aggregation_settings *out)
{
    const char *strategy = run_yaml_text(yaml, RUN_KEY_STRATEGY, strategies[AGGREGATION_ADAPTIVE]);
    size_t strategy_index = find(strategies, STRATEGY_COUNT, strategy);
    if (strategy_index == STRATEGY_COUNT) {
        return run_yaml_fault(yaml, RUN_KEY_STRATEGY,
                              "must be adaptive, all_reduce or parameter_server, not '%.100s'",
                              strategy);
    }
    const char *belief = run_yaml_text(yaml, RUN_KEY_BELIEVE, beliefs[AGGREGATION_CHECKED]);
    size_t belief_index = find(beliefs, BELIEF_COUNT, belief);
    if (belief_index == BELIEF_COUNT) {
        return run_yaml_fault(yaml, RUN_KEY_BELIEVE, "must be checked or trusted, not '%.100s'",
                              belief);
    }
    out->strategy = (enum aggregation_strategy)strategy_index;
    out->belief = (enum aggregation_belief)belief_index;
    out->check_share = run_yaml_real(yaml, RUN_KEY_CHECK_SHARE, check_share_missing);
    out->fraction_max = run_yaml_real(yaml, RUN_KEY_FRACTION_MAX, fraction_max_missing);
    out->owners_max = (uint32_t)run_yaml_count(yaml, RUN_KEY_OWNERS_MAX, OWNERS_MISSING);
    out->rest = run_yaml_flag(yaml, RUN_KEY_REST, true);
    return read_slow_link_codec(yaml, out);
}

void run_aggregation_print(FILE *out, const struct aggregation_settings *settings)
{
    (void)fprintf(out, "aggregation:\n  strategy: %s\n  believe: %s\n  check_share: %.17g\n",
                  strategies[settings->strategy], beliefs[settings->belief], settings->check_share);
    (void)fprintf(out, "  fraction_max: %.17g\n  owners_max: %" PRIu32 "\n  rest: %s\n",
                  settings->fraction_max, settings->owners_max, settings->rest ? "true" : "false");
    if (settings->has_slow_link_codec) {
        (void)fprintf(out, "  slow_link_codec: %s\n  slow_link_updates: %s\n",
                      codec_name(settings->slow_link_codec),
                      settings->slow_link_updates ? "true" : "false");
    }
}
