/* members_fixture - an invite for a test's run that nobody serves yet. */
#ifndef DUGNAD_TESTS_UNIT_MEMBERS_FIXTURE_H
#define DUGNAD_TESTS_UNIT_MEMBERS_FIXTURE_H

#include "coordinator/store/members.h"

#include <CUnit/CUnit.h>
#include <string.h>

/* For so many uses (0: any number); `mark` makes the token. */
__attribute__((unused)) static void members_fixture_invite(const char *run_path, uint8_t mark,
                                                           uint64_t uses,
                                                           uint8_t out_token[LINK_TOKEN_BYTES])
{
    struct members *members = NULL;
    uint64_t number = 0;
    memset(out_token, mark, LINK_TOKEN_BYTES);
    const struct invite invite = {.hash = digest_of(out_token, LINK_TOKEN_BYTES), .uses = uses};
    CU_ASSERT_EQUAL_FATAL(members_open(run_path, &members), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(members_invite(members, &invite, &number), STATUS_OK);
    members_close(members);
}

#endif
