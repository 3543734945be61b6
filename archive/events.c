/*
 * Events from changes.  Names of pieces begin with their time, so the canonical order of a folder
 * is the order in which it was recorded, and what happened is told by standing beside what:
 *
 *     older side     1  2  3  4  5  6  7  8         read again, only where something changed
 *     changes        D  D        D        M  A  A   in the same order
 *                    └─┬┘  │     │        │  └─┬┘
 *                rotated   │   lost     sealed recorded
 *                       first that stayed
 *
 *     rotated    went, and nothing older stayed
 *     lost       went, and something older stayed, or the whole stream went
 *     altered    changed, and the older side has a newer piece already
 *     sealed     changed, was the newest of the older side, and is not of the newer side
 *     grew       the same, and still is
 *     recovered  closed later than a piece can last after its start, as after a crash; of one that
 * came, only where the next piece began just then orphaned   came to lack a part
 *
 * Whether a newer piece follows is known when it comes: a run of changes keeps an event for the
 * time being, which the next piece may correct.  So there are runs, not pieces, and a month of
 * forty streams without trouble is some hundred of them.
 *
 * A stream of which nothing is left: its pieces that are older than all that the streams beside it
 * still have would have been rotated out, the others are lost.  Where that line runs is known when
 * all were read, so then everything is read once more.
 *
 * Recordings have no time in their names; they are in order by the end of their data, each removed
 * one has a run of its own, and the oldest that stayed is the line.  Frames are deleted when nobody
 * needs them, which is no loss.
 *
 * What is read.  Of a folder all up to the last change and the piece behind it.  Where recorders
 * were at work, which many files that came say, all of it, and the streams beside it: only so does
 * one know who is silent.  So a few changes among millions of files cost a few folders.
 *
 * Limits.  Who deletes oldest first by hand rotates.  Pieces that were moved are no event, and
 * count in the folder that they left as if they were still there.  A stream whose folder was
 * renamed is judged from its changes alone.
 */
#include "archive/events.h"

#include "archive/piece.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

enum {
	OLDER = 0,
	NEWER = 1,
	NO_STORY = -1,
	/** So many files came to each stream on average where recorders were at work. */
	AT_WORK = 4,
};

#define UNKNOWN_US INT64_MIN
/** A crashed writer seals what it left when it opens the archive again, and then begins a piece. */
#define REOPENED_US (600 * FSMETA_PIECE_SECOND_US)
/** A writer closes a piece so soon after it began the next. */
#define JUST_BEGUN_US (60 * FSMETA_PIECE_SECOND_US)
/** An unfinished recording without data for so long is abandoned. */
#define ABANDONED_US (3600 * FSMETA_PIECE_SECOND_US)
/** A stream that is so far behind others is silent. */
#define SILENT_US (3600 * FSMETA_PIECE_SECOND_US)
#define NO_RUN SIZE_MAX

static const char action[] = "telling events of archives";

struct path {
	const char *bytes;
	size_t length;
};

/** One of the two sides of a piece. */
struct side {
	/** Parts of the track under way. */
	unsigned parts;
	/** A track with all its parts, and one with only some. */
	bool is_whole;
	bool is_half;
	uint64_t bytes;
	/** Newest of its files; UNKNOWN_US. */
	int64_t modified_us;
	/** Recordings. */
	int64_t data_us;
	int64_t meta_us;
	uint64_t data_bytes;
};

/** The piece whose files come just now. */
struct piece {
	enum fsmeta_layout layout;
	int64_t start_us;
	/** Of the track, or the recording's folder. */
	struct fsmeta_buffer stem;
	struct side sides[2];
	/** Changes of its files, and those of them that matter. */
	uint64_t changes;
	uint64_t added;
	uint64_t removed;
	uint64_t modified;
};

/** A folder under way: one stream, and the recordings in it. */
struct folder {
	struct fsmeta_buffer path;
	/** Of pieces and of recordings; NO_STORY until there is one. */
	int64_t stories[2];
	size_t first_run;
	struct piece piece;
	/** Whole pieces, by layout. */
	uint64_t evidence[5];
	/** What went is rotated up to here, because nothing is left; INT64_MAX: not known. */
	int64_t line_us;
	/** Something of the older side stayed. */
	bool has_survivor;
	bool has_older;
	bool has_newer;
	/** How far the pieces so far reach. */
	bool has_covered;
	int64_t covered_to_us;
	/** The piece before, if its end is not known. */
	bool is_open;
	bool open_is_new;
	int64_t open_start_us;
	size_t open_run;
	/** Runs that the next piece may correct. */
	size_t changed_run;
	size_t late_run;
	int64_t late_us;
	bool before_was_late;
	/** The rest of it was not read. */
	bool is_cut;
	/** End of the oldest recording that stayed. */
	int64_t oldest_recording_us;
};

/** Where the line of a stream runs that is gone. */
struct line {
	const char *path;
	size_t length;
	int64_t us;
};

/** The streams of one folder. */
struct beside {
	struct path parent;
	/** Oldest that any of them still has; INT64_MAX where none has any. */
	int64_t oldest_us;
	/** Newest of each side. */
	int64_t newest_us[2];
};

/** A folder in which pieces changed. */
struct place {
	/** First, so that places are compared as paths. */
	struct path path;
	/** How many folders, and files that came to streams. */
	uint64_t folders;
	uint64_t came;
	/** All in it are needed. */
	bool is_needed;
};

enum phase {
	PHASE_TOUCH,
	PHASE_READ,
	PHASE_JUDGE,
};

struct fsmeta_archive_events {
	/** First, so that the sink is this. */
	struct fsmeta_change_sink sink;
	enum phase phase;
	/** Paths of stories and of what follows. */
	struct fsmeta_arena arena;
	/** struct place, sorted: folders in which a piece changed, and those above them that are
	 * read with all streams in them. */
	struct fsmeta_buffer touched;
	struct fsmeta_buffer parents;
	struct fsmeta_cursor *older;
	const struct fsmeta_entry *current;
	bool has_begun;
	int64_t newer_us;
	struct folder *folders;
	size_t open_count;
	size_t folder_count;
	struct fsmeta_buffer stories;
	struct fsmeta_buffer runs;
	/** struct line */
	struct fsmeta_buffer lines;
	/** struct beside, sorted by parent. */
	struct fsmeta_buffer besides;
	uint64_t expected;
	/** Judging: the run, and how many of its changes have come. */
	size_t run;
	uint64_t run_changes;
};

/** What the recogniser says of a file. */
struct item {
	struct fsmeta_piece_name name;
	/** The stream's folder. */
	struct path folder;
	struct path stem;
	const struct fsmeta_entry *entry;
};

const char *fsmeta_archive_event_name(enum fsmeta_archive_event event)
{
	static const char *const names[] = {NULL, "recorded", "grew", "sealed", "rotated", "lost",
	    "altered", "orphaned", "recovered"};

	return event < FSMETA_EVENTS ? names[event] : NULL;
}

static struct path parent_of(const char *path, size_t length)
{
	const char *slash = length ? memrchr(path, '/', length) : NULL;

	return (struct path){path, slash ? (size_t)(slash - path) : 0};
}

static bool recognise(struct item *out, const struct fsmeta_entry *entry)
{
	struct path folder, above;
	const char *name;

	if (entry->type != FSMETA_TYPE_FILE ||
	    !fsmeta_piece_parse(&out->name, entry->name, entry->name_length))
		return false;
	folder = parent_of(entry->path, entry->path_length);
	out->entry = entry;
	out->folder = folder;
	out->stem = (struct path){entry->name, out->name.stem_length};
	if (out->name.layout != FSMETA_LAYOUT_RECORDING)
		return true;
	above = parent_of(folder.bytes, folder.length);
	name = folder.bytes + above.length + (above.length != 0);
	out->stem = (struct path){name, folder.length - (size_t)(name - folder.bytes)};
	out->folder = above;
	return fsmeta_piece_is_recording_folder(out->stem.bytes, out->stem.length);
}

/* ---- which folders have changed ---- */

static bool has_times(enum fsmeta_layout layout)
{
	return layout == FSMETA_LAYOUT_FSV || layout == FSMETA_LAYOUT_SEGMENTS;
}

static struct place *places_of(const struct fsmeta_buffer *buffer, size_t *count)
{
	*count = buffer->length / sizeof(struct place);
	return (struct place *)(void *)buffer->data;
}

static int compare_paths(const void *a, const void *b)
{
	const struct path *one = a, *other = b;

	return fsmeta_path_compare(one->bytes, one->length, other->bytes, other->length);
}

/** The path is first in a place. */
static void add_up_place(struct place *to, const struct place *place)
{
	to->folders += place->folders;
	to->came += place->came;
	to->is_needed |= place->is_needed;
}

static int touch(struct fsmeta_archive_events *events, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct item item;
	size_t count;
	struct place *places = places_of(&events->touched, &count);
	struct place place = {.folders = 1};

	if (!recognise(&item, entry))
		return 0;
	place.path = parent_of(entry->path, entry->path_length);
	place.came = has_times(item.name.layout) && change->kind == FSMETA_CHANGE_ADDED;
	/* Recordings are in order only among those beside them. */
	place.is_needed =
	    item.name.layout == FSMETA_LAYOUT_RECORDING && change->kind == FSMETA_CHANGE_REMOVED;
	if (count && compare_paths(&places[count - 1], &place) == 0) {
		place.folders = 0;
		add_up_place(&places[count - 1], &place);
		return 0;
	}
	place.path.bytes = fsmeta_arena_copy(&events->arena, place.path.bytes, place.path.length);
	return place.path.bytes ? fsmeta_buffer_append(&events->touched, &place, sizeof(place))
				: FSMETA_E_MEMORY;
}

/** Sorts places, and adds up those of one path. */
static void sort_places(struct fsmeta_buffer *buffer)
{
	size_t count, kept = 0;
	struct place *places = places_of(buffer, &count);

	if (!count)
		return;
	qsort(places, count, sizeof(*places), compare_paths);
	for (size_t i = 0; i < count; i++) {
		if (kept && compare_paths(&places[kept - 1], &places[i]) == 0)
			add_up_place(&places[kept - 1], &places[i]);
		else
			places[kept++] = places[i];
	}
	buffer->length = kept * sizeof(*places);
}

/** Folders of which all streams are read: where recorders were at work, or order matters. */
static int find_parents(struct fsmeta_archive_events *events)
{
	size_t count, kept = 0;
	const struct place *touched = places_of(&events->touched, &count);
	struct place *parents;
	int code = 0;

	for (size_t i = 0; i < count && !code; i++) {
		struct place parent = touched[i];

		parent.path = parent_of(parent.path.bytes, parent.path.length);
		code = fsmeta_buffer_append(&events->parents, &parent, sizeof(parent));
	}
	sort_places(&events->parents);
	parents = places_of(&events->parents, &count);
	for (size_t i = 0; i < count; i++)
		if (parents[i].is_needed ||
		    (parents[i].came && parents[i].came >= AT_WORK * parents[i].folders))
			parents[kept++] = parents[i];
	events->parents.length = kept * sizeof(*parents);
	return code;
}

/** Index of the first path that is not in front of `path`. */
static size_t find_path(const struct place *items, size_t count, struct path path)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_paths(&items[middle], &path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/** Whether all streams in this folder are read. */
static bool reads_all_in(const struct fsmeta_archive_events *events, struct path folder)
{
	size_t count, at;
	const struct place *parents = places_of(&events->parents, &count);

	at = find_path(parents, count, folder);
	return at < count && compare_paths(&parents[at], &folder) == 0;
}

/** Whether the folder, something in it, or enough of the streams beside it changed. */
static bool enters(const struct fsmeta_archive_events *events, const struct fsmeta_entry *entry)
{
	struct path folder = {entry->path, entry->path_length};
	size_t count, at;
	const struct place *touched = places_of(&events->touched, &count);

	at = find_path(touched, count, folder);
	if (at < count && fsmeta_path_is_within(touched[at].path.bytes, touched[at].path.length,
			      folder.bytes, folder.length))
		return true;
	return reads_all_in(events, parent_of(entry->path, entry->path_length));
}

/* ---- stories and runs ---- */

static struct fsmeta_archive_story *story_at(const struct fsmeta_archive_events *events, size_t at)
{
	return (struct fsmeta_archive_story *)(void *)events->stories.data + at;
}

static struct fsmeta_archive_run *run_at(const struct fsmeta_archive_events *events, size_t at)
{
	return (struct fsmeta_archive_run *)(void *)events->runs.data + at;
}

static size_t count_runs(const struct fsmeta_archive_events *events)
{
	return events->runs.length / sizeof(struct fsmeta_archive_run);
}

static size_t count_stories(const struct fsmeta_archive_events *events)
{
	return events->stories.length / sizeof(struct fsmeta_archive_story);
}

static int begin_story(struct fsmeta_archive_events *events, struct folder *folder, bool recordings)
{
	struct fsmeta_archive_story story = {
	    .layout = recordings ? FSMETA_LAYOUT_RECORDING : FSMETA_LAYOUT_NONE,
	    .path = fsmeta_arena_copy(&events->arena, folder->path.data, folder->path.length),
	    .path_length = folder->path.length,
	    .oldest_us = UNKNOWN_US,
	    .newest_us = UNKNOWN_US,
	    .older_newest_us = UNKNOWN_US,
	};

	folder->stories[recordings] = (int64_t)count_stories(events);
	return story.path ? fsmeta_buffer_append(&events->stories, &story, sizeof(story))
			  : FSMETA_E_MEMORY;
}

static void add_sum(struct fsmeta_archive_sum *to, const struct fsmeta_archive_sum *sum)
{
	if (!to->files || sum->from_us < to->from_us)
		to->from_us = sum->from_us;
	if (!to->files || sum->to_us > to->to_us)
		to->to_us = sum->to_us;
	to->pieces += sum->pieces;
	to->files += sum->files;
	to->bytes += sum->bytes;
	to->covered_us += sum->covered_us;
}

/** Adds a piece's changes to the last run or begins another; *at = which. */
static int add_run(struct fsmeta_archive_events *events, size_t *at, const struct folder *folder,
    const struct fsmeta_archive_run *run, bool alone)
{
	size_t count = count_runs(events);
	struct fsmeta_archive_run *last = count ? run_at(events, count - 1) : NULL;

	*at = count;
	/* What may be corrected has a run of its own. */
	alone |= count && (count - 1 == folder->changed_run || count - 1 == folder->late_run);
	if (last && !alone && last->story == run->story && last->event == run->event &&
	    (run->event == FSMETA_EVENT_NONE ||
		run->sum.from_us <= last->sum.to_us + FSMETA_PIECE_GAP_US)) {
		*at = count - 1;
		add_sum(&last->sum, &run->sum);
		return 0;
	}
	return fsmeta_buffer_append(&events->runs, run, sizeof(*run));
}

/* ---- the end of a piece ---- */

static void end_track(struct piece *piece, unsigned all)
{
	for (int i = OLDER; i <= NEWER; i++) {
		struct side *side = &piece->sides[i];

		side->is_whole |= side->parts == all;
		side->is_half |= side->parts && side->parts != all;
		side->parts = 0;
	}
}

/** When the files of this side were closed later than a piece lasts. */
static bool is_late(const struct piece *piece, int side)
{
	int64_t modified_us = piece->sides[side].modified_us;

	return modified_us != UNKNOWN_US && modified_us > piece->start_us + FSMETA_PIECE_CLOSED_US;
}

/** When it ended, UNKNOWN_US where its times do not tell. */
static int64_t end_of(const struct piece *piece, int side)
{
	int64_t modified_us = piece->sides[side].modified_us;

	return modified_us < piece->start_us || is_late(piece, side) ? UNKNOWN_US : modified_us;
}

static bool is_changed(const struct piece *piece)
{
	return piece->added || piece->removed || piece->modified;
}

/** What happened to a piece of FSV or of segments, as far as is known now. */
static enum fsmeta_archive_event judge_piece(const struct folder *folder, const struct piece *piece)
{
	const struct side *older = &piece->sides[OLDER], *newer = &piece->sides[NEWER];
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
static void end_open(struct fsmeta_archive_events *events, struct folder *folder, int64_t start_us)
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
		struct fsmeta_archive_sum *sum = &run_at(events, folder->open_run)->sum;

		sum->covered_us += length_us;
		if (start_us > sum->to_us)
			sum->to_us = start_us;
	}
}

/** The piece's place in time: gaps in front of it, and what it covers. */
static void measure(struct fsmeta_archive_story *story, struct folder *folder,
    const struct piece *piece, struct fsmeta_archive_run *run)
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

static void note_bounds(struct fsmeta_archive_story *story, const struct piece *piece)
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
static bool has_just_begun(const struct piece *piece)
{
	return piece->sides[OLDER].modified_us < piece->start_us + JUST_BEGUN_US;
}

/** What this piece says of those in front of it. */
static void correct_before(
    struct fsmeta_archive_events *events, struct folder *folder, const struct piece *piece)
{
	if (folder->changed_run != NO_RUN) {
		struct fsmeta_archive_run *run = run_at(events, folder->changed_run);

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
			run_at(events, folder->late_run)->event = FSMETA_EVENT_RECOVERED;
		folder->late_run = NO_RUN;
	}
}

static int end_timed_piece(struct fsmeta_archive_events *events, struct folder *folder)
{
	struct piece *piece = &folder->piece;
	struct fsmeta_archive_story *story = story_at(events, (size_t)folder->stories[0]);
	struct fsmeta_archive_run run = {
	    .story = (uint32_t)folder->stories[0],
	    .event = judge_piece(folder, piece),
	    .sum = {.pieces = 1, .files = piece->changes},
	};
	const struct side *newer = &piece->sides[NEWER];
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
	folder->has_older |= piece->sides[OLDER].is_whole;
	folder->has_newer |= newer->is_whole;
	folder->evidence[piece->layout] += is_piece;
	return code;
}

static int end_frame(struct fsmeta_archive_events *events, struct folder *folder)
{
	struct piece *piece = &folder->piece;
	struct fsmeta_archive_run run = {
	    .story = (uint32_t)folder->stories[0],
	    .sum = {.pieces = 1, .files = piece->changes},
	};
	const struct side *older = &piece->sides[OLDER], *newer = &piece->sides[NEWER];
	size_t at;

	folder->evidence[FSMETA_LAYOUT_FRAMES]++;
	folder->has_older |= older->is_whole;
	folder->has_newer |= newer->is_whole;
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

static bool is_unfinished(const struct side *side)
{
	return side->data_us > side->meta_us;
}

static enum fsmeta_archive_event judge_recording(
    const struct fsmeta_archive_events *events, const struct piece *piece)
{
	const struct side *older = &piece->sides[OLDER], *newer = &piece->sides[NEWER];

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

static int end_recording(struct fsmeta_archive_events *events, struct folder *folder)
{
	struct piece *piece = &folder->piece;
	const struct side *older = &piece->sides[OLDER], *newer = &piece->sides[NEWER];
	struct fsmeta_archive_run run = {
	    .story = (uint32_t)folder->stories[1],
	    .event = judge_recording(events, piece),
	    .sum = {.pieces = 1, .files = piece->changes},
	};
	int64_t end_us = newer->is_whole ? newer->data_us : older->data_us;
	size_t at;

	folder->evidence[FSMETA_LAYOUT_RECORDING] += older->is_whole || newer->is_whole;
	if (older->is_whole && newer->is_whole && end_us != UNKNOWN_US &&
	    end_us < folder->oldest_recording_us)
		folder->oldest_recording_us = end_us;
	folder->has_older |= older->is_whole;
	folder->has_newer |= newer->is_whole;
	if (!piece->changes)
		return 0;
	run.sum.bytes = newer->bytes ? newer->bytes : older->bytes;
	run.sum.from_us = run.sum.to_us = end_us == UNKNOWN_US ? 0 : end_us;
	return add_run(events, &at, folder, &run, true);
}

static void begin_piece(struct piece *piece)
{
	struct fsmeta_buffer stem = piece->stem;

	fsmeta_buffer_clear(&stem);
	*piece = (struct piece){.stem = stem};
	for (int i = OLDER; i <= NEWER; i++)
		piece->sides[i].modified_us = piece->sides[i].data_us = piece->sides[i].meta_us =
		    UNKNOWN_US;
}

static int end_piece(struct fsmeta_archive_events *events, struct folder *folder)
{
	struct piece *piece = &folder->piece;
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

static const struct line *find_line(const struct fsmeta_archive_events *events, struct path path)
{
	const struct line *lines = (const struct line *)(const void *)events->lines.data;
	size_t count = events->lines.length / sizeof(*lines);

	for (size_t i = 0; i < count; i++)
		if (lines[i].length == path.length &&
		    memcmp(lines[i].path, path.bytes, path.length) == 0)
			return &lines[i];
	return NULL;
}

static int open_folder(struct fsmeta_archive_events *events, struct path path)
{
	const struct line *line = find_line(events, path);
	struct folder *folder;
	struct fsmeta_buffer buffers[2];

	if (events->open_count == events->folder_count) {
		struct folder *folders =
		    realloc(events->folders, (events->folder_count + 1) * sizeof(*folders));

		if (!folders)
			return FSMETA_E_MEMORY;
		memset(&folders[events->folder_count++], 0, sizeof(*folders));
		events->folders = folders;
	}
	folder = &events->folders[events->open_count++];
	buffers[0] = folder->path;
	buffers[1] = folder->piece.stem;
	*folder = (struct folder){
	    .path = buffers[0],
	    .stories = {NO_STORY, NO_STORY},
	    .first_run = count_runs(events),
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
static enum fsmeta_layout claim(const struct folder *folder)
{
	enum fsmeta_layout best = FSMETA_LAYOUT_FSV;

	if (folder->evidence[FSMETA_LAYOUT_SEGMENTS] > folder->evidence[best])
		best = FSMETA_LAYOUT_SEGMENTS;
	if (folder->evidence[FSMETA_LAYOUT_FRAMES] > folder->evidence[best])
		best = FSMETA_LAYOUT_FRAMES;
	return folder->evidence[best] ? best : FSMETA_LAYOUT_NONE;
}

/** Recordings that went although older ones stayed, or with all others, are lost. */
static void judge_removed_recordings(
    const struct fsmeta_archive_events *events, const struct folder *folder, size_t story)
{
	for (size_t i = folder->first_run; i < count_runs(events); i++) {
		struct fsmeta_archive_run *run = run_at(events, i);

		if (run->story == story && run->event == FSMETA_EVENT_ROTATED &&
		    (!folder->has_newer || run->sum.to_us > folder->oldest_recording_us))
			run->event = FSMETA_EVENT_LOST;
	}
}

static int close_folder(struct fsmeta_archive_events *events)
{
	struct folder *folder = &events->folders[events->open_count - 1];
	int code = end_piece(events, folder);

	if (code)
		return code;
	events->open_count--;
	if (folder->stories[0] != NO_STORY) {
		struct fsmeta_archive_story *story = story_at(events, (size_t)folder->stories[0]);

		story->layout = claim(folder);
		if (folder->is_cut)
			story->newest_us = story->older_newest_us = UNKNOWN_US;
		story->is_gone = folder->has_older && !folder->has_newer;
	}
	if (folder->stories[1] != NO_STORY) {
		struct fsmeta_archive_story *story = story_at(events, (size_t)folder->stories[1]);

		judge_removed_recordings(events, folder, (size_t)folder->stories[1]);
		if (!folder->evidence[FSMETA_LAYOUT_RECORDING])
			story->layout = FSMETA_LAYOUT_NONE;
		story->is_gone = folder->has_older && !folder->has_newer;
	}
	return 0;
}

/** Makes the folder of a file the innermost open one. */
static int go_to_folder(struct fsmeta_archive_events *events, struct path path)
{
	int code = 0;

	while (events->open_count && !code) {
		const struct fsmeta_buffer *open = &events->folders[events->open_count - 1].path;

		if (fsmeta_path_is_within(
			path.bytes, path.length, (const char *)open->data, open->length)) {
			if (open->length == path.length)
				return 0;
			/* Runs are in the order of changes, so what is around ends its own. */
			code = end_piece(events, &events->folders[events->open_count - 1]);
			break;
		}
		code = close_folder(events);
	}
	return code ? code : open_folder(events, path);
}

/* ---- files ---- */

static void take_side(
    struct side *side, const struct fsmeta_piece_name *name, const struct fsmeta_entry *entry)
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
static int go_to_piece(
    struct fsmeta_archive_events *events, struct folder *folder, const struct item *item)
{
	struct piece *piece = &folder->piece;
	bool recordings = item->name.layout == FSMETA_LAYOUT_RECORDING;
	bool same_stem = piece->stem.length == item->stem.length && piece->stem.length &&
			 memcmp(piece->stem.data, item->stem.bytes, item->stem.length) == 0;
	int code = 0;

	if (folder->stories[recordings] == NO_STORY)
		code = begin_story(events, folder, recordings);
	if (code || (piece->layout == item->name.layout && same_stem))
		return code;
	if (has_times(piece->layout) && piece->layout == item->name.layout &&
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

static int take_file(struct fsmeta_archive_events *events, const struct item *item,
    const struct fsmeta_entry *before, const struct fsmeta_entry *after, struct piece **piece)
{
	struct folder *folder;
	int code = go_to_folder(events, item->folder);

	if (code)
		return code;
	folder = &events->folders[events->open_count - 1];
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

static int take_changed_file(
    struct fsmeta_archive_events *events, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	const struct fsmeta_entry *before = change->before, *after = change->after;
	struct piece *piece;
	struct item item;
	int code;

	if (!recognise(&item, entry))
		return 0;
	if (change->kind == FSMETA_CHANGE_MOVED || change->kind == FSMETA_CHANGE_UNREADABLE ||
	    change->kind == FSMETA_CHANGE_UNKNOWN)
		before = after = entry;
	code = take_file(events, &item, before, after, &piece);
	if (code)
		return code;
	piece->changes++;
	piece->added += change->kind == FSMETA_CHANGE_ADDED;
	piece->removed += change->kind == FSMETA_CHANGE_REMOVED;
	piece->modified += is_content(change);
	return 0;
}

/* ---- the older side, read alongside the changes ---- */

static int next_older(struct fsmeta_archive_events *events, struct fsmeta_error *error)
{
	int code = 0;

	if (events->has_begun && !events->current)
		return 0;
	if (events->current && events->current->type == FSMETA_TYPE_FOLDER &&
	    events->current->path_length && !enters(events, events->current))
		code = fsmeta_cursor_skip(events->older, events->current->depth + 1, error);
	events->has_begun = true;
	if (!code)
		code = fsmeta_cursor_next(events->older, &events->current, error);
	if (code <= 0)
		events->current = NULL;
	return code < 0 ? code : 0;
}

/**
 * Nothing changed in the rest of the folder, and nothing in it could say more of what did: but how
 * far it reaches, which only matters where recorders were at work.
 */
static bool has_enough(const struct fsmeta_archive_events *events, const struct item *item,
    const struct fsmeta_entry *up_to)
{
	const struct folder *folder = &events->folders[events->open_count - 1];
	struct path path = item->folder;

	return has_times(item->name.layout) && folder->has_newer && !folder->piece.changes &&
	       folder->changed_run == NO_RUN && folder->late_run == NO_RUN &&
	       !(up_to && fsmeta_path_is_within(
			      up_to->path, up_to->path_length, path.bytes, path.length)) &&
	       !reads_all_in(events, parent_of(path.bytes, path.length));
}

/** Takes a file that stayed, and steps over the rest of its folder if it can. */
static int take_kept(struct fsmeta_archive_events *events, const struct item *item,
    const struct fsmeta_entry *up_to, struct fsmeta_error *error)
{
	struct piece *piece;

	if (take_file(events, item, item->entry, item->entry, &piece))
		return fsmeta_error_set_memory(error, action);
	if (!has_enough(events, item, up_to))
		return 0;
	events->folders[events->open_count - 1].is_cut = true;
	return fsmeta_cursor_skip(events->older, item->entry->depth, error);
}

/** Takes what the older side has in front of `path` (NULL: all the rest), and leaves out what is at
 * it. */
static int read_older(struct fsmeta_archive_events *events, const struct fsmeta_entry *up_to,
    struct fsmeta_error *error)
{
	int code = events->has_begun ? 0 : next_older(events, error);

	while (!code && events->current) {
		const struct fsmeta_entry *entry = events->current;
		int order = up_to ? fsmeta_path_compare(entry->path, entry->path_length,
					up_to->path, up_to->path_length)
				  : -1;
		struct item item;

		if (order > 0)
			break;
		if (order < 0 && recognise(&item, entry))
			code = take_kept(events, &item, up_to, error);
		if (!code)
			code = next_older(events, error);
	}
	return code;
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_archive_events *events = (struct fsmeta_archive_events *)sink;
	int code = 0;

	if (events->phase == PHASE_TOUCH)
		return touch(events, change) ? fsmeta_error_set_memory(error, action) : 0;
	code = read_older(events, fsmeta_change_entry(change), error);
	if (code)
		return code;
	return take_changed_file(events, change) ? fsmeta_error_set_memory(error, action) : 0;
}

/* ---- the whole ---- */

int fsmeta_archive_events_new(struct fsmeta_archive_events **out, struct fsmeta_error *error)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return fsmeta_error_set_memory(error, action);
	(*out)->sink.change = take_change;
	return 0;
}

void fsmeta_archive_events_free(struct fsmeta_archive_events *events)
{
	if (!events)
		return;
	for (size_t i = 0; i < events->folder_count; i++) {
		fsmeta_buffer_release(&events->folders[i].path);
		fsmeta_buffer_release(&events->folders[i].piece.stem);
	}
	free(events->folders);
	fsmeta_buffer_release(&events->touched);
	fsmeta_buffer_release(&events->parents);
	fsmeta_buffer_release(&events->stories);
	fsmeta_buffer_release(&events->runs);
	fsmeta_buffer_release(&events->lines);
	fsmeta_buffer_release(&events->besides);
	fsmeta_arena_release(&events->arena);
	free(events);
}

struct fsmeta_change_sink *fsmeta_archive_events_sink(struct fsmeta_archive_events *events)
{
	return &events->sink;
}

int fsmeta_archive_events_settle(
    struct fsmeta_archive_events *events, bool *changed, struct fsmeta_error *error)
{
	sort_places(&events->touched);
	*changed = events->touched.length;
	return find_parents(events) ? fsmeta_error_set_memory(error, action) : 0;
}

void fsmeta_archive_events_read(
    struct fsmeta_archive_events *events, struct fsmeta_cursor *older, int64_t newer_us)
{
	events->phase = PHASE_READ;
	events->older = older;
	events->newer_us = newer_us;
	events->has_begun = false;
	events->current = NULL;
	events->open_count = 0;
	fsmeta_buffer_clear(&events->stories);
	fsmeta_buffer_clear(&events->runs);
}

static int compare_besides(const void *a, const void *b)
{
	return compare_paths(
	    &((const struct beside *)a)->parent, &((const struct beside *)b)->parent);
}

static void merge_beside(struct beside *to, const struct beside *from)
{
	if (from->oldest_us < to->oldest_us)
		to->oldest_us = from->oldest_us;
	for (int i = OLDER; i <= NEWER; i++)
		if (from->newest_us[i] > to->newest_us[i])
			to->newest_us[i] = from->newest_us[i];
}

/** Sums up the streams that lie in one folder, for each such folder. */
static int gather_besides(struct fsmeta_archive_events *events)
{
	struct beside *items;
	size_t count, kept = 0;
	int code = 0;

	fsmeta_buffer_clear(&events->besides);
	for (size_t i = 0; i < count_stories(events) && !code; i++) {
		const struct fsmeta_archive_story *story = story_at(events, i);
		const struct beside beside = {
		    .parent = parent_of(story->path, story->path_length),
		    .oldest_us = story->is_gone ? INT64_MAX : story->oldest_us,
		    .newest_us = {story->older_newest_us, story->newest_us},
		};

		if (has_times(story->layout) && story->path_length)
			code = fsmeta_buffer_append(&events->besides, &beside, sizeof(beside));
	}
	items = (struct beside *)(void *)events->besides.data;
	count = events->besides.length / sizeof(*items);
	if (count)
		qsort(items, count, sizeof(*items), compare_besides);
	for (size_t i = 0; i < count; i++) {
		if (kept && compare_besides(&items[kept - 1], &items[i]) == 0)
			merge_beside(&items[kept - 1], &items[i]);
		else
			items[kept++] = items[i];
	}
	events->besides.length = kept * sizeof(*items);
	return code;
}

static const struct beside *find_beside(
    const struct fsmeta_archive_events *events, const struct fsmeta_archive_story *story)
{
	const struct beside key = {.parent = parent_of(story->path, story->path_length)};
	size_t count = events->besides.length / sizeof(key);

	if (!count || !story->path_length)
		return NULL;
	return bsearch(&key, events->besides.data, count, sizeof(key), compare_besides);
}

/** Streams of which nothing is left need a line; 1 where one was drawn that is not in the runs yet.
 */
static int draw_lines(struct fsmeta_archive_events *events)
{
	int code = 0, drawn = 0;

	for (size_t i = 0; i < count_stories(events) && !code; i++) {
		const struct fsmeta_archive_story *story = story_at(events, i);
		struct line line = {story->path, story->path_length, INT64_MIN};
		const struct beside *beside = find_beside(events, story);

		if (!story->is_gone || !has_times(story->layout))
			continue;
		if (beside && beside->oldest_us != INT64_MAX)
			line.us = beside->oldest_us;
		code = fsmeta_buffer_append(&events->lines, &line, sizeof(line));
		drawn = 1;
	}
	return code ? code : drawn;
}

static bool is_behind(int64_t newest_us, int64_t others_us)
{
	return others_us != UNKNOWN_US && newest_us < others_us - SILENT_US;
}

/** Kept up with the streams beside it before, and does not any more. */
static bool is_silent(
    const struct fsmeta_archive_events *events, const struct fsmeta_archive_story *story)
{
	const struct beside *beside = find_beside(events, story);
	int64_t newest_us = story->older_newest_us;

	if (!has_times(story->layout) || story->is_gone || !beside || newest_us == UNKNOWN_US ||
	    is_behind(newest_us, beside->newest_us[OLDER]))
		return false;
	/* What was lost was recorded. */
	if (story->newest_us > newest_us)
		newest_us = story->newest_us;
	return is_behind(newest_us, beside->newest_us[NEWER]);
}

/** Adds the runs up; what nobody claims means nothing. */
static void sum_up(struct fsmeta_archive_events *events)
{
	for (size_t i = 0; i < count_runs(events); i++) {
		struct fsmeta_archive_run *run = run_at(events, i);
		struct fsmeta_archive_story *story = story_at(events, run->story);

		if (story->layout == FSMETA_LAYOUT_NONE)
			run->event = FSMETA_EVENT_NONE;
		add_sum(&story->sums[run->event], &run->sum);
	}
	events->expected = 0;
	for (size_t i = 0; i < count_stories(events); i++) {
		struct fsmeta_archive_story *story = story_at(events, i);
		const struct fsmeta_archive_sum *went = &story->sums[FSMETA_EVENT_ROTATED];

		story->is_silent = is_silent(events, story);
		events->expected += went->files;
		if (story->layout == FSMETA_LAYOUT_RECORDING)
			events->expected += went->pieces;
		if (story->layout == FSMETA_LAYOUT_FRAMES && story->is_gone)
			events->expected++;
	}
}

static bool is_told(const struct fsmeta_archive_story *story)
{
	bool happened = story->is_silent;

	for (int event = FSMETA_EVENT_RECORDED; event < FSMETA_EVENTS; event++)
		happened |= story->sums[event].files != 0;
	return happened && story->layout != FSMETA_LAYOUT_NONE;
}

/** Leaves out streams to which nothing happened; runs follow. */
static int drop_untold(struct fsmeta_archive_events *events)
{
	struct fsmeta_buffer numbers = {0};
	uint32_t kept = 0, none = UINT32_MAX;
	int code = 0;

	for (size_t i = 0; i < count_stories(events) && !code; i++) {
		bool told = is_told(story_at(events, i));

		code = fsmeta_buffer_append(&numbers, told ? &kept : &none, sizeof(kept));
		if (told)
			*story_at(events, kept++) = *story_at(events, i);
	}
	for (size_t i = 0; i < count_runs(events) && !code; i++) {
		struct fsmeta_archive_run *run = run_at(events, i);

		run->story = ((const uint32_t *)(const void *)numbers.data)[run->story];
	}
	events->stories.length = kept * sizeof(struct fsmeta_archive_story);
	fsmeta_buffer_release(&numbers);
	return code;
}

int fsmeta_archive_events_finish(struct fsmeta_archive_events *events, struct fsmeta_error *error)
{
	int code = read_older(events, NULL, error);

	if (code)
		return code;
	while (events->open_count && !code)
		code = close_folder(events);
	events->older = NULL;
	if (!code)
		code = gather_besides(events);
	if (!code && !events->lines.length) {
		code = draw_lines(events);
		if (code > 0)
			return 1;
	}
	if (!code) {
		sum_up(events);
		code = drop_untold(events);
	}
	fsmeta_archive_events_rewind(events);
	return code ? fsmeta_error_set_memory(error, action) : 0;
}

const struct fsmeta_archive_story *fsmeta_archive_events_stories(
    const struct fsmeta_archive_events *events, size_t *count)
{
	*count = count_stories(events);
	return story_at(events, 0);
}

const struct fsmeta_archive_run *fsmeta_archive_events_runs(
    const struct fsmeta_archive_events *events, size_t *count)
{
	*count = count_runs(events);
	return run_at(events, 0);
}

void fsmeta_archive_events_rewind(struct fsmeta_archive_events *events)
{
	events->phase = PHASE_JUDGE;
	events->run = 0;
	events->run_changes = 0;
}

bool fsmeta_archive_events_judge(struct fsmeta_archive_events *events,
    struct fsmeta_archive_verdict *out, const struct fsmeta_change *change)
{
	const struct fsmeta_archive_run *run;
	struct item item;
	int64_t modified_us;

	if (!recognise(&item, fsmeta_change_entry(change)) || events->run >= count_runs(events))
		return false;
	run = run_at(events, events->run);
	if (++events->run_changes >= run->sum.files) {
		events->run++;
		events->run_changes = 0;
	}
	if (run->event == FSMETA_EVENT_NONE || run->story == UINT32_MAX)
		return false;
	modified_us = fsmeta_piece_modified_us(item.entry);
	*out = (struct fsmeta_archive_verdict){
	    .event = run->event,
	    .story = story_at(events, run->story),
	    .from_us = UNKNOWN_US,
	    .to_us = UNKNOWN_US,
	};
	if (has_times(item.name.layout)) {
		out->from_us = item.name.start_us;
		if (modified_us >= out->from_us &&
		    modified_us <= out->from_us + FSMETA_PIECE_CLOSED_US)
			out->to_us = modified_us;
	}
	return true;
}

uint64_t fsmeta_archive_events_expected_removals(const struct fsmeta_archive_events *events)
{
	return events->expected;
}
