/*
 * The summary of a diff: how much of each kind, and where.
 */
#ifndef FSMETA_TOOLS_TALLY_H
#define FSMETA_TOOLS_TALLY_H

#include "tools/output.h"

struct fsmeta_tally;

/** *new*.  Counts by the folders `depth` levels below the root; 0 = the root alone. */
int fsmeta_tally_new(struct fsmeta_tally **out, uint32_t depth, struct fsmeta_error *error);

/** The taker of changes, *borrowed* until free.  CONTINUED ones are not counted. */
struct fsmeta_change_sink *fsmeta_tally_sink(struct fsmeta_tally *tally);

/**
 * Writes to stdout what was counted: a line for every kind that there was, then one for every
 * folder in which something changed, most bytes first, then most changes.
 *
 *     text   columns: what, entries, bytes that came, bytes that went
 *     jsonl  {"kind":"added","entries":…,"came":…,"went":…}
 *            {"path":"cam1","entries":…,"came":…,"went":…}
 *
 * Bytes are apparent sizes of regular files; what one grew by came.
 */
int fsmeta_tally_print(
    struct fsmeta_tally *tally, enum fsmeta_output_format format, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_tally_free(struct fsmeta_tally *tally);

#endif
