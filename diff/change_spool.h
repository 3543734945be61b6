/*
 * The change spool: changes written down one after the other, replayed later.
 *
 * Lies between the merge, which learns a folder's totals only after its last
 * descendant, and the sinks, which want them in front.  Compact, and in memory
 * only up to a bound: see base/spool.h.  One thread at a time.
 */
#ifndef FSMETA_DIFF_CHANGE_SPOOL_H
#define FSMETA_DIFF_CHANGE_SPOOL_H

#include "format/change.h"

struct fsmeta_change_spool;

/**
 * A new, empty spool, *owned* by the caller.  `memory_bytes`: bound, 0 = the
 * default of base/spool.h.
 */
int fsmeta_change_spool_new(
    struct fsmeta_change_spool **out, size_t memory_bytes, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_change_spool_free(struct fsmeta_change_spool *spool);

/**
 * Writes a copy of `change` at the end, all of it: flags, fields, totals, both
 * entries, and the older path where it is another one.  *place (may be NULL)
 * names the record to amend() or drop().
 */
int fsmeta_change_spool_append(struct fsmeta_change_spool *spool,
    const struct fsmeta_change *change, uint64_t *place, struct fsmeta_error *error);

/** Replaces flags and totals of a record. */
int fsmeta_change_spool_amend(struct fsmeta_change_spool *spool, uint64_t place, uint32_t flags,
    uint64_t entries, uint64_t bytes, struct fsmeta_error *error);

/** Makes replay pass a record by, as if it had never been appended. */
int fsmeta_change_spool_drop(
    struct fsmeta_change_spool *spool, uint64_t place, struct fsmeta_error *error);

/**
 * Hands every record to the sink in the order of appending; may be called again.
 * What the sink gets is *borrowed* until its function returns.  Ends with the
 * first code that the sink returns.
 */
int fsmeta_change_spool_replay(
    struct fsmeta_change_spool *spool, struct fsmeta_change_sink *sink, struct fsmeta_error *error);

#endif
