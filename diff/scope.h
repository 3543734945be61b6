/*
 * The scope of the newer side: did it look at this path?
 *
 * Absence is evidence only where somebody looked.  What an unreadable folder or
 * another file system hides is found by the merge from flags on entries; what the
 * scan was told to leave out is found here, from the source alone.
 */
#ifndef FSMETA_DIFF_SCOPE_H
#define FSMETA_DIFF_SCOPE_H

#include "format/source.h"

enum fsmeta_scope_verdict {
	/** It would have shown the entry, had there been one. */
	FSMETA_SCOPE_LOOKED = 0,
	/**
	 * Outside of the sub-trees that were asked for: nothing at all was to be
	 * learned here, neither about the path nor about what is below.
	 */
	FSMETA_SCOPE_NOT_ASKED = 1,
};

/** Zero-initialised = everything is looked at. */
struct fsmeta_scope {
	/** Sub-trees in canonical order, none inside another; *owned* array of *borrowed* paths. */
	struct fsmeta_scope_path {
		const char *path;
		size_t length;
	} * subtrees;
	size_t count;
};

/** Makes `out` from the source's sub-trees, *borrowed* until release.  0 or FSMETA_E_MEMORY. */
int fsmeta_scope_init(struct fsmeta_scope *out, const struct fsmeta_batch_source *source);

void fsmeta_scope_release(struct fsmeta_scope *scope);

/** What the source can say about an entry at `path` that it does not have. */
enum fsmeta_scope_verdict fsmeta_scope_judge(
    const struct fsmeta_scope *scope, const char *path, size_t length);

#endif
