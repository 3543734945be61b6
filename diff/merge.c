/*
 * The merge join.
 *
 * Both cursors yield canonical order, so walking them side by side and always
 * taking the smaller entry meets every path once, in order.
 *
 *     A   .  cam1  cam1/a  cam1/b        cam2          old  old/x  old/y
 *     B   .  cam1  cam1/a          cam1/c      cam2/a
 *         =   =      =     removed  added  …
 *
 * Which is smaller?  Not a whole path needs to be looked at.  Let P be the path
 * that was taken last, from one side or from both, and let a and b be what the
 * sides hold next.  Claim: the folder of a and the folder of b are both P or
 * ancestors of P.
 *
 *   - A side that has just given P: in canonical order whatever follows P is a
 *     child of P or of one of P's ancestors.
 *   - A side that has not, say b stays while a is taken and becomes P: then a was
 *     smaller.  Either both were children of one folder, and b's folder is an
 *     ancestor of P = a.  Or a was deeper, and b's folder was an ancestor of a's.
 *     (Skipped entries change nothing: what is left is still such a sequence.)
 *
 * So a's and b's ancestors down to the shallower of the two are the same folders.
 * Equal depth: same folder, and names decide.  Different depth, a deeper, say: b
 * and an ancestor-or-self p of P are children of the same folder, a lies below p,
 * and b comes behind p because it comes behind P.  So a, which is below p, is
 * smaller: the deeper one comes first.
 *
 * What is open at any moment lies on one path, and is kept as a stack of frames,
 * closed as soon as an entry as shallow comes:
 *
 *     WHOLE   a folder that was added or removed.  What follows below it went
 *             with it: INSIDE, and counted.
 *     UNSEEN  a folder of both sides in which the newer side could not look, or one
 *             of the older side alone that the newer side's excludes leave out.
 *             What only the older side has below it is carried, and counted.
 *     SEEN    a folder of both sides that the newer side did list, although it
 *             lies in an UNSEEN one: absence below it is evidence again.
 *
 * Frames of other folders would carry nothing, so there are none; a tree in which
 * nothing happens keeps the stack empty.  A frame's change is already in the spool
 * when its totals become known; closing the frame amends it.
 *
 * Runs.  A token may be asked for only where the merge holds no look-ahead, since
 * it speaks of what the cursor yields next: right after an equal pair of folders,
 * and after any equal pair.  Two equal batches have the same first path, so no
 * WHOLE frame can be open across them in truth, and those that are on the stack
 * are closed.  An UNSEEN frame may be; the merge would not see where it ends, and
 * so does not ask while there is one.  None can begin inside a batch, since none is
 * offered that holds what opens one.
 *
 * Equal entries.  Two streams that share no batch still agree in most of their entries.  After
 * a pair, and with no frame open, the cursors are asked to pass over entries that are equal
 * and that the merge would do nothing about (fsmeta_cursor_pass_equal()).
 */
#include "diff/merge.h"

#include "base/path.h"
#include "diff/compare.h"
#include "format/scope.h"

#include <stdlib.h>

struct side {
	struct fsmeta_cursor *cursor;
	/** Look-ahead, *borrowed* from the cursor; NULL = none. */
	const struct fsmeta_entry *held;
	bool ended;
	/** Where its entries are counted. */
	uint64_t *yielded;
};

enum frame_kind {
	FRAME_WHOLE,
	FRAME_UNSEEN,
	FRAME_SEEN,
};

struct frame {
	enum frame_kind kind;
	enum fsmeta_change_kind change;
	/** Depth of the folder itself. */
	uint32_t depth;
	uint32_t change_flags;
	/** Its change in the spool; SEEN has none. */
	uint64_t place;
	uint64_t entries;
	uint64_t bytes;
	/** UNSEEN: the folder itself was not looked at either. */
	bool is_whole;
	/** UNSEEN: an entry below, or a whole one itself, was known on the older side until now. */
	bool lost_sight;
	/** WHOLE. */
	struct fsmeta_moves_folder moves;
};

struct merge {
	struct side a;
	struct side b;
	const struct fsmeta_diff_options *options;
	struct fsmeta_change_spool *spool;
	struct fsmeta_diff_counts *counts;
	struct fsmeta_error *error;

	struct frame *frames;
	size_t frame_count;
	size_t frame_capacity;
	/** How many of them are UNSEEN. */
	size_t unseen_frames;

	struct fsmeta_scope scope;
	struct fsmeta_compare *compare;
	/** NULL where nobody wants to know. */
	struct fsmeta_moves *moves;

	/** Both sides may offer runs that mean the same. */
	bool runs_comparable;
};

static const char action[] = "comparing";

/* ---- frames ----------------------------------------------------------- */

static struct frame *top_frame(struct merge *merge)
{
	return merge->frame_count ? &merge->frames[merge->frame_count - 1] : NULL;
}

static bool in_frame(struct merge *merge, enum frame_kind kind)
{
	struct frame *top = top_frame(merge);

	return top && top->kind == kind;
}

static int open_frame(struct merge *merge, const struct frame *frame)
{
	if (merge->frame_count == merge->frame_capacity) {
		size_t capacity = merge->frame_capacity ? merge->frame_capacity * 2 : 16;
		struct frame *frames =
		    reallocarray(merge->frames, capacity, sizeof(*merge->frames));

		if (!frames)
			return fsmeta_error_set_memory(merge->error, action);
		merge->frames = frames;
		merge->frame_capacity = capacity;
	}
	merge->frames[merge->frame_count++] = *frame;
	merge->unseen_frames += frame->kind == FRAME_UNSEEN;
	return 0;
}

static uint64_t file_bytes(const struct fsmeta_entry *entry)
{
	return entry->type == FSMETA_TYPE_FILE ? entry->size : 0;
}

static void count_change(struct merge *merge, enum fsmeta_change_kind kind, uint32_t flags)
{
	merge->counts->kinds[kind]++;
	if (flags & FSMETA_CHANGE_CONTINUED)
		merge->counts->continued++;
}

/** What the move pass is to know of the folder around; NULL where that is on both sides. */
static struct fsmeta_moves_folder *moves_parent(struct merge *merge)
{
	return in_frame(merge, FRAME_WHOLE) ? &top_frame(merge)->moves : NULL;
}

/** Its descendants are complete: they count for the folder around it as well. */
static int close_whole(struct merge *merge, struct frame *frame)
{
	int code = 0;

	if (in_frame(merge, FRAME_WHOLE)) {
		top_frame(merge)->entries += frame->entries;
		top_frame(merge)->bytes += frame->bytes;
	}
	if (merge->moves)
		code = fsmeta_moves_close_folder(merge->moves, &frame->moves, frame->entries,
		    frame->bytes, moves_parent(merge), merge->error);
	if (code || !frame->entries)
		return code;
	return fsmeta_change_spool_amend(merge->spool, frame->place, frame->change_flags,
	    frame->entries, frame->bytes, merge->error);
}

static int close_unseen(struct merge *merge, struct frame *frame)
{
	if (frame->change == FSMETA_CHANGE_UNKNOWN && !frame->entries && !frame->is_whole)
		return fsmeta_change_spool_drop(merge->spool, frame->place, merge->error);
	if ((frame->entries || frame->is_whole) && !frame->lost_sight)
		frame->change_flags |= FSMETA_CHANGE_CONTINUED;
	count_change(merge, frame->change, frame->change_flags);
	return fsmeta_change_spool_amend(merge->spool, frame->place, frame->change_flags,
	    frame->entries, frame->bytes, merge->error);
}

static int close_frame(struct merge *merge, struct frame *frame)
{
	switch (frame->kind) {
	case FRAME_WHOLE:
		return close_whole(merge, frame);
	case FRAME_UNSEEN:
		merge->unseen_frames--;
		return close_unseen(merge, frame);
	case FRAME_SEEN:
		return 0;
	}
	return 0;
}

/** Closes all frames of folders at `depth` or deeper. */
static int close_frames(struct merge *merge, uint32_t depth)
{
	while (merge->frame_count && top_frame(merge)->depth >= depth) {
		struct frame frame = *top_frame(merge);
		int code;

		merge->frame_count--;
		code = close_frame(merge, &frame);
		if (code)
			return code;
	}
	return 0;
}

/* ---- added and removed ------------------------------------------------ */

static void count_whole(
    struct merge *merge, enum fsmeta_change_kind kind, const struct fsmeta_entry *entry)
{
	uint64_t bytes = file_bytes(entry);

	count_change(merge, kind, 0);
	if (kind == FSMETA_CHANGE_ADDED)
		merge->counts->bytes_added += bytes;
	else
		merge->counts->bytes_removed += bytes;
	if (in_frame(merge, FRAME_WHOLE)) {
		top_frame(merge)->entries++;
		top_frame(merge)->bytes += bytes;
	}
}

/**
 * Writes the change of an entry that one side has alone; for a folder *frame is
 * what its descendants need, for anything else its depth is UINT32_MAX.
 */
static int write_whole(struct merge *merge, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, struct frame *frame)
{
	struct fsmeta_change change = {
	    .kind = kind,
	    .flags = in_frame(merge, FRAME_WHOLE) ? FSMETA_CHANGE_INSIDE : 0,
	    .before = kind == FSMETA_CHANGE_REMOVED ? entry : NULL,
	    .after = kind == FSMETA_CHANGE_ADDED ? entry : NULL,
	};

	*frame = (struct frame){
	    .kind = FRAME_WHOLE,
	    .change = kind,
	    .depth = entry->type == FSMETA_TYPE_FOLDER ? entry->depth : UINT32_MAX,
	    .change_flags = change.flags,
	};
	int code = 0;

	count_whole(merge, kind, entry);
	if (merge->moves)
		code = fsmeta_compare_refresh(merge->compare, merge->error);
	if (!code)
		code =
		    fsmeta_change_spool_append(merge->spool, &change, &frame->place, merge->error);
	if (!code && merge->moves)
		fsmeta_moves_whole(
		    merge->moves, kind, entry, frame->place, moves_parent(merge), &frame->moves);
	return code;
}

static int open_whole(struct merge *merge, const struct frame *frame)
{
	return frame->depth == UINT32_MAX ? 0 : open_frame(merge, frame);
}

static int take_whole(
    struct merge *merge, enum fsmeta_change_kind kind, const struct fsmeta_entry *entry)
{
	struct frame frame;
	int code = write_whole(merge, kind, entry, &frame);

	return code ? code : open_whole(merge, &frame);
}

/* ---- only one side has it --------------------------------------------- */

/** Counts an entry that `b` has not seen with the folder that hides it. */
static void count_unseen(struct frame *frame, const struct fsmeta_entry *entry, bool is_news)
{
	frame->entries++;
	frame->bytes += file_bytes(entry);
	frame->lost_sight |= is_news;
}

/** The folder that hides what `b` shows without having seen it; NULL where none does. */
static struct frame *hiding_frame(struct merge *merge)
{
	size_t at = merge->frame_count;

	if (!merge->unseen_frames)
		return NULL;
	while (at && merge->frames[at - 1].kind == FRAME_WHOLE)
		at--;
	return at && merge->frames[at - 1].kind == FRAME_UNSEEN ? &merge->frames[at - 1] : NULL;
}

/** Where `b` is a state, it also shows what it carries: `entry`, news to `a` or not. */
static void count_carried(struct merge *merge, const struct fsmeta_entry *entry, bool is_news)
{
	struct frame *frame = entry->unknown_since ? hiding_frame(merge) : NULL;

	if (frame)
		count_unseen(frame, entry, is_news);
}

/** Leaves out an entry that was not asked for, with all that is below it. */
static int carry(struct merge *merge, const struct fsmeta_entry *entry)
{
	if (merge->moves)
		fsmeta_moves_unread(merge->moves);
	if (entry->type != FSMETA_TYPE_FOLDER)
		return 0;
	return fsmeta_cursor_skip(merge->a.cursor, entry->depth + 1, merge->error);
}

/** Tells what `b` was told to leave out; what lies below it is counted with it. */
static int leave_out(struct merge *merge, const struct fsmeta_entry *entry)
{
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_UNKNOWN, .before = entry};
	struct frame frame = {
	    .kind = FRAME_UNSEEN,
	    .change = FSMETA_CHANGE_UNKNOWN,
	    .depth = entry->depth,
	    .is_whole = true,
	    .lost_sight = !entry->unknown_since,
	};
	int code;

	if (entry->unknown_since)
		change.flags = FSMETA_CHANGE_CONTINUED;
	code = fsmeta_change_spool_append(merge->spool, &change, &frame.place, merge->error);
	if (code)
		return code;
	if (entry->type == FSMETA_TYPE_FOLDER)
		return open_frame(merge, &frame);
	count_change(merge, change.kind, change.flags);
	return 0;
}

static int take_older(struct merge *merge)
{
	const struct fsmeta_entry *entry = merge->a.held;
	int code = close_frames(merge, entry->depth);

	merge->a.held = NULL;
	if (code)
		return code;
	/* What is below a folder that is gone is gone, asked for or not. */
	if (merge->compare->b_is_state || in_frame(merge, FRAME_WHOLE))
		return take_whole(merge, FSMETA_CHANGE_REMOVED, entry);
	if (in_frame(merge, FRAME_UNSEEN)) {
		count_unseen(top_frame(merge), entry, !entry->unknown_since);
		return merge->moves ? fsmeta_moves_kept(merge->moves, entry, NULL, merge->error)
				    : 0;
	}
	switch (fsmeta_scope_judge(
	    &merge->scope, entry->path, entry->path_length, entry->type == FSMETA_TYPE_FOLDER)) {
	case FSMETA_SCOPE_NOT_ASKED:
		return carry(merge, entry);
	case FSMETA_SCOPE_EXCLUDED:
		return leave_out(merge, entry);
	case FSMETA_SCOPE_LOOKED:
		break;
	}
	return take_whole(merge, FSMETA_CHANGE_REMOVED, entry);
}

static int take_newer(struct merge *merge)
{
	const struct fsmeta_entry *entry = merge->b.held;
	int code = close_frames(merge, entry->depth);

	merge->b.held = NULL;
	if (code)
		return code;
	count_carried(merge, entry, true);
	return take_whole(merge, FSMETA_CHANGE_ADDED, entry);
}

/* ---- both sides have it ----------------------------------------------- */

/** Same path, other type: what was there is removed, what is there is added. */
static int take_other_type(
    struct merge *merge, const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	struct frame removed, added;
	int code;

	count_carried(merge, after, true);
	code = write_whole(merge, FSMETA_CHANGE_REMOVED, before, &removed);

	if (!code)
		code = write_whole(merge, FSMETA_CHANGE_ADDED, after, &added);
	/* Both are folders only where ids are compared; nobody counts below both at once. */
	removed.moves.is_mixed = added.moves.is_mixed = before->type == after->type;
	if (!code)
		code = open_whole(merge, &removed);
	if (!code)
		code = open_whole(merge, &added);
	return code;
}

static int write_modified(
    struct merge *merge, const struct fsmeta_entry *before, const struct fsmeta_compared *compared)
{
	struct fsmeta_change change = {
	    .kind = compared->is_corrupted ? FSMETA_CHANGE_CORRUPTED : FSMETA_CHANGE_MODIFIED,
	    .before = before,
	    .after = compared->after,
	    .fields = compared->fields,
	};

	if (!change.fields)
		return 0;
	count_change(merge, change.kind, 0);
	return fsmeta_change_spool_append(merge->spool, &change, NULL, merge->error);
}

static int write_unseen(struct merge *merge, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	struct fsmeta_change change = {.kind = kind, .before = before, .after = after};
	struct frame frame = {.kind = FRAME_UNSEEN, .change = kind, .depth = after->depth};
	int code;

	if (fsmeta_hiding_kind(before) == kind && before->error == after->error)
		change.flags = FSMETA_CHANGE_CONTINUED;
	frame.change_flags = change.flags;
	code = fsmeta_change_spool_append(merge->spool, &change, &frame.place, merge->error);
	if (code)
		return code;
	if (after->type == FSMETA_TYPE_FOLDER)
		return open_frame(merge, &frame);
	count_change(merge, kind, change.flags);
	return 0;
}

/** Where a folder that was listed lies in one that was not, what it lacks is gone. */
static int open_seen(struct merge *merge, const struct fsmeta_entry *after)
{
	struct frame frame = {.kind = FRAME_SEEN, .depth = after->depth};

	if (after->type != FSMETA_TYPE_FOLDER || after->unknown_since ||
	    !in_frame(merge, FRAME_UNSEEN))
		return 0;
	return open_frame(merge, &frame);
}

/**
 * True where `b` is a state and shows `entry` although its own excludes left it out:
 * the topmost such place.
 */
static bool is_shown_unseen(struct merge *merge, const struct fsmeta_entry *entry)
{
	return merge->compare->b_is_state && entry->unknown_since && !hiding_frame(merge) &&
	       fsmeta_scope_judge(&merge->scope, entry->path, entry->path_length,
		   entry->type == FSMETA_TYPE_FOLDER) == FSMETA_SCOPE_EXCLUDED;
}

static int take_same_type(
    struct merge *merge, const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	enum fsmeta_change_kind hidden = fsmeta_hiding_kind(after);
	struct fsmeta_compared compared;
	int code = fsmeta_compare_refresh(merge->compare, merge->error);

	if (code)
		return code;
	count_carried(merge, after, !before->unknown_since);
	if (merge->moves)
		code = fsmeta_moves_kept(merge->moves, before, after, merge->error);
	if (code)
		return code;
	fsmeta_compare_pair(&compared, merge->compare, before, after);
	after = compared.after;
	code = write_modified(merge, before, &compared);
	if (code)
		return code;
	if (is_shown_unseen(merge, after))
		return leave_out(merge, before);
	if (hidden)
		return write_unseen(merge, hidden, before, after);
	return open_seen(merge, after);
}

/* ---- runs ------------------------------------------------------------- */

/**
 * Steps over a run of this kind on both sides where their tokens are equal:
 * 1 where it did, 0 where not.
 */
static int step_over(struct merge *merge, enum fsmeta_run_kind kind)
{
	struct fsmeta_run a, b;
	int code;

	if (!merge->runs_comparable)
		return 0;
	code = fsmeta_cursor_run(merge->a.cursor, kind, &a, merge->error);
	if (code == 1)
		code = fsmeta_cursor_run(merge->b.cursor, kind, &b, merge->error);
	if (code != 1 || !fsmeta_digest_equal(a.token, b.token))
		return code < 0 ? code : 0;
	code = fsmeta_cursor_step(merge->a.cursor, &a, merge->error);
	if (!code)
		code = fsmeta_cursor_step(merge->b.cursor, &b, merge->error);
	merge->counts->entries_stepped += a.entries ? a.entries : b.entries;
	if (merge->moves)
		fsmeta_moves_unread(merge->moves);
	merge->counts->runs_stepped++;
	return code ? code : 1;
}

/**
 * 1 where equal indices into the tables of file systems are equal devices, or devices are not
 * compared; 0 where not.  Tokens of sub-trees and batches hold indices, and rows of streams, too.
 */
static int devices_agree(struct merge *merge)
{
	int code = fsmeta_compare_refresh(merge->compare, merge->error);

	if (code)
		return code;
	return merge->compare->device_map_is_identity ||
	       !((merge->compare->folder_mask | merge->compare->other_mask) & FSMETA_FIELD_DEVICE);
}

/** Right after an equal pair of folders. */
static int step_into_folder(struct merge *merge, const struct fsmeta_entry *after)
{
	int code;

	if (!merge->runs_comparable || fsmeta_hiding_kind(after))
		return 0;
	code = devices_agree(merge);
	if (code == 1)
		code = step_over(merge, FSMETA_RUN_SUBTREE);
	/* This token names the files themselves, with the file systems that they lie on. */
	if (code == 0)
		code = step_over(merge, FSMETA_RUN_FILES);
	return code < 0 ? code : 0;
}

/** Between two entries, as long as batches are equal. */
static int step_over_batches(struct merge *merge)
{
	int code;

	if (!merge->runs_comparable || merge->a.held || merge->b.held || merge->unseen_frames)
		return 0;
	code = devices_agree(merge);
	while (code == 1) {
		code = step_over(merge, FSMETA_RUN_BATCH);
		if (code == 1 && merge->frame_count) {
			int closed = close_frames(merge, 0);

			code = closed ? closed : 1;
		}
	}
	return code;
}

/* ---- equal entries ---------------------------------------------------- */

/** Passes over what the cursors can see to be equal; it is neither told nor changes frames. */
static int pass_equal(struct merge *merge)
{
	uint64_t count;
	int code;

	if (merge->options->compare_ids || merge->a.held || merge->b.held || merge->frame_count)
		return 0;
	code = devices_agree(merge);
	if (code != 1)
		return code;
	code = fsmeta_cursor_pass_equal(
	    merge->a.cursor, merge->b.cursor, merge->compare->other_mask, &count, merge->error);
	*merge->a.yielded += count;
	*merge->b.yielded += count;
	return code;
}

/* ---- the walk --------------------------------------------------------- */

static int take_pair(struct merge *merge)
{
	const struct fsmeta_entry *before = merge->a.held, *after = merge->b.held;
	int code = close_frames(merge, after->depth);

	merge->a.held = NULL;
	merge->b.held = NULL;
	if (code)
		return code;
	/* Where the folder is another one, what is in it is so, too, even with the same id. */
	if (before->type != after->type || in_frame(merge, FRAME_WHOLE) ||
	    (merge->options->compare_ids && before->id != after->id))
		return take_other_type(merge, before, after);
	code = take_same_type(merge, before, after);
	if (!code && after->type == FSMETA_TYPE_FOLDER)
		code = step_into_folder(merge, after);
	return code;
}

/** <0 where the older side's entry comes first, >0 the newer one's, 0 same path. */
static int compare_held(const struct merge *merge)
{
	const struct fsmeta_entry *a = merge->a.held, *b = merge->b.held;

	if (!a || !b)
		return a ? -1 : 1;
	if (a->depth != b->depth)
		return a->depth > b->depth ? -1 : 1;
	return fsmeta_name_compare(a->name, a->name_length, b->name, b->name_length);
}

static int take_next(struct merge *merge)
{
	int order = compare_held(merge);

	if (order < 0)
		return take_older(merge);
	if (order > 0)
		return take_newer(merge);
	return take_pair(merge);
}

static int look_ahead(struct merge *merge, struct side *side)
{
	int code;

	if (side->held || side->ended)
		return 0;
	code = fsmeta_cursor_next(side->cursor, &side->held, merge->error);
	if (code == 1) {
		++*side->yielded;
		return 0;
	}
	side->held = NULL;
	side->ended = code == 0;
	return code;
}

static bool is_stopped(const struct merge *merge)
{
	return merge->options->stop && *merge->options->stop;
}

static int walk(struct merge *merge)
{
	for (;;) {
		int code;

		if (is_stopped(merge))
			return fsmeta_error_set(
			    merge->error, FSMETA_E_STOPPED, NULL, action, "stopped");
		code = step_over_batches(merge);
		if (!code)
			code = pass_equal(merge);
		if (!code)
			code = look_ahead(merge, &merge->a);
		if (!code)
			code = look_ahead(merge, &merge->b);
		if (code)
			return code;
		if (!merge->a.held && !merge->b.held)
			return close_frames(merge, 0);
		code = take_next(merge);
		if (code)
			return code;
	}
}

/* ---- setting out ------------------------------------------------------ */

static int init(struct merge *merge)
{
	const struct fsmeta_batch_source *b = merge->b.cursor->source;

	merge->runs_comparable = merge->a.cursor->operations->run &&
				 merge->b.cursor->operations->run &&
				 merge->a.cursor->source->field_mask == b->field_mask;
	if (fsmeta_scope_init(&merge->scope, b))
		return fsmeta_error_set_memory(merge->error, action);
	return 0;
}

int fsmeta_merge(struct fsmeta_change_spool *spool, struct fsmeta_diff_counts *counts,
    struct fsmeta_moves *moves, struct fsmeta_compare *compare, struct fsmeta_cursor *a,
    struct fsmeta_cursor *b, struct fsmeta_error *error)
{
	struct merge merge = {
	    .a = {.cursor = a, .yielded = &counts->entries_a},
	    .b = {.cursor = b, .yielded = &counts->entries_b},
	    .options = compare->options,
	    .spool = spool,
	    .counts = counts,
	    .compare = compare,
	    .moves = moves,
	    .error = error,
	};
	int code = init(&merge);

	if (!code)
		code = walk(&merge);
	fsmeta_scope_release(&merge.scope);
	free(merge.frames);
	return code;
}
