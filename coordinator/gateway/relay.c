#include "coordinator/gateway/relay_state.h"

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"

#include <poll.h>
#include <stdlib.h>

enum status channel_set_new(int io_thread_count, struct channel_set **out)
{
    CHECK(io_thread_count > 0); /* the gateway has threads of its own choice */
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return fault(STATUS_OS, "no memory for the gateway");
    }
    (*out)->process.fd = -1;
    return STATUS_OK;
}

void channel_set_free(struct channel_set *self)
{
    if (self == NULL) {
        return;
    }
    CHECK(self->server == NULL && self->client_count == 0);
    identity_wipe(&self->identity);
    free(self);
}

static bool has_something(const struct channel_set *self)
{
    bool some =
        self->server != NULL && (self->server->inbox.count > 0 || self->server->incident_count > 0);
    for (size_t i = 0; i < self->client_count && !some; i++) {
        some = self->clients[i]->inbox.count > 0;
    }
    return some;
}

static int wait_ms_of(const struct channel_set *self, uint64_t now_ms, int timeout_ms)
{
    if (has_something(self)) {
        return 0;
    }
    if (self->link != NULL || self->server == NULL) {
        return timeout_ms;
    }
    uint64_t due_ms = self->restart_ms > now_ms ? self->restart_ms - now_ms : 0;
    return timeout_ms < 0 || due_ms < (uint64_t)timeout_ms ? (int)due_ms : timeout_ms;
}

void channel_set_wait(struct channel_set *self, int wake_fd, int timeout_ms)
{
    uint64_t now_ms = clock_now_ms();
    relay_gateway_tend(self, now_ms);
    if (self->link != NULL) {
        (void)gateway_link_flush(self->link);
    }
    /* A negative descriptor is passed over. */
    struct pollfd watched[] = {{.fd = wake_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    if (self->link != NULL) {
        watched[1].fd = gateway_link_fd(self->link);
        if (gateway_link_queued_bytes(self->link) > 0) {
            watched[1].events |= POLLOUT;
        }
    }
    (void)poll(watched, 2, wait_ms_of(self, now_ms, timeout_ms));
    relay_pump(self, clock_now_ms());
    if (self->link != NULL) {
        (void)gateway_link_flush(self->link);
    }
}
