/* conduct_fixture - peers of a running server, one of which turns hostile. */
#ifndef DUGNAD_TESTS_UNIT_CONDUCT_FIXTURE_H
#define DUGNAD_TESTS_UNIT_CONDUCT_FIXTURE_H

#include "tests/unit/mates.h"

enum { ABUSER = 3, STEPS = 3 };

/* Seven peers without owners, at work. */
static inline void begin(struct scene *s)
{
    begin_scene(s, "mx8", "strategy: parameter_server");
    for (int i = 0; i < MATES; i++) {
        s->mates[i].aggregates = false;
        start_mate(s, i);
    }
    run_to(s, 1);
}

static inline struct session *session_of_mate(struct scene *s, int i)
{
    return sessions_find(s->server->sessions, fake.identities[i].curve_public);
}

static inline bool is_here(struct scene *s, int i)
{
    return session_of_mate(s, i) != NULL;
}

/* The abuser is as good as gone, at once, and nobody else is; the run goes on. */
static inline void expect_cut(struct scene *s)
{
    CU_ASSERT_FALSE(is_here(s, ABUSER));
    CU_ASSERT_TRUE(fake.cuts[ABUSER] > 0);
    for (int i = 0; i < MATES; i++) {
        CU_ASSERT_TRUE(i == ABUSER || (is_here(s, i) && fake.cuts[i] == 0));
    }
    run_to(s, step_of(s) + 2);
}

static inline void expect_fine(struct scene *s)
{
    CU_ASSERT_TRUE(is_here(s, ABUSER));
    CU_ASSERT_EQUAL(fake.cuts[ABUSER], 0);
}

/* Says s->message so often, and lets the server hear all of it. */
static inline void flood(struct scene *s, int i, unsigned count)
{
    const struct wire_message said = s->message;
    for (unsigned j = 0; j < count; j++) {
        s->message = said;
        tell(s, i);
        if (j % 128 == 127) {
            turn(s);
        }
    }
    turn(s);
}

static inline void send_chunk(struct scene *s, int i, struct blob_chunk_header header,
                              const uint8_t *body)
{
    uint8_t head[BLOB_HEADER_BYTES];
    (void)s;
    blob_header_write(&header, head);
    letters_put(&fake.to_server, fake.identities[i].curve_public, head, sizeof head, body,
                header.size_bytes);
}

/* The owner can see what its key did. */
static inline void expect_recorded(struct scene *s, const char *kind)
{
    static struct incident found[16];
    size_t count = 0;
    bool recorded = false;
    CU_ASSERT_EQUAL(members_incidents(s->server->members, UINT64_MAX, found, 16, &count),
                    STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        recorded = recorded || (found[i].has_key && strcmp(found[i].kind, kind) == 0 &&
                                memcmp(found[i].key, fake.identities[ABUSER].public_key,
                                       IDENTITY_KEY_BYTES) == 0);
    }
    CU_ASSERT_TRUE(recorded);
}

#endif
