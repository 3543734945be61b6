/*
 * A folder as it comes: files make pieces, and a piece that ends is judged by those in front of it.
 * Folders that are open lie in each other, so they are a stack; runs are in the order of changes,
 * so a piece ends where a file of another folder comes.
 *
 * What is in a recording belongs to the folder around it, and yet the recording may hold pieces of
 * its own.  So where it is open the one around it is too, and files go to and fro between the two:
 *
 *     cam/rec_1/1700000000000.vidx      cam, cam/rec_1 ◄
 *     cam/rec_1/data.bin                cam ◄  cam/rec_1
 *     cam/rec_1/frame_000001.npy        cam, cam/rec_1 ◄
 */
#include "archive/events_inside.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

/** A crashed writer seals what it left when it opens the archive again, and then begins a piece. */
#define REOPENED_US (600 * FSMETA_PIECE_SECOND_US)
/** A writer closes a piece so soon after it began the next. */
#define JUST_BEGUN_US (60 * FSMETA_PIECE_SECOND_US)
/** An unfinished recording without data for so long is abandoned. */
#define ABANDONED_US (3600 * FSMETA_PIECE_SECOND_US)

bool fsmeta_events_recognise(struct fsmeta_events_item *out, const struct fsmeta_entry *entry)
{
	struct fsmeta_events_path folder, above;
	const char *name;

	if (entry->type != FSMETA_TYPE_FILE ||
	    !fsmeta_piece_parse(&out->name, entry->name, entry->name_length))
		return false;
	folder = fsmeta_events_folder_of(entry);
	out->entry = entry;
	out->folder = folder;
	out->stem = (struct fsmeta_events_path){entry->name, out->name.stem_length};
	if (out->name.layout != FSMETA_LAYOUT_RECORDING)
		return true;
	above = fsmeta_events_parent_of(folder.bytes, folder.length);
	name = folder.bytes + above.length + (above.length != 0);
	out->stem =
	    (struct fsmeta_events_path){name, folder.length - (size_t)(name - folder.bytes)};
	out->folder = above;
	return fsmeta_piece_is_recording_folder(out->stem.bytes, out->stem.length);
}
/* ---- stories and runs ---- */

static int begin_story(
    struct fsmeta_archive_events *events, struct fsmeta_events_folder *folder, bool recordings)
{
	struct fsmeta_archive_story story = {
	    .layout = recordings ? FSMETA_LAYOUT_RECORDING : FSMETA_LAYOUT_NONE,
	    .path = fsmeta_arena_copy(&events->arena, folder->path.data, folder->path.length),
	    .path_length = folder->path.length,
	    .oldest_us = UNKNOWN_US,
	    .newest_us = UNKNOWN_US,
	    .older_newest_us = UNKNOWN_US,
	};

	folder->stories[recordings] = (int64_t)fsmeta_events_count_stories(events);
	return story.path ? fsmeta_buffer_append(&events->stories, &story, sizeof(story))
			  : FSMETA_E_MEMORY;
}

void fsmeta_events_add_sum(struct fsmeta_archive_sum *to, const struct fsmeta_archive_sum *sum)
{
	if (!to->files || sum->from_us < to->from_us)
		to->from_us = sum->from_us;
	if (!to->files || sum->to_us > to->to_us)
		to->to_us = sum->to_us;
	to->pieces += sum->pieces;
	to->files += sum->files;
	to->folders += sum->folders;
	to->bytes += sum->bytes;
	to->covered_us += sum->covered_us;
}

/** Adds a piece's changes to the last run or begins another; *at = which. */
static int add_run(struct fsmeta_archive_events *events, size_t *at,
    const struct fsmeta_events_folder *folder, const struct fsmeta_archive_run *run, bool alone)
{
	size_t count = fsmeta_events_count_runs(events);
	struct fsmeta_archive_run *last = count ? fsmeta_events_run_at(events, count - 1) : NULL;

	*at = count;
	/* What may be corrected has a run of its own. */
	alone |= count && (count - 1 == folder->changed_run || count - 1 == folder->late_run);
	if (last && !alone && last->story == run->story && last->event == run->event &&
	    (run->event == FSMETA_EVENT_NONE ||
		run->sum.from_us <= last->sum.to_us + FSMETA_PIECE_GAP_US)) {
		*at = count - 1;
		fsmeta_events_add_sum(&last->sum, &run->sum);
		return 0;
	}
	return fsmeta_buffer_append(&events->runs, run, sizeof(*run));
}
/* ---- the end of a piece ---- */

static void end_track(struct fsmeta_events_piece *piece, unsigned all)
{
	for (int i = OLDER; i <= NEWER; i++) {
		struct fsmeta_events_side *side = &piece->sides[i];

		side->is_whole |= side->parts == all;
		side->is_half |= side->parts && side->parts != all;
		side->parts = 0;
	}
}

/** When the files of this side were closed later than a piece lasts. */
static bool is_late(const struct fsmeta_events_piece *piece, int side)
{
	int64_t modified_us = piece->sides[side].modified_us;

	return modified_us != UNKNOWN_US && modified_us > piece->start_us + FSMETA_PIECE_CLOSED_US;
}

/** When it ended, UNKNOWN_US where its times do not tell. */
static int64_t end_of(const struct fsmeta_events_piece *piece, int side)
{
	int64_t modified_us = piece->sides[side].modified_us;

	return modified_us < piece->start_us || is_late(piece, side) ? UNKNOWN_US : modified_us;
}

static bool is_changed(const struct fsmeta_events_piece *piece)
{
	return piece->added || piece->removed || piece->modified;
}

/** What happened to a piece of FSV or of segments, as far as is known now. */
static enum fsmeta_archive_event judge_piece(
    const struct fsmeta_events_folder *folder, const struct fsmeta_events_piece *piece)
{
	const struct fsmeta_events_side *older = &piece->sides[OLDER],
					*newer = &piece->sides[NEWER];
	bool was_there = older->is_whole || older->is_half;

	if (!is_changed(piece))
		return FSMETA_EVENT_NONE;
	if (newer->is_half && (!older->is_half || piece->removed))
		return FSMETA_EVENT_ORPHANED;
	if (newer->is_whole && !was_there)
		return FSMETA_EVENT_RECORDED;
	if (!older->is_whole && was_there)
		return newer->is_half ? FSMETA_EVENT_GREW : FSMETA_EVENT_RECOVERED;
	if (!newer->is_whole) {
		if (folder->has_survivor || piece->start_us >= folder->line_us)
			return FSMETA_EVENT_LOST;
		return FSMETA_EVENT_ROTATED;
	}
	if (piece->removed && !piece->added)
		return FSMETA_EVENT_LOST;
	return is_late(piece, NEWER) && !is_late(piece, OLDER) ? FSMETA_EVENT_RECOVERED
							       : FSMETA_EVENT_GREW;
}

/** Closes the piece before, of which no time tells the end, where this one begins. */
static void end_open(
    struct fsmeta_archive_events *events, struct fsmeta_events_folder *folder, int64_t start_us)
{
	int64_t length_us = start_us - folder->open_start_us;

	if (!folder->is_open)
		return;
	folder->is_open = false;
	if (length_us < 0 || length_us > FSMETA_PIECE_MAX_US)
		return;
	if (start_us > folder->covered_to_us)
		folder->covered_to_us = start_us;
	if (folder->open_run != NO_RUN) {
		struct fsmeta_archive_sum *sum =
		    &fsmeta_events_run_at(events, folder->open_run)->sum;

		sum->covered_us += length_us;
		if (start_us > sum->to_us)
			sum->to_us = start_us;
	}
}

/** The piece's place in time: gaps in front of it, and what it covers. */
static void measure(struct fsmeta_archive_story *story, struct fsmeta_events_folder *folder,
    const struct fsmeta_events_piece *piece, struct fsmeta_archive_run *run)
{
	int side = piece->sides[NEWER].is_whole ? NEWER : OLDER;
	int64_t start_us = piece->start_us, end_us = end_of(piece, side), from_us = start_us;
	int64_t gap_us = folder->has_covered ? start_us - folder->covered_to_us : 0;

	run->sum.from_us = start_us;
	run->sum.to_us = end_us == UNKNOWN_US ? start_us : end_us;
	if (run->event == FSMETA_EVENT_RECORDED && gap_us > FSMETA_PIECE_GAP_US) {
		story->gaps++;
		story->gaps_us += gap_us;
		if (gap_us > story->longest_gap_us)
			story->longest_gap_us = gap_us;
	}
	/* What overlaps counts once, and so does a pause that is too short to be a gap. */
	if (folder->has_covered && gap_us <= FSMETA_PIECE_GAP_US)
		from_us = folder->covered_to_us;
	if (run->event == FSMETA_EVENT_GREW || run->event == FSMETA_EVENT_RECOVERED)
		from_us = end_of(piece, OLDER);
	if (end_us != UNKNOWN_US && from_us != UNKNOWN_US && end_us > from_us)
		run->sum.covered_us = end_us - from_us;
	if (!folder->has_covered || run->sum.to_us > folder->covered_to_us)
		folder->covered_to_us = run->sum.to_us;
	folder->has_covered = true;
}

static void note_bounds(struct fsmeta_archive_story *story, const struct fsmeta_events_piece *piece)
{
	for (int i = OLDER; i <= NEWER; i++) {
		int64_t end_us = end_of(piece, i);
		int64_t *newest_us = i == NEWER ? &story->newest_us : &story->older_newest_us;

		if (!piece->sides[i].is_whole)
			continue;
		if (end_us == UNKNOWN_US)
			end_us = piece->start_us;
		if (end_us > *newest_us)
			*newest_us = end_us;
	}
	if (piece->sides[NEWER].is_whole && story->oldest_us == UNKNOWN_US)
		story->oldest_us = piece->start_us;
}

/** When the older side was looked at: the piece before may still have been open then. */
static bool has_just_begun(const struct fsmeta_events_piece *piece)
{
	return piece->sides[OLDER].modified_us < piece->start_us + JUST_BEGUN_US;
}

/** What this piece says of those in front of it. */
static void correct_before(struct fsmeta_archive_events *events,
    struct fsmeta_events_folder *folder, const struct fsmeta_events_piece *piece)
{
	if (folder->changed_run != NO_RUN) {
		struct fsmeta_archive_run *run = fsmeta_events_run_at(events, folder->changed_run);

		if (piece->sides[OLDER].is_whole && !has_just_begun(piece))
			run->event = FSMETA_EVENT_ALTERED;
		else if (run->event == FSMETA_EVENT_GREW)
			run->event = FSMETA_EVENT_SEALED;
		if (piece->sides[OLDER].is_whole)
			folder->changed_run = NO_RUN;
	}
	if (folder->late_run != NO_RUN && piece->sides[NEWER].is_whole) {
		int64_t pause_us = piece->start_us - folder->late_us;

		if (pause_us > -REOPENED_US / 10 && pause_us < REOPENED_US)
			fsmeta_events_run_at(events, folder->late_run)->event =
			    FSMETA_EVENT_RECOVERED;
		folder->late_run = NO_RUN;
	}
}

static int end_timed_piece(
    struct fsmeta_archive_events *events, struct fsmeta_events_folder *folder)
{
	struct fsmeta_events_piece *piece = &folder->piece;
	struct fsmeta_archive_story *story =
	    fsmeta_events_story_at(events, (size_t)folder->stories[0]);
	struct fsmeta_archive_run run = {
	    .story = (uint32_t)folder->stories[0],
	    .event = judge_piece(folder, piece),
	    .sum = {.pieces = 1, .files = piece->changes},
	};
	const struct fsmeta_events_side *newer = &piece->sides[NEWER];
	bool is_new = run.event == FSMETA_EVENT_RECORDED;
	bool is_late_new = is_new && is_late(piece, NEWER) && !folder->before_was_late;
	bool may_change = run.event == FSMETA_EVENT_GREW ||
			  (run.event == FSMETA_EVENT_RECOVERED && piece->modified);
	bool is_piece = piece->sides[OLDER].is_whole || newer->is_whole;
	size_t at = NO_RUN;
	int code = 0;

	if (is_piece) {
		correct_before(events, folder, piece);
		end_open(events, folder, piece->start_us);
		measure(story, folder, piece, &run);
		note_bounds(story, piece);
	} else {
		run.sum.from_us = run.sum.to_us = piece->start_us;
	}
	run.sum.bytes =
	    newer->is_whole || newer->is_half ? newer->bytes : piece->sides[OLDER].bytes;
	if (piece->changes)
		code = add_run(events, &at, folder, &run, is_late_new || may_change);
	if (may_change)
		folder->changed_run = at;
	if (is_late_new) {
		folder->late_run = at;
		folder->late_us = newer->modified_us;
	}
	if (is_piece && run.sum.to_us == piece->start_us) {
		folder->is_open = true;
		folder->open_start_us = piece->start_us;
		folder->open_run = is_new ? at : NO_RUN;
	}
	folder->before_was_late = newer->is_whole && is_late(piece, NEWER);
	folder->has_survivor |= piece->sides[OLDER].is_whole && newer->is_whole;
	folder->has_older[0] |= piece->sides[OLDER].is_whole;
	folder->has_newer[0] |= newer->is_whole;
	for (int i = OLDER; i <= NEWER; i++)
		folder->is_cut[i] &= !piece->sides[i].is_whole;
	folder->evidence[piece->layout] += is_piece;
	return code;
}

static int end_frame(struct fsmeta_archive_events *events, struct fsmeta_events_folder *folder)
{
	struct fsmeta_events_piece *piece = &folder->piece;
	struct fsmeta_archive_run run = {
	    .story = (uint32_t)folder->stories[0],
	    .sum = {.pieces = 1, .files = piece->changes, .folders = piece->folder_went},
	};
	const struct fsmeta_events_side *older = &piece->sides[OLDER],
					*newer = &piece->sides[NEWER];
	size_t at;

	folder->evidence[FSMETA_LAYOUT_FRAMES]++;
	folder->has_older[0] |= older->is_whole;
	folder->has_newer[0] |= newer->is_whole;
	if (!piece->changes)
		return 0;
	if (!older->is_whole)
		run.event = FSMETA_EVENT_RECORDED;
	else if (!newer->is_whole)
		run.event = FSMETA_EVENT_ROTATED;
	else if (piece->modified && !piece->removed)
		run.event = FSMETA_EVENT_ALTERED;
	run.sum.bytes = newer->is_whole ? newer->bytes : older->bytes;
	return add_run(events, &at, folder, &run, false);
}

static bool is_unfinished(const struct fsmeta_events_side *side)
{
	return side->data_us > side->meta_us;
}

static enum fsmeta_archive_event judge_recording(
    const struct fsmeta_archive_events *events, const struct fsmeta_events_piece *piece)
{
	const struct fsmeta_events_side *older = &piece->sides[OLDER],
					*newer = &piece->sides[NEWER];

	if (!is_changed(piece))
		return FSMETA_EVENT_NONE;
	if (!newer->is_whole)
		return older->is_whole && !newer->is_half ? FSMETA_EVENT_ROTATED
							  : FSMETA_EVENT_ORPHANED;
	if (is_unfinished(newer) && events->newer_us != UNKNOWN_US &&
	    newer->data_us < events->newer_us - ABANDONED_US)
		return FSMETA_EVENT_ORPHANED;
	if (!older->is_whole)
		return older->is_half ? FSMETA_EVENT_RECOVERED : FSMETA_EVENT_RECORDED;
	if (!is_unfinished(older))
		return FSMETA_EVENT_ALTERED;
	if (is_unfinished(newer))
		return FSMETA_EVENT_GREW;
	/* A recovery cuts what was not whole, or closes what had ended long ago. */
	return newer->data_bytes < older->data_bytes ||
		       newer->meta_us > newer->data_us + ABANDONED_US
		   ? FSMETA_EVENT_RECOVERED
		   : FSMETA_EVENT_SEALED;
}

static int end_recording(struct fsmeta_archive_events *events, struct fsmeta_events_folder *folder)
{
	struct fsmeta_events_piece *piece = &folder->piece;
	const struct fsmeta_events_side *older = &piece->sides[OLDER],
					*newer = &piece->sides[NEWER];
	struct fsmeta_archive_run run = {
	    .story = (uint32_t)folder->stories[1],
	    .event = judge_recording(events, piece),
	    .sum = {.pieces = 1, .files = piece->changes, .folders = piece->folder_went},
	};
	int64_t end_us = newer->is_whole ? newer->data_us : older->data_us;
	size_t at;

	folder->evidence[FSMETA_LAYOUT_RECORDING] += older->is_whole || newer->is_whole;
	if (older->is_whole && newer->is_whole && end_us != UNKNOWN_US &&
	    end_us < folder->oldest_recording_us)
		folder->oldest_recording_us = end_us;
	folder->has_older[1] |= older->is_whole;
	folder->has_newer[1] |= newer->is_whole;
	if (!piece->changes)
		return 0;
	run.sum.bytes = newer->bytes ? newer->bytes : older->bytes;
	run.sum.from_us = run.sum.to_us = end_us == UNKNOWN_US ? 0 : end_us;
	return add_run(events, &at, folder, &run, true);
}

static void begin_piece(struct fsmeta_events_piece *piece)
{
	struct fsmeta_buffer stem = piece->stem;

	fsmeta_buffer_clear(&stem);
	*piece = (struct fsmeta_events_piece){.stem = stem};
	for (int i = OLDER; i <= NEWER; i++)
		piece->sides[i].modified_us = piece->sides[i].data_us = piece->sides[i].meta_us =
		    UNKNOWN_US;
}

void fsmeta_events_leave_piece(struct fsmeta_archive_events *events)
{
	struct fsmeta_events_folder *folder = &events->folders[events->open_count - 1];

	begin_piece(&folder->piece);
	folder->is_open = false;
	folder->is_cut[OLDER] = folder->is_cut[NEWER] = true;
}

static int end_piece(struct fsmeta_archive_events *events, struct fsmeta_events_folder *folder)
{
	struct fsmeta_events_piece *piece = &folder->piece;
	int code = 0;

	switch (piece->layout) {
	case FSMETA_LAYOUT_NONE:
		return 0;
	case FSMETA_LAYOUT_FSV:
	case FSMETA_LAYOUT_SEGMENTS:
		end_track(piece, FSMETA_PIECE_BOTH);
		code = end_timed_piece(events, folder);
		break;
	case FSMETA_LAYOUT_FRAMES:
		end_track(piece, FSMETA_PIECE_FRAME);
		code = end_frame(events, folder);
		break;
	case FSMETA_LAYOUT_RECORDING:
		end_track(piece, FSMETA_PIECE_RECORDING);
		code = end_recording(events, folder);
		break;
	}
	begin_piece(piece);
	return code;
}

/* ---- folders ---- */

static const struct fsmeta_events_line *find_line(
    const struct fsmeta_archive_events *events, struct fsmeta_events_path path)
{
	const struct fsmeta_events_line *lines =
	    (const struct fsmeta_events_line *)(const void *)events->lines.data;
	size_t count = events->lines.length / sizeof(*lines);

	for (size_t i = 0; i < count; i++)
		if (lines[i].length == path.length &&
		    memcmp(lines[i].path, path.bytes, path.length) == 0)
			return &lines[i];
	return NULL;
}

static int open_folder(struct fsmeta_archive_events *events, struct fsmeta_events_path path)
{
	const struct fsmeta_events_line *line = find_line(events, path);
	struct fsmeta_events_folder *folder;
	struct fsmeta_buffer buffers[2];

	if (events->open_count == events->folder_count) {
		struct fsmeta_events_folder *folders =
		    realloc(events->folders, (events->folder_count + 1) * sizeof(*folders));

		if (!folders)
			return FSMETA_E_MEMORY;
		memset(&folders[events->folder_count++], 0, sizeof(*folders));
		events->folders = folders;
	}
	folder = &events->folders[events->open_count++];
	buffers[0] = folder->path;
	buffers[1] = folder->piece.stem;
	*folder = (struct fsmeta_events_folder){
	    .path = buffers[0],
	    .stories = {NO_STORY, NO_STORY},
	    .first_run = fsmeta_events_count_runs(events),
	    .line_us = line ? line->us : INT64_MAX,
	    .changed_run = NO_RUN,
	    .late_run = NO_RUN,
	    .open_run = NO_RUN,
	    .oldest_recording_us = INT64_MAX,
	};
	folder->piece.stem = buffers[1];
	begin_piece(&folder->piece);
	fsmeta_buffer_clear(&folder->path);
	return fsmeta_buffer_append(&folder->path, path.bytes, path.length);
}

/** The layout of which most pieces are whole claims the folder. */
static enum fsmeta_layout claim(const struct fsmeta_events_folder *folder)
{
	enum fsmeta_layout best = FSMETA_LAYOUT_FSV;

	if (folder->evidence[FSMETA_LAYOUT_SEGMENTS] > folder->evidence[best])
		best = FSMETA_LAYOUT_SEGMENTS;
	if (folder->evidence[FSMETA_LAYOUT_FRAMES] > folder->evidence[best])
		best = FSMETA_LAYOUT_FRAMES;
	return folder->evidence[best] ? best : FSMETA_LAYOUT_NONE;
}

/** Recordings that went although older ones stayed, or with all others, are lost. */
static void judge_removed_recordings(const struct fsmeta_archive_events *events,
    const struct fsmeta_events_folder *folder, size_t story)
{
	for (size_t i = folder->first_run; i < fsmeta_events_count_runs(events); i++) {
		struct fsmeta_archive_run *run = fsmeta_events_run_at(events, i);

		if (run->story == story && run->event == FSMETA_EVENT_ROTATED &&
		    (!folder->has_newer[1] || run->sum.to_us > folder->oldest_recording_us))
			run->event = FSMETA_EVENT_LOST;
	}
}

int fsmeta_events_close_folder(struct fsmeta_archive_events *events)
{
	struct fsmeta_events_folder *folder = &events->folders[events->open_count - 1];
	int code = end_piece(events, folder);

	if (code)
		return code;
	events->open_count--;
	if (folder->stories[0] != NO_STORY) {
		struct fsmeta_archive_story *story =
		    fsmeta_events_story_at(events, (size_t)folder->stories[0]);

		story->layout = claim(folder);
		if (folder->is_cut[NEWER])
			story->newest_us = UNKNOWN_US;
		if (folder->is_cut[OLDER])
			story->older_newest_us = UNKNOWN_US;
		story->is_gone = folder->has_older[0] && !folder->has_newer[0];
	}
	if (folder->stories[1] != NO_STORY) {
		struct fsmeta_archive_story *story =
		    fsmeta_events_story_at(events, (size_t)folder->stories[1]);

		judge_removed_recordings(events, folder, (size_t)folder->stories[1]);
		if (!folder->evidence[FSMETA_LAYOUT_RECORDING])
			story->layout = FSMETA_LAYOUT_NONE;
		story->is_gone = folder->has_older[1] && !folder->has_newer[1];
	}
	return 0;
}

/** The innermost open folder is this one. */
static bool is_innermost(const struct fsmeta_archive_events *events, struct fsmeta_events_path path)
{
	return events->open_count &&
	       events->folders[events->open_count - 1].path.length == path.length;
}

/** Closes all folders that do not hold the path. */
static int leave_folders(struct fsmeta_archive_events *events, struct fsmeta_events_path path)
{
	int code = 0;

	while (events->open_count && !code) {
		const struct fsmeta_buffer *open = &events->folders[events->open_count - 1].path;

		if (fsmeta_path_is_within(
			path.bytes, path.length, (const char *)open->data, open->length))
			break;
		code = fsmeta_events_close_folder(events);
	}
	return code;
}

/** Opens the folder that a file is in, which all open ones hold; that around a recording first. */
static int enter_folder(struct fsmeta_archive_events *events, struct fsmeta_events_path path)
{
	struct fsmeta_events_path above = fsmeta_events_parent_of(path.bytes, path.length);
	size_t name = above.length + (above.length != 0);
	int code = 0;

	if (is_innermost(events, path))
		return 0;
	if (path.length && !is_innermost(events, above) &&
	    fsmeta_piece_is_recording_folder(path.bytes + name, path.length - name))
		code = open_folder(events, above);
	return code ? code : open_folder(events, path);
}

/** Makes the folder to which a file belongs, *at, an open one and the only one with a piece. */
static int go_to_folder(
    struct fsmeta_archive_events *events, const struct fsmeta_events_item *item, size_t *at)
{
	struct fsmeta_events_path inside = fsmeta_events_folder_of(item->entry);
	bool is_open;
	int code = leave_folders(events, inside);

	is_open = is_innermost(events, inside);
	if (!code && !is_open)
		code = enter_folder(events, item->folder);
	if (code)
		return code;
	/* The recording itself is open, and the file belongs to the folder around it. */
	*at = events->open_count - 1 - (is_open && inside.length != item->folder.length);
	if (events->last_folder != *at && events->last_folder < events->open_count)
		code = end_piece(events, &events->folders[events->last_folder]);
	events->last_folder = *at;
	return code;
}

/* ---- files ---- */

static void take_side(struct fsmeta_events_side *side, const struct fsmeta_piece_name *name,
    const struct fsmeta_entry *entry)
{
	int64_t modified_us = fsmeta_piece_modified_us(entry);

	side->parts |= name->part;
	side->bytes += entry->size;
	if (modified_us > side->modified_us)
		side->modified_us = modified_us;
	if (name->layout != FSMETA_LAYOUT_RECORDING)
		return;
	if (name->part == FSMETA_PIECE_DATA) {
		side->data_us = modified_us;
		side->data_bytes = entry->size;
	}
	if (name->part == FSMETA_PIECE_META)
		side->meta_us = modified_us;
}

/** Begins another piece or track where the file is none of the one under way. */
static int go_to_piece(struct fsmeta_archive_events *events, struct fsmeta_events_folder *folder,
    const struct fsmeta_events_item *item)
{
	struct fsmeta_events_piece *piece = &folder->piece;
	bool recordings = item->name.layout == FSMETA_LAYOUT_RECORDING;
	bool same_stem = piece->stem.length == item->stem.length && piece->stem.length &&
			 memcmp(piece->stem.data, item->stem.bytes, item->stem.length) == 0;
	int code = 0;

	if (folder->stories[recordings] == NO_STORY)
		code = begin_story(events, folder, recordings);
	if (code || (piece->layout == item->name.layout && same_stem))
		return code;
	if (fsmeta_events_has_times(piece->layout) && piece->layout == item->name.layout &&
	    piece->start_us == item->name.start_us)
		end_track(piece, FSMETA_PIECE_BOTH);
	else
		code = end_piece(events, folder);
	fsmeta_buffer_clear(&piece->stem);
	if (!code)
		code = fsmeta_buffer_append(&piece->stem, item->stem.bytes, item->stem.length);
	piece->layout = item->name.layout;
	piece->start_us = item->name.start_us;
	return code;
}

int fsmeta_events_take_file(struct fsmeta_archive_events *events,
    const struct fsmeta_events_item *item, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, struct fsmeta_events_piece **piece)
{
	struct fsmeta_events_folder *folder;
	size_t at;
	int code = go_to_folder(events, item, &at);

	if (code)
		return code;
	folder = &events->folders[at];
	code = go_to_piece(events, folder, item);
	if (before)
		take_side(&folder->piece.sides[OLDER], &item->name, before);
	if (after)
		take_side(&folder->piece.sides[NEWER], &item->name, after);
	*piece = &folder->piece;
	return code;
}

/** A change of what the file holds, not only of who may read it. */
static bool is_content(const struct fsmeta_change *change)
{
	return change->kind == FSMETA_CHANGE_CORRUPTED ||
	       (change->kind == FSMETA_CHANGE_MODIFIED &&
		   change->fields & (FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_HASH));
}

/** Remembers a folder that went: which pieces went with theirs. */
static int take_gone_folder(struct fsmeta_archive_events *events, const struct fsmeta_entry *folder)
{
	fsmeta_buffer_clear(&events->gone);
	return fsmeta_buffer_append(&events->gone, folder->path, folder->path_length);
}

/** Whether the folder of the entry went; true for the first in it that asks. */
static bool went_with_folder(struct fsmeta_archive_events *events, const struct fsmeta_entry *entry)
{
	struct fsmeta_events_path folder = fsmeta_events_parent_of(entry->path, entry->path_length);

	if (!folder.length || folder.length != events->gone.length ||
	    memcmp(folder.bytes, events->gone.data, folder.length) != 0)
		return false;
	fsmeta_buffer_clear(&events->gone);
	return true;
}

int fsmeta_events_take_change(
    struct fsmeta_archive_events *events, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	const struct fsmeta_entry *before = change->before, *after = change->after;
	struct fsmeta_events_piece *piece;
	struct fsmeta_events_item item;
	int code;

	if (change->kind == FSMETA_CHANGE_REMOVED && entry->type == FSMETA_TYPE_FOLDER)
		return take_gone_folder(events, entry);
	if (!fsmeta_events_recognise(&item, entry))
		return 0;
	if (change->kind == FSMETA_CHANGE_MOVED || change->kind == FSMETA_CHANGE_UNREADABLE ||
	    change->kind == FSMETA_CHANGE_UNKNOWN)
		before = after = entry;
	code = fsmeta_events_take_file(events, &item, before, after, &piece);
	if (code)
		return code;
	piece->changes++;
	piece->added += change->kind == FSMETA_CHANGE_ADDED;
	piece->removed += change->kind == FSMETA_CHANGE_REMOVED;
	piece->folder_went |=
	    change->kind == FSMETA_CHANGE_REMOVED && went_with_folder(events, entry);
	piece->modified += is_content(change);
	return 0;
}
