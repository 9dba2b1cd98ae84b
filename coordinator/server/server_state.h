/* server_state - what the server_*.c files share; nobody else includes it. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_STATE_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_STATE_H

#include "coordinator/core/core.h"
#include "coordinator/server/aggregate.h"
#include "coordinator/server/bar_names.h"
#include "coordinator/server/contributions.h"
#include "coordinator/server/control.h"
#include "coordinator/server/disk_guard.h"
#include "coordinator/server/publisher.h"
#include "coordinator/server/server.h"
#include "coordinator/server/server_conduct.h"
#include "coordinator/server/server_durable.h"
#include "coordinator/server/sessions.h"
#include "coordinator/store/members.h"
#include "coordinator/store/status_file.h"
#include "coordinator/store/store.h"
#include "proto/channel.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"

#include <sodium.h>

enum {
    EVENTS_MAX = 64,
    DIGESTS_KEPT = 128,
    BARS_MAX = 64,
    HELLOS_KEPT = 4096,
    /* What one peer asked for and was not sent: a window of each transfer. */
    SERVER_PENDING_CHUNKS_MAX = BLOB_SENDERS_MAX * BLOB_WINDOW_MAX
};

/* Over which connection a key said the latest hello that was accepted. */
struct hello_mark {
    uint8_t curve_key[IDENTITY_KEY_BYTES];
    uint8_t public_key[IDENTITY_KEY_BYTES]; /* Ed25519 */
    uint64_t connection;                    /* 0: none */
};

/* A key whose connections are cut at the next tick. */
struct due_bar {
    uint8_t key[IDENTITY_KEY_BYTES]; /* Ed25519 */
    bool stays;                      /* and whose handshakes are refused from then on */
};

struct server {
    struct run_dir *run;
    struct channel_set *channels;
    struct channel_server *channel; /* to the peers */
    struct core *core;
    struct core_actions actions;
    struct core_event events[EVENTS_MAX]; /* a ring: what the core has still to be told */
    size_t event_first;
    size_t event_count;
    struct aggregate *aggregate;
    struct server_routes *routes; /* server_routes.h */
    struct server_gather *gather; /* server_gather.h */
    struct server_conduct *conduct;
    struct publisher *publisher;
    enum codec publisher_codec; /* of its updates */
    struct sessions *sessions;
    struct members *members;       /* who may take part */
    struct due_bar bars[BARS_MAX]; /* (bar_count) */
    size_t bar_count;
    struct bar_names bar_names; /* of who was barred by the owner */
    /* By a hash of the key, the latest of those alike. Which are alike nobody can find out: a key
     * that took another's place would make its late words look like those of a clone. */
    struct hello_mark hellos[HELLOS_KEPT];
    uint8_t hello_salt[crypto_shorthash_KEYBYTES];
    struct dataset *data;
    struct sampler sampler;
    struct store *store;
    struct contributions contributions;        /* to the step in progress */
    struct contributions contributions_before; /* to the one before, in this life */
    struct run_status status;
    struct digest digests[DIGESTS_KEPT]; /* of version v at v % DIGESTS_KEPT */
    uint64_t digest_first;               /* the oldest whose digest is known */
    uint64_t version_first;              /* the oldest that updates lead on from */
    uint64_t sample_first;               /* of the step in progress */
    size_t uploads_max;
    size_t uploads_running;
    size_t uploads_kept_max;
    size_t uploads_kept; /* begun, and waiting for a place to go on */
    uint64_t turn_ms;    /* of the turn */
    uint64_t step_began_ms;
    uint64_t tick_ms;
    unsigned turns_unread;
    uint64_t status_ms;
    bool members_failing; /* they could not be written last time */
    bool sending;         /* some peer was granted chunks that it has not been sent */
    bool begun;           /* the first turn came */
    bool paused;          /* the core was told so: by the owner, the disk, or to stop */
    enum disk_level disk_level;
    uint64_t guard_ms;
    bool stopping; /* by its owner */
    uint64_t stop_ms;
    bool settings_wait; /* settings_next become those of the next step */
    struct live_settings settings_next;
    bool finishing; /* all steps are committed; peers are being told */
    uint64_t finishing_ms;
    struct core_range ranges[WIRE_RANGES_MAX]; /* of the offer or claim in `events` */
    struct core_range kept[WIRE_RANGES_MAX];
    struct core_lease leases[WIRE_CLAIM_LEASES_MAX];
    struct wire_message message; /* scratch: it is large */
    uint8_t *head;               /* (WIRE_HEAD_MAX) scratch */
    uint8_t *body;               /* (WIRE_BODY_MAX) scratch */
};

/* Tokens of one step under the present settings. */
uint64_t server_step_tokens(const struct server *self);

/* Tells the core of an event once those before it are done. */
void server_push(struct server *self, const struct core_event *event);

/* The same, before all others: the answer to CORE_ADD. */
void server_push_first(struct server *self, const struct core_event *event);

/* Tells the core of all that was pushed, and does what it answers. What is pushed outside of a turn
 * is pumped at once: a message received in between must not overtake it. Errors: the run must stop.
 */
MUST_CHECK enum status server_pump(struct server *self, uint64_t now_ms);

/* Sends self->message to a session. What a full queue does not take is lost: the
 * peer misses it, and the core's deadlines see to that. */
void server_send(struct server *self, struct session *session, const uint8_t *body,
                 size_t body_size_bytes);

/* The session leaves, whatever it was doing. The core is told. */
void server_drop(struct server *self, struct session *session, const char *why);

/* The session's peer may not go on. */
void server_tell_refused(struct server *self, struct session *session, enum wire_refusal code,
                         const char *text);

/* The session's peer is to say hello again; what it holds stays its own. */
void server_tell_unknown(struct server *self, struct session *session);

/* A blob that its peer fetches is no longer kept: it is to say hello again. */
void server_tell_gone(struct server *self, struct session *session);

/* Counts a message that is no chunk, and what carried it. */
void server_note_said(struct session *session, const struct channel_message *incoming);

/* Handles one received message (server_messages.c). */
void server_receive(struct server *self, const struct channel_message *incoming, uint64_t now_ms);

/* Carries out one action of the core (server_actions.c). Errors: the run must stop. */
MUST_CHECK enum status server_act(struct server *self, const struct core_action *action,
                                  uint64_t now_ms);

/* Uploads (server_uploads.c): starts waiting ones, grants chunks, gives up on stalled ones. now_ms
 * is the loop's own everywhere: a later clock in between would make a tick see time run backwards.
 */
void server_upload_start(struct server *self, struct session *session, uint64_t now_ms);
void server_upload_chunk(struct server *self, struct session *session,
                         const struct channel_message *incoming, uint64_t now_ms);
void server_uploads_tick(struct server *self, uint64_t now_ms);
void server_upload_end(struct server *self, struct session *session);

/* Chunks were lost with the connection that they went over: what is missing is granted again. */
void server_upload_again(struct server *self, struct session *session, uint64_t now_ms);

/* Downloads (server_downloads.c): what a peer grants is sent as far as its queue takes it; the rest
 * with its next grant, or at a later turn. */
void server_download_grant(struct server *self, struct session *session,
                           const struct wire_grant *grant);
void server_downloads_turn(struct server *self);

/* The connection of a session at the port for chunks (server_bulk.c). All that comes to that port;
 * whoever has no session is cut, and so is who says anything but chunks and signs of life. */
void server_bulk_receive(struct server *self, const struct channel_message *incoming,
                         uint64_t now_ms);
void server_bulk_end(struct server *self, struct session *session);
void server_bulk_tick(struct server *self, uint64_t now_ms);

/* Sends a chunk by the connection that there is for it. Errors: as channel_server_send. */
MUST_CHECK enum status server_bulk_send(struct server *self, struct session *session,
                                        const uint8_t *head, size_t head_size_bytes,
                                        const uint8_t *chunk, size_t size_bytes);

/* Over both of the session's connections; 0: not known. */
uint64_t server_bulk_received_bytes(struct server *self, const struct session *session);
uint64_t server_bulk_delivered_bytes(struct server *self, const struct session *session);

/* Pauses and goes on (server_control.c): the owner's wish, room on the disk. The core is told. */
void server_pause_tick(struct server *self, uint64_t now_ms);

/* What publishing, summing and peers go by follows the store's settings. Errors: NO_MEMORY. */
MUST_CHECK enum status server_follow_settings(struct server *self);

/* Between two steps: settings that wait become the run's. Errors: as store_event; the run must
 * stop. */
MUST_CHECK enum status server_change_settings(struct server *self);

/* Updates are encoded so from the next step on; durable before that. Errors: as store_event; the
 * run must stop. */
MUST_CHECK enum status server_set_update_codec(struct server *self, enum codec codec);

/* The same now, if some wait and nothing of the step is begun any more. */
MUST_CHECK enum status server_settings_tick(struct server *self);

/* Stops at the owner's wish, and the step in progress is done or has had its time. */
bool server_stopped(const struct server *self, uint64_t now_ms);

/* Writes the checkpoint of the present version unless it is there. */
MUST_CHECK enum status server_checkpoint(struct server *self);

#endif
