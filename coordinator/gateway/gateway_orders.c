#include "common/log.h"
#include "coordinator/gateway/gateway_state.h"

enum { ORDERS_PER_TURN = 1024 };

static enum status bar(struct gateway *self, const struct gateway_frame *frame)
{
    struct gateway_bar order;
    if (gateway_bar_read(frame, &order) != STATUS_OK) {
        return STATUS_PROTOCOL;
    }
    bool all = true;
    for (int port = 0; port < GATEWAY_PORTS; port++) { /* each cuts its own connections */
        all = channel_server_bar(self->servers[port], order.curve_key, order.barred) == STATUS_OK &&
              all;
    }
    if (!all) {
        log_warn("gateway", "not_barred", "reason=\"too many keys are barred\"");
    }
    return STATUS_OK;
}

static enum status dial(struct gateway *self, const struct gateway_frame *frame)
{
    struct gateway_dial order;
    if (gateway_dial_read(frame, &order) != STATUS_OK) {
        return STATUS_PROTOCOL;
    }
    gateway_dial_out(self, frame->number, &order);
    return STATUS_OK;
}

static enum status obey(struct gateway *self, const struct gateway_frame *frame, uint64_t now_ms)
{
    switch ((unsigned)frame->type) {
    case GATEWAY_SEND:
        gateway_send(self, frame, now_ms);
        return STATUS_OK;
    case GATEWAY_ADMIT:
        gateway_admit(self, frame->number);
        return STATUS_OK;
    case GATEWAY_CUT:
        gateway_drop_line(self, frame->number);
        return STATUS_OK;
    case GATEWAY_BAR:
        return bar(self, frame);
    case GATEWAY_DIAL:
        return dial(self, frame);
    case GATEWAY_TELL:
        gateway_call_say(self, frame, now_ms);
        return STATUS_OK;
    case GATEWAY_HANG_UP:
        gateway_hang_up(self, frame->number, frame->head[0] != 0);
        return STATUS_OK;
    case GATEWAY_PING:
        self->ping = frame->number;
        self->ping_turns = 0;
        return STATUS_OK;
    default: /* a second start; the reader lets no other pass */
        return STATUS_PROTOCOL;
    }
}

enum status gateway_take_orders(struct gateway *self, uint64_t now_ms)
{
    for (int i = 0; i < ORDERS_PER_TURN; i++) {
        struct gateway_frame frame;
        enum status status = gateway_link_read(self->link, &frame);
        if (status == STATUS_OK) {
            status = obey(self, &frame, now_ms);
        }
        if (status != STATUS_OK) {
            return status == STATUS_AGAIN ? STATUS_OK : status;
        }
    }
    return STATUS_OK;
}
