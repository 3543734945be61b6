/*
 * The change: one difference between two cursors, and the sink that takes them.
 */
#ifndef FSMETA_FORMAT_CHANGE_H
#define FSMETA_FORMAT_CHANGE_H

#include "format/entry.h"
#include "format/source.h"

/** The numbers are those of the stream. */
enum fsmeta_change_kind {
	FSMETA_CHANGE_ADDED = 1,
	FSMETA_CHANGE_REMOVED = 2,
	FSMETA_CHANGE_MODIFIED = 3,
	/** old path → new path; `fields` is not 0 where it was modified as well. */
	FSMETA_CHANGE_MOVED = 4,
	/** The content hash differs although size and mtime do not. */
	FSMETA_CHANGE_CORRUPTED = 5,
	/**
	 * A folder that could not be read on the newer side; what was below it on
	 * the older side is carried.  `after` is the folder, `before` may be NULL.
	 */
	FSMETA_CHANGE_UNREADABLE = 6,
	/**
	 * A place that the newer side did not look at (another file system,
	 * excluded, not asked); carried.  `before` is its topmost entry there.
	 * Where `after` is set, the place itself was seen and only what is below is
	 * unknown.
	 */
	FSMETA_CHANGE_UNKNOWN = 7,
};

enum fsmeta_change_flag {
	/**
	 * A descendant of an added or removed folder, which has a change of its own
	 * in front; a reader that treats folders whole passes it by.
	 */
	FSMETA_CHANGE_INSIDE = 1 << 0,
	/** unreadable or unknown already on the older side: no news. */
	FSMETA_CHANGE_CONTINUED = 1 << 1,
};

/**
 * One change.  Entries are *borrowed* until the sink's function returns.
 * added: after.  removed: before.  modified, corrupted, moved: both.
 */
struct fsmeta_change {
	enum fsmeta_change_kind kind;
	/** enum fsmeta_change_flag bits. */
	uint32_t flags;
	const struct fsmeta_entry *before;
	const struct fsmeta_entry *after;
	/** Fields in which before and after differ: enum fsmeta_field bits. */
	uint32_t fields;
	/**
	 * For a folder that was added, removed, moved, unreadable or unknown: how
	 * many descendants went with it (itself not counted), and the sum of the
	 * apparent sizes of regular files among them.
	 */
	uint64_t entries;
	uint64_t bytes;
};

/**
 * Takes changes in canonical order of their path (new path where there is one;
 * a tombstone before an arrival at the same path).
 */
struct fsmeta_change_sink {
	int (*change)(struct fsmeta_change_sink *sink, const struct fsmeta_change *change,
	    struct fsmeta_error *error);
};

/** "added", "removed", …; NULL for a number that is none of them. */
const char *fsmeta_change_kind_name(enum fsmeta_change_kind kind);

/** The entry that names the change: after where there is one, else before. */
static inline const struct fsmeta_entry *fsmeta_change_entry(const struct fsmeta_change *change)
{
	return change->after ? change->after : change->before;
}

#endif
