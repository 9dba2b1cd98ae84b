/* members - who may take part in a run: RUN/members.db holds invites, members, bans, incidents.
 *
 * What peers say is judged in memory at once and becomes durable with members_flush, all of it in
 * one transaction: many that come back together cost one sync. A crash before it takes back what
 * was judged since the last one, wholly: who had enrolled enrols again. What an owner asks for is
 * durable before it is answered.
 *
 * Only hashes of tokens are stored. One writer: who holds the run's lock. One owner; not
 * thread-safe. */
#ifndef DUGNAD_COORDINATOR_STORE_MEMBERS_H
#define DUGNAD_COORDINATOR_STORE_MEMBERS_H

#include "proto/wire_messages.h"
#include "trainer/run/run_membership.h"

enum {
    MEMBERS_MAX = 1000000, /* past that, those who needed no invite are forgotten, oldest first */
    MEMBERS_INVITES_MAX = 65536,
    MEMBERS_INCIDENTS_MAX = 100000, /* the newest */
    MEMBERS_PENDING_MAX = 1024,     /* not durable yet; one more is written with them at once */
    MEMBERS_TEXT_MAX = 256,         /* of a reason, or of what happened */
    MEMBERS_KIND_MAX = 32,
    MEMBERS_LABEL_MAX = 64,
    MEMBERS_HOST_MAX = 48
};

enum member_state { MEMBER_ACTIVE, MEMBER_REVOKED, MEMBER_BANNED, MEMBER_STATE_COUNT };
const char *member_state_name(enum member_state state);

struct member {
    uint8_t key[IDENTITY_KEY_BYTES]; /* Ed25519 */
    char name[WIRE_NAME_MAX];        /* as it gave it at last; printable */
    uint64_t invite;                 /* number of the invite that it came by; 0: none */
    bool allowed;                    /* the owner named its key */
    enum member_state state;
    char reason[MEMBERS_TEXT_MAX]; /* of its ban */
    uint64_t first_ms;             /* of its hellos that were accepted, since 1970; 0: none was */
    uint64_t last_ms;
    uint64_t changed_ms; /* when the owner changed its state; 0: never */
    uint64_t sequence;   /* of its latest hello; 0: any may come */
};

struct invite {
    uint64_t number; /* from 1 */
    struct digest hash;
    char label[MEMBERS_LABEL_MAX];
    uint64_t uses; /* 0: any number */
    uint64_t used;
    uint64_t created_ms;
    uint64_t expires_ms; /* 0: never */
    bool revoked;
};

struct incident {
    uint64_t number;   /* from 1, in order */
    uint64_t first_ms; /* since 1970 */
    uint64_t last_ms;
    uint64_t count; /* of this kind by this key and host meanwhile */
    bool has_key;
    uint8_t key[IDENTITY_KEY_BYTES];
    char host[MEMBERS_HOST_MAX];
    char kind[MEMBERS_KIND_MAX];
    char text[MEMBERS_TEXT_MAX]; /* of the first */
};

/* No incident is counted further; so that SQLite has the number. */
#define MEMBERS_COUNT_MAX ((uint64_t)INT64_MAX)

struct members;

/* Opens or makes run_path/members.db; the caller holds the run's lock. The invites.json of earlier
 * releases is read in once. Errors: CORRUPT (damaged, or of a later release), BAD_DATA
 * (invites.json is damaged), IO, NO_MEMORY, with a sentence. The caller owns *out. */
MUST_CHECK enum status members_open(const char *run_path, struct members **out);

/* NULL is allowed. What was not flushed is forgotten. */
void members_close(struct members *self);

/* A hello whose signature is right. */
struct members_hello {
    enum membership policy;
    const uint8_t *key;   /* (IDENTITY_KEY_BYTES) */
    const uint8_t *token; /* (LINK_TOKEN_BYTES) */
    const char *name;
    uint64_t sequence;
    uint64_t unix_ms;
};

enum members_verdict {
    MEMBERS_WELCOME,
    MEMBERS_BANNED,
    MEMBERS_SEQUENCE,      /* not more than in a hello before */
    MEMBERS_NOT_ALLOWED,   /* the owner did not name the key */
    MEMBERS_REVOKED,       /* takes a newer invite */
    MEMBERS_TOKEN_UNKNOWN, /* and this and the rest: no member, and the token lets nobody in */
    MEMBERS_TOKEN_REVOKED,
    MEMBERS_TOKEN_EXPIRED,
    MEMBERS_TOKEN_USED_UP
};

/* Judges a hello. At MEMBERS_WELCOME the key is a member from now on, one use of its invite is used
 * if it had to enrol, and no later hello may have its sequence. Errors: those of members_flush, and
 * nothing changed. */
MUST_CHECK enum status members_judge(struct members *self, const struct members_hello *hello,
                                     enum members_verdict *out);

/* Makes all of it durable. Costs nothing when there is nothing. Errors: IO, CORRUPT, NO_MEMORY; it
 * is kept for the next try. */
MUST_CHECK enum status members_flush(struct members *self);

/* Notes what somebody did: has_key, key, host ("": not known), kind (one word in the manner of
 * bad_signature), text, first_ms and count (> 0) are set. Bytes that no terminal should see are
 * replaced. The same by the same key and host within a minute counts as one that is told often; and
 * so many different ones are told a second, those beyond are counted together. Durable with the
 * next members_flush. True: it is the first of its like, or of those that are counted together. */
bool members_note(struct members *self, const struct incident *incident);

/* The owner's wishes: each flushes, and is durable when it returns OK. */

/* Stores an invite of this hash, from hash, label, uses, created_ms and expires_ms; *out_number is
 * its number. Errors: FULL, BAD_DATA (there is one of this hash), and those of members_flush. */
MUST_CHECK enum status members_invite(struct members *self, const struct invite *invite,
                                      uint64_t *out_number);
/* Nobody enrols by it any more. Errors: NO_INPUT (there is none of this number), as above. */
MUST_CHECK enum status members_revoke_invite(struct members *self, uint64_t number);

/* The key may come from now on, whatever the policy, and with any sequence: it may have been put
 * back from an older copy. Errors: REFUSED (it is banned), as above. */
MUST_CHECK enum status members_allow(struct members *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                     uint64_t unix_ms);
/* The key may not come, whether it is known or not; again. With "" one that is banned already keeps
 * its reason. Errors of unban: NO_INPUT (it is not
 * banned). */
MUST_CHECK enum status members_ban(struct members *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                   const char *reason, uint64_t unix_ms);
MUST_CHECK enum status members_unban(struct members *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                     uint64_t unix_ms);
/* Ends a membership: only an invite that is made later lets the key in again, or members_allow.
 * Errors: NO_INPUT (it is no member). */
MUST_CHECK enum status members_revoke(struct members *self, const uint8_t key[IDENTITY_KEY_BYTES],
                                      uint64_t unix_ms);

/* Lists, in pages: *out_count of at most count_max are written. Each flushes first. */

/* The key after this one, in the order of the list; false: there is none. */
bool members_next_key(uint8_t key[IDENTITY_KEY_BYTES]);

/* By key, from `from` on. */
MUST_CHECK enum status members_list(struct members *self, const uint8_t from[IDENTITY_KEY_BYTES],
                                    bool banned_only, struct member *out, size_t count_max,
                                    size_t *out_count);
/* By number, from `from` on. */
MUST_CHECK enum status members_invites(struct members *self, uint64_t from, struct invite *out,
                                       size_t count_max, size_t *out_count);
/* The newest first, below number `before`. */
MUST_CHECK enum status members_incidents(struct members *self, uint64_t before,
                                         struct incident *out, size_t count_max, size_t *out_count);

/* The key of a member as a person gives it: all 64 digits, or the 12 of its short name when no
 * other member has them. Errors: USAGE with a sentence, and those of members_flush. */
MUST_CHECK enum status members_find(struct members *self, const char *text,
                                    uint8_t out_key[IDENTITY_KEY_BYTES]);

#endif
