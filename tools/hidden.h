/*
 * What fsmeta writes or compares with is no part of what it scans: the names of
 * databases and streams that may lie inside a live tree.
 */
#ifndef FSMETA_TOOLS_HIDDEN_H
#define FSMETA_TOOLS_HIDDEN_H

#include "scanner/scanner.h"

enum {
	/** A database has six names, a stream two; two of each is the most. */
	FSMETA_HIDDEN_MAX = 16,
};

/** Zero-initialised = nothing hidden.  `items` go into struct fsmeta_scan_options. */
struct fsmeta_hidden {
	struct fsmeta_scan_hidden items[FSMETA_HIDDEN_MAX];
	/** The texts behind items[].name, *owned*. */
	char *texts[FSMETA_HIDDEN_MAX];
	size_t count;
};

/**
 * Hides the database or stream at `path`, the temporary names it is made under,
 * and the companions of a database (SQLite's, and the journal of hashes).  It need not exist;
 * neither need the folder it is in.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_hide_output(
    struct fsmeta_hidden *hidden, const char *path, bool is_database, struct fsmeta_error *error);

void fsmeta_hidden_release(struct fsmeta_hidden *hidden);

#endif
