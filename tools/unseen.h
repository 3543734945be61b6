/*
 * What an operand does not know: the topmost places at which nobody looked, since when,
 * why, and how much is carried there.
 */
#ifndef FSMETA_TOOLS_UNSEEN_H
#define FSMETA_TOOLS_UNSEEN_H

#include "tools/operand.h"
#include "tools/output.h"

struct fsmeta_unseen;

/**
 * Makes a taker of entries in canonical order, which writes one line a place to `output`
 * once all that is below it has been taken.  All arguments are *borrowed* until free; of
 * `operand`, opened, a database is asked why its places are unknown.
 */
int fsmeta_unseen_new(struct fsmeta_unseen **out, struct fsmeta_output *output,
    const struct fsmeta_cursor *cursor, const struct fsmeta_operand *operand,
    struct fsmeta_error *error);

int fsmeta_unseen_take(
    struct fsmeta_unseen *unseen, const struct fsmeta_entry *entry, struct fsmeta_error *error);

/** Writes the last place.  Behind the last entry. */
int fsmeta_unseen_finish(struct fsmeta_unseen *unseen, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_unseen_free(struct fsmeta_unseen *unseen);

#endif
