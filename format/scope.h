/*
 * The scope of a scan: does it look at this path?
 *
 * Absence is evidence only where somebody looked.  What an unreadable folder or
 * another file system hides is told by flags on entries; what the scan was told to
 * leave out is found here, from the source alone: by the scanner, which obeys it,
 * and by the merge, which must know what it did not see.
 */
#ifndef FSMETA_FORMAT_SCOPE_H
#define FSMETA_FORMAT_SCOPE_H

#include "format/exclude.h"
#include "format/source.h"

enum fsmeta_scope_verdict {
	/** It would show the entry, if there is one. */
	FSMETA_SCOPE_LOOKED = 0,
	/**
	 * Outside of the sub-trees that were asked for: nothing at all was to be
	 * learned here, neither about the path nor about what is below.
	 */
	FSMETA_SCOPE_NOT_ASKED = 1,
	/** Asked for, and left out by the excludes with all that is below. */
	FSMETA_SCOPE_EXCLUDED = 2,
};

/** Zero-initialised = everything is looked at.  Read-only once made. */
struct fsmeta_scope {
	/** Sub-trees in canonical order, none inside another; *owned* array of *borrowed* paths. */
	struct fsmeta_scope_path {
		const char *path;
		size_t length;
	} * subtrees;
	size_t count;
	struct fsmeta_excludes excludes;
};

/**
 * Makes `out` from the source's sub-trees and excludes, whose strings are
 * *borrowed* until release.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_scope_init(struct fsmeta_scope *out, const struct fsmeta_batch_source *source);

void fsmeta_scope_release(struct fsmeta_scope *scope);

/**
 * What the scan does with an entry at `path`.  None of the folders above it may be
 * EXCLUDED; who goes through a tree top down never asks below such a one.
 */
enum fsmeta_scope_verdict fsmeta_scope_judge(
    const struct fsmeta_scope *scope, const char *path, size_t length, bool is_folder);

/** True where nothing below folder `path` is NOT_ASKED. */
bool fsmeta_scope_holds(const struct fsmeta_scope *scope, const char *path, size_t length);

#endif
