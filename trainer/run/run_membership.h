/* run_membership - `membership` of a run's YAML file: who may take part. */
#ifndef DUGNAD_TRAINER_RUN_RUN_MEMBERSHIP_H
#define DUGNAD_TRAINER_RUN_RUN_MEMBERSHIP_H

enum membership {
    MEMBERSHIP_INVITE,   /* who has a link that is still good; the default */
    MEMBERSHIP_OPEN,     /* anybody, but for those that the owner bans */
    MEMBERSHIP_ALLOWLIST /* those whose keys the owner named */
};
enum { MEMBERSHIP_COUNT = MEMBERSHIP_ALLOWLIST + 1 };

/* As it stands in the file. */
const char *membership_name(enum membership membership);

#endif
