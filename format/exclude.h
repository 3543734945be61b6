/*
 * Excludes: patterns in gitignore's grammar that say what a scan leaves out.
 *
 * A pattern is one argument and not a line of a file, so that, as with `git
 * ls-files -x`, a '#' in front and spaces behind are bytes like any other.  The
 * rest is as gitignore(5) has it, rooted at the root of the source:
 *
 *   !PATTERN       takes back what an earlier pattern excluded
 *   PATTERN/       folders only
 *   /P, A/B        with a slash in front or inside: the whole path; else the name at any depth
 *   * ? [a-z]      within a name; [!a-z] or [^a-z], [[:digit:]], \ before any byte
 *   ** as a name   any number of folders; at the end all that is below, at least one
 *
 * The last pattern that matches decides.  Names are bytes and case counts on every
 * file system.  An escaped slash is a slash.  What can match nothing (an unclosed
 * '[', an unknown [:class:], a '\' at the end, "") is no error and excludes nothing.
 *
 * Nothing here knows about parents: below an excluded folder all is excluded, and
 * who walks a tree top down never comes there.
 */
#ifndef FSMETA_FORMAT_EXCLUDE_H
#define FSMETA_FORMAT_EXCLUDE_H

#include "format/source.h"

#include <stdbool.h>
#include <stddef.h>

/** What one name, or any number of folders, is compared with. */
struct fsmeta_exclude_part {
	enum fsmeta_exclude_part_kind {
		/** Nothing special in it. */
		FSMETA_EXCLUDE_LITERAL,
		/** '*' and then nothing special; `text` is what is behind the '*'. */
		FSMETA_EXCLUDE_SUFFIX,
		FSMETA_EXCLUDE_GLOB,
		/** "**" */
		FSMETA_EXCLUDE_ANY_FOLDERS,
	} kind;
	/** *Borrowed* from the pattern. */
	const char *text;
	size_t length;
};

struct fsmeta_exclude_pattern {
	/** One for each name of an anchored pattern, else just one; in `parts` of the list. */
	size_t first_part;
	size_t part_count;
	/** It began with '!'. */
	bool negated;
	/** It ended with '/'. */
	bool folders_only;
	/** It is compared with the whole path and not with the name. */
	bool anchored;
};

/** Zero-initialised = nothing is excluded.  Read-only once made: any thread may match. */
struct fsmeta_excludes {
	/** Those that can match, in the order given; *owned*. */
	struct fsmeta_exclude_pattern *patterns;
	size_t count;
	/** *Owned*. */
	struct fsmeta_exclude_part *parts;
	size_t part_count;
};

/** Makes `out` from patterns, which are *borrowed* until release.  0 or FSMETA_E_MEMORY. */
int fsmeta_excludes_init(struct fsmeta_excludes *out, const struct fsmeta_string_list *patterns);

void fsmeta_excludes_release(struct fsmeta_excludes *excludes);

/**
 * True where the patterns exclude the entry at `path` itself; that none of the
 * folders above it is excluded is taken for granted.  The root never is.
 */
bool fsmeta_excludes_match(
    const struct fsmeta_excludes *excludes, const char *path, size_t length, bool is_folder);

/** True where they exclude `path` or one of the folders above it. */
bool fsmeta_excludes_cover(
    const struct fsmeta_excludes *excludes, const char *path, size_t length, bool is_folder);

#endif
