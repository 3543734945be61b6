/*
 * The cursor: anything that yields entries in canonical order.  The live tree,
 * a stream, a database at a generation and an array in a test all look the same.
 *
 * Run tokens.  Right after next() has returned a folder, or between two entries,
 * a cursor may know that what comes next is equal to something that another
 * cursor also knows, without reading it.  It then offers a run: a kind and a
 * 128-bit token.  Two runs of the same kind with equal tokens, offered by two
 * cursors that stand at the same place, have equal content; the merge then steps
 * over both unread.  A cursor that knows nothing offers none, and is compared.
 *
 * Equal content does not say that all of it was seen.  A run may hold a folder that
 * could not be listed, and a batch even end inside it; who steps over would not know that
 * what comes next lies there.  So no cursor offers a run with an entry of which
 * fsmeta_entry_is_unseen() is true.
 */
#ifndef FSMETA_FORMAT_CURSOR_H
#define FSMETA_FORMAT_CURSOR_H

#include "format/entry.h"
#include "format/source.h"

/** What a run comprises, counted from the cursor's present place. */
enum fsmeta_run_kind {
	/** All descendants of the folder that next() returned last. */
	FSMETA_RUN_SUBTREE = 1,
	/**
	 * Its children that are no folders; its sub-folders still come.  Equal tokens speak
	 * of the same file systems, not only of the same indices in two tables of them.
	 */
	FSMETA_RUN_FILES = 2,
	/** The next `entries` entries in canonical order: a batch of a stream. */
	FSMETA_RUN_BATCH = 3,
};

struct fsmeta_run {
	enum fsmeta_run_kind kind;
	struct fsmeta_digest token;
	/** How many entries it comprises; 0 where unknown. */
	uint64_t entries;
};

struct fsmeta_cursor;

struct fsmeta_cursor_operations {
	int (*next)(struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry,
	    struct fsmeta_error *error);
	int (*skip)(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error);
	/** May be NULL: every entry is read. */
	int (*leap)(struct fsmeta_cursor *cursor, const char *path, size_t length,
	    struct fsmeta_error *error);
	/** May be NULL: no runs. */
	int (*run)(struct fsmeta_cursor *cursor, enum fsmeta_run_kind kind, struct fsmeta_run *run,
	    struct fsmeta_error *error);
	/** May be NULL exactly where run is. */
	int (*step)(
	    struct fsmeta_cursor *cursor, const struct fsmeta_run *run, struct fsmeta_error *error);
	/** May be NULL: they come one by one.  `other` has the same operations. */
	int (*pass_equal)(struct fsmeta_cursor *cursor, struct fsmeta_cursor *other, uint32_t mask,
	    uint64_t *count, struct fsmeta_error *error);
	void (*close)(struct fsmeta_cursor *cursor);
};

/** Embedded first in every implementation. */
struct fsmeta_cursor {
	const struct fsmeta_cursor_operations *operations;
	/**
	 * Origin, scope, field mask and table of file systems; *borrowed* from the
	 * cursor until close.  The table may grow as next() goes on.  finished,
	 * totals, state digest, and the scope lists are final only after next()
	 * has returned 0.
	 */
	const struct fsmeta_batch_source *source;
	/** For messages: what the operand was called.  *Borrowed*, never NULL. */
	const char *label;
};

/**
 * 1 with *entry (*borrowed* until the next call on this cursor), 0 at the end
 * (again and again), or a negative code, after which only close is allowed.
 * The first entry is the root.  Entries out of canonical order are the cursor's
 * own FSMETA_E_CORRUPT, so users need not check.
 */
static inline int fsmeta_cursor_next(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	return cursor->operations->next(cursor, entry, error);
}

/**
 * Leaves out all coming entries up to the first one with a depth below `depth`.
 * After a folder at depth d, skip(d + 1) leaves out what is below it.  0 or code.
 */
static inline int fsmeta_cursor_skip(
    struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	return cursor->operations->skip(cursor, depth, error);
}

/**
 * Leaves out coming entries in front of `path`, as far as that spares reading them: all, some or
 * none.  1 where it may have left out some, 0 where none, or a code.
 */
static inline int fsmeta_cursor_leap(
    struct fsmeta_cursor *cursor, const char *path, size_t length, struct fsmeta_error *error)
{
	return cursor->operations->leap ? cursor->operations->leap(cursor, path, length, error) : 0;
}

/** 1 with *run where the cursor offers a run of this kind here, 0 where not, or a code. */
static inline int fsmeta_cursor_run(struct fsmeta_cursor *cursor, enum fsmeta_run_kind kind,
    struct fsmeta_run *run, struct fsmeta_error *error)
{
	return cursor->operations->run ? cursor->operations->run(cursor, kind, run, error) : 0;
}

/** Leaves out the run just offered.  Only right after run(). */
static inline int fsmeta_cursor_step(
    struct fsmeta_cursor *cursor, const struct fsmeta_run *run, struct fsmeta_error *error)
{
	return cursor->operations->step(cursor, run, error);
}

/**
 * Passes over entries that come next on both sides and are equal there, as many as two cursors
 * of one kind can compare at once; that may be none, and is where they do not stand behind
 * entries of the same path.  Passed over are siblings of those, with the same names and types,
 * and without differences in `mask` as of fsmeta_entry_differences() without a map: where that has
 * FSMETA_FIELD_DEVICE, the caller has seen that the tables of file systems agree.  Never
 * passed over is a folder, an entry with flags or one that is only carried, or one with more links
 * than one.  *count is how many each side has left behind, as if next() had yielded them.
 * 0, or FSMETA_E_MEMORY, after which only close is allowed for both.
 */
static inline int fsmeta_cursor_pass_equal(struct fsmeta_cursor *a, struct fsmeta_cursor *b,
    uint32_t mask, uint64_t *count, struct fsmeta_error *error)
{
	*count = 0;
	if (!a->operations->pass_equal || a->operations != b->operations)
		return 0;
	return a->operations->pass_equal(a, b, mask, count, error);
}

/** Frees the cursor.  NULL is allowed. */
static inline void fsmeta_cursor_close(struct fsmeta_cursor *cursor)
{
	if (cursor)
		cursor->operations->close(cursor);
}

/**
 * Takes every entry that passes.  Used to write a stream in the same pass in
 * which something else reads the cursor.
 */
struct fsmeta_entry_sink {
	int (*entry)(struct fsmeta_entry_sink *sink, const struct fsmeta_entry *entry,
	    struct fsmeta_error *error);
};

/**
 * A cursor that hands on `inner` (*stolen*, closed with it, and at once where this
 * fails) and shows every entry to `sink` (*borrowed* until close) before.  A code
 * from the sink becomes next()'s.  It offers no runs and refuses to skip
 * (FSMETA_E_INTERNAL), because the sink must see everything.
 */
int fsmeta_cursor_tee(struct fsmeta_cursor **out, struct fsmeta_cursor *inner,
    struct fsmeta_entry_sink *sink, struct fsmeta_error *error);

/**
 * A cursor over `count` entries in an array (*borrowed* until close) whose paths
 * are in canonical order, the root first, every entry behind its folder; an
 * array that is not like that is FSMETA_E_CORRUPT with the index and path of the
 * first wrong entry in the reason.  path, path_length and type must be set; name,
 * name_length and depth are computed here.  For tests and small trees.  `source`
 * is *borrowed* until close.  No entries at all is a tree without even a root.
 */
int fsmeta_cursor_from_array(struct fsmeta_cursor **out, struct fsmeta_entry *entries, size_t count,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/** A run that an array cursor offers where it comes to `path`. */
struct fsmeta_array_run {
	enum fsmeta_run_kind kind;
	/** The folder that was just handed out; for BATCH the first entry of the run. */
	const char *path;
	struct fsmeta_digest token;
	/** BATCH only: how many entries; the others count for themselves. */
	uint64_t entries;
};

/**
 * Makes a cursor of fsmeta_cursor_from_array() offer `count` runs (*borrowed*
 * until close), so that what steps over runs can be tested without a stream or a
 * database.  The tokens are believed: this is the caller's way to tell whether a
 * run was read or not.
 */
void fsmeta_cursor_array_offer_runs(
    struct fsmeta_cursor *cursor, const struct fsmeta_array_run *runs, size_t count);

#endif
