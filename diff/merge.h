/*
 * The merge join of two cursors: what differs, in canonical order, into a spool.
 * Internal to diff/; see diff/diff.h for what it promises.
 */
#ifndef FSMETA_DIFF_MERGE_H
#define FSMETA_DIFF_MERGE_H

#include "diff/change_spool.h"
#include "diff/diff.h"
#include "diff/moves.h"

/**
 * Reads `a` and `b` to their ends and appends every change to `spool`.  `counts`
 * is zeroed by the caller; filled as far as it came on failure too.  `compare` is
 * initialised for the two.  `moves` (NULL where nobody wants to know) is told what
 * it needs.
 */
int fsmeta_merge(struct fsmeta_change_spool *spool, struct fsmeta_diff_counts *counts,
    struct fsmeta_moves *moves, struct fsmeta_compare *compare, struct fsmeta_cursor *a,
    struct fsmeta_cursor *b, struct fsmeta_error *error);

#endif
