/*
 * A new generation from a cursor: what `scan --db` and `import` have in common.
 *
 *   empty database:   cursor ────────────────────────► update
 *   otherwise:        newest ─┐
 *                             ├─ diff (spool) ─ guards ─► update
 *                     cursor ─┘
 */
#ifndef FSMETA_TOOLS_UPDATE_H
#define FSMETA_TOOLS_UPDATE_H

#include "db/db.h"
#include "format/cursor.h"
#include "tools/corruption.h"

struct fsmeta_update_options {
	/** Accept an empty root where the newest generation has entries. */
	bool accept_empty;
	/** Accept a root on another file system than before, by UUID. */
	bool accept_other_filesystem;
	/** Accept this once whatever went. */
	bool accept_removed;
	/** What moved is removed and added, and has new ids. */
	bool no_moves;
	/** The cursor may offer the files of folders as the newest generation's guide does. */
	bool quick;
	/**
	 * Most entries that may go, in per cent of what was there; 100 = any.  Where
	 * `has_max_removed` it is kept with the new generation and holds from then on;
	 * else what was kept holds, and this where nothing was.
	 */
	bool has_max_removed;
	double max_removed_percent;
	size_t spool_bytes;
	/** Where not NULL: takes the files whose hash is another although size and mtime are not.
	 */
	struct fsmeta_corruption *corrupted;
	/**
	 * Called when everything has been read, accepted and, but for the first
	 * generation, written (fsmeta_db_update_finish()), right before the database
	 * commits: what is written in the same pass is made durable here, and its
	 * failure leaves the database as it was.  May be NULL.
	 */
	int (*before_commit)(
	    void *payload, struct fsmeta_db_update *update, struct fsmeta_error *error);
	void *before_commit_payload;
};

/**
 * No switch is given, and half may go.  README, "What it does not take for a deletion", has the
 * guards.
 */
void fsmeta_update_options_init(struct fsmeta_update_options *options);

/**
 * Reads `cursor` to its end and commits it as the next generation of `db`.
 * `out` (initialised here on success, to be released) is the new generation.
 * On failure the database is unchanged.  FSMETA_E_REFUSED names the switch
 * that accepts what a guard found.
 */
int fsmeta_update_database(struct fsmeta_db_generation *out, struct fsmeta_db *db,
    const char *db_path, struct fsmeta_cursor *cursor, const struct fsmeta_update_options *options,
    struct fsmeta_error *error);

#endif
