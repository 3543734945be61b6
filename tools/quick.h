/*
 * Quick scans: whether this one can be quick, and the guide that it goes by.
 */
#ifndef FSMETA_TOOLS_QUICK_H
#define FSMETA_TOOLS_QUICK_H

#include "db/db.h"
#include "format/guide.h"
#include "scanner/scanner.h"

struct fsmeta_quick_options {
	/** Asked for at all. */
	bool wanted;
	/** Where a folder's times or inode numbers are not to be trusted, too. */
	bool force;
	/** A file that was written to so shortly before the last scan is looked at again. */
	uint64_t settle_seconds;
	/** Every N-th scan is complete; 0 = none has to be. */
	uint64_t full_every;
};

/** Not wanted, a quarter of an hour, never complete. */
void fsmeta_quick_options_init(struct fsmeta_quick_options *options);

/**
 * A guide over the newest generation of `db`, or NULL where the scan that `scan` describes
 * has to be complete; why it has to is then told on stderr, unless it was asked for.
 * `path` is the database's, for messages.
 */
int fsmeta_quick_open(struct fsmeta_guide **out, struct fsmeta_db *db, const char *path,
    const struct fsmeta_scan_options *scan, const struct fsmeta_quick_options *options,
    struct fsmeta_error *error);

/** Reads "90s", "15min", "2h", "1d" or "0" into *seconds; false on anything else. */
bool fsmeta_settle_parse(uint64_t *seconds, const char *text);

#endif
