/*
 * Walking through an operand, or through what lies at and below a path in it: what ls, find
 * and du have in common.
 */
#ifndef FSMETA_TOOLS_WALK_H
#define FSMETA_TOOLS_WALK_H

#include "format/cursor.h"

#include <argp.h>

struct fsmeta_walk {
	/** As given; *borrowed* from the command line. */
	const char *operand;
	/** Where to begin, "" = at the root; likewise. */
	const char *path;
	/** Deepest entry that is shown, counted from `path`. */
	uint32_t depth;
	/** Something that was shown could not be read. */
	bool unreadable;
};

/** Everything: no operand yet, the root, any depth. */
#define FSMETA_WALK_INIT                         \
	{                                        \
		.path = "", .depth = UINT32_MAX, \
	}

/** Takes an argument that is no option: OPERAND, then PATH.  Wrong usage ends the program. */
void fsmeta_walk_take_argument(struct fsmeta_walk *walk, char *text, struct argp_state *state);

/** Takes the value of --depth.  Wrong usage ends the program. */
void fsmeta_walk_take_depth(struct fsmeta_walk *walk, const char *text, struct argp_state *state);

/**
 * Shows the sink what lies at or below the path, stepping over folders that cannot hold any
 * of it.  FSMETA_E_NOT_FOUND where there is no such path.
 */
int fsmeta_walk_run(struct fsmeta_walk *walk, struct fsmeta_cursor *cursor,
    struct fsmeta_entry_sink *sink, struct fsmeta_error *error);

/** True where an entry at `path` is shown: it is what run() would hand to the sink. */
bool fsmeta_walk_shows(const struct fsmeta_walk *walk, const struct fsmeta_entry *entry);

#endif
