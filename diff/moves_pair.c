/*
 * Which two are one and the same: steps 1 to 3 of the essay on top of moves.c.
 *
 *     folders ── pair ──► halves ──┐
 *     records ── walk ─────────────┴─► candidates by evidence ── pair ──► outcomes
 *
 * All of these are sorts.  Halves and outcomes have the ordinal of a record for their key, so
 * that a walk over the records goes along them; candidates have their evidence.
 */
#include "diff/moves_parts.h"

#include <stdlib.h>

static const char action[] = "looking for moves";

enum {
	/** Something hides what is below it. */
	CANDIDATE_HIDES = 1 << 0,
};

/** A candidate of the second round. */
struct candidate {
	uint64_t key;
	uint64_t check;
	uint64_t side;
	uint64_t ordinal;
	/** FSMETA_MOVES_BY_PLACE: the pair of folders that it is one half of already, 0 = none. */
	uint64_t pair;
	/** Of the older half: its own, or where `pair` is set that of the pair. */
	struct fsmeta_change_place place;
	uint64_t older_ordinal;
	/** FSMETA_MOVES_BY_PLACE: of what can differ.  FSMETA_MOVES_BY_LINK: number of links. */
	uint64_t value;
	uint64_t flags;
};

/* ---- 1: folders ----------------------------------------------------------- */

static int add_half(struct fsmeta_moves *moves, const struct fsmeta_moves_whole_folder *own,
    const struct fsmeta_moves_whole_folder *older, bool is_same, struct fsmeta_error *error)
{
	const struct fsmeta_moves_half half = {
	    .key = own->ordinal,
	    .pair = moves->pairs,
	    .older_ordinal = older->ordinal,
	    .place = older->place,
	    .end_ordinal = own->end_ordinal,
	    .end_place = own->end_place,
	    .entries = own->entries,
	    .bytes = own->bytes,
	    .is_same = is_same,
	};

	return fsmeta_moves_add(&moves->halves, &half, sizeof(half), error);
}

static int pair_folders(struct fsmeta_moves *moves, const struct fsmeta_moves_whole_folder *older,
    const struct fsmeta_moves_whole_folder *newer, struct fsmeta_error *error)
{
	bool is_same = older->can_jump && newer->can_jump && older->entries == newer->entries &&
		       fsmeta_digest_equal(older->content, newer->content) &&
		       older->identity == newer->identity;
	int code;

	moves->pairs++;
	fsmeta_moves_set_bit(moves->taken, older->ordinal);
	fsmeta_moves_set_bit(moves->taken, newer->ordinal);
	code = add_half(moves, older, older, is_same, error);
	return code ? code : add_half(moves, newer, older, is_same, error);
}

/** Candidates with one key, as far as they are not taken. */
struct folder_group {
	struct fsmeta_moves_whole_folder first;
	struct fsmeta_moves_whole_folder halves[2];
	uint64_t counts[2];
	bool is_confused;
	bool any;
};

static int end_folder_group(
    struct fsmeta_moves *moves, struct folder_group *group, struct fsmeta_error *error)
{
	bool is_pair =
	    group->counts[FSMETA_MOVES_OLDER] == 1 && group->counts[FSMETA_MOVES_NEWER] == 1;

	return is_pair && !group->is_confused
		   ? pair_folders(moves, &group->halves[FSMETA_MOVES_OLDER],
			 &group->halves[FSMETA_MOVES_NEWER], error)
		   : 0;
}

static int pair_folders_by(struct fsmeta_moves *moves, enum fsmeta_moves_folder_evidence evidence,
    struct fsmeta_error *error)
{
	struct fsmeta_sort *sort = moves->folders[evidence];
	struct folder_group group = {0};
	const void *record;
	int code = sort ? fsmeta_sort_finish(sort, error) : 0;

	while (sort && !code && (code = fsmeta_sort_next(sort, &record, error)) > 0) {
		const struct fsmeta_moves_whole_folder *folder = record;

		code = 0;
		if (!group.any || folder->key != group.first.key) {
			code = end_folder_group(moves, &group, error);
			group = (struct folder_group){.first = *folder, .any = true};
		}
		if (fsmeta_moves_has_bit(moves->taken, folder->ordinal))
			continue;
		group.is_confused |= folder->check != group.first.check;
		group.halves[folder->side] = *folder;
		group.counts[folder->side]++;
	}
	if (!code)
		code = end_folder_group(moves, &group, error);
	fsmeta_sort_free(sort);
	moves->folders[evidence] = NULL;
	return code;
}

/* ---- 2: the walk ------------------------------------------------------------ */

/** A folder on the way to a record. */
struct above {
	uint32_t depth;
	/** The nearest pair at or above it, 0 = none … */
	uint64_t pair;
	/** … and the length of that folder's path. */
	size_t base;
	/** Whether the folder itself is one of a pair. */
	bool is_half;
};

static struct above *top_above(struct fsmeta_buffer *stack)
{
	size_t count = stack->length / sizeof(struct above);

	return count ? (struct above *)(void *)stack->data + count - 1 : NULL;
}

static int push_above(
    struct fsmeta_buffer *stack, const struct above *above, struct fsmeta_error *error)
{
	return fsmeta_buffer_append(stack, above, sizeof(*above))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

struct walk {
	struct fsmeta_change_reader *reader;
	struct fsmeta_moves_track halves;
	/** Folders of either side, the outermost first. */
	struct fsmeta_buffer stacks[2];
};

static void leave_above(struct fsmeta_buffer *stack, const struct fsmeta_change *change)
{
	uint32_t depth = fsmeta_change_entry(change)->depth;

	if (!(change->flags & FSMETA_CHANGE_INSIDE))
		fsmeta_buffer_clear(stack);
	while (top_above(stack) && top_above(stack)->depth >= depth)
		stack->length -= sizeof(struct above);
}

static int add_outcome(struct fsmeta_moves *moves, const struct candidate *candidate,
    uint64_t ordinal, bool is_move, struct fsmeta_error *error)
{
	const struct fsmeta_moves_outcome outcome = {
	    .key = ordinal,
	    .place = candidate->place,
	    .older_ordinal = candidate->older_ordinal,
	    .is_move = is_move,
	};

	return fsmeta_moves_add(&moves->outcomes, &outcome, sizeof(outcome), error);
}

/** Remembers that what was below the older half is carried. */
static int note_hidden(
    struct fsmeta_moves *moves, uint64_t flags, uint64_t older_ordinal, struct fsmeta_error *error)
{
	const struct fsmeta_moves_hidden hidden = {.older_ordinal = older_ordinal};

	if (!(flags & CANDIDATE_HIDES))
		return 0;
	return fsmeta_buffer_append(&moves->hidden, &hidden, sizeof(hidden))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

static bool permits_place(const struct fsmeta_moves *moves, const struct above *above)
{
	/* Where ids decide, the folder around must be the same one, not only stand there. */
	return above->is_half || !moves->compare->options->compare_ids;
}

static int add_by_place(struct fsmeta_moves *moves, const struct above *above,
    const struct fsmeta_entry *entry, struct candidate *candidate, struct fsmeta_error *error)
{
	enum fsmeta_change_kind kind =
	    candidate->side == FSMETA_MOVES_OLDER ? FSMETA_CHANGE_REMOVED : FSMETA_CHANGE_ADDED;
	struct fsmeta_digest term;
	uint64_t key[2];
	int code;

	if (!permits_place(moves, above))
		return 0;
	if (!fsmeta_moves_find_term(moves, kind, entry, &term, &candidate->value))
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_moves_make_place_key(key, moves, above->pair, above->base, entry, error);
	if (code)
		return code;
	candidate->key = key[0];
	candidate->check = key[1];
	return fsmeta_moves_add(
	    &moves->candidates[FSMETA_MOVES_BY_PLACE], candidate, sizeof(*candidate), error);
}

static int add_by_evidence(struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, struct candidate *candidate, struct fsmeta_error *error)
{
	int code = 0;

	for (enum fsmeta_moves_evidence evidence = FSMETA_MOVES_BY_ID;
	     evidence < FSMETA_MOVES_EVIDENCE_COUNT && !code; evidence++) {
		uint64_t key[2];

		if (evidence == FSMETA_MOVES_BY_LINK && !fsmeta_moves_has_links(entry))
			continue;
		fsmeta_moves_make_key(key, moves, evidence, kind, entry);
		if (!fsmeta_moves_has_key(key))
			continue;
		candidate->key = key[0];
		candidate->check = key[1];
		candidate->value = entry->nlink;
		code = fsmeta_moves_add(
		    &moves->candidates[evidence], candidate, sizeof(*candidate), error);
	}
	return code;
}

/** A folder that is one of a pair. */
static int walk_half(struct fsmeta_moves *moves, struct walk *walk,
    const struct fsmeta_moves_half *half, const struct fsmeta_entry *entry,
    struct candidate *candidate, struct fsmeta_error *error)
{
	struct fsmeta_buffer *stack = &walk->stacks[candidate->side];
	const struct above *above = top_above(stack);
	const struct above next = {
	    .depth = entry->depth, .pair = half->pair, .base = entry->path_length, .is_half = true};
	int code = 0;

	candidate->pair = half->pair;
	candidate->place = half->place;
	candidate->older_ordinal = half->older_ordinal;
	if (above && above->pair && permits_place(moves, above)) {
		code = add_by_place(moves, above, entry, candidate, error);
	} else if (candidate->side == FSMETA_MOVES_NEWER) {
		code = add_outcome(moves, candidate, candidate->ordinal, true, error);
		if (!code)
			code = note_hidden(moves, candidate->flags, half->older_ordinal, error);
	}
	if (code || !half->is_same)
		return code ? code : push_above(stack, &next, error);
	fsmeta_change_reader_seek(walk->reader, half->end_place, half->end_ordinal);
	return 0;
}

static int walk_record(struct fsmeta_moves *moves, struct walk *walk,
    const struct fsmeta_change *change, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	enum fsmeta_moves_side side =
	    change->kind == FSMETA_CHANGE_REMOVED ? FSMETA_MOVES_OLDER : FSMETA_MOVES_NEWER;
	struct candidate candidate = {.side = side};
	struct fsmeta_buffer *stack = &walk->stacks[side];
	const struct above *above;
	struct above next = {.depth = entry->depth};
	const void *half;
	int code;

	candidate.place = fsmeta_change_reader_place(walk->reader, &candidate.ordinal);
	candidate.older_ordinal = candidate.ordinal;
	if (side == FSMETA_MOVES_NEWER && entry->type == FSMETA_TYPE_FOLDER &&
	    fsmeta_hiding_kind(entry))
		candidate.flags = CANDIDATE_HIDES;
	leave_above(stack, change);
	code = fsmeta_moves_track_to(&walk->halves, candidate.ordinal, &half, error);
	if (code || half)
		return code ? code : walk_half(moves, walk, half, entry, &candidate, error);
	above = top_above(stack);
	if (above && above->pair)
		code = add_by_place(moves, above, entry, &candidate, error);
	if (code)
		return code;
	if (entry->type != FSMETA_TYPE_FOLDER)
		return add_by_evidence(moves, change->kind, entry, &candidate, error);
	if (above) {
		next.pair = above->pair;
		next.base = above->base;
	}
	return push_above(stack, &next, error);
}

static int walk_all(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	struct walk walk = {.halves = {.sort = moves->halves}};
	const struct fsmeta_change *change;
	int code =
	    fsmeta_change_reader_new(&walk.reader, moves->spool, FSMETA_MOVES_AHEAD_BYTES, error);

	while (!code && (code = fsmeta_change_reader_next(walk.reader, &change, error)) > 0) {
		code = fsmeta_moves_check_stop(moves, error);
		if (!code && fsmeta_moves_came_or_went(change))
			code = walk_record(moves, &walk, change, error);
	}
	fsmeta_change_reader_free(walk.reader);
	fsmeta_buffer_release(&walk.stacks[FSMETA_MOVES_OLDER]);
	fsmeta_buffer_release(&walk.stacks[FSMETA_MOVES_NEWER]);
	return code;
}

/* ---- 3: pairs ------------------------------------------------------------------ */

/** Candidates with one key, as far as they are neither taken nor barred. */
struct group {
	uint64_t key;
	uint64_t check;
	bool any;
	bool is_confused;
	struct candidate halves[2];
	uint64_t counts[3];
	uint64_t most_links;
};

/** What is at the same place in a pair of folders. */
static int end_place(struct fsmeta_moves *moves, struct group *group, struct fsmeta_error *error)
{
	const struct candidate *older = &group->halves[FSMETA_MOVES_OLDER],
			       *newer = &group->halves[FSMETA_MOVES_NEWER];
	bool has_both =
	    group->counts[FSMETA_MOVES_OLDER] == 1 && group->counts[FSMETA_MOVES_NEWER] == 1;
	bool is_same = has_both && !group->is_confused && older->pair == newer->pair;
	int code = 0;

	if (group->counts[FSMETA_MOVES_NEWER] && newer->pair && !is_same) {
		code = add_outcome(moves, newer, newer->ordinal, true, error);
		return code ? code : note_hidden(moves, newer->flags, newer->older_ordinal, error);
	}
	if (!is_same)
		return 0;
	fsmeta_moves_set_bit(moves->taken, older->ordinal);
	fsmeta_moves_set_bit(moves->taken, newer->ordinal);
	if (older->value != newer->value || newer->flags & CANDIDATE_HIDES)
		code = add_outcome(moves, older, newer->ordinal, false, error);
	return code ? code : note_hidden(moves, newer->flags, older->ordinal, error);
}

static int end_evidence(struct fsmeta_moves *moves, struct group *group, struct fsmeta_error *error)
{
	if (group->counts[FSMETA_MOVES_OLDER] != 1 || group->counts[FSMETA_MOVES_NEWER] != 1 ||
	    group->is_confused)
		return 0;
	fsmeta_moves_set_bit(moves->taken, group->halves[FSMETA_MOVES_OLDER].ordinal);
	fsmeta_moves_set_bit(moves->taken, group->halves[FSMETA_MOVES_NEWER].ordinal);
	return add_outcome(moves, &group->halves[FSMETA_MOVES_OLDER],
	    group->halves[FSMETA_MOVES_NEWER].ordinal, true, error);
}

static int pair_by(
    struct fsmeta_moves *moves, enum fsmeta_moves_evidence evidence, struct fsmeta_error *error)
{
	struct fsmeta_sort *sort = moves->candidates[evidence];
	struct group group = {0};
	const void *record;
	int code = sort ? fsmeta_sort_finish(sort, error) : 0;

	while (sort && !code) {
		const struct candidate *candidate;

		code = fsmeta_sort_next(sort, &record, error);
		if (code < 0)
			break;
		candidate = record;
		if (group.any && (!code || candidate->key != group.key)) {
			int ended = evidence == FSMETA_MOVES_BY_PLACE
					? end_place(moves, &group, error)
					: end_evidence(moves, &group, error);

			group.any = false;
			if (ended)
				code = ended;
		}
		if (code <= 0)
			break;
		code = 0;
		if (!group.any)
			group = (struct group){
			    .key = candidate->key, .check = candidate->check, .any = true};
		if (evidence != FSMETA_MOVES_BY_PLACE &&
		    (fsmeta_moves_has_bit(moves->taken, candidate->ordinal) ||
			fsmeta_moves_has_bit(moves->barred, candidate->ordinal)))
			continue;
		group.is_confused |= candidate->check != group.check;
		group.halves[candidate->side] = *candidate;
		group.counts[candidate->side]++;
	}
	fsmeta_sort_free(sort);
	moves->candidates[evidence] = NULL;
	return code;
}

static int add_kept(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	uint64_t size = moves->kept ? fsmeta_spool_size(moves->kept) : 0;
	int code = 0;

	for (uint64_t at = 0; at < size && !code;) {
		struct candidate candidate = {.side = FSMETA_MOVES_BOTH};
		uint64_t key[2];

		code = fsmeta_spool_read(moves->kept, at, key, sizeof(key), error);
		candidate.key = key[0];
		candidate.check = key[1];
		if (!code)
			code = fsmeta_moves_add(&moves->candidates[FSMETA_MOVES_BY_LINK],
			    &candidate, sizeof(candidate), error);
		at += sizeof(key);
	}
	return code;
}

/** The links of one inode that came or went: their ordinals. */
static void end_links(
    struct fsmeta_moves *moves, const struct group *group, const struct fsmeta_buffer *members)
{
	const uint64_t *ordinals = (const uint64_t *)(const void *)members->data;
	bool may_have_stayed =
	    moves->has_unread && group->counts[FSMETA_MOVES_OLDER] < group->most_links;

	if (!group->counts[FSMETA_MOVES_BOTH] && !may_have_stayed)
		return;
	for (size_t i = 0; i < members->length / sizeof(*ordinals); i++)
		fsmeta_moves_set_bit(moves->barred, ordinals[i]);
}

static int take_link(struct group *group, struct fsmeta_buffer *members,
    const struct candidate *candidate, struct fsmeta_error *error)
{
	group->counts[candidate->side]++;
	if (candidate->side == FSMETA_MOVES_BOTH)
		return 0;
	if (candidate->side == FSMETA_MOVES_OLDER && candidate->value > group->most_links)
		group->most_links = candidate->value;
	return fsmeta_buffer_append(members, &candidate->ordinal, sizeof(candidate->ordinal))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

/** Bars what has a link that stayed; or may have, where not everything was read. */
static int bar_links(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	int code = moves->candidates[FSMETA_MOVES_BY_LINK] ? add_kept(moves, error) : 0;
	struct fsmeta_sort *sort = moves->candidates[FSMETA_MOVES_BY_LINK];
	struct fsmeta_buffer members = {0};
	struct group group = {0};
	const void *record;

	if (!code && sort)
		code = fsmeta_sort_finish(sort, error);
	while (sort && !code && (code = fsmeta_sort_next(sort, &record, error)) > 0) {
		const struct candidate *candidate = record;

		if (candidate->key != group.key) {
			end_links(moves, &group, &members);
			group = (struct group){.key = candidate->key};
			fsmeta_buffer_clear(&members);
		}
		code = take_link(&group, &members, candidate, error);
	}
	end_links(moves, &group, &members);
	fsmeta_buffer_release(&members);
	fsmeta_sort_free(sort);
	moves->candidates[FSMETA_MOVES_BY_LINK] = NULL;
	return code;
}

/* ---- all together -------------------------------------------------------------------- */

static int make_bits(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	size_t bytes = (size_t)(fsmeta_change_spool_count(moves->spool) / 8) + 1;

	moves->taken = calloc(1, bytes);
	moves->barred = calloc(1, bytes);
	return moves->taken && moves->barred ? 0 : fsmeta_error_set_memory(error, action);
}

int fsmeta_moves_pair(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	int code = make_bits(moves, error);

	for (size_t i = 0; i < FSMETA_MOVES_FOLDER_EVIDENCE_COUNT && !code; i++)
		code = pair_folders_by(moves, i, error);
	if (!code && moves->halves)
		code = fsmeta_sort_finish(moves->halves, error);
	if (!code)
		code = walk_all(moves, error);
	if (!code)
		code = bar_links(moves, error);
	for (enum fsmeta_moves_evidence evidence = FSMETA_MOVES_BY_PLACE;
	     evidence < FSMETA_MOVES_BY_LINK && !code; evidence++)
		code = pair_by(moves, evidence, error);
	if (!code && moves->outcomes)
		code = fsmeta_sort_finish(moves->outcomes, error);
	return code;
}
