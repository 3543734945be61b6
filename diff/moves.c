/*
 * The move pass.
 *
 * The merge leaves what came and what went, each a record with its number (ordinal) in the
 * spool.  Here some of them become pairs, by keys: everything that could be one half of a
 * move is a candidate with a hash of its evidence, candidates are sorted by that hash, and
 * a group of exactly one that went and one that came is a pair.  More of either, and nobody
 * knows which: they stay as they are, or other evidence decides.
 *
 *     merge ──► spool of changes ──────────── 2. walk ── 4. write ──► spool with moves
 *         └───► folders ── 1. pair folders ────┘ │          │
 *                                                └ 3. pair ─┘
 *
 * 1. Folders are paired first: by id, by inode and birth time, by all that is in them, or
 *    by name and mtime.
 * 2. The walk sees every record with the nearest folder above it that is one of a pair.
 *    What stands at the same place in both folders of a pair is one and the same, as if the
 *    folder had not moved at all: the key is the number of the pair and the path from there.
 *    For all others there are keys by id, inode, name, and hash.
 * 3. Pairs are found kind after kind, the most certain first.
 * 4. The records are written anew, in their order.  What went and is one of a pair is left
 *    out; where its other half came stands what became of it:
 *
 *        old/x      removed 5 entries      ·
 *        old/x/a    removed, inside        ·
 *        old/x/b    removed, inside        removed               (no longer inside)
 *        new/y      added 5 entries        moved from old/x, 4 entries
 *        new/y/a    added, inside          modified, or nothing
 *        new/y/c    added, inside          added
 *
 *    Totals and whether something is inside another are found out again on the way, with a
 *    stack of open folders for each side.
 *
 * A folder of 200,000 that was renamed should cost next to nothing.  So the merge sums up a
 * digest of all that is below a folder that came or went.  Where the two of a pair are equal,
 * steps 2 and 4 jump over their records unread.
 *
 * Memory: nothing here grows with the number of changes but one bit for each.  Candidates
 * and pairs are sorted outside of memory (base/sort.h), and since they come back in the order
 * of the records, the walks go along them.  The older half of a pair is read where it lies.
 *
 * What the newer side could not look into is not removed, in a folder that moved no more than
 * elsewhere: what was below such a place goes along, uncounted as removed, and the place is
 * told of as the merge would have done.
 */
#include "diff/moves_parts.h"

#include <stdlib.h>
#include <string.h>

static const char action[] = "looking for moves";

enum {
	/** Fewer records are not worth jumping over. */
	JUMP_ENTRIES = 4,
};

/* ---- what the parts share ------------------------------------------------ */

int fsmeta_moves_check_stop(const struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	const volatile sig_atomic_t *stop = moves->compare->options->stop;

	return stop && *stop ? fsmeta_error_set(error, FSMETA_E_STOPPED, NULL, action, "stopped")
			     : 0;
}

int fsmeta_moves_add(
    struct fsmeta_sort **sort, const void *record, size_t record_bytes, struct fsmeta_error *error)
{
	int code = *sort ? 0 : fsmeta_sort_new(sort, record_bytes, FSMETA_MOVES_SORT_BYTES, error);

	return code ? code : fsmeta_sort_add(*sort, record, error);
}

int fsmeta_moves_track_to(struct fsmeta_moves_track *track, uint64_t ordinal, const void **record,
    struct fsmeta_error *error)
{
	int code = 0;

	*record = NULL;
	while (track->sort && (!track->record || *(const uint64_t *)track->record < ordinal)) {
		code = fsmeta_sort_next(track->sort, &track->record, error);
		if (code < 0)
			return code;
		if (!code)
			track->sort = NULL;
	}
	if (track->sort && *(const uint64_t *)track->record == ordinal)
		*record = track->record;
	return 0;
}

/* ---- while merging ------------------------------------------------------ */

int fsmeta_moves_new(struct fsmeta_moves **out, const struct fsmeta_compare *compare,
    struct fsmeta_change_spool *spool, struct fsmeta_error *error)
{
	struct fsmeta_moves *moves = calloc(1, sizeof(*moves));

	*out = moves;
	if (!moves)
		return fsmeta_error_set_memory(error, action);
	moves->compare = compare;
	moves->spool = spool;
	moves->folds_case = compare->a->path_case == FSMETA_PATH_CASE_INSENSITIVE ||
			    compare->b->path_case == FSMETA_PATH_CASE_INSENSITIVE;
	moves->wanted = compare->options->moves;
	/* Generations of one database are compared without all being read. */
	moves->has_unread = moves->wanted & FSMETA_DIFF_MOVES_BY_ID;
	return 0;
}

static void free_sorts(struct fsmeta_sort **sorts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fsmeta_sort_free(sorts[i]);
		sorts[i] = NULL;
	}
}

void fsmeta_moves_free(struct fsmeta_moves *moves)
{
	if (!moves)
		return;
	free_sorts(moves->folders, FSMETA_MOVES_FOLDER_EVIDENCE_COUNT);
	free_sorts(moves->candidates, FSMETA_MOVES_EVIDENCE_COUNT);
	fsmeta_sort_free(moves->halves);
	fsmeta_sort_free(moves->outcomes);
	fsmeta_spool_free(moves->kept);
	free(moves->taken);
	free(moves->barred);
	fsmeta_buffer_release(&moves->hidden);
	fsmeta_buffer_release(&moves->scratch);
	fsmeta_buffer_release(&moves->name);
	free(moves);
}

void fsmeta_moves_whole(struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, uint64_t place, struct fsmeta_moves_folder *parent,
    struct fsmeta_moves_folder *folder)
{
	struct fsmeta_digest term = {0};
	uint64_t identity = 0;
	bool is_unsure = fsmeta_entry_is_unseen(entry);

	if (kind == FSMETA_CHANGE_REMOVED)
		moves->went++;
	else
		moves->came++;
	if (!fsmeta_moves_find_term(moves, kind, entry, &term, &identity))
		is_unsure = true;
	if (parent)
		parent->is_mixed |= is_unsure;
	if (entry->type != FSMETA_TYPE_FOLDER) {
		if (parent) {
			fsmeta_digest_add(&parent->content, term);
			parent->identity += identity;
		}
		return;
	}
	*folder = (struct fsmeta_moves_folder){
	    .kind = kind,
	    .ordinal = fsmeta_change_spool_count(moves->spool) - 1,
	    .place = fsmeta_change_spool_last(moves->spool, place),
	    .term = term,
	    .term_identity = identity,
	    .is_mixed = is_unsure,
	};
	fsmeta_moves_make_key(folder->by_id, moves, FSMETA_MOVES_BY_ID, kind, entry);
	fsmeta_moves_make_key(folder->by_inode, moves, FSMETA_MOVES_BY_INODE, kind, entry);
	fsmeta_moves_make_key(folder->by_name, moves, FSMETA_MOVES_BY_NAME, kind, entry);
}

static int add_folder(struct fsmeta_moves *moves, enum fsmeta_moves_folder_evidence evidence,
    const uint64_t key[2], struct fsmeta_moves_whole_folder *folder, struct fsmeta_error *error)
{
	if (!fsmeta_moves_has_key(key))
		return 0;
	folder->key = key[0];
	folder->check = key[1];
	return fsmeta_moves_add(&moves->folders[evidence], folder, sizeof(*folder), error);
}

int fsmeta_moves_close_folder(struct fsmeta_moves *moves, struct fsmeta_moves_folder *folder,
    uint64_t entries, uint64_t bytes, struct fsmeta_moves_folder *parent,
    struct fsmeta_error *error)
{
	struct fsmeta_moves_whole_folder record = {
	    .side = folder->kind == FSMETA_CHANGE_REMOVED ? FSMETA_MOVES_OLDER : FSMETA_MOVES_NEWER,
	    .ordinal = folder->ordinal,
	    .place = folder->place,
	    .end_ordinal = fsmeta_change_spool_count(moves->spool),
	    .end_place = fsmeta_change_spool_end(moves->spool),
	    .content = folder->content,
	    .identity = folder->identity,
	    .entries = entries,
	    .bytes = bytes,
	};
	uint64_t by_content[2] = {folder->content.low, folder->content.high | 1};
	int code;

	/* Where something else came to its place, that lies between the records. */
	if (!folder->is_mixed && entries >= JUMP_ENTRIES &&
	    record.end_ordinal - record.ordinal == entries + 1) {
		record.can_jump = true;
		fsmeta_change_spool_begin_key(moves->spool);
	}
	if (parent) {
		/* A folder is known by itself and what is in it, one bound to the other. */
		struct fsmeta_digest both = folder->term;

		both.low = fsmeta_moves_stir(both.low ^ fsmeta_moves_stir(folder->content.low));
		both.high = fsmeta_moves_stir(both.high ^ fsmeta_moves_stir(folder->content.high));
		fsmeta_digest_add(&parent->content, both);
		parent->identity +=
		    fsmeta_moves_stir(folder->term_identity ^ fsmeta_moves_stir(folder->identity));
		parent->is_mixed |= folder->is_mixed;
	}
	code = add_folder(moves, FSMETA_MOVES_FOLDER_BY_ID, folder->by_id, &record, error);
	if (!code)
		code = add_folder(
		    moves, FSMETA_MOVES_FOLDER_BY_INODE, folder->by_inode, &record, error);
	if (!code && entries && !folder->is_mixed && moves->wanted & FSMETA_DIFF_MOVES_BY_EVIDENCE)
		code =
		    add_folder(moves, FSMETA_MOVES_FOLDER_BY_CONTENT, by_content, &record, error);
	return code ? code
		    : add_folder(
			  moves, FSMETA_MOVES_FOLDER_BY_NAME, folder->by_name, &record, error);
}

int fsmeta_moves_kept(struct fsmeta_moves *moves, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, struct fsmeta_error *error)
{
	uint64_t keys[2][2];
	int code = 0;

	if (!(fsmeta_moves_has_links(before) || (after && fsmeta_moves_has_links(after))))
		return 0;
	fsmeta_moves_make_key(keys[0], moves, FSMETA_MOVES_BY_LINK, FSMETA_CHANGE_REMOVED, before);
	if (after)
		fsmeta_moves_make_key(
		    keys[1], moves, FSMETA_MOVES_BY_LINK, FSMETA_CHANGE_ADDED, after);
	if (!fsmeta_moves_has_key(keys[0]) ||
	    (after && memcmp(keys[0], keys[1], sizeof(keys[0])) != 0))
		return 0;
	if (!moves->kept)
		code = fsmeta_spool_new(&moves->kept, FSMETA_MOVES_SORT_BYTES, NULL, error);
	return code ? code
		    : fsmeta_spool_append(moves->kept, keys[0], sizeof(keys[0]), NULL, error);
}

void fsmeta_moves_unread(struct fsmeta_moves *moves)
{
	moves->has_unread = true;
}

/* ---- all together -------------------------------------------------------------------- */

int fsmeta_moves_resolve(struct fsmeta_change_spool **out, struct fsmeta_moves *moves,
    struct fsmeta_diff_counts *counts, struct fsmeta_error *error)
{
	int code;

	*out = NULL;
	if (!moves->went || !moves->came)
		return 0;
	code = fsmeta_moves_pair(moves, error);
	if (code || (!moves->pairs && !moves->outcomes))
		return code;
	return fsmeta_moves_write(out, moves, counts, error);
}
