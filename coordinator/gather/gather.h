/* gather - the coordinator's side of one step whose sums are made by owners.
 *
 * open      contributions ("entries") are routed: their peers send each chunk to its owner, and to
 *           the coordinator the chunks that the plan leaves to it.
 * set       entries and what was counted centrally cover the step, or the caller knows that no more
 *           will come: every owner is told the set, its epoch after all those before. An entry that
 *           leaves (lost, bad, too slow) makes the next epoch: from then on sums are asked for only
 *           once every part of the set is where it belongs, since another loss would make them
 *           void again.
 * complete  the sum of every chunk over exactly the set is here. What the step lacks then, another
 *           gather brings: one round after the other, each over contributions of its own.
 *
 * An owner that is lost, slow or wrong is taken over: what it returned in the present epoch stays
 * (unless it lied). The other chunks go to owners whose links have room for them, under the same
 * epoch, or a second time to others; what finds no owner is fetched from the contributors and
 * summed here. Of owners that are not trusted, some chunks, which nobody can foresee, are summed
 * here as well and compared.
 *
 * Sums are kept packed until the step is complete, so an epoch takes nothing back from anywhere;
 * they are then merged into the caller's. Any mixture of owners, losses and takeovers gives the
 * bits that adding the same contributions centrally gives.
 *
 * The shell tells what happened, then calls gather_work until there is nothing to do and
 * gather_next until there is nothing to say, and does both on a timer.
 *
 * Pure: no I/O, clock, chance or threads. One owner. */
#ifndef DUGNAD_COORDINATOR_GATHER_GATHER_H
#define DUGNAD_COORDINATOR_GATHER_GATHER_H

#include "coordinator/gather/gather_facts.h"

struct gather;

/* Nothing is under way. Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status gather_new(struct gather **out);
void gather_free(struct gather *self); /* NULL is allowed. */

/* Begins a step, state open; what was under way is forgotten. The plan is the caller's own work
 * (CHECKed: chunks that exist, owners disjoint). Errors: NO_MEMORY, and nothing is under way. */
MUST_CHECK enum status gather_begin(struct gather *self, const struct gather_plan *plan);

/* No more contributions come: the set is what is here. Fine when it is known already. */
void gather_close(struct gather *self);

/* Forgets the step: it was committed, or is given up. */
void gather_end(struct gather *self);

/* True from gather_begin until the set is known: a contribution may be routed. */
bool gather_is_open(const struct gather *self);

/* Routes a contribution; open (CHECKed). *out_entry stays its number until the step ends. Errors:
 * OUT_OF_RANGE (no tokens, or more than the step has left), FULL, NO_MEMORY. */
MUST_CHECK enum status gather_add_entry(struct gather *self, const struct gather_entry *entry,
                                        uint32_t *out_entry);

/* So many tokens more were added to the caller's sums; no more than the step has left (CHECKed). */
void gather_count_central(struct gather *self, uint64_t tokens);

/* An entry as it was added; NULL: it left, or there is none. */
const struct gather_entry *gather_entry_at(const struct gather *self, uint32_t entry);
uint32_t gather_entry_end(const struct gather *self); /* all numbers are below */

/* Takes an entry out, without an action for it: the shell knows. */
void gather_drop_entry(struct gather *self, uint32_t entry);

/* A peer's connection is gone for good, as contributor and as owner. An entry whose every chunk is
 * where it belongs stays; for the others and the owner there is an action. */
void gather_peer_lost(struct gather *self, uint32_t peer);

/* A peer is there on a new connection: what was granted or told on the old one is said again. */
void gather_peer_back(struct gather *self, uint32_t peer);

/* Takes a chunk of an entry, from outside; borrowed. What nobody waits for is fine. Errors:
 * BAD_SHAPE and OUT_OF_RANGE (a bad part: the entry is out), NO_MEMORY (it is granted again). */
MUST_CHECK enum status gather_take_part(struct gather *self, uint32_t entry, uint32_t chunk,
                                        const uint8_t *data, size_t size_bytes, uint64_t now_ms);

/* Whether a chunk of an entry, or the sum of a chunk from owner `peer`, is still waited for;
 * numbers from outside. */
bool gather_waits_for_part(const struct gather *self, uint32_t entry, uint32_t chunk);
bool gather_waits_for_sum(const struct gather *self, uint32_t peer, uint64_t epoch, uint32_t chunk);

/* An entry's peer sent a part that the entry's root does not prove: the entry is out. */
void gather_refuse_part(struct gather *self, uint32_t entry);

/* Takes the packed sum of a chunk from owner `peer`; borrowed. Errors: STALE (not an owner, taken
 * over, another epoch; nobody's fault), PROTOCOL (not its chunk), BAD_DATA (malformed, or larger
 * than any sum can be; the owner is out), NO_MEMORY. */
MUST_CHECK enum status gather_take_sum(struct gather *self, uint32_t peer, uint64_t epoch,
                                       uint32_t chunk, const uint8_t *data, size_t size_bytes,
                                       uint64_t now_ms);

/* What owner `peer` says it holds; from outside. */
void gather_take_holds(struct gather *self, uint32_t peer, const struct gather_holds *holds,
                       uint64_t now_ms);

/* Sums one chunk whose parts are all here, if there is one; *out_more: call again. Errors:
 * NO_MEMORY. */
MUST_CHECK enum status gather_work(struct gather *self, bool *out_more);

/* The next thing to do; false: nothing now. */
MUST_CHECK bool gather_next(struct gather *self, uint64_t now_ms, struct gather_action *out);

/* The serials of the set, at most GATHER_ENTRIES_MAX; how many. */
uint32_t gather_set(const struct gather *self, uint64_t *out_serials);

/* There is a set, and the sum of every chunk over it is here; at once merge, and count the entries
 * that stay. Also when all entries left. */
bool gather_complete(const struct gather *self);

/* sums (of the whole vector) += the sums of these chunks; complete (CHECKed). Thread-safe on
 * distinct chunks. */
void gather_merge(const struct gather *self, uint32_t first_chunk, uint32_t chunk_count,
                  int64_t *sums);

void gather_progress(const struct gather *self, struct gather_progress *out);

#endif
