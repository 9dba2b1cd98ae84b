#include "coordinator/server/routes_survey.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return left < right ? -1 : left > right ? 1 : 0;
}

/* The median of the values that are known (above 0); 0: none is. Sorts them. */
static double median(double *values, size_t count)
{
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        if (values[i] > 0.0) {
            values[known++] = values[i];
        }
    }
    qsort(values, known, sizeof *values, compare);
    return known > 0 ? values[known / 2] : 0.0;
}

void survey_deinit(struct survey *self)
{
    free(self->peers);
    free(self->shares);
    free(self->scratch);
    free(self->routes);
}

bool survey_init(struct survey *self, struct route_peer *const *peers, uint32_t end)
{
    size_t room = end + 1U;
    *self = (struct survey){.peers = calloc(room, sizeof *self->peers),
                            .shares = calloc(room, sizeof *self->shares),
                            .scratch = calloc(room, sizeof *self->scratch),
                            .routes = calloc(room, sizeof(void *))};
    if (self->peers == NULL || self->shares == NULL || self->scratch == NULL ||
        self->routes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < end; i++) {
        if (peers[i] != NULL) {
            self->routes[self->count++] = peers[i];
        }
    }
    return true;
}

/* Of what is not known of a peer, the median of the others. */
struct medians {
    double up, down, samples_per_s;
};

static struct medians find_medians(const struct survey *survey)
{
    struct medians found;
    for (size_t i = 0; i < survey->count; i++) {
        survey->scratch[i] = routes_up(survey->routes[i]);
    }
    found.up = median(survey->scratch, survey->count);
    for (size_t i = 0; i < survey->count; i++) {
        survey->scratch[i] = routes_down(survey->routes[i]);
    }
    found.down = median(survey->scratch, survey->count);
    for (size_t i = 0; i < survey->count; i++) {
        survey->scratch[i] = survey->routes[i]->samples_per_s;
    }
    found.samples_per_s = median(survey->scratch, survey->count);
    found.down = found.down > 0.0 ? found.down : found.up;
    found.up = found.up > 0.0 ? found.up : found.down;
    return found;
}

static double or_else(double known, double assumed)
{
    return known > 0.0 ? known : assumed;
}

bool survey_fill(struct survey *survey)
{
    struct medians medians = find_medians(survey);
    if (medians.up <= 0.0 || medians.samples_per_s <= 0.0) {
        return false;
    }
    for (size_t i = 0; i < survey->count; i++) {
        const struct route_peer *peer = survey->routes[i];
        survey->peers[i] = (struct plan_peer){
            .up_bytes_per_s = or_else(routes_up(peer), routes_capped(medians.up, peer->up_max)),
            .down_bytes_per_s =
                or_else(routes_down(peer), routes_capped(medians.down, peer->down_max)),
            .samples_per_s =
                peer->computes ? or_else(peer->samples_per_s, medians.samples_per_s) : 0.0,
            .aggregates = routes_can_own(peer)};
        survey->shares[i] = peer->planned ? peer->share : (struct plan_share){.codec = CODEC_FP32};
        survey->shares[i].computes = survey->shares[i].computes && peer->computes;
    }
    return true;
}
