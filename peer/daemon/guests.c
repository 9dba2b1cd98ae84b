#include "peer/daemon/guests.h"

#include "common/fault.h"

#include <stdlib.h>
#include <string.h>

enum status guests_init(struct guests *self)
{
    *self = (struct guests){.items = calloc(GUESTS_MAX, sizeof *self->items)};
    return self->items != NULL ? STATUS_OK
                               : fault(STATUS_NO_MEMORY, "no memory to aggregate for others");
}

void guests_deinit(struct guests *self)
{
    for (uint32_t i = 0; i < self->end; i++) {
        blob_senders_clear(&self->items[i].sends);
    }
    free(self->items);
    *self = (struct guests){.items = NULL};
}

struct guest *guests_find(struct guests *self, uint64_t connection)
{
    for (uint32_t i = 0; i < self->end; i++) {
        struct guest *guest = &self->items[i];
        if (guest->used && guest->connection == connection) {
            guest->spoke = ++self->spoken;
            return guest;
        }
    }
    return NULL;
}

static struct guest *find_key(struct guests *self, const uint8_t curve_key[IDENTITY_KEY_BYTES])
{
    for (uint32_t i = 0; i < self->end; i++) {
        struct guest *guest = &self->items[i];
        if (guest->used && memcmp(guest->curve_key, curve_key, IDENTITY_KEY_BYTES) == 0) {
            return guest;
        }
    }
    return NULL;
}

/* A free place, or that of who was silent for longest. */
static struct guest *make_room(struct guests *self)
{
    struct guest *oldest = &self->items[0];
    for (uint32_t i = 0; i < self->end; i++) {
        struct guest *guest = &self->items[i];
        if (!guest->used) {
            return guest;
        }
        oldest = guest->spoke < oldest->spoke ? guest : oldest;
    }
    if (self->end < GUESTS_MAX) {
        return &self->items[self->end++];
    }
    blob_senders_clear(&oldest->sends);
    return oldest;
}

struct guest *guests_add(struct guests *self, const uint8_t curve_key[IDENTITY_KEY_BYTES],
                         uint64_t connection)
{
    struct guest *guest = find_key(self, curve_key);
    if (guest == NULL) {
        guest = make_room(self);
        *guest = (struct guest){.used = true};
        memcpy(guest->curve_key, curve_key, IDENTITY_KEY_BYTES);
    }
    if (guest->connection != connection) {
        guest->connection = connection;
        guest->flow = (struct pace_flow){.delivered_bytes = 0};
    }
    guest->spoke = ++self->spoken;
    return guest;
}

void guests_remove(struct guests *self, struct guest *guest)
{
    blob_senders_clear(&guest->sends);
    guest->used = false;
    while (self->end > 0 && !self->items[self->end - 1].used) {
        self->end--;
    }
}

void guest_leave(struct guest *self)
{
    blob_senders_clear(&self->sends);
    self->connection = 0;
    self->has_pass = false;
    self->delivery_count = 0;
}

struct guest_delivery *guest_delivery(struct guest *self, uint64_t blob_id)
{
    for (uint32_t i = 0; i < self->delivery_count; i++) {
        if (self->deliveries[i].blob_id == blob_id) {
            return &self->deliveries[i];
        }
    }
    return NULL;
}

static void note_ticket(struct guest *self, uint64_t step, uint64_t serial)
{
    if (step > self->newest_step || (step == self->newest_step && serial > self->newest_serial)) {
        self->newest_step = step;
        self->newest_serial = serial;
        self->unasked_bytes = 0;
        self->repeated_count = 0;
    }
}

struct guest_delivery *guest_deliver(struct guest *self, const struct guest_delivery *delivery)
{
    note_ticket(self, delivery->step, delivery->part.serial);
    struct guest_delivery *place = guest_delivery(self, delivery->blob_id);
    if (place == NULL) {
        if (self->delivery_count == GUEST_DELIVERIES_MAX) {
            self->delivery_count--;
            memmove(&self->deliveries[0], &self->deliveries[1],
                    self->delivery_count * sizeof self->deliveries[0]);
        }
        place = &self->deliveries[self->delivery_count++];
    }
    *place = *delivery;
    return place;
}

bool guest_waits(const struct guest *self)
{
    for (size_t i = 0; i < BLOB_SENDERS_MAX; i++) {
        if (self->sends.items[i] != NULL && blob_sender_pending(self->sends.items[i]) > 0) {
            return true;
        }
    }
    return false;
}
