#include "coordinator/server/server_conduct.h"

#include "common/fault.h"
#include "common/log.h"
#include "coordinator/server/server_incident.h"
#include "coordinator/server/server_members.h"
#include "coordinator/server/server_state.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

enum { UNTOLD_MS = 1000 };

enum status server_conduct_open(struct server *self)
{
    uint64_t seed = 0;
    struct server_conduct *state = calloc(1, sizeof *state);
    self->conduct = state;
    randombytes_buf(&seed, sizeof seed);
    if (state == NULL || conduct_new(seed, &state->conduct) != STATUS_OK) {
        return fault(STATUS_NO_MEMORY, "no memory to serve the run");
    }
    state->lines_left = SERVER_LINES_MAX;
    return STATUS_OK;
}

void server_conduct_close(struct server *self)
{
    if (self->conduct != NULL) {
        conduct_free(self->conduct->conduct);
    }
    free(self->conduct);
    self->conduct = NULL;
}

bool server_may_tell(struct server *self)
{
    struct server_conduct *state = self->conduct;
    uint64_t fresh = (self->turn_ms - state->line_ms) / SERVER_LINE_MS;
    if (fresh > 0) {
        state->line_ms = self->turn_ms;
        uint64_t left = state->lines_left + fresh;
        state->lines_left = left < SERVER_LINES_MAX ? (unsigned)left : (unsigned)SERVER_LINES_MAX;
    }
    if (state->lines_left == 0) {
        state->untold++;
        return false;
    }
    state->lines_left--;
    return true;
}

static void cut(struct server *self, struct session *session, const char *what)
{
    server_drop(self, session, what);
    if (session->connection != 0) {
        channel_server_cut(self->channel, session->connection);
    }
}

static void bar(struct server *self, const uint8_t *curve_key)
{
    if (channel_server_bar(self->channel, curve_key, true) != STATUS_OK && server_may_tell(self)) {
        log_warn("conduct", "not_barred", "reason=\"too many keys are barred\"");
    }
}

static void tell(struct server *self, const char *peer, enum conduct_verdict verdict,
                 enum conduct_offence offence, const char *what)
{
    static const char *const events[] = {"offence", "cut", "barred"};
    if (verdict == CONDUCT_FINE) {
        log_event(LOG_DEBUG, "conduct", events[verdict], "peer=%s offence=%s reason=\"%s\"", peer,
                  conduct_offence_name(offence), what);
    } else if (server_may_tell(self)) {
        log_warn("conduct", events[verdict], "peer=%s offence=%s reason=\"%s\"", peer,
                 conduct_offence_name(offence), what);
    }
}

/* Who offends, and where from. */
struct offender {
    const struct session *session; /* NULL: none */
    const uint8_t *curve_key;
    const char *host;
};

/* True: cut. */
static bool offend(struct server *self, const struct offender *who, enum conduct_offence offence,
                   const char *what)
{
    enum conduct_verdict verdict =
        conduct_offend(self->conduct->conduct, who->curve_key, offence, self->turn_ms);
    tell(self, who->session != NULL ? who->session->id : "unknown", verdict, offence, what);
    server_incident(self, who->session, who->host, conduct_offence_name(offence), what);
    if (verdict == CONDUCT_BAR) {
        bar(self, who->curve_key);
    }
    return verdict != CONDUCT_FINE;
}

bool server_offend(struct server *self, struct session *session, enum conduct_offence offence,
                   const char *what)
{
    const struct offender who = {.session = session, .curve_key = session->curve_key, .host = ""};
    bool too_much = offend(self, &who, offence, what);
    if (too_much) {
        cut(self, session, what);
    }
    return too_much;
}

void server_stalled(struct server *self, struct session *session, const char *what)
{
    bool excused = conduct_excuses(self->conduct->conduct, session->curve_key, self->turn_ms);
    if (!excused && server_offend(self, session, CONDUCT_DEAD_LINE, what)) {
        return;
    }
    if (excused && server_may_tell(self)) {
        log_warn("conduct", "stalled", "peer=%s reason=\"%s\"", session->id, what);
    }
    /* The session waits for it: a slow line may have all of its contribution on the way. */
    server_upload_end(self, session);
    server_bulk_end(self, session);
    channel_server_cut(self->channel, session->connection);
}

void server_breach(struct server *self, struct session *session, const char *what)
{
    if (!server_offend(self, session, CONDUCT_FALSE_WORD, what)) {
        server_drop(self, session, what);
    }
}

void server_offend_sender(struct server *self, const struct channel_message *incoming,
                          enum conduct_offence offence, const char *what)
{
    struct session *session = sessions_find(self->sessions, incoming->curve_key);
    bool known = session != NULL || conduct_knows(self->conduct->conduct, incoming->curve_key);
    if (!known) {
        channel_server_cut(self->channel, incoming->connection);
        return;
    }
    if (session != NULL && session->away) {
        session = NULL; /* what it may come back for is not the sender's to lose */
    }
    const struct offender who = {
        .session = session, .curve_key = incoming->curve_key, .host = incoming->host};
    if (!offend(self, &who, offence, what)) {
        return;
    }
    if (session != NULL) {
        cut(self, session, what);
    }
    channel_server_cut(self->channel, incoming->connection);
}

void server_malformed(struct server *self, const struct channel_message *incoming)
{
    static const char what[] = "sent what is no message";
    server_offend_sender(self, incoming, CONDUCT_WRONG_BYTES, what);
    struct session *session = sessions_find(self->sessions, incoming->curve_key);
    if (session != NULL && !session->away && session->connection == incoming->connection) {
        server_drop(self, session, what);
    }
    channel_server_cut(self->channel, incoming->connection);
}

void server_unasked(struct server *self, const struct channel_message *incoming)
{
    if (!conduct_knows(self->conduct->conduct, incoming->curve_key)) {
        channel_server_cut(self->channel, incoming->connection);
    } else if (!conduct_allows_unasked(self->conduct->conduct, incoming->curve_key,
                                       incoming->head_size_bytes + incoming->body_size_bytes,
                                       self->turn_ms)) {
        server_offend_sender(self, incoming, CONDUCT_UNASKED, "sent chunks that nobody asked for");
    }
}

bool server_may_greet(struct server *self, const struct channel_message *incoming)
{
    struct conduct *conduct = self->conduct->conduct;
    if (!conduct_knows(conduct, incoming->curve_key)) {
        return true; /* a stranger has the channel's limits */
    }
    if (conduct_is_out(conduct, incoming->curve_key, self->turn_ms)) {
        channel_server_cut(self->channel, incoming->connection);
        return false;
    }
    if (!conduct_allows(conduct, incoming->curve_key, CONDUCT_HELLO, self->turn_ms)) {
        server_offend_sender(self, incoming, CONDUCT_TOO_OFTEN, "says hello too often");
        return false;
    }
    return true;
}

bool server_may_answer(struct server *self, const struct channel_message *incoming)
{
    struct conduct *conduct = self->conduct->conduct;
    if (!conduct_knows(conduct, incoming->curve_key) ||
        conduct_allows(conduct, incoming->curve_key, CONDUCT_OTHER, self->turn_ms)) {
        return true;
    }
    server_offend_sender(self, incoming, CONDUCT_TOO_OFTEN, "speaks without a session");
    return false;
}

static enum conduct_rate rate_of(enum wire_type type)
{
    switch ((int)type) {
    case WIRE_CLAIM:
        return CONDUCT_CLAIM;
    case WIRE_CONTRIBUTION:
        return CONDUCT_OFFER;
    case WIRE_GRANT:
        return CONDUCT_GRANT;
    case WIRE_RATES:
        return CONDUCT_RATES;
    case WIRE_ALIVE:
        return CONDUCT_ALIVE;
    default:
        return CONDUCT_OTHER;
    }
}

bool server_may_say(struct server *self, struct session *session, enum wire_type type)
{
    if (conduct_allows(self->conduct->conduct, session->curve_key, rate_of(type), self->turn_ms)) {
        return true;
    }
    (void)server_offend(self, session, CONDUCT_TOO_OFTEN, wire_type_name(type));
    return false;
}

void server_conduct_counted(struct server *self, struct session *session)
{
    session->leases_open = 0;
    conduct_count(self->conduct->conduct, session->curve_key, self->turn_ms);
}

void server_conduct_wasted(struct server *self, const struct session *session, bool held)
{
    if (session->leases_open == 0 || self->finishing) {
        return;
    }
    uint32_t weight = held ? CONDUCT_WASTED_HELD : CONDUCT_WASTED_LEFT;
    if (conduct_waste(self->conduct->conduct, session->curve_key, weight, self->turn_ms) &&
        server_may_tell(self)) {
        log_warn("conduct", "rests", "peer=%s reason=\"nothing came of its work again and again\"",
                 session->id);
    }
}

bool server_conduct_rests(const struct server *self, const struct session *session)
{
    return conduct_rests(self->conduct->conduct, session->curve_key, self->turn_ms);
}

void server_conduct_forgive(struct server *self, const uint8_t public_key[IDENTITY_KEY_BYTES])
{
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    if (identity_curve_of(public_key, curve_key) == STATUS_OK) {
        conduct_forgive(self->conduct->conduct, curve_key);
    }
}

void server_conduct_tick(struct server *self)
{
    struct server_conduct *state = self->conduct;
    uint8_t key[IDENTITY_KEY_BYTES];
    bool pardoned = false;
    while (conduct_next_pardon(state->conduct, self->turn_ms, key)) {
        (void)!channel_server_bar(self->channel, key, false);
        pardoned = true;
    }
    if (pardoned && server_members_bar(self) != STATUS_OK) { /* whom the owner bans stays out */
        log_warn("conduct", "bans_not_read", "reason=\"%s\"", fault_text());
    }
    if (state->untold > 0 && self->turn_ms - state->untold_ms >= UNTOLD_MS) {
        state->untold_ms = self->turn_ms;
        log_warn("conduct", "untold", "lines=%" PRIu64, state->untold);
        state->untold = 0;
    }
}
