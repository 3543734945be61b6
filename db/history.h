/*
 * The history of a place: every entry that ever stood there, each with its whole
 * life, before it came and after it left included.
 *
 * The cost follows how often these entries and the folders above them changed, not
 * the size of the tree.
 */
#ifndef FSMETA_DB_HISTORY_H
#define FSMETA_DB_HISTORY_H

#include "db/db.h"

/**
 * A state of one entry: how kept generations from `generation` on show it, up to that
 * of the state that follows.
 */
struct fsmeta_db_state {
	/** The first kept generation that shows it. */
	uint64_t generation;
	/** The kept generation before that one, 0 = there is none. */
	uint64_t previous;
	/** When `generation` was finished. */
	struct fsmeta_time finished;
	/** The generation in which it came about: another than `generation` where that was pruned.
	 */
	uint64_t since;
	/** False: the entry is not there, and `entry` has its id and type alone. */
	bool present;
	/**
	 * Path, id and all that is stored; unknown_since is not filled in.  Fields that
	 * `field_mask` lacks are not the generation's.
	 */
	struct fsmeta_entry entry;
	/** Fields that `generation` has, and those that `previous` has. */
	uint32_t field_mask;
	uint32_t previous_field_mask;
	/** Not looked at: it lies in a place that table `unknown` names. */
	bool unknown;
	/** That place could not be read, `error` (an errno) says why; else it was not entered. */
	bool unreadable;
	int error;
};

/** All states of one entry, oldest first; each differs from the one before. */
struct fsmeta_db_life {
	uint64_t id;
	struct fsmeta_db_state *states;
	size_t count;
};

/** Lives in the order of their ids.  All that they point to lives in `arena`. */
struct fsmeta_db_history {
	struct fsmeta_db_life *lives;
	size_t count;
	struct fsmeta_arena arena;
};

/**
 * The lives of all entries that stand or stood at `path` (a valid one; "" is the root)
 * in a kept generation; none is no error.  *out is initialised here, to be released.
 * FSMETA_E_CORRUPT, FSMETA_E_MEMORY and what reading may give.
 */
int fsmeta_db_history(struct fsmeta_db_history *out, struct fsmeta_db *db, const char *path,
    size_t length, struct fsmeta_error *error);

void fsmeta_db_history_release(struct fsmeta_db_history *history);

#endif
