/*
 * What the parts of the move pass share.  Internal to diff/moves*.c; the essay is on top of
 * moves.c.
 *
 *     moves.c        gathers while merging, and calls the others in their order
 *     moves_keys.c   what an entry can be known by
 *     moves_pair.c   which two are one and the same
 *     moves_write.c  the changes, anew
 */
#ifndef FSMETA_DIFF_MOVES_PARTS_H
#define FSMETA_DIFF_MOVES_PARTS_H

#include "base/sort.h"
#include "base/spool.h"
#include "diff/moves.h"

enum {
	FSMETA_MOVES_SORT_BYTES = 8 << 20,
	/** What is read ahead of the record in hand. */
	FSMETA_MOVES_AHEAD_BYTES = 256 << 10,
};

enum fsmeta_moves_folder_evidence {
	FSMETA_MOVES_FOLDER_BY_ID,
	FSMETA_MOVES_FOLDER_BY_INODE,
	FSMETA_MOVES_FOLDER_BY_CONTENT,
	FSMETA_MOVES_FOLDER_BY_NAME,
	FSMETA_MOVES_FOLDER_EVIDENCE_COUNT,
};

enum fsmeta_moves_evidence {
	/** The same place in a folder that moved. */
	FSMETA_MOVES_BY_PLACE,
	FSMETA_MOVES_BY_ID,
	FSMETA_MOVES_BY_INODE,
	FSMETA_MOVES_BY_NAME,
	FSMETA_MOVES_BY_HASH,
	/** No evidence: several links, which one can confuse. */
	FSMETA_MOVES_BY_LINK,
	FSMETA_MOVES_EVIDENCE_COUNT,
};

enum fsmeta_moves_side {
	/** Went. */
	FSMETA_MOVES_OLDER,
	/** Came. */
	FSMETA_MOVES_NEWER,
	/** Was there all the time (FSMETA_MOVES_BY_LINK only). */
	FSMETA_MOVES_BOTH,
};

/** A folder that came or went, as a candidate. */
struct fsmeta_moves_whole_folder {
	uint64_t key;
	uint64_t check;
	uint64_t side;
	uint64_t ordinal;
	struct fsmeta_change_place place;
	uint64_t end_ordinal;
	uint64_t end_place;
	struct fsmeta_digest content;
	uint64_t identity;
	uint64_t entries;
	uint64_t bytes;
	/** Its records lie together and can be jumped over. */
	uint64_t can_jump;
};

/** One half of a pair of folders, by ordinal. */
struct fsmeta_moves_half {
	/** Ordinal. */
	uint64_t key;
	/** From 1. */
	uint64_t pair;
	uint64_t older_ordinal;
	/** Of the older half. */
	struct fsmeta_change_place place;
	uint64_t end_ordinal;
	uint64_t end_place;
	uint64_t entries;
	uint64_t bytes;
	/** Nothing below differs: jump. */
	uint64_t is_same;
};

/** What becomes of a record that came. */
struct fsmeta_moves_outcome {
	/** Its ordinal. */
	uint64_t key;
	struct fsmeta_change_place place;
	uint64_t older_ordinal;
	/** Moved; else it went along with its folder. */
	uint64_t is_move;
};

/** A folder of both sides that hides what was below it. */
struct fsmeta_moves_hidden {
	uint64_t older_ordinal;
	bool is_written;
	/** Its change in the new spool. */
	uint64_t place;
	enum fsmeta_change_kind kind;
	uint32_t flags;
	uint64_t entries;
	uint64_t bytes;
	bool lost_sight;
};

struct fsmeta_moves {
	const struct fsmeta_compare *compare;
	struct fsmeta_change_spool *spool;
	uint32_t wanted;
	/** How many records came and went. */
	uint64_t went;
	uint64_t came;
	bool has_unread;

	struct fsmeta_sort *folders[FSMETA_MOVES_FOLDER_EVIDENCE_COUNT];
	/** Keys of inodes with several links that are on both sides: two words each. */
	struct fsmeta_spool *kept;

	/* Resolving. */
	struct fsmeta_sort *halves;
	struct fsmeta_sort *candidates[FSMETA_MOVES_EVIDENCE_COUNT];
	struct fsmeta_sort *outcomes;
	uint64_t pairs;
	/** One bit a record: it is one of a pair; it must not become one. */
	unsigned char *taken;
	unsigned char *barred;
	struct fsmeta_buffer hidden;

	struct fsmeta_buffer scratch;
	/** A name, folded. */
	struct fsmeta_buffer name;
	bool folds_case;
};

/* ---- small things ------------------------------------------------------- */

static inline bool fsmeta_moves_came_or_went(const struct fsmeta_change *change)
{
	return change->kind == FSMETA_CHANGE_REMOVED || change->kind == FSMETA_CHANGE_ADDED;
}

static inline bool fsmeta_moves_has_links(const struct fsmeta_entry *entry)
{
	return entry->type != FSMETA_TYPE_FOLDER && entry->fields & FSMETA_FIELD_NLINK &&
	       entry->nlink > 1;
}

static inline bool fsmeta_moves_has_key(const uint64_t key[2])
{
	return key[0] || key[1];
}

static inline bool fsmeta_moves_has_bit(const unsigned char *bits, uint64_t at)
{
	return bits[at / 8] >> (at % 8) & 1;
}

static inline void fsmeta_moves_set_bit(unsigned char *bits, uint64_t at)
{
	bits[at / 8] |= (unsigned char)(1u << (at % 8));
}

/** Spreads what differs in few bits. */
static inline uint64_t fsmeta_moves_stir(uint64_t value)
{
	value = (value ^ value >> 32) * UINT64_C(0xd6e8feb86659fd93);
	value = (value ^ value >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return value ^ value >> 32;
}

/** FSMETA_E_STOPPED where the diff is to stop. */
int fsmeta_moves_check_stop(const struct fsmeta_moves *moves, struct fsmeta_error *error);

/** Adds to a sort that is made with its first record. */
int fsmeta_moves_add(
    struct fsmeta_sort **sort, const void *record, size_t record_bytes, struct fsmeta_error *error);

/** A sort that is gone along with while records are read in order. */
struct fsmeta_moves_track {
	struct fsmeta_sort *sort;
	const void *record;
};

/** Sets *record where the sort has one for this ordinal, else NULL.  Ordinals ascend. */
int fsmeta_moves_track_to(struct fsmeta_moves_track *track, uint64_t ordinal, const void **record,
    struct fsmeta_error *error);

/* ---- moves_keys.c -------------------------------------------------------- */

/** The key of some evidence of an entry; 0 and 0 where it lacks what it takes. */
void fsmeta_moves_make_key(uint64_t key[2], struct fsmeta_moves *moves,
    enum fsmeta_moves_evidence evidence, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry);

/** The key of a place in both folders of a pair, whose path has `base` bytes. */
int fsmeta_moves_make_place_key(uint64_t key[2], struct fsmeta_moves *moves, uint64_t pair,
    size_t base, const struct fsmeta_entry *entry, struct fsmeta_error *error);

/**
 * The entry by its name and all that could make a difference; *identity: which one it is.
 * False without memory.
 */
bool fsmeta_moves_find_term(struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, struct fsmeta_digest *term, uint64_t *identity);

/* ---- moves_pair.c -------------------------------------------------------- */

/** Steps 1 to 3: halves, outcomes, what is taken, what hides. */
int fsmeta_moves_pair(struct fsmeta_moves *moves, struct fsmeta_error *error);

/* ---- moves_write.c ------------------------------------------------------- */

/** Step 4: *out is a *new* spool, `counts` are its. */
int fsmeta_moves_write(struct fsmeta_change_spool **out, struct fsmeta_moves *moves,
    struct fsmeta_diff_counts *counts, struct fsmeta_error *error);

#endif
