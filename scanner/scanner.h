/*
 * The scanner: a live tree as a cursor, depth first in canonical order.
 *
 * Never follows a symlink, in no component; never leaves the file system of the
 * root unless asked; names are bytes.  What cannot be read is an entry with
 * FSMETA_FLAG_UNREADABLE and an errno, never an omission.  Memory is bounded by
 * the folders on the current path.
 */
#ifndef FSMETA_SCANNER_SCANNER_H
#define FSMETA_SCANNER_SCANNER_H

#include "format/cursor.h"

#include <signal.h>
#include <sys/types.h>

/**
 * A name in one folder that the scan leaves out as if it were not there: the
 * database being written, its -wal, -shm and -journal, the stream being written.
 */
struct fsmeta_scan_hidden {
	/** The folder that holds it. */
	dev_t folder_device;
	ino_t folder_inode;
	/** Its name there, *borrowed* until close; a trailing '*' matches any rest. */
	const char *name;
};

struct fsmeta_scan_options {
	/** Fields wanted, 0 = FSMETA_FIELDS_ALL; inode numbers are dropped where unstable. */
	uint32_t field_mask;
	/** Enter other file systems. */
	bool cross_filesystems;
	/** --source-id, or NULL: found out from the file system. *Borrowed* until close. */
	const char *source_id;
	/** Names to leave out, *borrowed* until close. */
	const struct fsmeta_scan_hidden *hidden;
	size_t hidden_count;
	/** When it becomes non-zero next() returns FSMETA_E_STOPPED.  May be NULL. */
	const volatile sig_atomic_t *stop;
	/**
	 * Threads that read folders ahead; 0 or 1 = none.  Order and content of
	 * what comes out never depend on it.
	 */
	unsigned threads;
};

/**
 * Opens the folder `path` for scanning.  Everything about the source that is
 * known at the start (machine, mount, file system, source id, scope, start time)
 * is in cursor->source; finished, totals, scope lists and owner names are filled
 * when next() has returned 0.  A root that is a link to a folder is followed;
 * nothing below it is.
 *
 * Errors of open: FSMETA_E_SYSTEM (missing, no folder, no permission).  next():
 * FSMETA_E_MEMORY, FSMETA_E_STOPPED; single entries never fail the scan.
 */
int fsmeta_scan_open(struct fsmeta_cursor **out, const char *path,
    const struct fsmeta_scan_options *options, struct fsmeta_error *error);

#endif
