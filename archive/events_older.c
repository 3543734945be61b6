/*
 * The older side, read alongside the changes: what stayed says what a change means.  Only what can
 * say something is read:
 *
 *     cameras/
 *       cam1/    1  2  .  .  .  .  .  7  8  M  10 .  .  .     one piece changed
 *                ^     ----- leap ----^  ^     ^  --- cut
 *                first that stayed    |        the piece behind
 *                                     what could reach into the changed one
 *       cam2/    .  .  .                                      nothing changed: stepped over
 *       cam3/    1  2  3  4  5  6  A  A                       a piece that came: the pause in front
 *                                                             of it has to be known, all is read
 *
 * Names of pieces begin with their time, so where to go on is computed.  What lies in front of it
 * is not looked at, whether the cursor leaps or has to read it: so the same is said of a live tree,
 * a stream and a database.
 */
#include "archive/events_inside.h"

#include "archive/names.h"
#include "base/path.h"

#include <inttypes.h>

/** A piece that began so long ago does not reach another one, nor is the pause short. */
#define REACH_US (FSMETA_PIECE_CLOSED_US + FSMETA_PIECE_GAP_US)

static const char action[] = "telling events of archives";

/* ---- where to go on ---- */

/** In front of where to go on. */
static bool is_passed(struct fsmeta_archive_events *events, const struct fsmeta_entry *entry)
{
	const struct fsmeta_buffer *target = &events->target;

	if (!target->length || fsmeta_path_compare(entry->path, entry->path_length,
				   (const char *)target->data, target->length) < 0)
		return target->length != 0;
	fsmeta_buffer_clear(&events->target);
	return false;
}

/** Leaves out what is in front of `path`; 1 where the cursor did so itself. */
static int leap_to(struct fsmeta_archive_events *events, struct fsmeta_events_path path,
    struct fsmeta_error *error)
{
	fsmeta_buffer_clear(&events->target);
	if (fsmeta_buffer_append(&events->target, path.bytes, path.length))
		return fsmeta_error_set_memory(error, action);
	return fsmeta_cursor_leap(events->older, path.bytes, path.length, error);
}

/**
 * Leaves out what lies at `depth` and below, and what else comes that is not read.  `around` is the
 * innermost folder that was not left.
 */
static int leave_out(struct fsmeta_archive_events *events, const struct fsmeta_entry *entry,
    struct fsmeta_events_path around, uint32_t depth, struct fsmeta_error *error)
{
	struct fsmeta_events_path path;
	int code = 0;

	switch (fsmeta_events_next_place(&path, events, entry, around)) {
	case FSMETA_EVENTS_NEAR:
		break;
	case FSMETA_EVENTS_FAR:
		code = leap_to(events, path, error);
		break;
	case FSMETA_EVENTS_NOTHING:
		depth = 0;
		break;
	}
	if (!code)
		code = fsmeta_cursor_skip(events->older, depth, error);
	return code < 0 ? code : 0;
}

/** Steps over a folder that is not read, and over the files of one that is only on the way. */
static int pass_folder(struct fsmeta_archive_events *events, const struct fsmeta_entry *folder,
    struct fsmeta_error *error)
{
	struct fsmeta_events_path here = {folder->path, folder->path_length}, path;
	int code = 0;

	if (!here.length || fsmeta_events_enters(events, folder)) {
		if (fsmeta_events_next_place(&path, events, folder, here) == FSMETA_EVENTS_FAR)
			code = leap_to(events, path, error);
		return code < 0 ? code : 0;
	}
	return leave_out(events, folder, fsmeta_events_parent_of(here.bytes, here.length),
	    folder->depth + 1, error);
}

static int step_older(struct fsmeta_archive_events *events, struct fsmeta_error *error)
{
	int code = fsmeta_cursor_next(events->older, &events->current, error);

	events->has_begun = true;
	if (code <= 0)
		events->current = NULL;
	return code < 0 ? code : 0;
}

/* ---- within a folder ---- */

static bool is_same_path(struct fsmeta_events_path a, struct fsmeta_events_path b)
{
	return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

/** Where pieces of several layouts lie in a folder, which one claims it is told by all of them. */
static bool is_mixed(const struct fsmeta_events_folder *folder, enum fsmeta_layout layout)
{
	for (int i = FSMETA_LAYOUT_FSV; i <= FSMETA_LAYOUT_FRAMES; i++)
		if (i != (int)layout && folder->evidence[i])
			return true;
	return false;
}

/** Nothing awaits what follows, and how far the folder reaches does not matter. */
static bool is_settled(
    const struct fsmeta_archive_events *events, const struct fsmeta_events_item *item)
{
	const struct fsmeta_events_folder *folder = &events->folders[events->open_count - 1];
	struct fsmeta_events_path path = item->folder;

	if (item->name.layout == FSMETA_LAYOUT_RECORDING || folder->piece.changes ||
	    !folder->has_newer[0] || folder->changed_run != NO_RUN || folder->late_run != NO_RUN ||
	    (folder->is_open && folder->open_run != NO_RUN) || is_mixed(folder, item->name.layout))
		return false;
	return !events->parents.length ||
	       (!fsmeta_events_reads_all_in(events, path) &&
		   !fsmeta_events_reads_all_in(
		       events, fsmeta_events_parent_of(path.bytes, path.length)));
}

/**
 * Nothing changed in the rest of the folder, and nothing in it could say more of what did: but how
 * far it reaches, which only matters where recorders were at work.
 */
static bool has_enough(
    const struct fsmeta_events_item *item, const struct fsmeta_events_coming *next)
{
	const struct fsmeta_entry *up_to = next ? next->item->entry : NULL;

	return !(up_to && fsmeta_path_is_within(up_to->path, up_to->path_length, item->folder.bytes,
			      item->folder.length));
}

/** Appends a name in front of all that the change is judged by; false where there is none. */
static bool append_target(struct fsmeta_buffer *out, const struct fsmeta_events_coming *next)
{
	const struct fsmeta_entry *entry = next->item->entry;
	const struct fsmeta_piece_name *name = &next->item->name;
	uint64_t start, reach = (uint64_t)REACH_US / 1000;
	size_t before = out->length;
	size_t digits = fsmeta_names_number(&start, entry->name, entry->name_length);

	/* A frame is judged by itself. */
	if (name->layout == FSMETA_LAYOUT_FRAMES)
		return fsmeta_buffer_append(out, entry->name, name->stem_length) == 0;
	if ((int64_t)start == name->start_us / FSMETA_PIECE_SECOND_US)
		reach /= 1000;
	/* Among names of other widths the order is not that of time. */
	return start > reach && fsmeta_buffer_append_format(out, "%" PRIu64, start - reach) == 0 &&
	       out->length - before == digits;
}

/** Whether what lies between a file that stayed and the next change says nothing of it. */
static bool may_leap(const struct fsmeta_archive_events *events,
    const struct fsmeta_events_item *item, const struct fsmeta_events_coming *next)
{
	const struct fsmeta_events_folder *folder = &events->folders[events->open_count - 1];

	if (!next || !is_same_path(next->item->folder, item->folder) ||
	    next->item->name.layout != item->name.layout)
		return false;
	if (item->name.layout == FSMETA_LAYOUT_FRAMES)
		return item->name.start_us < next->item->name.start_us;
	return !next->is_added && folder->has_survivor &&
	       item->name.start_us < next->item->name.start_us - REACH_US;
}

/** Goes on where the next change in the folder is near. */
static int leap_within(struct fsmeta_archive_events *events, const struct fsmeta_events_item *item,
    const struct fsmeta_events_coming *next, struct fsmeta_error *error)
{
	struct fsmeta_buffer target = {0};
	struct fsmeta_events_path path;
	bool is_named;
	int code = 0;

	if (item->folder.length &&
	    (fsmeta_buffer_append(&target, item->folder.bytes, item->folder.length) ||
		fsmeta_buffer_append_byte(&target, '/')))
		code = FSMETA_E_MEMORY;
	is_named = !code && append_target(&target, next);
	path = (struct fsmeta_events_path){(const char *)target.data, target.length};
	if (is_named && fsmeta_path_compare(item->entry->path, item->entry->path_length, path.bytes,
			    path.length) < 0) {
		fsmeta_events_leave_piece(events);
		code = leap_to(events, path, error);
	}
	fsmeta_buffer_release(&target);
	return code < 0 ? code : 0;
}

/** Takes a file that stayed, and steps over what says nothing behind it. */
static int take_kept(struct fsmeta_archive_events *events, const struct fsmeta_events_item *item,
    const struct fsmeta_events_coming *next, struct fsmeta_error *error)
{
	struct fsmeta_events_piece *piece;
	bool is_enough;

	if (fsmeta_events_take_file(events, item, item->entry, item->entry, &piece))
		return fsmeta_error_set_memory(error, action);
	is_enough = has_enough(item, next);
	if ((!is_enough && !may_leap(events, item, next)) || !is_settled(events, item))
		return 0;
	if (!is_enough)
		return leap_within(events, item, next, error);
	fsmeta_events_leave_piece(events);
	return leave_out(events, item->entry,
	    fsmeta_events_parent_of(item->folder.bytes, item->folder.length), item->entry->depth,
	    error);
}

int fsmeta_events_read_older(struct fsmeta_archive_events *events,
    const struct fsmeta_events_coming *next, struct fsmeta_error *error)
{
	const struct fsmeta_entry *up_to = next ? next->item->entry : NULL;
	int code = events->has_begun ? 0 : step_older(events, error);

	while (!code && events->current) {
		const struct fsmeta_entry *entry = events->current;
		int order = up_to ? fsmeta_path_compare(entry->path, entry->path_length,
					up_to->path, up_to->path_length)
				  : -1;
		struct fsmeta_events_item item;

		if (order > 0)
			break;
		if (entry->type == FSMETA_TYPE_FOLDER)
			code = pass_folder(events, entry, error);
		else if (order < 0 && !is_passed(events, entry) &&
			 fsmeta_events_recognise(&item, entry))
			code = take_kept(events, &item, next, error);
		if (!code)
			code = step_older(events, error);
	}
	return code;
}
