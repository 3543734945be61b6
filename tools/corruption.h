/*
 * Files found corrupted: counted, the first of them named.
 *
 * A scan, the import of a scan and that of a delta tell of corruption in the same words.
 */
#ifndef FSMETA_TOOLS_CORRUPTION_H
#define FSMETA_TOOLS_CORRUPTION_H

#include "base/memory.h"
#include "format/entry.h"

enum {
	/** More of them are counted only. */
	FSMETA_CORRUPTION_NAMED_MAX = 10,
};

/** All zeros is empty. */
struct fsmeta_corruption {
	uint64_t count;
	/** *Owned*. */
	char *paths[FSMETA_CORRUPTION_NAMED_MAX];
	size_t named;
};

void fsmeta_corruption_release(struct fsmeta_corruption *corruption);

/** Without memory for the name it is counted all the same. */
void fsmeta_corruption_add(struct fsmeta_corruption *corruption, const struct fsmeta_entry *entry);

/** Tells on stderr; nothing where there is none. */
void fsmeta_corruption_report(const struct fsmeta_corruption *corruption);

#endif
