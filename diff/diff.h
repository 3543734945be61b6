/*
 * The diff: the one merge in the program.
 *
 *   cursor A ─┐
 *             ├─ merge join ── change spool ── moves ── sink: text, JSON, database, delta
 *   cursor B ─┘
 *
 * The merge walks two cursors once, in canonical order, side by side.  Its
 * changes go into a spool, because a removed folder's totals stand on the
 * folder's own line, in front of what they count, and because a database must
 * not be locked while a tree is being read.  The spool is then replayed into a
 * sink as often as needed.
 */
#ifndef FSMETA_DIFF_DIFF_H
#define FSMETA_DIFF_DIFF_H

#include "format/change.h"
#include "format/cursor.h"

#include <signal.h>

/** The two notions of difference. */
enum fsmeta_diff_notion {
	/**
	 * What people want to hear of: see FSMETA_FIELDS_REPORTED_*.  Content hashes are
	 * compared where both entries have one, by the same algorithm.
	 */
	FSMETA_DIFF_REPORTED = 0,
	/**
	 * Any masked field; makes a new version in a database.  A field that the
	 * newer side has and the older side's mask lacks differs; one that only the
	 * older side's mask has does not.
	 */
	FSMETA_DIFF_STORED = 1,
};

/** How to find out what moved, as bits; docs/moves.md has the rules. */
enum fsmeta_diff_moves {
	/**
	 * Ids of both sides are those of one database: what has the same id and another
	 * path moved.
	 */
	FSMETA_DIFF_MOVES_BY_ID = 1 << 0,
	/**
	 * By inode and birth time on one file system, by size, mtime and name, by content
	 * hash; after ids, where both are asked for.
	 */
	FSMETA_DIFF_MOVES_BY_EVIDENCE = 1 << 1,
};

struct fsmeta_diff_options {
	enum fsmeta_diff_notion notion;
	/** enum fsmeta_diff_moves bits; 0: what moved is removed and added. */
	uint32_t moves;
	/** Fields reported beyond (or, with `fields_only`, instead of) the default. */
	uint32_t fields;
	bool fields_only;
	/**
	 * The newer side is a database read with seen_only.  Otherwise a newer side
	 * with stable ids is taken for a whole state, carried entries included: what
	 * it lacks is gone, whatever its scope was.
	 */
	bool seen_only;
	/**
	 * Both sides have stable ids: same path and type, but another id, is removed
	 * + added.  So it is where the generation in which it was gone was pruned.
	 */
	bool compare_ids;
	/** Spool bound in memory, 0 = default. */
	size_t spool_bytes;
	/**
	 * When it becomes non-zero diff and replay stop with FSMETA_E_STOPPED.  May be NULL;
	 * *borrowed* until the diff is freed.
	 */
	const volatile sig_atomic_t *stop;
};

/** What a diff counted.  Kinds as in enum fsmeta_change_kind, INSIDE changes included. */
struct fsmeta_diff_counts {
	uint64_t kinds[8];
	/** How many of them are CONTINUED. */
	uint64_t continued;
	/** Sum of the sizes of regular files added, removed. */
	uint64_t bytes_added;
	uint64_t bytes_removed;
	/** Entries that the cursors yielded on each side, and stepped over unread. */
	uint64_t entries_a;
	uint64_t entries_b;
	uint64_t entries_stepped;
	/** Runs that were stepped over, also those of which nobody knows how many entries they
	 * have. */
	uint64_t runs_stepped;
};

/** A finished diff: a spool of changes. */
struct fsmeta_diff;

/**
 * Merges `a` (older) and `b` (newer) to their ends.  Neither is closed.  Both
 * sources must stay until the diff is freed.  On failure *out is NULL.
 *
 * What the newer side could not or did not look at is never removed: below an
 * unreadable folder or one on another file system that was not entered, and
 * outside of `b`'s sub-trees, and where `b`'s excludes match, what `b` lacks is
 * passed over in `a`, with one change (unreadable or unknown) at the topmost place,
 * except that what a --subtree scan was not asked for gives none.  Of what was
 * excluded the change has `before` alone; where `b` is a state that shows it all
 * the same, carried, the change is told too.  An unreadable folder that both
 * sides have gives its change in any case, CONTINUED where flag and errno are
 * those of the older side; one on another file system only where something is
 * carried below it.
 *
 * An entry of the newer side whose own metadata could not be read lacks fields.
 * They are never differences; in the stored notion `after` is filled up with the
 * older values, so that a version made from it loses nothing.  Where `b` is a state,
 * that was done when it was stored, and the stored notion takes it as it is.
 *
 * Where both sides offer runs with equal tokens, the merge steps over them
 * unread.  A cursor therefore offers none that comprises a carried entry, or one that
 * is unreadable or on another file system.
 *
 * Errors: those of the cursors, FSMETA_E_STOPPED, FSMETA_E_MEMORY, and
 * FSMETA_E_SYSTEM where the temporary file cannot be written.
 */
int fsmeta_diff_run(struct fsmeta_diff **out, struct fsmeta_cursor *a, struct fsmeta_cursor *b,
    const struct fsmeta_diff_options *options, struct fsmeta_error *error);

/** Hands every change to the sink, canonical order; may be called again. */
int fsmeta_diff_replay(
    struct fsmeta_diff *diff, struct fsmeta_change_sink *sink, struct fsmeta_error *error);

/**
 * The same in less time, for who asks where something changed: of a change kind, flags and totals,
 * and one entry, the one that names it, with its path, name, depth and type alone.
 */
int fsmeta_diff_replay_names(
    struct fsmeta_diff *diff, struct fsmeta_change_sink *sink, struct fsmeta_error *error);

/** *Borrowed* until free. */
const struct fsmeta_diff_counts *fsmeta_diff_get_counts(const struct fsmeta_diff *diff);

/** True where there is a change that is not merely CONTINUED. */
bool fsmeta_diff_has_changes(const struct fsmeta_diff *diff);

/** NULL is allowed. */
void fsmeta_diff_free(struct fsmeta_diff *diff);

#endif
