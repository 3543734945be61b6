/*
 * The changes, anew: step 4 of the essay on top of moves.c.
 *
 * Records come in their order; halves and outcomes are gone along with.  A stack of open folders
 * for each side says in what a record lies: in one that came or went as a whole, that moved, or
 * that went along.  What it counts is known when it is left, and then amended in the spool.
 */
#include "diff/moves_parts.h"

#include <stdlib.h>
#include <string.h>

static const char action[] = "looking for moves";

enum {
	PICK_AHEAD_BYTES = 4 << 10,
};

enum frame_state {
	/** Came or went. */
	FRAME_WHOLE,
	/** Moved. */
	FRAME_MOVED,
	/** Went along with a folder that moved. */
	FRAME_ALONG,
	/** Of the older side: it is carried, the newer side could not look. */
	FRAME_CARRIED,
};

struct frame {
	enum frame_state state;
	uint32_t depth;
	/** Its change in the new spool; 0 and no change where it has none. */
	bool has_change;
	uint64_t place;
	uint32_t flags;
	uint64_t entries;
	uint64_t bytes;
	/** What hides things below it, from 1; 0 = nothing does. */
	size_t hidden;
};

struct rewrite {
	struct fsmeta_moves *moves;
	struct fsmeta_change_spool *out;
	struct fsmeta_diff_counts *counts;
	struct fsmeta_change_reader *reader;
	/** For older halves. */
	struct fsmeta_change_reader *picker;
	struct fsmeta_moves_track halves;
	struct fsmeta_moves_track outcomes;
	/** Folders of either side, the outermost first. */
	struct fsmeta_buffer stacks[2];
	struct fsmeta_error *error;
};

static struct frame *top_of(struct fsmeta_buffer *stack)
{
	size_t count = stack->length / sizeof(struct frame);

	return count ? (struct frame *)(void *)stack->data + count - 1 : NULL;
}

static uint64_t file_bytes(const struct fsmeta_entry *entry)
{
	return entry->type == FSMETA_TYPE_FILE ? entry->size : 0;
}

static void count_change(struct rewrite *rewrite, const struct fsmeta_change *change)
{
	struct fsmeta_diff_counts *counts = rewrite->counts;

	counts->kinds[change->kind]++;
	if (change->flags & FSMETA_CHANGE_CONTINUED)
		counts->continued++;
	if (change->kind == FSMETA_CHANGE_ADDED)
		counts->bytes_added += file_bytes(change->after);
	if (change->kind == FSMETA_CHANGE_REMOVED)
		counts->bytes_removed += file_bytes(change->before);
}

static int put_change(struct rewrite *rewrite, const struct fsmeta_change *change, uint64_t *place)
{
	count_change(rewrite, change);
	return fsmeta_change_spool_append(rewrite->out, change, place, rewrite->error);
}

/** Whether what is in a folder of this state counts for it, if its own is the other. */
static bool counts_for(enum frame_state folder, enum frame_state entry)
{
	if (entry == FRAME_ALONG)
		return folder == FRAME_MOVED || folder == FRAME_ALONG;
	return entry == FRAME_WHOLE && folder == FRAME_WHOLE;
}

static void count_in(
    struct fsmeta_buffer *stack, enum frame_state state, uint64_t entries, uint64_t bytes)
{
	struct frame *top = top_of(stack);

	if (!top || !counts_for(top->state, state))
		return;
	top->entries += entries;
	top->bytes += bytes;
}

static int close_top(struct rewrite *rewrite, struct fsmeta_buffer *stack)
{
	struct frame frame = *top_of(stack);

	stack->length -= sizeof(frame);
	count_in(stack, frame.state, frame.entries, frame.bytes);
	if (!frame.has_change || !frame.entries)
		return 0;
	return fsmeta_change_spool_amend(
	    rewrite->out, frame.place, frame.flags, frame.entries, frame.bytes, rewrite->error);
}

static int close_all(struct rewrite *rewrite, struct fsmeta_buffer *stack)
{
	int code = 0;

	while (!code && top_of(stack))
		code = close_top(rewrite, stack);
	return code;
}

static int leave_frames(
    struct rewrite *rewrite, struct fsmeta_buffer *stack, const struct fsmeta_change *change)
{
	uint32_t depth = fsmeta_change_entry(change)->depth;
	int code = 0;

	if (!(change->flags & FSMETA_CHANGE_INSIDE))
		return close_all(rewrite, stack);
	while (!code && top_of(stack) && top_of(stack)->depth >= depth)
		code = close_top(rewrite, stack);
	return code;
}

static int push_frame(struct rewrite *rewrite, struct fsmeta_buffer *stack,
    const struct fsmeta_entry *entry, const struct frame *frame)
{
	struct frame pushed = *frame;

	if (entry->type != FSMETA_TYPE_FOLDER)
		return 0;
	pushed.depth = entry->depth;
	return fsmeta_buffer_append(stack, &pushed, sizeof(pushed))
		   ? fsmeta_error_set_memory(rewrite->error, action)
		   : 0;
}

/* What hides. */

static struct fsmeta_moves_hidden *hidden_at(const struct fsmeta_moves *moves, size_t number)
{
	return (struct fsmeta_moves_hidden *)(void *)moves->hidden.data + number - 1;
}

static int compare_hidden(const void *a, const void *b)
{
	const struct fsmeta_moves_hidden *x = a, *y = b;

	return (x->older_ordinal > y->older_ordinal) - (x->older_ordinal < y->older_ordinal);
}

static void sort_hidden(struct fsmeta_moves *moves)
{
	if (moves->hidden.length)
		qsort(moves->hidden.data, moves->hidden.length / sizeof(struct fsmeta_moves_hidden),
		    sizeof(struct fsmeta_moves_hidden), compare_hidden);
}

/** Number of what the folder hides that was the record `ordinal`, 0 = it hides nothing. */
static size_t find_hidden(const struct fsmeta_moves *moves, uint64_t ordinal)
{
	const struct fsmeta_moves_hidden key = {.older_ordinal = ordinal};
	const struct fsmeta_moves_hidden *found = NULL;

	if (moves->hidden.length)
		found = bsearch(&key, moves->hidden.data,
		    moves->hidden.length / sizeof(struct fsmeta_moves_hidden),
		    sizeof(struct fsmeta_moves_hidden), compare_hidden);
	return found ? (size_t)(found -
				(const struct fsmeta_moves_hidden *)(void *)moves->hidden.data) +
			   1
		     : 0;
}

static void count_hidden(
    struct fsmeta_moves_hidden *hidden, const struct fsmeta_entry *entry, bool was_known)
{
	hidden->entries++;
	hidden->bytes += file_bytes(entry);
	hidden->lost_sight |= was_known;
}

/** As the merge tells of a folder that both sides have and that hides something. */
static int put_hiding(struct rewrite *rewrite, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, size_t number)
{
	struct fsmeta_moves_hidden *hidden = hidden_at(rewrite->moves, number);
	struct fsmeta_change change = {
	    .kind = fsmeta_hiding_kind(after), .before = before, .after = after};

	if (fsmeta_hiding_kind(before) == change.kind && before->error == after->error)
		change.flags = FSMETA_CHANGE_CONTINUED;
	hidden->is_written = true;
	hidden->kind = change.kind;
	hidden->flags = change.flags;
	/* Counted when it is known whether it stays. */
	return fsmeta_change_spool_append(rewrite->out, &change, &hidden->place, rewrite->error);
}

static int settle_hidden(struct rewrite *rewrite, const struct fsmeta_moves_hidden *hidden)
{
	struct fsmeta_diff_counts *counts = rewrite->counts;
	uint32_t flags = hidden->flags;

	if (!hidden->is_written)
		return 0;
	if (hidden->kind == FSMETA_CHANGE_UNKNOWN && !hidden->entries)
		return fsmeta_change_spool_drop(rewrite->out, hidden->place, rewrite->error);
	if (hidden->entries && !hidden->lost_sight)
		flags |= FSMETA_CHANGE_CONTINUED;
	counts->kinds[hidden->kind]++;
	counts->continued += (flags & FSMETA_CHANGE_CONTINUED) != 0;
	return fsmeta_change_spool_amend(
	    rewrite->out, hidden->place, flags, hidden->entries, hidden->bytes, rewrite->error);
}

static int settle_all_hidden(struct rewrite *rewrite)
{
	size_t count = rewrite->moves->hidden.length / sizeof(struct fsmeta_moves_hidden);
	int code = 0;

	for (size_t number = 1; number <= count && !code; number++)
		code = settle_hidden(rewrite, hidden_at(rewrite->moves, number));
	return code;
}

/* What went. */

static int rewrite_older(struct rewrite *rewrite, const struct fsmeta_change *change,
    uint64_t ordinal, const struct fsmeta_moves_half *half)
{
	struct fsmeta_moves *moves = rewrite->moves;
	struct fsmeta_buffer *stack = &rewrite->stacks[FSMETA_MOVES_OLDER];
	const struct fsmeta_entry *entry = change->before;
	struct fsmeta_change out = *change;
	struct frame frame = {.state = FRAME_WHOLE};
	const struct frame *top = top_of(stack);
	int code;

	if (half && half->is_same) {
		fsmeta_change_reader_seek(rewrite->reader, half->end_place, half->end_ordinal);
		return 0;
	}
	if (fsmeta_moves_has_bit(moves->taken, ordinal)) {
		frame.state = FRAME_ALONG;
		frame.hidden = find_hidden(moves, ordinal);
		return push_frame(rewrite, stack, entry, &frame);
	}
	/* It is not there, but who could tell? */
	if (top && top->hidden && !moves->compare->b_is_state) {
		frame.state = FRAME_CARRIED;
		frame.hidden = top->hidden;
		count_hidden(hidden_at(moves, top->hidden), entry, !entry->unknown_since);
		return push_frame(rewrite, stack, entry, &frame);
	}
	out.flags &= ~(uint32_t)FSMETA_CHANGE_INSIDE;
	if (top && top->state == FRAME_WHOLE)
		out.flags |= FSMETA_CHANGE_INSIDE;
	out.entries = 0;
	out.bytes = 0;
	count_in(stack, FRAME_WHOLE, 1, file_bytes(entry));
	code = put_change(rewrite, &out, &frame.place);
	frame.has_change = true;
	frame.flags = out.flags;
	return code ? code : push_frame(rewrite, stack, entry, &frame);
}

/* What came. */

/** An entry that has an older half somewhere else. */
static int rewrite_arrival(struct rewrite *rewrite, const struct fsmeta_entry *after,
    const struct fsmeta_moves_outcome *outcome, const struct fsmeta_moves_half *half,
    struct frame *frame)
{
	const struct fsmeta_change *older;
	struct fsmeta_change out = {.kind = FSMETA_CHANGE_MODIFIED};
	struct fsmeta_compared compared;
	int code = fsmeta_change_reader_at(rewrite->picker, outcome->place, &older, rewrite->error);

	if (code)
		return code;
	fsmeta_compare_pair(&compared, rewrite->moves->compare, older->before, after);
	out.before = older->before;
	out.after = compared.after;
	out.fields = compared.fields;
	if (outcome->is_move) {
		out.kind = FSMETA_CHANGE_MOVED;
		if (half && half->is_same) {
			out.entries = half->entries;
			out.bytes = half->bytes;
		}
	} else if (compared.is_corrupted) {
		out.kind = FSMETA_CHANGE_CORRUPTED;
	}
	if (outcome->is_move || out.fields) {
		code = put_change(rewrite, &out, &frame->place);
		frame->has_change = outcome->is_move;
	}
	frame->hidden = find_hidden(rewrite->moves, outcome->older_ordinal);
	if (!code && frame->hidden)
		code = put_hiding(rewrite, out.before, out.after, frame->hidden);
	return code;
}

static int rewrite_taken(struct rewrite *rewrite, const struct fsmeta_entry *after,
    const struct fsmeta_moves_outcome *outcome, const struct fsmeta_moves_half *half)
{
	struct fsmeta_buffer *stack = &rewrite->stacks[FSMETA_MOVES_NEWER];
	struct frame frame = {.state = FRAME_ALONG};
	bool jumps = half && half->is_same;
	int code = 0;

	if (outcome && outcome->is_move)
		frame.state = FRAME_MOVED;
	else
		count_in(stack, FRAME_ALONG, 1 + (jumps ? half->entries : 0),
		    file_bytes(after) + (jumps ? half->bytes : 0));
	if (outcome)
		code = rewrite_arrival(rewrite, after, outcome, half, &frame);
	if (code)
		return code;
	if (!jumps)
		return push_frame(rewrite, stack, after, &frame);
	fsmeta_change_reader_seek(rewrite->reader, half->end_place, half->end_ordinal);
	return 0;
}

/** A state shows what it carries: counted with what hides it. */
static void count_shown(struct rewrite *rewrite, const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *stack = &rewrite->stacks[FSMETA_MOVES_NEWER];
	size_t at = stack->length / sizeof(struct frame);
	const struct frame *frames = (const struct frame *)(const void *)stack->data;

	if (!entry->unknown_since || !rewrite->moves->compare->b_is_state)
		return;
	while (at && !frames[at - 1].hidden)
		at--;
	if (at)
		count_hidden(hidden_at(rewrite->moves, frames[at - 1].hidden), entry, true);
}

static int rewrite_newer(struct rewrite *rewrite, const struct fsmeta_change *change,
    uint64_t ordinal, const struct fsmeta_moves_half *half)
{
	struct fsmeta_buffer *stack = &rewrite->stacks[FSMETA_MOVES_NEWER];
	const struct fsmeta_entry *entry = change->after;
	struct fsmeta_change out = *change;
	struct frame frame = {.state = FRAME_WHOLE, .has_change = true};
	const struct frame *top = top_of(stack);
	const void *outcome;
	int code = fsmeta_moves_track_to(&rewrite->outcomes, ordinal, &outcome, rewrite->error);

	if (code)
		return code;
	count_shown(rewrite, entry);
	if (fsmeta_moves_has_bit(rewrite->moves->taken, ordinal))
		return rewrite_taken(rewrite, entry, outcome, half);
	out.flags &= ~(uint32_t)FSMETA_CHANGE_INSIDE;
	if (top && top->state == FRAME_WHOLE)
		out.flags |= FSMETA_CHANGE_INSIDE;
	out.entries = 0;
	out.bytes = 0;
	count_in(stack, FRAME_WHOLE, 1, file_bytes(entry));
	code = put_change(rewrite, &out, &frame.place);
	frame.flags = out.flags;
	return code ? code : push_frame(rewrite, stack, entry, &frame);
}

static int rewrite_record(struct rewrite *rewrite, const struct fsmeta_change *change)
{
	enum fsmeta_moves_side side =
	    change->kind == FSMETA_CHANGE_REMOVED ? FSMETA_MOVES_OLDER : FSMETA_MOVES_NEWER;
	const void *half;
	uint64_t ordinal;
	int code;

	if (!fsmeta_moves_came_or_went(change))
		return put_change(rewrite, change, NULL);
	fsmeta_change_reader_place(rewrite->reader, &ordinal);
	code = leave_frames(rewrite, &rewrite->stacks[side], change);
	if (!code)
		code = fsmeta_moves_track_to(&rewrite->halves, ordinal, &half, rewrite->error);
	if (code)
		return code;
	return side == FSMETA_MOVES_OLDER ? rewrite_older(rewrite, change, ordinal, half)
					  : rewrite_newer(rewrite, change, ordinal, half);
}

static int rewrite_all(struct rewrite *rewrite)
{
	const struct fsmeta_change *change;
	int code = 0;

	while ((code = fsmeta_change_reader_next(rewrite->reader, &change, rewrite->error)) > 0) {
		code = fsmeta_moves_check_stop(rewrite->moves, rewrite->error);
		if (code)
			return code;
		if (fsmeta_change_reader_dropped(rewrite->reader))
			continue;
		code = rewrite_record(rewrite, change);
		if (code)
			return code;
	}
	if (!code)
		code = close_all(rewrite, &rewrite->stacks[FSMETA_MOVES_OLDER]);
	if (!code)
		code = close_all(rewrite, &rewrite->stacks[FSMETA_MOVES_NEWER]);
	return code ? code : settle_all_hidden(rewrite);
}

static int begin_track(
    struct fsmeta_moves_track *track, struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	*track = (struct fsmeta_moves_track){.sort = sort};
	return sort ? fsmeta_sort_rewind(sort, error) : 0;
}

int fsmeta_moves_write(struct fsmeta_change_spool **out, struct fsmeta_moves *moves,
    struct fsmeta_diff_counts *counts, struct fsmeta_error *error)
{
	struct rewrite rewrite = {.moves = moves, .counts = counts, .error = error};
	int code =
	    fsmeta_change_spool_new(&rewrite.out, moves->compare->options->spool_bytes, error);

	memset(counts->kinds, 0, sizeof(counts->kinds));
	counts->continued = 0;
	counts->bytes_added = 0;
	counts->bytes_removed = 0;
	sort_hidden(moves);
	if (!code)
		code = fsmeta_change_reader_new(
		    &rewrite.reader, moves->spool, FSMETA_MOVES_AHEAD_BYTES, error);
	if (!code)
		code = fsmeta_change_reader_new(
		    &rewrite.picker, moves->spool, PICK_AHEAD_BYTES, error);
	if (!code)
		code = begin_track(&rewrite.halves, moves->halves, error);
	if (!code)
		code = begin_track(&rewrite.outcomes, moves->outcomes, error);
	if (!code)
		code = rewrite_all(&rewrite);
	fsmeta_buffer_release(&rewrite.stacks[FSMETA_MOVES_OLDER]);
	fsmeta_buffer_release(&rewrite.stacks[FSMETA_MOVES_NEWER]);
	fsmeta_change_reader_free(rewrite.reader);
	fsmeta_change_reader_free(rewrite.picker);
	if (code) {
		fsmeta_change_spool_free(rewrite.out);
		rewrite.out = NULL;
	}
	*out = rewrite.out;
	return code;
}
