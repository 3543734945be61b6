/*
 * Moves: what was removed here and added there is one and the same.
 * Internal to diff/; docs/moves.md says what counts as evidence.
 *
 *     new ─ (folder, file, close_folder, kept, unread) while merging … ─ resolve
 */
#ifndef FSMETA_DIFF_MOVES_H
#define FSMETA_DIFF_MOVES_H

#include "diff/change_spool.h"
#include "diff/compare.h"

struct fsmeta_moves;

/** What is gathered about a folder that came or went while it is open. */
struct fsmeta_moves_folder {
	enum fsmeta_change_kind kind;
	uint64_t ordinal;
	struct fsmeta_change_place place;
	/** Keys, 0 and 0 where there is no such evidence. */
	uint64_t by_id[2];
	uint64_t by_inode[2];
	uint64_t by_name[2];
	/** The folder itself, and the sum over all below. */
	struct fsmeta_digest term;
	struct fsmeta_digest content;
	/** Which inodes (or ids) they are. */
	uint64_t term_identity;
	uint64_t identity;
	/** Not all of it was seen, or what the sums hold is not all, or not it alone. */
	bool is_mixed;
};

/** `compare` and `spool`, which the merge fills, are *borrowed* until free. */
int fsmeta_moves_new(struct fsmeta_moves **out, const struct fsmeta_compare *compare,
    struct fsmeta_change_spool *spool, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_moves_free(struct fsmeta_moves *moves);

/**
 * An entry that came or went: its change was just appended, at `place`.  `parent` is its folder
 * where that came or went as well, else NULL.  Of a folder *folder is initialised.
 */
void fsmeta_moves_whole(struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, uint64_t place, struct fsmeta_moves_folder *parent,
    struct fsmeta_moves_folder *folder);

/** The folder is complete, with so many entries below; after its last descendant. */
int fsmeta_moves_close_folder(struct fsmeta_moves *moves, struct fsmeta_moves_folder *folder,
    uint64_t entries, uint64_t bytes, struct fsmeta_moves_folder *parent,
    struct fsmeta_error *error);

/** Something is on both sides, `after` NULL where it is only carried. */
int fsmeta_moves_kept(struct fsmeta_moves *moves, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, struct fsmeta_error *error);

/** Something of the sides was not read: it may hold links to anything. */
void fsmeta_moves_unread(struct fsmeta_moves *moves);

/**
 * Finds what moved.  *out is a *new* spool in which it did, and `counts` has new numbers of
 * changes; NULL where nothing moved.  The merge's spool stays as it was.
 */
int fsmeta_moves_resolve(struct fsmeta_change_spool **out, struct fsmeta_moves *moves,
    struct fsmeta_diff_counts *counts, struct fsmeta_error *error);

#endif
