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
};

/**
 * A guide over generation `number`, which must be the newest, under a read snapshot of
 * its own; *owned* by the caller, who closes it before `db`.
 *
 * It vouches for a folder's files if nothing in the folder was carried or unreadable then, the
 * folder did not change within the margin, and none of its files was written to in the
 * `settle_seconds` before the generation's scan started, or later.  A generation of
 * sub-trees vouches for nothing.
 */
int fsmeta_db_guide(struct fsmeta_guide **out, struct fsmeta_db *db, uint64_t number,
    uint64_t settle_seconds, struct fsmeta_error *error);

#endif
