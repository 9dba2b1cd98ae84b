#include "tests/sim/sim_owner.h"

#include "common/fault.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/sim_storage.h"

#include <string.h>

enum { OWNER_STREAM = 7, WISH_US_MAX = 3000000, STOP_MS_MAX = 4000 };

static const double rates[] = {0.003, 0.01, 0.02};
static const enum codec codecs[] = {CODEC_FP32, CODEC_MX8, CODEC_BF16};
static const enum codec mean_codecs[] = {CODEC_FP32, CODEC_BF16, CODEC_MX8};

static uint64_t draw(uint64_t bound)
{
    return random_below(&sim->owner.chance, bound);
}

void sim_owner_begin(void)
{
    struct sim_owner *self = &sim->owner;
    const struct run_config *config = &sim->pattern->config;
    random_init(&self->chance, sim->seed, OWNER_STREAM);
    self->acts = sim->plan.owner;
    self->next_us = draw(WISH_US_MAX);
    self->same_until = UINT64_MAX;
    self->settings = (struct live_settings){.learning_rate = config->schedule.learning_rate,
                                            .target_batch = config->target_batch,
                                            .codec = config->codec,
                                            .mean_codec = config->mean_codec};
}

static void wish_settings(struct control_request *out)
{
    uint64_t which = 1 + draw(15);
    out->command = CONTROL_SET;
    out->has_learning_rate = (which & 1U) != 0;
    out->has_target_batch = (which & 2U) != 0;
    out->has_codec = (which & 4U) != 0;
    out->has_mean_codec = (which & 8U) != 0;
    out->settings.learning_rate = rates[draw(sizeof rates / sizeof rates[0])];
    out->settings.target_batch = 1 + (uint32_t)draw(SIM_BATCH_MAX);
    out->settings.codec = codecs[draw(sizeof codecs / sizeof codecs[0])];
    out->settings.mean_codec = mean_codecs[draw(sizeof mean_codecs / sizeof mean_codecs[0])];
}

/* A paused run mostly goes on soon: what else is asked for while it rests is the rarer case. */
static void wish(struct sim_owner *self)
{
    uint64_t luck = draw(8);
    self->request = (struct control_request){.command = CONTROL_RESUME};
    self->asked = true;
    if (sim->calm || (self->paused && luck < 4)) {
        return;
    }
    if (luck < 5 && !self->waits) {
        wish_settings(&self->request);
    } else if (luck < 7) {
        self->request.command = CONTROL_PAUSE;
    } else {
        self->request.command = CONTROL_STOP;
        self->request.wait_ms = draw(STOP_MS_MAX);
    }
}

static const char *wanted(const struct control_request *request)
{
    static const char *const names[CONTROL_COMMAND_COUNT] = {
        [CONTROL_PAUSE] = "pause", [CONTROL_RESUME] = "go on", [CONTROL_STOP] = "stop"};
    static char text[SIM_TRACE_LINE_MAX];
    if (request->command != CONTROL_SET) {
        return names[request->command];
    }
    (void)snprintf(text, sizeof text, "set%s%g%s%u%s%s%s%s",
                   request->has_learning_rate ? " learning rate " : " (rate) ",
                   request->settings.learning_rate,
                   request->has_target_batch ? ", target batch " : ", (batch) ",
                   request->settings.target_batch, request->has_codec ? ", codec " : ", (codec) ",
                   codec_name(request->settings.codec),
                   request->has_mean_codec ? ", journal " : ", (journal) ",
                   codec_name(request->settings.mean_codec));
    return text;
}

static struct live_settings merged(const struct sim_owner *self,
                                   const struct control_request *request)
{
    struct live_settings next = self->settings;
    if (request->has_learning_rate) {
        next.learning_rate = request->settings.learning_rate;
    }
    if (request->has_target_batch) {
        next.target_batch = request->settings.target_batch;
    }
    if (request->has_codec) {
        next.codec = request->settings.codec;
    }
    if (request->has_mean_codec) {
        next.mean_codec = request->settings.mean_codec;
    }
    return next;
}

static bool same(const struct live_settings *a, const struct live_settings *b)
{
    return a->learning_rate == b->learning_rate && a->target_batch == b->target_batch &&
           a->codec == b->codec && a->mean_codec == b->mean_codec;
}

static void note_wish(struct sim_owner *self)
{
    uint64_t version = sim_server_state(sim->coordinator.server)->version;
    sim->figures.owner_wishes++;
    sim_line("owner: %s", wanted(&self->request));
    if (self->request.command == CONTROL_SET && version < self->same_until) {
        self->same_until = version;
    }
    if (self->request.command == CONTROL_STOP) {
        sim->figures.owner_stops++;
    }
}

/* What the journal holds if the power goes now, and what the coordinator goes by. */
static void check_answered(const struct sim_owner *self)
{
    const struct journal_state *state = sim_server_state(sim->coordinator.server);
    struct journal_state durable;
    if (!same(&state->settings, &self->settings) || state->paused != self->paused) {
        sim_fail("the owner was told OK, and the coordinator goes by other settings");
    }
    if (!sim_storage_rotten() &&
        (!sim_check_durable_state(&durable) || !same(&durable.settings, &self->settings) ||
         durable.paused != self->paused)) {
        sim_fail("the owner was told OK, and the durable journal says otherwise");
    }
}

static void take_answer(struct sim_owner *self, const struct control_request *request,
                        enum status status)
{
    struct sim_blocks *own = sim_blocks_use(NULL);
    const struct journal_state *state = sim_server_state(sim->coordinator.server);
    const struct live_settings next = merged(self, request);
    sim_line("owner: asked to %s, and answered %s", wanted(request),
             status == STATUS_OK ? "OK" : fault_text());
    if (request->command == CONTROL_SET && status == STATUS_OK) {
        self->settings = next;
        sim->figures.owner_settings++;
    } else if (request->command == CONTROL_SET && same(&state->settings, &next)) {
        self->settings = next; /* the run was over before anybody could say so */
    } else if (status == STATUS_OK && request->command != CONTROL_STOP) {
        self->paused = request->command == CONTROL_PAUSE;
    }
    if (status == STATUS_OK) {
        check_answered(self);
    }
    (void)sim_blocks_use(own);
}

/* Errors: AGAIN, of settings; IO and NO_MEMORY. */
static enum status ask(struct sim_owner *self, const struct control_request *request)
{
    const struct sim_coordinator *coordinator = &sim->coordinator;
    char reply[CONTROL_REPLY_BYTES_MAX] = "";
    sim_check_event();                        /* what the turn did before he asked */
    if (request->command == CONTROL_RESUME) { /* leases may go out before it returns */
        sim->coordinator.rests = false;
        sim->coordinator.paused = false;
    }
    enum status status =
        server_control(coordinator->server, request, sim_process_ms(&coordinator->process), reply);
    if (status == STATUS_IO || status == STATUS_NO_MEMORY ||
        (status == STATUS_AGAIN && request->command == CONTROL_SET)) {
        return status;
    }
    if (status == STATUS_OK ? reply[0] == '\0' : status != STATUS_UNAVAILABLE) {
        sim_fail("the owner asks to %s and is told: %s", wanted(request),
                 status == STATUS_OK ? "nothing" : fault_text());
    }
    take_answer(self, request, status);
    return STATUS_OK;
}

static enum status ask_again(struct sim_owner *self)
{
    enum status status = self->waits ? ask(self, &self->waiting) : STATUS_OK;
    if (status == STATUS_OK) {
        self->waits = false;
    }
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

enum status sim_owner_turn(void)
{
    struct sim_owner *self = &sim->owner;
    enum status status = ask_again(self);
    bool due = sim->calm ? self->paused : sim->now_us >= self->next_us;
    if (status != STATUS_OK || !self->acts || !due) {
        return status;
    }
    self->next_us = sim->now_us + draw(WISH_US_MAX);
    wish(self);
    note_wish(self);
    status = ask(self, &self->request);
    if (status == STATUS_AGAIN) {
        self->waits = true;
        self->waiting = self->request;
        status = STATUS_OK;
    }
    self->asked = self->asked && status != STATUS_OK;
    return status;
}

/* What was asked for and not answered may have come true or not. */
void sim_owner_served(const struct journal_state *state)
{
    struct sim_owner *self = &sim->owner;
    const struct live_settings asked = merged(self, &self->request);
    const struct live_settings waiting = merged(self, &self->waiting);
    enum control_command command = self->request.command;
    bool set = self->asked && command == CONTROL_SET;
    bool turned = self->asked && (command == CONTROL_PAUSE || command == CONTROL_RESUME) &&
                  state->paused == (command == CONTROL_PAUSE);
    bool known = same(&state->settings, &self->settings) ||
                 (set && same(&state->settings, &asked)) ||
                 (self->waits && same(&state->settings, &waiting));
    if (!sim_storage_rotten() && (!known || (state->paused != self->paused && !turned))) {
        sim_fail("the recovered coordinator goes by settings that nobody asked for");
    }
    self->settings = state->settings;
    self->paused = state->paused;
    self->asked = false;
    self->waits = false;
}
