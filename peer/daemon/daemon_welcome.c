#include "common/log.h"
#include "peer/daemon/daemon_state.h"

bool daemon_judge_welcome(struct daemon *self, const struct wire_welcome *welcome)
{
    struct run_shape shape;
    enum status status = run_shape_read(welcome, &shape);
    if (status == STATUS_OK && self->shape.parameters > 0) {
        status = run_shape_compare(&self->shape, &shape, NULL);
    } else if (status == STATUS_OK && self->options->pins_folder != NULL) {
        status = run_pin_check(self->options->pins_folder, self->options->disk_bytes_max,
                               self->options->link.coordinator_key, &shape);
    }
    if (status == STATUS_OK && self->compute != NULL) {
        status = compute_allows(self->compute, welcome->codec, welcome->codec,
                                welcome->max_staleness > 0 && welcome->predicts);
    }
    if (status != STATUS_OK) {
        daemon_fail(self, status);
        return false;
    }
    if (self->shape.parameters == 0) {
        self->shape = shape;
    }
    return true;
}

bool daemon_judge_codecs(struct daemon *self, enum codec offers, enum codec updates)
{
    enum status status =
        self->compute != NULL ? compute_allows(self->compute, offers, updates, false) : STATUS_OK;
    if (status != STATUS_OK) {
        daemon_fail(self, status);
    }
    return status == STATUS_OK;
}

void daemon_set_up(struct daemon *self)
{
    const struct wire_welcome *welcome = &self->incoming.as.welcome;
    enum status status = STATUS_OK;
    if (!self->options->aggregates_only) {
        status = compute_new(welcome, &self->options->compute, &self->shared, &self->compute);
    }
    if (status != STATUS_OK) {
        daemon_fail(self, status);
        return;
    }
    self->value_count = (size_t)self->shape.parameters;
    log_info("peer", "joined", "run=%s parameters=%zu", welcome->run_name, self->value_count);
}
