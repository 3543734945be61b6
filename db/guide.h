/*
 * The newest generation as a guide for a quick scan: format/guide.h says what that is,
 * docs/quick-scans.md what it is good for.
 */
#ifndef FSMETA_DB_GUIDE_H
#define FSMETA_DB_GUIDE_H

#include "db/db.h"
#include "format/guide.h"

enum {
	/**
	 * A folder that changed less than so long before the generation's scan started may
	 * have changed again behind its back, within one tick of the file system's clock.
	 */
	FSMETA_GUIDE_MARGIN_SECONDS = 2,
	/** Files that are no piece and may stand behind and between those of the newest piece. */
	FSMETA_GUIDE_PASSED_OVER_MAX = 4,
};

/** A piece of a video archive: equal layout and start, same piece. */
struct fsmeta_guide_piece {
	unsigned layout;
	/** A later piece of the layout has another one. */
	int64_t start;
};

/**
 * Which piece a file belongs to, by its name; false = none, or none that grows.  Called by
 * several threads, one at a time.
 */
typedef bool fsmeta_guide_recognise(
    struct fsmeta_guide_piece *out, const char *name, size_t name_length);

/**
 * A guide over generation `number`, which must be the newest, under a read snapshot of
 * its own; *owned* by the caller, who closes it before `db`.
 *
 * It vouches for a folder's files if nothing in the folder was carried or unreadable then, the
 * folder did not change within the margin, and none of its files was written to in the
 * `settle_seconds` before the generation's scan started, or later.  A generation of
 * sub-trees vouches for nothing.
 *
 * The witnesses of a folder are the files of its newest piece of each layout, however old.
 * Pieces are named by when they begin, so they are looked for from the last name on: until
 * an older piece of a layout comes, or more than FSMETA_GUIDE_PASSED_OVER_MAX names that are no
 * piece's, or FSMETA_GUIDE_WITNESSES_MAX names were looked at.
 * `recognise` NULL: there are none.
 */
int fsmeta_db_guide(struct fsmeta_guide **out, struct fsmeta_db *db, uint64_t number,
    uint64_t settle_seconds, fsmeta_guide_recognise *recognise, struct fsmeta_error *error);

#endif
