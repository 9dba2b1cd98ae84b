/* members_command - what an owner asks about members, done on members.db, whether a coordinator
 * serves the run or not; and how it is asked as JSON (control.h).
 *
 *   {"command":"invite","hash":"<64 digits>","label":"friends","uses":3,"expires_ms":1700000000000}
 *   {"command":"invites","from":"1"}            {"command":"incidents","from":"<number>"}
 *   {"command":"peers","from":"<64 digits>"}    {"command":"allow","who":"<key>"}
 *   {"command":"ban","who":"<key>","reason":"why"}      {"command":"unban","who":"<key>"}
 *   {"command":"revoke","who":"<key, or an invite's number>"}
 *
 * Lists come in pages: {"rows":[...],"next":"..."}, where `next` is the `from` of the page that
 * follows, or null. */
#ifndef DUGNAD_COORDINATOR_SERVER_MEMBERS_COMMAND_H
#define DUGNAD_COORDINATOR_SERVER_MEMBERS_COMMAND_H

#include "coordinator/store/members.h"

struct json_t; /* jansson's */

enum { MEMBERS_WHO_MAX = 2 * IDENTITY_KEY_BYTES + 1, MEMBERS_REPLY_BYTES_MAX = 64 * 1024 };

enum members_wish {
    MEMBERS_INVITE,
    MEMBERS_INVITES,
    MEMBERS_PEERS,
    MEMBERS_ALLOW,
    MEMBERS_BAN,
    MEMBERS_UNBAN,
    MEMBERS_REVOKE,
    MEMBERS_INCIDENTS,
    MEMBERS_WISH_COUNT
};

struct members_request {
    enum members_wish wish;
    struct digest hash; /* INVITE: of the token, which stays with who asks; and the next three */
    char label[MEMBERS_LABEL_MAX];
    uint64_t uses;
    uint64_t expires_ms;
    char who[MEMBERS_WHO_MAX];     /* ALLOW, BAN, UNBAN, REVOKE */
    char reason[MEMBERS_TEXT_MAX]; /* BAN */
    char from[MEMBERS_WHO_MAX];    /* the lists; "": from the beginning */
};

/* The word of a wish ("invite"), or the wish of a word; MEMBERS_WISH_COUNT: there is none. */
const char *members_wish_name(enum members_wish wish);
enum members_wish members_wish_find(const char *name);

/* Adds what is asked to `json`, which has the command. Errors: NO_MEMORY. */
MUST_CHECK enum status members_request_write(const struct members_request *request,
                                             struct json_t *json);
/* Reads and checks it; out->wish is set. Errors: BAD_DATA with a sentence. */
MUST_CHECK enum status members_request_read(const struct json_t *json, struct members_request *out);

/* What a coordinator that serves knows besides. */
struct members_view {
    bool (*is_here)(const void *context, const uint8_t key[IDENTITY_KEY_BYTES]);
    const void *context;
};

/* Whom a request was about. */
struct members_outcome {
    bool has_key;
    uint8_t key[IDENTITY_KEY_BYTES];
};

/* Does what is asked; `reply` gets words, the number of the invite, or a list. `view` NULL: nobody
 * serves the run. Errors: as members_find and the functions of members.h, with a sentence; with an
 * error of writing out->has_key may be set. */
MUST_CHECK enum status members_command(struct members *members,
                                       const struct members_request *request,
                                       const struct members_view *view, uint64_t unix_ms,
                                       struct members_outcome *out,
                                       char reply[MEMBERS_REPLY_BYTES_MAX]);

#endif
