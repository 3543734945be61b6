/*
 * Since when has no scan looked at this entry?
 *
 * Answers for one generation and for its entries in canonical order, from the
 * intervals in table `unknown` and from the scopes of generations.
 */
#ifndef FSMETA_DB_CARRIED_H
#define FSMETA_DB_CARRIED_H

#include "db/connection.h"
#include "format/source.h"

struct fsmeta_carried;

/** What a folder hands down to what is in it. */
struct fsmeta_carried_below {
	/** unknown_since of all that is below, but for places of their own in `unknown`. */
	uint64_t since;
	/** The way to a sub-tree leads through here: every entry is judged by itself. */
	bool varies;
};

/**
 * `source` is the generation's own, *borrowed* until free; NULL = it is read from the
 * generation's row.  FSMETA_E_MEMORY, FSMETA_E_CORRUPT and what reading may give.
 */
int fsmeta_carried_new(struct fsmeta_carried **out, const struct fsmeta_connection *connection,
    uint64_t generation, const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_carried_free(struct fsmeta_carried *carried);

/** One entry, in canonical order (leaving some out is allowed). */
struct fsmeta_carried_entry {
	const char *path;
	size_t length;
	uint32_t depth;
	int64_t id;
	/** Of the folder that holds it; NULL for the root. */
	const struct fsmeta_carried_below *above;
};

/** The entry's unknown_since; where `below` is not NULL it is a folder and *below is filled. */
uint64_t fsmeta_carried_since(struct fsmeta_carried *carried,
    const struct fsmeta_carried_entry *entry, struct fsmeta_carried_below *below);

#endif
